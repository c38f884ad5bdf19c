"""``whyact bench``: measure speed, always as a ratio of two things measured in the same run."""

from __future__ import annotations

from pathlib import Path

from whyact.verbs.lazy import choose
from whyact.verbs.parser import Parser
from whyact.verbs.reproduce import RESULTS

_EXAMPLES = ("whyact bench", "whyact bench training --quick --json")


def run(argv: list[str]) -> int:
    """Run the benchmarks that ``argv`` names, or all; print or write the results document."""
    from whyact.studies.bench import BENCHES, run_benches

    parser = Parser(
        "bench",
        f"Measure speed as a ratio of two things in the same run, so that the machine matters less.\n"
        f"NAME is one of: {', '.join(BENCHES)}.",
        _EXAMPLES,
        "the results document",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="which benchmarks (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer repeats; writes nothing to docs/")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where the results go (default: {RESULTS})")
    args = parser.parse_args(argv)
    names = [choose(name, BENCHES, "NAME", "whyact bench --help") for name in args.names] or list(BENCHES)
    out = args.out or (None if args.quick else RESULTS)
    run_benches(names, quick=args.quick, out=out, as_json=args.json)
    return 0
