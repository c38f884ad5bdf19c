"""``whyact predict``: which action, and the evidence for it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from whyact import api
from whyact.clip_zero_shot.config import PredictOptions
from whyact.errors import PartialFailure, UserError
from whyact.files import writable_file
from whyact.methods import UNTRAINED, find_answerer
from whyact.prediction import to_json
from whyact.progress import announce, print_error
from whyact.sentences import format_answer
from whyact.verbs.data_make import generated_root
from whyact.verbs.engine_options import add_device, add_engine, read_engine
from whyact.verbs.parser import Parser, existing_folder, open_page, peek, read_options, run_folder
from whyact.video.frame_folder import Prepared, prepared_inputs
from whyact.video.inputs import Inputs

_EXAMPLES = (
    "whyact predict kitchen.mp4",
    "whyact predict a.mp4 b.mp4 --model runs/kitchen --report why.html",
    'whyact predict a.mp4 --labels "pouring coffee, opening a box"',
    "whyact predict frames/ --fps 25",
    "whyact predict cctv/ --detector fasterrcnn-r50 --window 4 --stride 1 --json",
    "whyact predict films/ --model runs/kitchen --engine local --workers 8 --json > predictions.json",
    "whyact predict CLIP --data cad120 --root data/cad120 --model runs/kitchen --json > predictions.json",
)


def run(argv: list[str]) -> int:
    """Predict every input that ``argv`` names; print the answers, or JSON, and write a report where asked."""
    run_name = peek(argv, "--model")
    if run_name is None and any(word.partition("=")[0] == "--labels" for word in argv):
        model = api.Model(Path(UNTRAINED), UNTRAINED, {"method": UNTRAINED})
    else:
        model = api.load(run_folder(run_name) if run_name else api.BUNDLED)
    method = find_answerer(model.method)
    parser = _parser()
    parser.add_settings(method.PredictOptions(), grouped=False)
    args = parser.parse_args(argv)
    model = replace(model, device=args.device)
    root = existing_folder("--root", args.root)
    report = writable_file("--report", args.report) if args.report else None
    if args.open and report is None:
        raise UserError("--open", None, "--report FILE beside it", "--report why.html --open")
    options, engine = read_options(method.PredictOptions, args), read_engine(args)
    if model.method == UNTRAINED:
        options = _agreed(options, args.inputs)
    by_name = args.data is not None  # clips of a data set
    if by_name and args.fps is not None:
        raise UserError("--fps", args.fps, "a folder of images among the inputs; --data has its own", "leave it out")
    announce(f"loading {model.path.name}", wanted=not args.json, in_logs=False)
    failed: list[UserError] = []
    with (
        nullcontext(Prepared(Inputs(), args.inputs)) if by_name else prepared_inputs(args.inputs, args.fps) as prepared
    ):
        inputs = prepared.files
        if report is not None and any(report.resolve() == Path(name).resolve() for name in inputs):
            raise UserError("--report", str(report), "another file than the input", "--report why.html")
        if prepared.inputs.note:
            print_error(prepared.inputs.note)
        try:
            with generated_root(args.data, root) as folder:
                predictions = model.ask(inputs, args.data, folder, options, not args.json, engine)
        except PartialFailure as some:
            predictions, failed = some.done, some.failed
        named = [prepared.named(prediction) for prediction in predictions]
        if report is not None and predictions:
            from whyact.verbs.stills import write_illustrated

            write_illustrated(named, report, predictions)
    if not named:
        report = None  # a page about nothing
    if args.json:
        print(to_json(named), flush=True)
    else:
        for prediction in named:
            print(format_answer(prediction), flush=True)
        for name in ("draw", "save_tracks"):
            written = getattr(options, name, None)
            if written is not None and named:
                print(f"{name.replace('_', '-')}: {written}")
        if report is not None:
            print(f"report: {report}")
    for error in failed:
        print_error(error.command_line())
    if report is not None and args.open:
        open_page(report)
    return min((error.exit_code for error in failed), default=0)


def _agreed(options: PredictOptions, inputs: list[str]) -> PredictOptions:
    """Ask whether CLIP's weights may be downloaded, where that is needed and somebody can answer."""
    if options.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return options
    options.check(inputs)
    from whyact.clip_zero_shot import pending_download  # which imports torch

    pending = pending_download(options)
    if pending is None:
        return options
    print(f"{pending} must be downloaded once. Download it now? [y/N] ", end="", file=sys.stderr, flush=True)
    return replace(options, yes=sys.stdin.readline().strip().lower() in ("y", "yes"))


def _parser() -> Parser:
    parser = Parser(
        "predict",
        "Say which action each input shows, and which evidence decided it.\n"
        "Without --model the small model that is bundled with whyact answers, and says what it was trained on.\n"
        "With --labels and no --model, plain CLIP answers which of your labels fits, or that none does: no training,\n"
        "no run (extra clip). Its options: whyact predict --labels NAMES --help\n"
        "A model of another method has other options: whyact predict --model RUN --help",
        _EXAMPLES,
        "a list of predictions",
    )
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="a video, a folder or a pattern; with --data a clip's name"
    )
    parser.add_argument("--model", metavar="RUN", type=run_folder, help="a run folder that `whyact train` wrote")
    parser.add_argument("--report", metavar="FILE", type=Path, help="also write one self-contained HTML page")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    add_engine(parser, "input")
    add_device(parser)
    parser.add_argument("--fps", metavar="RATE", type=float, help="frames a second of a folder with an image a frame")
    parser.add_argument("--data", metavar="NAME", help="the data set whose clips the inputs name")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it")
    return parser
