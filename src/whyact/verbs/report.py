"""``whyact report``: turn predictions in JSON into an HTML page or a file for another tool, or compare two runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from whyact import wording
from whyact.errors import UserError
from whyact.files import writable_file
from whyact.prediction import Prediction
from whyact.report.answers_file import read_predictions
from whyact.verbs.parser import Parser, open_page, print_json

_EXAMPLES = (
    "whyact report predictions.json",
    "whyact predict kitchen.mp4 --json | whyact report - --out why.html",
    "whyact report predictions.json --export eaf --out kitchen.eaf",
    "whyact report before.json --against after.json",
)
FORMATS = ("html", "csv", "vtt", "eaf", "fiftyone")


def run(argv: list[str]) -> int:
    """Write the page, or the export, for the predictions that ``argv`` names and print its path."""
    parser = Parser(
        "report",
        "Turn what `whyact predict --json` printed into one HTML page, or into a file for another tool:\n"
        "csv (a table), vtt (subtitles), eaf (ELAN), fiftyone (labels.json of a temporal detection data set).\n"
        "With --against, print what a second run on the same clips answers differently.",
        _EXAMPLES,
        "the paths",
    )
    parser.add_argument("file", metavar="FILE", help="JSON list of predictions; - reads stdin")
    parser.add_argument("--export", metavar="FORMAT", choices=FORMATS, default="html", help=", ".join(FORMATS))
    parser.add_argument("--against", metavar="FILE", help="predictions of a second model on the same clips")
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        help="the file (default: FILE with the format's ending); a folder (FILE-FORMAT) for fiftyone, and where vtt "
        "or eaf are to hold several predictions",
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    args = parser.parse_args(argv)
    if args.open and (args.export != "html" or args.against is not None):
        raise UserError("--open", None, "a page to show, not --export or --against")
    stem = Path("report") if args.file == "-" else Path(args.file)
    predictions = read_predictions(args.file)
    if args.against is not None:
        if args.out is not None or args.export != "html":
            raise UserError("--against", args.against, "no --out and no --export: the comparison is printed")
        _compare(predictions, read_predictions(args.against), args.json)
        return 0
    if not predictions:
        where = "stdin" if args.file == "-" else args.file
        raise UserError(where, "[]", "at least one prediction", "whyact predict INPUT --json > predictions.json")
    if args.out is not None and args.file != "-" and args.out.resolve() == stem.resolve():
        raise UserError("--out", str(args.out), "another file than FILE, which it would replace", "choose another name")

    if args.export == "html":
        from whyact.verbs.stills import write_illustrated

        out = writable_file("--out", args.out or stem.with_suffix(".html"))
        written = [write_illustrated(predictions, out)]
    else:
        from whyact.report.exports import EXPORTS, write_exports

        folder = args.export == "fiftyone" or not (EXPORTS[args.export].several or len(predictions) == 1)
        out = args.out or stem.with_suffix("" if folder else f".{EXPORTS[args.export].ending}")
        if args.out is None and (folder or out == stem):
            out = out.with_name(f"{out.name}-{args.export}")
        written = write_exports(predictions, args.export, out if folder else writable_file("--out", out))
    if args.json:
        first = {"report": str(written[0])} if written else {}
        print_json({**first, "files": [str(path) for path in written], "predictions": len(predictions)})
    else:
        what = "report" if args.export == "html" else args.export
        for path in written:
            print(f"{what}: {path}")
    if args.open:
        open_page(written[0])
    return 0


def _compare(a: list[Prediction], b: list[Prediction], as_json: bool) -> None:
    """Print what two runs differ in: class by class with intervals over clips, then the clips that changed."""
    from whyact.ablation.compare import compare_runs

    found = compare_runs(a, b)
    if as_json:
        print_json(asdict(found))
        return
    verdict = f": {found.gained} gained, {found.lost} lost" if found.gained + found.lost else ""
    print(f"{found.clips} clips in both, {found.changed_count} answered differently{verdict}.")
    what = "answered right" if found.measure == "recall" else "with this answer"
    print(f"Share of clips {what}; the interval is {100 * found.level:.0f} % over clips.\n")
    rows = [*([found.overall] if found.overall else []), *found.classes]
    wide = max(len(wording.format_label(row.label)) for row in rows)
    print(f"{'':{wide}}  clips     A     B    B-A   from    to")
    for row in rows:
        numbers = f"{row.clips:5d}  {row.a:.2f}  {row.b:.2f}  {row.difference:+.2f}  {row.low:+.2f} {row.high:+.2f}"
        print(f"{wording.format_label(row.label):{wide}}  {numbers}")
    for clip in found.changed:
        target = f" (annotated: {clip.target})" if clip.target else ""
        print(f"\n{clip.id}{target}\n  A {clip.a.text}. {clip.a.because}")
        print(f"  B {clip.b.text}. {clip.b.because}")
