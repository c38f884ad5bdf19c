"""``whyact demo``: from nothing to an answer with its reason, in seconds and without data or network."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from whyact.errors import UserError
from whyact.files import writable_folder, write_atomic
from whyact.prediction import to_json
from whyact.sentences import format_answer
from whyact.verbs.lazy import nearest
from whyact.verbs.parser import Parser, whole_number

_EXAMPLES = ("whyact demo", "whyact demo --seed 4 --action drink", "whyact demo --out /tmp/demo --json")
SIZE = (640, 480)


def run(argv: list[str]) -> int:
    """Film a video of a person nobody has seen, let the shipped model watch it, and show why it says what it says."""
    parser = Parser(
        "demo",
        "Film a short household scene that no model has seen, answer it with the small model that travels with\n"
        "whyact, from the video file alone, and show the evidence: a video and a page.",
        _EXAMPLES,
        "the prediction",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="where (default: demo)")
    parser.add_argument("--seed", metavar="N", type=whole_number, default=1, help="which video (default: 1)")
    parser.add_argument("--action", metavar="NAME", default="pick", help="the action to film (default: pick)")
    args = parser.parse_args(argv)
    say = _Teller()

    from whyact.homeworld.film_set import film_fresh
    from whyact.homeworld.vocabulary import VOCABULARY
    from whyact.laiar import task
    from whyact.report import write_report
    from whyact.verbs.stills import stills

    if args.action not in VOCABULARY.actions:
        near = nearest(args.action, VOCABULARY.actions)
        step = f"did you mean {near}?" if near else ""
        raise UserError("--action", args.action, f"one of {', '.join(VOCABULARY.actions)}", step)
    out = writable_folder("--out", args.out)
    video, answer, report = out / "video.mp4", out / "answer.mp4", out / "report.html"
    scene = film_fresh(video, seed=args.seed, action=args.action, size=SIZE)
    say(f"Filmed a visitor with seed {args.seed} in the {scene.name.split(' (')[0].lower()}: {video}")
    say("The shipped model watches it: it finds hands and things, follows them, and names what changes.")
    predictions = task.predict([str(video)], None, options={"draw": str(answer)}, progress=not args.json)
    write_report(predictions, report, stills(predictions))
    write_atomic(out / "answer.json", to_json(predictions))
    say(f"Filmed was: {args.action}.")
    if args.json:
        print(to_json(predictions))
        return 0
    print(format_answer(predictions[0]))
    print(f"video:  {answer}")
    print(f"report: {report}")
    return 0


class _Teller:
    """Say on stderr what is happening, with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", file=sys.stderr, flush=True)
