"""``whyact data convert``: from what others published to files of ours, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from whyact.errors import UserError, choose
from whyact.verbs.lazy import one_of
from whyact.verbs.parser import Parser, existing_folder, print_json

Report = tuple[str, dict[str, Any]]  # a line for a person, and the same for --json

_EXAMPLES = (
    "whyact data convert cad120 own --root data/cad120 --out my-data",
    "whyact data convert thumos14 features --root features --out features",
    "whyact data convert PVLR_init.pth pvlr-thumos14 --root features --out runs/pvlr-init",
)


def run(argv: list[str]) -> int:
    """Convert what ``argv`` names; print where it lies."""
    parser = Parser(
        "data convert",
        "Convert published files into ours. FROM and TO are one of:\n"
        "  cad120 own                 a data set in the format of one's own data\n"
        "  thumos14 features          the joint feature array as a file a video, read as it is needed\n"
        "  FILE pvlr-thumos14         a checkpoint of PVLR's authors as a run; --root holds the annotations\n"
        "  FILE pvlr-activitynet-1.3  the same for ActivityNet",
        _EXAMPLES,
        "what was written",
    )
    parser.add_argument("source", metavar="FROM", help="a layout, or a checkpoint")
    known = one_of(CONVERTERS, "TO", "whyact data convert --help")
    parser.add_argument("to", metavar="TO", type=known, help="the format to write")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder to read")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--clip-weights", metavar="FILE", type=Path, help="CLIP RN50's, for a checkpoint of PVLR that holds no CLIP"
    )
    args = parser.parse_args(argv)
    root = existing_folder("--root", args.root)
    assert root is not None
    if args.clip_weights is not None:
        if not args.to.startswith("pvlr-"):
            raise UserError("--clip-weights", str(args.clip_weights), "a checkpoint of PVLR to convert", "leave it out")
        if not args.clip_weights.is_file():
            raise UserError("--clip-weights", str(args.clip_weights), "a file that exists")
    line, summary = CONVERTERS[args.to](args.source, root, args.out, args.clip_weights)
    if args.json:
        print_json(summary)
    else:
        print(line)
    return 0


def _own(source: str, root: Path, out: Path, weights: Path | None) -> Report:
    """Write a data set in the format of one's own data."""
    from whyact.data.relations.own_write import from_cad120, write_own

    choose(source, ("cad120",), "FROM", "whyact data convert --help")
    file = from_cad120(root)
    path = write_own(out, file, root)
    clips = sum(len(video.actions) for video in file.videos)
    summary = {"file": str(path), "videos": len(file.videos), "clips": clips, "folds": len(file.folds)}
    folds = f"{len(file.folds)} folds with clips to train and test on" if file.folds else "each group a fold"
    return f"{path}: {len(file.videos)} videos, {clips} clips, {folds}", summary


def _features(source: str, root: Path, out: Path, weights: Path | None) -> Report:
    """Split THUMOS'14's joint feature array."""
    from whyact.data.untrimmed import thumos14

    choose(source, ("thumos14",), "FROM", "whyact data convert --help")
    count = thumos14.convert_features(root, out / "features")
    return f"{out / 'features'}: {count} videos", {"out": str(out / "features"), "videos": count}


def _run_of(benchmark: Literal["thumos14", "activitynet-1.3"]) -> Callable[[str, Path, Path, Path | None], Report]:
    """Import one of the authors' checkpoints."""

    def convert(source: str, root: Path, out: Path, weights: Path | None) -> Report:
        from whyact.pvlr.published import NAMES, import_published

        if not Path(source).is_file():
            raise UserError("FROM", source, f"the authors' checkpoint: {NAMES[benchmark]}")
        card = import_published(Path(source), out, root, benchmark, weights)
        classes = len(card["extra"]["classes"])
        return f"{out}: a run of {classes} classes", {"out": str(out), "classes": classes}

    return convert


CONVERTERS: dict[str, Callable[[str, Path, Path, Path | None], Report]] = {
    "own": _own,
    "features": _features,
    "pvlr-thumos14": _run_of("thumos14"),
    "pvlr-activitynet-1.3": _run_of("activitynet-1.3"),
}
