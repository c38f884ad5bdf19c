"""``whyact train``: train a method on a data set and save the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from whyact import api
from whyact.errors import UserError
from whyact.methods import METHODS, find_method
from whyact.progress import announce
from whyact.settings import read_settings
from whyact.training.options import TrainOptions
from whyact.verbs.data_make import generated_root
from whyact.verbs.parser import (
    Parser,
    existing_folder,
    print_json,
    print_numbers,
    read_options,
    run_folder,
    whole_number,
)

_EXAMPLES = (
    "whyact train laiar --data cad120 --root data/cad120 --out runs/kitchen",
    "whyact train laiar --data cad120 --root data/cad120 --out runs/small --fold 2 --model.width 32",
    "whyact train laiar --videos clips/ --out runs/mine      (clips/CLASS/*.mp4)",
    "whyact train pvlr --videos films.csv --out runs/when    (long videos; file,label)",
    "whyact train laiar --help      every setting of the method, with its default",
)


def run(argv: list[str]) -> int:
    """Train the method that ``argv`` names; print what the run's card says."""
    names = ", ".join(METHODS)
    name = argv[0] if argv and not argv[0].startswith("-") else ""
    if not name and not {"-h", "--help"} & set(argv):
        given = argv[0] if argv else None
        raise UserError(
            "METHOD", given, f"one of {names}, before the options", "whyact train METHOD --data NAME --out RUN"
        )
    method = find_method(name) if name else None
    parser = _parser(name or "METHOD", names, method.PRESETS if method is not None else ())
    if method is not None:
        parser.add_settings(method.PRESETS["default"])
    args = parser.parse_args(argv[1:] if name else argv)
    assert method is not None  # or the help was shown

    preset = args.preset or api.default_preset(method, own_videos=args.videos is not None)
    config = read_settings(method.PRESETS, preset, args.config, vars(args))
    root = existing_folder("--root", args.root)
    options = read_options(TrainOptions, args)
    announce(f"training {name} on {args.data or args.videos}", wanted=not args.json)
    with generated_root(args.data, root) as folder:
        trained = api.train(
            name,
            args.data,
            args.out,
            root=folder,
            videos=args.videos,
            things=args.things,
            config=config,
            fold=args.fold,
            seed=args.seed,
            overwrite=args.overwrite,
            progress=not args.json,
            **asdict(options),
        )
    from whyact.training.processes import this_process

    if not this_process().is_rank_zero:  # under torchrun one process speaks for all
        return 0
    if args.json:
        print_json(trained.card)
    else:
        print(f"{args.out}: {name} trained on {args.videos or trained.card['data']}")
        print_numbers(trained.card.get("metrics", {}), "  ")
    return 0


def _parser(method: str, names: str, presets: Iterable[str]) -> Parser:
    parser = Parser(
        f"train {method}",
        f"Train a method on a data set and save the run as a folder.\nMETHOD is one of: {names}.\n"
        "Settings come from a preset, then a YAML file, then the command line; the last one wins.",
        _EXAMPLES,
        "the run's card",
    )
    parser.usage = f"whyact train {method} --data NAME | --videos DIR --out RUN [option ...] [--SETTING VALUE ...]"
    parser.add_argument("--data", metavar="NAME", help="the data set's name")
    parser.add_argument(
        "--videos",
        metavar="DIR",
        type=Path,
        help="own videos with a label each: clips/CLASS/*.mp4, a CSV (file,label[,group][,start,end]), or the "
        "whyact.json of an earlier training of laiar",
    )
    parser.add_argument("--things", metavar="FILE", type=Path, help="the list of `whyact data things`, edited")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds it; generated data needs none")
    parser.add_argument("--out", metavar="RUN", type=run_folder, required=True, help="the run folder to write")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a finished run, which stays until training completes"
    )
    known = f": {', '.join(presets)}" if presets else ""
    parser.add_argument("--preset", metavar="PRESET", help=f"named settings to start from{known}")
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML file of settings")
    parser.add_argument(
        "--fold", metavar="N", type=whole_number, default=1, help="which split to train on (default: 1)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=whole_number, default=0, help="seed of everything random (default: 0)"
    )
    parser.add_settings(TrainOptions(), grouped=False)
    return parser
