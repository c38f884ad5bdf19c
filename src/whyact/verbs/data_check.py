"""``whyact data check``: read a data set as training would, and print what is in it."""

from __future__ import annotations

import re
import sys
from itertools import zip_longest
from pathlib import Path

from whyact.errors import UserError
from whyact.verbs.lazy import one_of
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers

_EXAMPLES = ("whyact data check cad120 --root data/cad120", "whyact data check cad120 --root my-clips --json")
_MOST_LINES = 24  # of the tree that was found


def run(argv: list[str]) -> int:
    """Check the data set that ``argv`` (what follows ``check``) names; print what was found.

    Where the layout is wrong, the expected tree and the one on disk go to stderr side by side before the error.
    """
    from whyact.data.datasets import DATASETS

    names = [name for name, dataset in DATASETS.items() if dataset.check is not None]
    parser = Parser("data check", "Read every file of a data set as training reads it.", _EXAMPLES, "what was found")
    known = one_of(names, "NAME", "whyact data check --help")
    parser.add_argument("name", metavar="NAME", type=known, help=f"the data set: {', '.join(names)}")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder that holds it")
    parser.add_argument("--clip-boxes", action="store_true", help="own: cut off what boxes have outside the image")
    args = parser.parse_args(argv)
    root = existing_folder("--root", args.root)
    assert root is not None
    dataset = DATASETS[args.name]
    check = dataset.check_clipped if args.clip_boxes else dataset.check
    if check is None:
        raise UserError("--clip-boxes", args.name, "own: boxes of other data sets are what their authors published")
    try:
        counts = check(root)
    except UserError as error:
        if dataset.layout and _is_about_layout(error, root):
            print(side_by_side(args.name, dataset.layout, root), file=sys.stderr, flush=True)
        raise
    if args.json:
        print_json(counts)
    else:
        print_numbers({name: value for name, value in counts.items() if name != "warnings"})
        for line in counts.get("warnings", ()):
            print(f"warning: {line}")
    return 0 if counts.get("usable", True) else 1


def side_by_side(name: str, layout: str, root: Path) -> str:
    """Return the published layout of a data set beside the tree of a folder, two levels deep."""
    left = [f"expected for {name}:", *layout.rstrip("\n").splitlines()]
    right = [f"found in {root}:", *_tree(root)]
    width = max(map(len, left))
    return "\n".join(f"{a:<{width}}   {b}".rstrip() for a, b in zip_longest(left, right, fillvalue=""))


def _tree(root: Path) -> list[str]:
    lines: list[str] = []
    for path in sorted(root.iterdir()):
        lines.append(f"{path.name}/" if path.is_dir() else path.name)
        if not path.is_dir():
            continue
        inside = sorted(path.iterdir())
        lines += [f"├── {one.name}{'/' if one.is_dir() else ''}" for one in inside[:3]]
        if len(inside) > 3:
            lines.append(f"└── ... {len(inside) - 3} more")
    rest = len(lines) - _MOST_LINES
    return lines if rest <= 0 else [*lines[:_MOST_LINES], f"... {rest} more lines"] if lines else ["(nothing)"]


def _is_about_layout(error: UserError, root: Path) -> bool:
    """Return whether an error is about the root, one of its folders or a file that is not there."""
    place = Path(re.split(r":\d|: |, ", error.where)[0])  # without the line or item behind the file's name
    try:
        return (place == root or place.is_relative_to(root)) and not place.is_file()
    except OSError:  # what the error names is no path
        return False
