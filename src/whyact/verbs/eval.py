"""``whyact eval``: measure a trained model on a data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from whyact import api
from whyact.errors import UserError
from whyact.files import writable_file
from whyact.methods import Method, find_method
from whyact.progress import announce
from whyact.verbs.data_make import generated_root
from whyact.verbs.engine_options import add_device, add_engine, read_engine
from whyact.verbs.parser import (
    Kind,
    Parser,
    existing_folder,
    open_page,
    print_json,
    print_numbers,
    run_folder,
    whole_number,
)

_EXAMPLES = (
    "whyact eval runs/kitchen --root data/cad120",
    "whyact eval runs/kitchen --data cad120 --root data/cad120 --json --out results.json",
    "whyact eval runs/kitchen --parts answers --shard 1/3      (on each of three machines, then without --shard)",
    "whyact eval runs/kitchen --report eval.html --against runs/before",
    "whyact eval segments.json --data thumos14 --root data/thumos14",
)


def run(argv: list[str]) -> int:
    """Evaluate the run that ``argv`` names with the method its card names; print the metrics."""
    parser = Parser("eval", "Measure a trained model on the test part of a data set.", _EXAMPLES, "the metrics")
    parser.add_argument(
        "run",
        metavar="RUN",
        type=run_folder,
        help="a run folder that `whyact train` wrote, or segments as ActivityNet's JSON",
    )
    parser.add_argument("--data", metavar="NAME", help="the data set's name (default: what the run was trained on)")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it; generated data needs none")
    parser.add_argument(
        "--fold",
        metavar="N",
        type=whole_number,
        help="which split (default: the run's own, whose test part is new to it)",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="also write the JSON to this file")
    parser.add_argument(
        "--parts",
        metavar="DIR",
        type=Path,
        help="keep the answers in this folder, a file for some videos; a rerun computes only what is missing",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        type=Kind("a share such as 1/3", _read_shard),
        help="compute the I-th of N shares of --parts only",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="also write an HTML page: figures with intervals, curves, classes, the most confident mistakes",
    )
    parser.add_argument(
        "--against", metavar="RUN2", type=run_folder, help="a second run, side by side with RUN on that page"
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    add_engine(parser, "video")
    add_device(parser)
    args = parser.parse_args(argv)
    read_engine(args)
    if args.shard is not None and args.parts is None:
        raise UserError("--shard", None, "--parts DIR, the folder that all shares write to")
    if args.shard is not None and args.report is not None:
        raise UserError("--report", str(args.report), "no --shard beside it: one share is not the whole test part")
    for option, value in (("--against", args.against), ("--open", args.open or None)):
        if value is not None and args.report is None:
            raise UserError(option, None, "--report FILE beside it", "--report eval.html")

    root = existing_folder("--root", args.root)
    out = writable_file("--out", args.out) if args.out else None
    report = writable_file("--report", args.report) if args.report else None
    metrics = _score_file(args, root) if args.run.is_file() else _evaluate(args, root, report)
    print_json(metrics, out, to_stdout=args.json)
    if not args.json:
        if metrics.get("watched_test"):
            print("The test part was watched while this run trained: these figures are no results.")
        print_numbers(metrics)
        if report is not None:
            print(f"report: {report}")
    if report is not None and args.open:
        open_page(report)
    return 0


def _score_file(args: Any, root: Path | None) -> dict[str, Any]:
    """Score segments in ActivityNet's JSON."""
    from whyact.pvlr.predictions import evaluate_predictions

    if args.report is not None:
        raise UserError("--report", str(args.report), "a run folder to report on, not segments without a run")
    if args.data is None or root is None:
        raise UserError(str(args.run), "a file", "--data NAME --root DIR of the annotations to score it against")
    return evaluate_predictions(args.run, args.data, root)


def _evaluate(args: Any, root: Path | None, report: Path | None) -> dict[str, Any]:
    """Measure a run, and the one that it is compared with; write the page that is asked for."""
    model = api.load(args.run, device=args.device)
    models = [model, *([] if args.against is None else [model.rival(args.against)])]
    data = args.data or model.card["data"]
    names = " against ".join(str(one.path) for one in models)
    announce(f"evaluating {names} on {data}", wanted=not args.json, in_logs=False)
    from whyact.training.evaluation_report import combine, measure

    engine, measured = read_engine(args), []
    with generated_root(data, root) as folder:
        for one in models:
            if engine is None and args.parts is None:
                evaluation = one.open_evaluation(data, folder, args.fold, not args.json)
                measured.append(measure(one.path, one.card, evaluation))
                continue
            settings = (one.path.absolute(), data, folder and folder.absolute(), args.fold)
            found = _in_parts(find_method(one.method), settings, args, engine)
            if isinstance(found, dict):
                return found
            measured.append(measure(one.path, one.card, *found))
        return combine(measured, report)


def _in_parts(
    method: Method[Any, Any, Any], settings: tuple[Path, str, Path | None, int | None], args: Any, engine: Any
) -> tuple[Any, list[Any]] | dict[str, Any]:
    """Compute the parts that are missing and return the evaluation with all of them; with ``--shard`` count them."""
    from tempfile import TemporaryDirectory

    from whyact.training.evaluation import Shard, answer_parts, chunks, read_parts

    with TemporaryDirectory(prefix="whyact-") as scratch:
        folder = args.parts or Path(scratch)
        evaluation = answer_parts(
            partial(method.open_evaluation, device=args.device), settings, folder, args.shard or Shard(), engine
        )
        if args.shard is None:
            return evaluation, read_parts(evaluation, folder)
        count = len(chunks(evaluation))
        share = {"shard": f"{args.shard.index}/{args.shard.count}", "parts": len(args.shard.of(count)), "of": count}
        return {**share, "next": "the other shards, then the same command without --shard"}


def _read_shard(text: str) -> Any:
    from whyact.training.evaluation import Shard

    index, _, count = text.partition("/")
    if not 1 <= int(index) <= int(count):
        raise ValueError(text)
    return Shard(int(index), int(count))
