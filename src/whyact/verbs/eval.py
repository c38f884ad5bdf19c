"""``whyact eval``: measure a trained model on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.training.checkpoint import read_card
from whyact.verbs.methods import load_method
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers, whole_number, writable_file

_EXAMPLES = (
    "whyact eval runs/kitchen --root data/cad120",
    "whyact eval runs/kitchen --data cad120 --root data/cad120 --fold 2 --json --out results.json",
    "whyact eval segments.json --data thumos14 --root data/thumos14",
)


def run(argv: list[str]) -> int:
    """Evaluate the run that ``argv`` names with the method its card names; print the metrics."""
    parser = Parser("eval", "Measure a trained model on the test part of a data set.", _EXAMPLES, "the metrics")
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run folder that `whyact train` wrote, or segments as ActivityNet's JSON",
    )
    parser.add_argument("--data", metavar="NAME", help="the data set's name (default: what the run was trained on)")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it; generated data needs none")
    parser.add_argument("--fold", metavar="N", type=whole_number, help="which split (default: the run's own)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="also write the JSON to this file")
    args = parser.parse_args(argv)

    root = existing_folder("--root", args.root)
    out = writable_file("--out", args.out) if args.out else None
    metrics: dict[str, Any]
    if args.run.is_file():
        from whyact.pvlr.predictions import evaluate_predictions

        if args.data is None or root is None:
            raise UserError(str(args.run), "a file", "--data NAME --root DIR of the annotations to score it against")
        metrics = evaluate_predictions(args.run, args.data, root)
    else:
        card = read_card(args.run)
        task = load_method(card["method"], "eval")
        metrics = task.evaluate(args.run, args.data or card["data"], root, fold=args.fold, progress=not args.json)
    print_json(metrics, out, to_stdout=args.json)
    if not args.json:
        print_numbers(metrics)
    return 0
