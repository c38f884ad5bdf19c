"""``python -m benchmarks``: measure speed, always as a ratio of two things measured in the same run."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import run as bench
from benchmarks.compare import ALLOWED
from whyact.errors import choose
from whyact.verbs.parser import Parser, run_program

RESULTS = Path("docs/results")
STORED = RESULTS / "bench.json"
_EXAMPLES = ("python -m benchmarks", "python -m benchmarks training --quick --json")


def run(argv: list[str]) -> int:
    """Run the benchmarks that ``argv`` names, or all; print or write the results document."""
    parser = Parser(
        "bench",
        "Measure speed as a ratio of two things in the same run, so that the machine matters less.\n"
        f"A ratio more than {ALLOWED:g} times below the stored one ({STORED}) fails: exit code 1, nothing is written.\n"
        f"NAME is one of: {', '.join(bench.BENCHES)}.",
        _EXAMPLES,
        "the results document",
        prog="python -m benchmarks",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="which benchmarks (default: all); some write nothing")
    parser.add_argument("--quick", action="store_true", help="fewer repeats; writes nothing to docs/")
    parser.add_argument("--accept", action="store_true", help="write the ratios even where some fell")
    parser.add_argument("--update", action="store_true", help="write NAMEs alone; the other rows stay as stored")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where the results go (default: {RESULTS})")
    args = parser.parse_args(argv)
    known = list(bench.BENCHES)
    names = [choose(name, known, "NAME", "python -m benchmarks --help") for name in args.names] or known
    # A run of some benchmarks would leave a document without the rows of the others.
    out = args.out or (None if args.quick or (args.names and not args.update) else RESULTS)
    stored = args.out / STORED.name if args.out else STORED
    worse = bench.run_benches(
        names, quick=args.quick, out=out, stored=stored, accept=args.accept, update=args.update, as_json=args.json
    )
    for regression in worse:
        print(f"benchmarks: {regression}", file=sys.stderr, flush=True)
    if worse:
        step = "if this is intended: python -m benchmarks --accept"
        print(f"benchmarks: nothing written; {step}", file=sys.stderr, flush=True)
    return 1 if worse else 0


def main(argv: list[str]) -> int:
    """Run, and turn a user's mistake into one line and its exit code."""
    return run_program("benchmarks", run, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
