"""``whyact data prepare``: do once what every training would do again."""

from __future__ import annotations

from pathlib import Path

from whyact.progress import progress
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers

_EXAMPLES = (
    "whyact data prepare action-genome --root data/action-genome",
    "whyact data prepare action-genome --root data/action-genome --annotations-only",
)


def run(argv: list[str]) -> int:
    """Extract the annotated frames and convert the annotations; print what was done and what is missing."""
    parser = Parser(
        "data prepare",
        "Extract the frames that Action Genome annotates, under their official numbers, and convert its pickles to a\n"
        "file that holds no code and reads ten times as fast. Killed and started again, it goes on where it was.",
        _EXAMPLES,
        "what was done",
    )
    parser.add_argument("name", metavar="NAME", choices=["action-genome"], help="the data set: action-genome")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder that holds it")
    parser.add_argument("--annotations-only", action="store_true", help="convert the annotations, extract no frame")
    args = parser.parse_args(argv)
    root = existing_folder("--root", args.root)
    assert root is not None

    from whyact.data.relations.action_genome_frames import prepare, summary

    with progress("videos", wanted=not args.json) as bar:
        found = summary(prepare(root, frames=not args.annotations_only, done=bar.advance))
    if args.json:
        print_json(found)
    else:
        print_numbers(found)
    return 0
