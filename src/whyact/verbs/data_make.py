"""``whyact data make``: write a generated world to disk, with or without its pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whyact.errors import UserError, choose
from whyact.progress import progress
from whyact.verbs.lazy import one_of
from whyact.verbs.parser import Parser, print_json, print_numbers, whole_number

_EXAMPLES = (
    "whyact data make homeworld --root home --seed 3",
    "whyact data make homeworld --root home-ag --layout action-genome --videos 100 --rho 0.6",
    "whyact data make homeworld --root home-boxes --pixels none",
)
LAYOUTS = ("cad120", "action-genome")
GENERATED = "homeworld"
_SEED = 7  # of the world that is generated where no folder is given


@contextmanager
def generated_root(data: str | None, root: Path | None) -> Iterator[Path | None]:
    """Yield the folder of a data set: ``root``, or that of a generated world, which is written for the time being."""
    if data != GENERATED or root is not None:
        yield root
        return
    from whyact.homeworld.write import write_world

    with tempfile.TemporaryDirectory(prefix="whyact-") as folder:
        yield write_world(Path(folder) / "world", seed=_SEED)


def run(argv: list[str]) -> int:
    """Write the world that ``argv`` (what follows ``make``) describes; print what was written."""
    parser = Parser(
        "data make",
        "Write a generated household world: videos of people at a table, with boxes, relations and actions.",
        _EXAMPLES,
        "what was written",
    )
    known = one_of(("homeworld",), "NAME", "whyact data make --help")
    parser.add_argument("name", metavar="NAME", type=known, help="the world: homeworld")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="a new or empty folder to write")
    parser.add_argument("--seed", metavar="N", type=whole_number, default=0, help="of everything (0)")
    parser.add_argument("--layout", metavar="LAYOUT", default="cad120", help=f"{' or '.join(LAYOUTS)} (cad120)")
    parser.add_argument("--subjects", metavar="N", type=whole_number, help="how many people (4; action-genome 8)")
    parser.add_argument(
        "--videos", metavar="N", type=whole_number, help="videos a person (7), or of action-genome in all (60)"
    )
    parser.add_argument("--pixels", metavar="WxH", default="320x240", help="size of the videos, or none (320x240)")
    parser.add_argument("--every", metavar="N", type=whole_number, default=1, help="keep every N-th of 30 frames/s (1)")
    parser.add_argument(
        "--rho", metavar="P", type=float, default=0.0, help="how much training scenes depend on the class, 0 to 1 (0)"
    )
    parser.add_argument("--single", action="store_true", help="one action a video")
    parser.add_argument("--frames", action="store_true", help="of action-genome, the annotated frames as PNG too")
    parser.add_argument("--clean", action="store_true", help="of action-genome, without the faults of real files")
    args = parser.parse_args(argv)
    choose(args.layout, LAYOUTS, "--layout", "whyact data make --help")
    size = _size(args.pixels)
    if args.layout == "cad120" and (args.frames or args.clean):
        option = "--frames" if args.frames else "--clean"
        raise UserError(option, None, "no such option with --layout cad120", "--layout action-genome")
    # Not given: what the writer has as its default.
    options = {"subjects": args.subjects, "videos" if args.layout != "cad120" else "videos_per_subject": args.videos}
    given = {name: value for name, value in options.items() if value is not None}
    with progress("videos", wanted=not args.json) as bar:
        if args.layout == "cad120":
            from whyact.homeworld.film_set import write_videos

            write_videos(
                args.root, seed=args.seed, rho=args.rho, every=args.every, clips=args.single,
                size=size, done=bar.advance, **given,
            )  # fmt: skip
        else:
            from whyact.homeworld.action_genome import write_action_genome

            write_action_genome(
                args.root, seed=args.seed, rho=args.rho, every=args.every, single=args.single, dirt=not args.clean,
                size=size or (320, 240), pixels=size is not None, frames=args.frames, done=bar.advance, **given,
            )  # fmt: skip
    files = [file for file in args.root.rglob("*") if file.is_file()]
    found = {
        "data": args.name,
        "layout": args.layout,
        "root": str(args.root),
        "seed": args.seed,
        "videos": sum(file.suffix == ".mp4" for file in files),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }
    (print_json if args.json else print_numbers)(found)
    return 0


def _size(text: str) -> tuple[int, int] | None:
    if text == "none":
        return None
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise UserError("--pixels", text, "a size such as 320x240, or none", "--pixels 320x240")
    size = int(width), int(height)
    if size[0] < 32 or size[0] % 2 or size[1] % 2 or abs(3 * size[0] - 4 * size[1]) > 4 or size[0] > 3840:
        raise UserError("--pixels", text, "an even size of 4:3 from 32x24 to 3840x2880", "--pixels 320x240")
    return size
