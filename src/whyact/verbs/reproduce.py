"""``whyact reproduce``: measure a published table again."""

from __future__ import annotations

from pathlib import Path

from whyact.devices import refuse_absent_device
from whyact.errors import UserError, choose
from whyact.verbs import lazy
from whyact.verbs.engine_options import add_device
from whyact.verbs.parser import Parser, existing_folder, whole_number

STUDIES: dict[str, str] = {
    "laiar-cad120": "whyact.reproduce.laiar_cad120:run",
    "laiar-subactivities": "whyact.reproduce.laiar_subactivities:run",
    "laiar-homeworld": "whyact.reproduce.laiar_homeworld:run",
    "laiar-ut": "whyact.reproduce.laiar_ut:run",
    "measured-relations": "whyact.reproduce.measured_relations:run",
    "shipped-model": "whyact.reproduce.shipped_model:run",
    "pvlr": "whyact.reproduce.pvlr:run",
    "pvlr-footage": "whyact.reproduce.pvlr_footage:run",
    "locate-gat": "whyact.reproduce.locate_gat:run",
}
#: Studies that can write what is done of them.
STORED = ("laiar-cad120", "laiar-homeworld", "laiar-subactivities", "pvlr", "pvlr-footage")
RESULTS = Path("reproduced")

_EXAMPLES = (
    "whyact reproduce laiar-cad120 --root data/cad120 --quick",
    "whyact reproduce laiar-cad120 --root data/cad120 --seeds 5 --jobs 4",
)


def run(argv: list[str]) -> int:
    """Run the study that ``argv`` names; it prints or writes its own results document."""
    names = list(lazy.present(STUDIES))
    parser = Parser(
        "reproduce",
        f"Measure a published table again, over folds and seeds. A rerun resumes where it stopped.\n"
        f"NAME is one of: {', '.join(names)}.",
        _EXAMPLES,
        "the results document",
    )
    parser.add_argument("name", metavar="NAME", help="the study")
    parser.add_argument("--root", metavar="DIR", type=Path, help="the folder that holds the data, where it needs any")
    parser.add_argument("--quick", action="store_true", help="one seed, ten minutes at most; writes nothing")
    parser.add_argument("--seeds", metavar="N", type=whole_number, help="how many seeds (default: the study's own)")
    parser.add_argument(
        "--jobs", metavar="N", type=whole_number, default=1, help="workers, one thread each (default: 1)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where NAME.md and NAME.json go (default: {RESULTS})")
    parser.add_argument(
        "--stored", action="store_true", help="compute nothing: write the tables of what an earlier run finished"
    )
    add_device(parser, default="cpu", note="cpu: each cell has one thread; with a GPU, cells train there")
    args = parser.parse_args(argv)
    study = choose(args.name, names, "NAME", "whyact reproduce --help")
    for option in ("seeds", "jobs"):
        if getattr(args, option) == 0:
            raise UserError(f"--{option}", 0, "at least 1")
    root = existing_folder("--root", args.root)
    out = args.out or (None if args.quick else RESULTS)
    if args.stored and args.name not in STORED:
        raise UserError("--stored", args.name, f"one of {', '.join(STORED)}")
    refuse_absent_device(args.device)
    from whyact.reproduce.study import Study

    asked = Study(root, args.quick, args.seeds, args.jobs, out, args.json, args.stored, args.device)
    lazy.load(STUDIES[study])(asked)
    return 0
