"""``whyact data things``: what a detector finds in a folder of clips, to look at, rename, merge and drop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from whyact.errors import UserError
from whyact.files import writable_folder
from whyact.verbs.parser import Parser, print_json

_EXAMPLES = (
    "whyact data things --videos clips/ --detector yolo.onnx",
    "whyact train laiar --videos clips/ --things things/things.json --out runs/mine",
)


def run(argv: list[str]) -> int:
    """Detect things in the clips that ``argv`` names; write a list and a contact sheet with pictures."""
    parser = Parser(
        "data things",
        "Find the things in a folder of clips: a list (things.json) to rename, merge and drop them and to mark who\n"
        "acts, and a page with pictures (things.html). Training reads the list.",
        _EXAMPLES,
        "the things",
    )
    parser.add_argument("--videos", metavar="DIR", type=Path, required=True, help="clips/CLASS/*.mp4, or a CSV")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("things"), help="where (default: things)")
    parser.add_argument("--detector", metavar="NAME", default="auto", help="a name, FILE.onnx or a folder")
    parser.add_argument("--names", metavar="FILE", default="", help="its class names, one a line")
    args = parser.parse_args(argv)
    if not args.videos.exists():
        raise UserError("--videos", str(args.videos), "a folder of class folders, or a CSV of clips")
    out = writable_folder("--out", args.out)
    from whyact.laiar.config import PRESETS
    from whyact.laiar.own_clips import list_things

    preset = PRESETS["clips"]
    config = replace(preset, data=replace(preset.data, detector=args.detector, names=args.names))
    try:
        things, path, sheet, warnings = list_things(args.videos, out, config, progress=not args.json)
    except UserError as error:  # a training's options have a longer name than those here
        where, step = (text.replace("--data.", "--") for text in (error.where, error.next_step))
        raise UserError(where, error.value, error.expected, step) from error
    if args.json:
        rows = [
            {"class": t.kind, "name": t.name, "keep": t.keep, "acts": t.acts, "clips": t.clips} for t in things.things
        ]
        found = {"list": str(path), "sheet": str(sheet), "detector": things.detector, "things": rows}
        print_json({**found, "notes": warnings})
        return 0
    for thing in things.things:
        use = "dropped" if not thing.keep else f"{thing.name}, acts" if thing.acts else thing.name
        print(f"{thing.kind:<20} in {thing.clips} of {things.clips} clips, score {thing.score:.2f}: {use}")
    for warning in warnings:
        print(f"note: {warning}")
    print(f"list:     {path}\npictures: {sheet}")
    return 0
