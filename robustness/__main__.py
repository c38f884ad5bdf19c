"""``python -m robustness fuzz|faults``: attack every reader with damaged inputs; kill, starve and damage long work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from robustness import faults, fuzz
from whyact.errors import UserError, choose
from whyact.verbs.parser import Parser, run_program, whole_number

STUDIES: dict[str, Callable[..., int | None]] = {"fuzz": fuzz.run, "faults": faults.run}
RESULTS = Path("docs/results")


def run(argv: list[str]) -> int:
    """Run the study that ``argv`` names; it prints or writes its own results document."""
    parser = Parser(
        "robustness",
        "Attack whyact. NAME is fuzz (damaged inputs for every reader) or faults (kills, full disks, damaged files).",
        ("python -m robustness fuzz --quick", "python -m robustness faults"),
        "the results document",
        prog="python -m robustness",
    )
    parser.add_argument("name", metavar="NAME", help="fuzz or faults")
    parser.add_argument("--quick", action="store_true", help="a fraction of the attacks; writes nothing to docs/")
    parser.add_argument("--seeds", metavar="N", type=whole_number, help="how many times 10,000 inputs (fuzz)")
    parser.add_argument("--jobs", metavar="N", type=whole_number, default=1, help="worker processes (default: 1)")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where the results go (default: {RESULTS})")
    args = parser.parse_args(argv)
    study = STUDIES[choose(args.name, STUDIES, "NAME", "python -m robustness --help")]
    for option in ("seeds", "jobs"):
        if getattr(args, option) == 0:
            raise UserError(f"--{option}", 0, "at least 1")
    out = args.out or (None if args.quick else RESULTS)
    return study(quick=args.quick, seeds=args.seeds, jobs=args.jobs, out=out, as_json=args.json) or 0


def main(argv: list[str]) -> int:
    """Run, and turn a user's mistake into one line and its exit code."""
    return run_program("robustness", run, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
