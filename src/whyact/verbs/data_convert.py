"""``whyact data convert``: from a published layout to the format of one's own data."""

from __future__ import annotations

from pathlib import Path

from whyact.verbs.parser import Parser, existing_folder, print_json

_EXAMPLES = ("whyact data convert cad120 own --root data/cad120 --out my-data",)


def run(argv: list[str]) -> int:
    """Convert the data set that ``argv`` names; print where it lies."""
    parser = Parser("data convert", "Write a data set in the format of one's own data.", _EXAMPLES, "what was written")
    parser.add_argument("name", metavar="FROM", choices=["cad120"], help="the layout to read: cad120")
    parser.add_argument("to", metavar="TO", choices=["own"], help="the format to write: own")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder to read")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write whyact.json into")
    args = parser.parse_args(argv)
    root = existing_folder("--root", args.root)
    assert root is not None

    from whyact.data.own_write import from_cad120, write_own

    file = from_cad120(root)
    path = write_own(args.out, file)
    clips = sum(len(video.actions) for video in file.videos)
    if args.json:
        print_json({"file": str(path), "videos": len(file.videos), "clips": clips})
    else:
        print(f"{path}: {len(file.videos)} videos, {clips} clips")
    return 0
