"""``whyact report``: predictions in JSON -> one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path

from whyact.errors import UserError
from whyact.prediction import Prediction, from_json
from whyact.verbs.parser import Parser, print_json, writable_file

_EXAMPLES = (
    "whyact report predictions.json",
    "whyact predict kitchen.mp4 --json | whyact report - --out why.html",
)


def run(argv: list[str]) -> int:
    """Write the page for the predictions that ``argv`` names and print its path."""
    parser = Parser("report", "Turn what `whyact predict --json` printed into one HTML page.", _EXAMPLES, "the path")
    parser.add_argument("file", metavar="FILE", help="JSON list of predictions; - reads stdin")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (default: FILE with the ending .html)")
    args = parser.parse_args(argv)
    default = Path("report.html") if args.file == "-" else Path(args.file).with_suffix(".html")
    out = writable_file("--out", args.out or default)
    predictions = read_predictions(args.file)

    from whyact.report import write_report

    write_report(predictions, out)
    if args.json:
        print_json({"report": str(out), "predictions": len(predictions)})
    else:
        print(out)
    return 0


def read_predictions(file: str) -> list[Prediction]:
    """Read a JSON list of predictions from a file, or from stdin for ``-``.

    Raises:
        UserError: When it cannot be read or is not such a list.
    """
    expected, step = "a list of predictions", "make one with: whyact predict INPUT --json > predictions.json"
    try:
        return from_json(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise UserError(file, error.strerror, expected, step) from error
    except ValueError as error:
        raise UserError("stdin" if file == "-" else file, str(error), expected, step) from error
