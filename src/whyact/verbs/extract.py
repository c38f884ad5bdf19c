"""``whyact extract``: encode videos into a folder of snippet features that ``train`` and ``predict`` read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyact.errors import UserError
from whyact.progress import announce, progress
from whyact.verbs.engine_options import add_device, add_engine, read_engine
from whyact.verbs.parser import Parser, print_json, print_numbers
from whyact.video.inputs import Inputs

if TYPE_CHECKING:
    from whyact.data.untrimmed.feature_files import Recipe

_EXAMPLES = (
    "whyact extract videos/ --out my-features",
    "whyact extract videos/ --out my-features --encoder s3d,clip:RN50",
    "whyact extract videos/ --out my-features --engine local --workers 8",
    "whyact extract a.mp4 --out try --weights random --clip none      (no download: only checks that the parts work)",
)


def run(argv: list[str]) -> int:
    """Extract the features of the videos that ``argv`` names; print what was done and what could not be read."""
    parser = Parser(
        "extract",
        "Encode videos snippet by snippet into a folder for `whyact train pvlr --data folder`.\n"
        "A rerun resumes where it stopped. Videos that cannot be read are skipped and listed in broken.csv.",
        _EXAMPLES,
        "what was extracted",
    )
    parser.add_argument("inputs", metavar="VIDEO", nargs="+", help="a video, a folder of videos or a pattern")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the feature folder to write")
    parser.add_argument(
        "--encoder",
        metavar="NAME[,NAME]",
        default="s3d",
        help="one encoder or two, the streams of the model: s3d, mvit_v1_b, mvit_v2_s, swin3d_t, swin3d_s, swin3d_b, "
        "efficientnet-lite0 (bundled weights, extra lite), or clip:NAME of a CLIP (default: s3d)",
    )
    parser.add_argument(
        "--weights",
        metavar="W[,W]",
        default="default",
        help="of the encoders: default (torchvision downloads them), random, or a file (default: default)",
    )
    parser.add_argument(
        "--clip", metavar="NAME", default="RN50", help="CLIP whose image features are learned from, or none"
    )
    parser.add_argument(
        "--clip-weights", metavar="W", default="openai", help="of that CLIP: a tag of open_clip, random, or a file"
    )
    parser.add_argument(
        "--snippet-seconds", metavar="SECONDS", type=float, default=0.64, help="length of a snippet (default: 0.64)"
    )
    add_engine(parser, "video")
    add_device(parser)
    args = parser.parse_args(argv)
    engine = read_engine(args)
    if not 0.04 <= args.snippet_seconds <= 60:
        raise UserError("--snippet-seconds", args.snippet_seconds, "seconds from 0.04 to 60")
    if args.out.exists() and not args.out.is_dir():
        raise UserError("--out", str(args.out), "a folder, or a name that is free")

    announce(f"extracting features into {args.out}", wanted=not args.json, in_logs=False)
    from whyact.data.untrimmed.snippet_files import extract, find_videos, read_recipe
    from whyact.data.untrimmed.snippet_jobs import Sources, extract_on

    skipped = Inputs()
    videos = find_videos(args.inputs, skipped)
    if skipped.note:
        print(f"whyact: {skipped.note}", file=sys.stderr, flush=True)
    target = None if args.clip == "none" else (f"clip:{args.clip}", args.clip_weights)
    names, weights = args.encoder.split(","), args.weights.split(",")
    sources = Sources(tuple(names), tuple(weights), target, args.snippet_seconds, args.device)
    with progress("videos", len(videos), wanted=not args.json) as bar:
        if engine is None:
            begun = -1  # videos before the one that is being read

            def on_video(name: str, snippets: int) -> None:
                nonlocal begun
                begun += snippets == 0
                bar.update(begun, f"{name}, snippet {snippets}")

            found = extract(videos, args.out, sources.load(), on_video)
        else:
            found = extract_on(engine, videos, args.out, sources, bar.advance)
    summary = summarise(args.out, read_recipe(args.out / "features.json"), found)
    if args.json:
        print_json(summary)
    else:
        print_numbers(summary)
    return 0


def summarise(out: Path, recipe: Recipe, found: Any) -> dict[str, Any]:
    encoders = [*recipe.encoders, *([recipe.target] if recipe.target else [])]
    summary: dict[str, Any] = {
        "out": str(out),
        "videos": len(found.new) + len(found.kept),
        "new": len(found.new),
        "encoders": {encoder.name: encoder.weights for encoder in encoders},
        "degraded": found.degraded,
        "broken": found.broken,
    }
    if any(encoder.weights == "random" for encoder in encoders):
        summary["note"] = "random weights: these features prove that the parts work together, and nothing else"
    return summary
