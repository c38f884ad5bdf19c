"""``whyact demo``: from nothing to an answer with its reason, in a few minutes and without data or network."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from whyact.errors import UserError
from whyact.prediction import to_json
from whyact.verbs.parser import Parser, whole_number
from whyact.verbs.predict import said

_EXAMPLES = ("whyact demo", "whyact demo --seed 4 --action drink", "whyact demo --out /tmp/demo --json")
EPOCHS = 30
WORLD_SEED = 7


def run(argv: list[str]) -> int:
    """Generate a household world, train on it, and answer about a video of a person never seen in training."""
    parser = Parser(
        "demo",
        "Generate a small household world, train LaIAR on it (about two minutes; once), and explain a fresh clip\n"
        "of a person who was not in the training data.",
        _EXAMPLES,
        "the prediction",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="where (default: demo)")
    parser.add_argument("--seed", metavar="N", type=whole_number, default=1, help="which fresh clip (default: 1)")
    parser.add_argument("--action", metavar="NAME", default="pick", help="the action to draw a clip of (default: pick)")
    args = parser.parse_args(argv)
    say = _Teller()

    from whyact.data import cad120
    from whyact.homeworld.vocabulary import VOCABULARY
    from whyact.homeworld.write import write_fresh_video, write_world
    from whyact.laiar import task
    from whyact.report import write_report

    if args.action not in VOCABULARY.actions:
        raise UserError("--action", args.action, f"one of {', '.join(VOCABULARY.actions)}")
    out: Path = args.out
    world, model, report = out / "world", out / "model", out / "report.html"
    if not world.exists():
        say(f"Generating a household world in {world}: four people, nine actions.")
        write_world(world, seed=WORLD_SEED)
    if not (model / "card.json").exists():
        found = cad120.read(world)
        say(f"Training on {len(found.fold(1)[0])} clips of three people; the fourth is kept for testing.")
        config = task.PRESETS["default"]
        config = replace(config, optim=replace(config.optim, epochs=EPOCHS))
        card = task.train("homeworld", world, model, config=config, fold=1, seed=0, progress=not args.json)
        scores = card["metrics"]
        say(
            f"On the fourth person: mAR {scores['mAR']:.2f}, the right transition named in "
            f"{scores['transition_accuracy']:.0%} of right answers, {scores['keep_ratio']:.0%} of tokens kept."
        )
    fresh = out / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    write_fresh_video(fresh, seed=args.seed, action=args.action)
    clip = cad120.read(fresh).clips[0]
    say(f"A fresh clip, drawn with seed {args.seed}: {clip.id}.")
    predictions = task.predict(
        [clip.id], model, options={"data": "homeworld", "root": str(fresh)}, progress=not args.json
    )
    write_report(predictions, report)
    if args.json:
        print(to_json(predictions))
        return 0
    print(said(predictions[0]))
    print(f"report: {report}")
    return 0


class _Teller:
    """Say on stderr what is happening, with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", file=sys.stderr, flush=True)
