"""``whyact predict``: which action, and the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from whyact import api
from whyact.errors import PartialFailure, UserError
from whyact.files import writable_file
from whyact.methods import METHODS
from whyact.prediction import Prediction, Segment, to_json
from whyact.progress import announce, print_error
from whyact.verbs.data_make import generated_root
from whyact.verbs.engine_options import add_device
from whyact.verbs.parser import Parser, existing_folder, open_page, peek, read_options, run_folder
from whyact.video.frame_folder import Prepared, prepared_inputs
from whyact.video.inputs import Inputs

LINES = 20  # segments that a terminal shows at most

_EXAMPLES = (
    "whyact predict kitchen.mp4",
    "whyact predict a.mp4 b.mp4 --model runs/kitchen --report why.html",
    "whyact predict frames/ --fps 25",
    "whyact predict cctv/ --detector fasterrcnn-r50 --window 4 --stride 1 --json",
    "whyact predict CLIP --data cad120 --root data/cad120 --model runs/kitchen --json > predictions.json",
)


def run(argv: list[str]) -> int:
    """Predict every input that ``argv`` names; print the answers, or JSON, and write a report where asked."""
    named = peek(argv, "--model")
    model = api.load(run_folder(named) if named else api.BUNDLED)
    method = METHODS[model.method]
    parser = _parser()
    parser.add_settings(method.PredictOptions(), grouped=False)
    args = parser.parse_args(argv)
    model = replace(model, device=args.device)
    root = existing_folder("--root", args.root)
    report = writable_file("--report", args.report) if args.report else None
    if args.open and report is None:
        raise UserError("--open", None, "--report FILE beside it", "--report why.html --open")
    options = read_options(method.PredictOptions, args)
    by_name = args.data is not None  # clips of a data set
    if by_name and args.fps is not None:
        raise UserError("--fps", args.fps, "a folder of images among the inputs; --data has its own", "leave it out")
    announce(f"loading {model.path.name}", wanted=not args.json, in_logs=False)
    failed: list[UserError] = []
    pictures: dict[tuple[str, int], bytes] = {}
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
                predictions = model.ask(inputs, args.data, folder, options, progress=not args.json)
        except PartialFailure as some:
            predictions, failed = some.done, some.failed
        if report is not None and predictions:
            from whyact.verbs.stills import stills

            pictures = {(prepared.name_of(name), n): data for (name, n), data in stills(predictions).items()}
        predictions = [prepared.named(prediction) for prediction in predictions]
    if not predictions:
        report = None  # a page about nothing
    if report is not None:
        from whyact.report import write_report

        write_report(predictions, report, pictures)
    if args.json:
        print(to_json(predictions), flush=True)
    else:
        for prediction in predictions:
            print(format_answer(prediction), flush=True)
        for name in ("draw", "save_tracks"):
            written = getattr(options, name, None)
            if written is not None and predictions:
                print(f"{name.replace('_', '-')}: {written}")
        if report is not None:
            print(f"report: {report}")
    for error in failed:
        print_error(error.command_line())
    if report is not None and args.open:
        open_page(report)
    return min((error.exit_code for error in failed), default=0)


def format_answer(prediction: Prediction) -> str:
    """Write an answer for a terminal: the action and its score, the reason in words, what a reader must know."""
    from whyact import wording

    name = prediction.id or prediction.video.path
    label, score = wording.format_headline(prediction.label), wording.format_score(prediction.score)
    answer = f"unsure, perhaps {label}, score {score}" if prediction.unsure else f"{label} {score}"
    lines = [f"{name}: {answer if label else 'no answer'}"]
    if prediction.segments:  # when comes first, the whole video after it
        lines = [f"{name}:", *format_timeline(prediction.segments), f"  whole video: {answer}"]
    lines.append(f"  {wording.join_parts(wording.explain_answer(prediction))}")
    if prediction.video.degraded:
        lines.append(f"  note: {prediction.video.degraded}")
    lines += [f"  note: {note}" for note in prediction.notes]
    return "\n".join(lines)


def format_timeline(segments: Sequence[Segment]) -> list[str]:
    """Write segments in the order of time, a line each; the best :data:`LINES` where there are more."""
    from whyact import wording

    best = sorted(segments, key=lambda s: -s.score)[:LINES]
    lines = []
    for s in sorted(best, key=lambda s: (s.start, s.end)):
        span, label = wording.format_span(s.start, s.end), wording.format_headline(s.label)
        ends = f" (± {s.interval[0]:.1f} s, ± {s.interval[1]:.1f} s)" if s.interval else ""
        lines.append(f"  {span}  {label} {wording.format_score(s.score)}{ends}")
    more = len(segments) - len(best)
    return lines + ([f"  and {more} that score less"] if more else [])


def _parser() -> Parser:
    parser = Parser(
        "predict",
        "Say which action each input shows, and which evidence decided it.\n"
        "Without --model the small model that is bundled with whyact answers, and says what it was trained on.\n"
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
    add_device(parser)
    parser.add_argument("--fps", metavar="RATE", type=float, help="frames a second of a folder with an image a frame")
    parser.add_argument("--data", metavar="NAME", help="the data set whose clips the inputs name")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it")
    return parser
