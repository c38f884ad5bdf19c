"""``whyact data draw``: see whether boxes, relations and times of an annotation sit where they should."""

from __future__ import annotations

from pathlib import Path

from whyact.errors import UserError
from whyact.files import writable_file
from whyact.verbs.lazy import one_of
from whyact.verbs.parser import Parser, existing_folder, print_json

SETS = ("own", "cad120", "action-genome")
_EXAMPLES = (
    "whyact data draw own --root my-data --out boxes.mp4",
    "whyact data draw cad120 --root data/cad120 --frames rgb --clip Subject1/taking_medicine/1204144120/250-290",
)


def run(argv: list[str]) -> int:
    """Draw the clip that ``argv`` (what follows ``draw``) names, or the first one."""
    from whyact.data.datasets import load_relations
    from whyact.data.types import RelationOptions

    parser = Parser("data draw", "Draw the annotation of a clip into its frames.", _EXAMPLES, "what was drawn")
    known = one_of(SETS, "NAME", "whyact data draw --help")
    parser.add_argument("name", metavar="NAME", type=known, help=f"the data set: {', '.join(SETS)}")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder that holds it")
    parser.add_argument("--clip", metavar="ID", help="which clip (default: the first)")
    parser.add_argument("--frames", metavar="DIR", type=Path, help="cad120: the folder of its RGB frames")
    parser.add_argument("--out", metavar="FILE", type=Path, default=Path("boxes.mp4"), help="the video (boxes.mp4)")
    args = parser.parse_args(argv)
    out = writable_file("--out", args.out)
    root, frames = existing_folder("--root", args.root), existing_folder("--frames", args.frames)
    if args.name == "cad120" and frames is None:
        raise UserError("--frames", None, "the folder of its RGB frames: the annotation comes without pixels")
    data = load_relations(args.name, root, RelationOptions(slots=10**6, frames_dir=frames, only=args.clip))
    if not data.clips or data.footage is None:
        raise UserError("--root", args.root, "a data set with clips and their videos")
    from whyact.data.relations.draw import draw_clip

    clip = data.clips[0]
    footage = data.footage(clip)
    if out.resolve() == footage.path.resolve():
        raise UserError("--out", str(out), "another file than the video, which it would replace", "choose another name")
    count = draw_clip(clip, data.vocabulary, footage, out)
    if args.json:
        print_json({"clip": clip.id, "frames": count, "video": str(out)})
    else:
        print(f"clip:  {clip.id}, {count} annotated frames\nvideo: {out}")
    return 0
