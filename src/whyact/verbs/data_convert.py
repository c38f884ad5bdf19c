"""``whyact data convert``: what others published -> files of ours, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.verbs.lazy import choose
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers

_EXAMPLES = (
    "whyact data convert cad120 own --root data/cad120 --out my-data",
    "whyact data convert thumos14 --root features --out features",
    "whyact data convert pvlr-thumos14 PVLR_init.pth --root features --out runs/pvlr-init",
)


def run(argv: list[str]) -> int:
    """Convert what ``argv`` names; print what was written."""
    parser = Parser(
        "data convert",
        "Convert published files into ours. NAME is one of:\n"
        "  cad120               with FILE own: to the format of one's own data\n"
        "  thumos14             the joint feature array -> one file a video that is read as needed\n"
        "  pvlr-thumos14        a checkpoint of PVLR's authors -> a run; --root holds the annotations\n"
        "  pvlr-activitynet-1.3 the same for ActivityNet",
        _EXAMPLES,
        "what was written",
    )
    parser.add_argument("name", metavar="NAME", help="what to convert")
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the checkpoint, or the word own")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder of the published data")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write")
    args = parser.parse_args(argv)
    name = choose(args.name, CONVERTERS, "NAME", "whyact data convert --help")
    root = existing_folder("--root", args.root)
    assert root is not None
    said = CONVERTERS[name](args.file, root, args.out)
    if args.json:
        print_json(said)
    else:
        print_numbers(said)
    return 0


def _own(file: Path | None, root: Path, out: Path) -> dict[str, Any]:
    """Write a data set in the CAD-120 layout in the format of one's own data."""
    from whyact.data.own_write import from_cad120, write_own

    if file != Path("own"):
        raise UserError("whyact data convert cad120", file, "own: the format to write", "whyact data convert --help")
    made = from_cad120(root)
    path = write_own(out, made)
    return {"file": str(path), "videos": len(made.videos), "clips": sum(len(video.actions) for video in made.videos)}


def _features(file: Path | None, root: Path, out: Path) -> dict[str, Any]:
    """Split THUMOS'14's joint feature array."""
    from whyact.data import thumos14

    if file is not None:
        raise UserError("whyact data convert thumos14", str(file), "no file: the array is found under --root")
    return {"out": str(out / "features"), "videos": thumos14.convert_features(root, out / "features")}


def _checkpoint(benchmark: Any) -> Callable[[Path | None, Path, Path], dict[str, Any]]:
    """Import one of the authors' checkpoints."""

    def convert(file: Path | None, root: Path, out: Path) -> dict[str, Any]:
        from whyact.pvlr.published import import_published

        if file is None:
            raise UserError("FILE", None, "the authors' checkpoint, such as PVLR_init.pth")
        card = import_published(file, out, root, benchmark)
        return {"out": str(out), "classes": len(card["extra"]["classes"]), "note": card["extra"]["note"]}

    return convert


CONVERTERS: dict[str, Callable[[Path | None, Path, Path], dict[str, Any]]] = {
    "cad120": _own,
    "thumos14": _features,
    "pvlr-thumos14": _checkpoint("thumos14"),
    "pvlr-activitynet-1.3": _checkpoint("activitynet-1.3"),
}
