"""``whyact report``: predictions in JSON -> one HTML page, or a file for another tool."""

from __future__ import annotations

from pathlib import Path

from whyact.errors import UserError
from whyact.files import writable_file
from whyact.report.answers_file import read_predictions
from whyact.verbs.parser import Parser, print_json

_EXAMPLES = (
    "whyact report predictions.json",
    "whyact predict kitchen.mp4 --json | whyact report - --out why.html",
    "whyact report predictions.json --export eaf --out kitchen.eaf",
)
FORMATS = ("html", "csv", "vtt", "eaf", "fiftyone")


def run(argv: list[str]) -> int:
    """Write the page, or the export, for the predictions that ``argv`` names and print its path."""
    parser = Parser(
        "report",
        "Turn what `whyact predict --json` printed into one HTML page, or into a file for another tool:\n"
        "csv (a table), vtt (subtitles), eaf (ELAN), fiftyone (labels.json of a temporal detection data set).",
        _EXAMPLES,
        "the paths",
    )
    parser.add_argument("file", metavar="FILE", help="JSON list of predictions; - reads stdin")
    parser.add_argument("--export", metavar="FORMAT", choices=FORMATS, default="html", help=", ".join(FORMATS))
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        help="the file (default: FILE with the format's ending); a folder for fiftyone, and where vtt or eaf are to "
        "hold several predictions",
    )
    args = parser.parse_args(argv)
    stem = Path("report") if args.file == "-" else Path(args.file)
    predictions = read_predictions(args.file)
    if not predictions:
        where = "stdin" if args.file == "-" else args.file
        raise UserError(where, "[]", "at least one prediction", "whyact predict INPUT --json > predictions.json")
    if args.out is not None and args.file != "-" and args.out.resolve() == stem.resolve():
        raise UserError("--out", str(args.out), "another file than FILE, which it would replace", "choose another name")

    if args.export == "html":
        from whyact.report import write_report
        from whyact.verbs.stills import stills

        out = writable_file("--out", args.out or stem.with_suffix(".html"))
        written = [write_report(predictions, out, stills(predictions))]
    else:
        from whyact.report.exports import EXPORTS, write_exports

        folder = args.export == "fiftyone" or not (EXPORTS[args.export].several or len(predictions) == 1)
        out = args.out or stem.with_suffix("" if folder else f".{EXPORTS[args.export].ending}")
        if out == stem:
            out = stem.with_name(f"{stem.name}-{args.export}")
        written = write_exports(predictions, args.export, out if folder else writable_file("--out", out))
    if args.json:
        first = {"report": str(written[0])} if written else {}
        print_json({**first, "files": [str(path) for path in written], "predictions": len(predictions)})
    else:
        for path in written:
            print(path)
    return 0
