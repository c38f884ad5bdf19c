"""``whyact train``: train a method on a data set and save the run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from whyact.errors import UserError
from whyact.training.checkpoint import CARD, check_run_folder, read_card
from whyact.verbs.data_make import generated_root
from whyact.verbs.methods import load_method, method_names
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers, run_folder, whole_number
from whyact.verbs.settings import add_settings, read_settings

_EXAMPLES = (
    "whyact train laiar --data cad120 --root data/cad120 --out runs/kitchen",
    "whyact train laiar --data cad120 --root data/cad120 --out runs/small --fold 2 --model.width 32",
    "whyact train laiar --help      every setting of the method, with its default",
)


def run(argv: list[str]) -> int:
    """Train the method that ``argv`` names; print what the run's card says."""
    names = method_names()
    method = argv[0] if argv and not argv[0].startswith("-") else ""
    if argv and not method and not {"-h", "--help"} & set(argv):
        raise UserError("whyact train", argv[0], f"METHOD first: {', '.join(names)}", "whyact train METHOD --data NAME")
    task = load_method(method, "train") if method else None
    parser = _parser(method or "METHOD", names, task.PRESETS if task is not None else ())
    if task is not None:
        add_settings(parser, task.PRESETS["default"])
    args = parser.parse_args(argv[1:] if method else argv)
    if task is None:
        raise UserError("whyact train", None, f"METHOD first: {', '.join(names)}", "whyact train --help")

    config = read_settings(task.PRESETS, args.preset, args.config, vars(args))
    check_run_folder(args.out)
    if (args.out / CARD).is_file() and not args.overwrite:
        card = read_card(args.out)
        there = f"a finished run: {card['method']} on {card['data']}"
        raise UserError("--out", f"{args.out}, {there}", "a name that is free", "--overwrite replaces it")
    root = existing_folder("--root", args.root)
    with generated_root(args.data, root) as folder:
        card = task.train(
            args.data, folder, args.out, config=config, fold=args.fold, seed=args.seed, progress=not args.json
        )
    from whyact.training.processes import this_process

    if not this_process().is_rank_zero:  # under torchrun one process speaks for all
        return 0
    if args.json:
        print_json(card)
    else:
        print(f"{args.out}: {method} trained on {card['data']}")
        print_numbers(card.get("metrics", {}), "  ")
    return 0


def _parser(method: str, names: list[str], presets: Iterable[str]) -> Parser:
    parser = Parser(
        f"train {method}",
        f"Train a method on a data set and save the run as a folder.\nMETHOD is one of: {', '.join(names)}.\n"
        "Settings come from a preset, then a YAML file, then the command line; the last one wins.",
        _EXAMPLES,
        "the run's card",
    )
    parser.usage = f"whyact train {method} --data NAME --out RUN [option ...] [--SETTING VALUE ...]"
    parser.add_argument("--data", metavar="NAME", required=True, help="the data set's name")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it; generated data needs none")
    parser.add_argument("--out", metavar="RUN", type=run_folder, required=True, help="the run folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished run; until the end it stays")
    known = f": {', '.join(presets)}" if presets else ""
    parser.add_argument("--preset", metavar="P", default="default", help=f"named settings to start from{known}")
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML file of settings")
    parser.add_argument(
        "--fold", metavar="N", type=whole_number, default=1, help="which split to train on (default: 1)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=whole_number, default=0, help="seed of everything random (default: 0)"
    )
    return parser
