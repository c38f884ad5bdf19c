"""``whyact predict``: which action, and the evidence for it."""

from __future__ import annotations

import sys
from glob import glob
from pathlib import Path
from typing import Any

from whyact.errors import PartialFailure, UserError
from whyact.files import writable_file
from whyact.prediction import Prediction, to_json
from whyact.sentences import format_answer
from whyact.training.checkpoint import read_card
from whyact.verbs.data_make import generated_root
from whyact.verbs.methods import DEMO_METHOD, load_method
from whyact.verbs.parser import Parser, existing_folder, run_folder
from whyact.video import VIDEO_SUFFIXES

_EXAMPLES = (
    "whyact predict kitchen.mp4",
    "whyact predict a.mp4 b.mp4 --model runs/kitchen --report why.html",
    "whyact predict cctv/ --detector fasterrcnn-r50 --window 4 --stride 1 --json",
    "whyact predict CLIP --data cad120 --root data/cad120 --model runs/kitchen --json > predictions.json",
)


def run(argv: list[str]) -> int:
    """Predict every input that ``argv`` names; print the answers, or JSON, and write a report where asked."""
    model = _model(argv)
    method = read_card(model)["method"] if model else DEMO_METHOD
    task = load_method(method, "predict")
    own: dict[str, str] = getattr(task, "OPTIONS", {})
    args = _parser(own).parse_args(argv)

    root = existing_folder("--root", args.root)
    report = writable_file("--report", args.report) if args.report else None
    options = {name: getattr(args, name.replace("-", "_")) for name in ("data", *own)}
    options = {name: value for name, value in options.items() if value is not None}
    inputs = args.inputs if "data" in options else expand(args.inputs)
    if report is not None and any(report.resolve() == Path(name).resolve() for name in inputs):
        raise UserError("--report", str(report), "another file than the input", "--report why.html")
    failed: list[UserError] = []
    try:
        with generated_root(options.get("data"), root) as folder:
            if folder is not None:
                options["root"] = str(folder)
            predictions: list[Prediction] = task.predict(inputs, model, options=options, progress=not args.json)
    except PartialFailure as some:
        predictions, failed = some.done, some.failed
    if not predictions:
        report = None  # a page about nothing
    if report is not None:
        from whyact.verbs.stills import write_illustrated

        write_illustrated(predictions, report)
    if args.json:
        print(to_json(predictions), flush=True)
    else:
        for prediction in predictions:
            print(format_answer(prediction), flush=True)
        for name in ("draw", "save-tracks"):
            if name in options and predictions:
                print(f"{name}: {options[name]}")
        if report is not None:
            print(f"report: {report}")
    for error in failed:
        print(f"whyact: {error}", file=sys.stderr, flush=True)
    return min((error.exit_code for error in failed), default=0)


def expand(inputs: list[str]) -> list[str]:
    """Return the inputs with the videos of a folder, and what a pattern matches, in place of folder and pattern.

    Raises:
        UserError: When an input is empty, a folder holds no video or a pattern matches nothing.
    """
    out: list[str] = []
    for name in inputs:
        path = Path(name)
        if not name:  # an unset variable of a shell; as a path it would be the folder that one is in
            raise UserError("INPUT", name, "a video, a folder or a pattern")
        if path.is_dir():
            found = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
            what = "a folder with videos"
        elif any(mark in name for mark in "*?[") and not path.exists():
            found, what = sorted(glob(name, recursive=True)), "a pattern that matches files"
        else:
            found, what = [name], ""
        if not found:
            raise UserError("INPUT", name, what)
        out += [f for f in found if f not in out]
    return out


def _parser(own: dict[str, str]) -> Parser:
    parser = Parser(
        "predict",
        "Say which action each input shows, and which evidence decided it.\n"
        "Without --model the small model that travels with whyact answers, and says what it was trained on.\n"
        "A model of another method has other options: whyact predict --model RUN --help",
        _EXAMPLES,
        "a list of predictions",
    )
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="a video, a folder or a pattern; with --data a clip's name"
    )
    parser.add_argument("--model", metavar="RUN", type=run_folder, help="a run folder that `whyact train` wrote")
    parser.add_argument("--report", metavar="FILE", type=Path, help="also write one self-contained HTML page")
    parser.add_argument("--data", metavar="NAME", help="the data set whose clips the inputs name")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it")
    for name, text in own.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=text)
    return parser


def _model(argv: list[str]) -> Path | None:
    """Find ``--model`` before the rest is parsed: what else may be asked depends on the method."""
    parser: Any = Parser("predict", "", (), "")
    parser.add_argument("--model", type=run_folder)
    without_help = [word for word in argv if word not in ("-h", "--help")]
    found, _ = parser.parse_known_args(without_help)
    model: Path | None = found.model
    return model
