"""``whyact bench``: measure speed, always as a ratio of two things measured in the same run."""

from __future__ import annotations

import sys
from pathlib import Path

from whyact.verbs.lazy import choose
from whyact.verbs.parser import Parser
from whyact.verbs.reproduce import RESULTS

STORED = RESULTS / "bench.json"
_EXAMPLES = ("whyact bench", "whyact bench training --quick --json")


def run(argv: list[str]) -> int:
    """Run the benchmarks that ``argv`` names, or all; print or write the results document."""
    from whyact.studies.bench import BENCHES, run_benches
    from whyact.studies.bench_compare import ALLOWED

    parser = Parser(
        "bench",
        "Measure speed as a ratio of two things in the same run, so that the machine matters less.\n"
        f"A ratio more than {ALLOWED:g} times below the stored one ({STORED}) fails: exit code 1, nothing is written.\n"
        f"NAME is one of: {', '.join(BENCHES)}.",
        _EXAMPLES,
        "the results document",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="which benchmarks (default: all); some write nothing")
    parser.add_argument("--quick", action="store_true", help="fewer repeats; writes nothing to docs/")
    parser.add_argument("--accept", action="store_true", help="write the ratios although some fell: it was meant")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where the results go (default: {RESULTS})")
    args = parser.parse_args(argv)
    names = [choose(name, BENCHES, "NAME", "whyact bench --help") for name in args.names] or list(BENCHES)
    # Some of the benchmarks would leave a document without the rows of the others.
    out = args.out or (None if args.quick or args.names else RESULTS)
    stored = args.out / STORED.name if args.out else STORED
    fell = run_benches(names, quick=args.quick, out=out, stored=stored, accept=args.accept, as_json=args.json)
    for one in fell:
        print(f"whyact: {one}", file=sys.stderr, flush=True)
    if fell:
        print("whyact: nothing written. If this was meant: whyact bench --accept", file=sys.stderr, flush=True)
    return 1 if fell else 0
