"""``whyact demo``: from nothing to an answer with its reason, in seconds and without data or network."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from whyact import api
from whyact.devices import refuse_absent_device
from whyact.errors import choose
from whyact.files import writable_folder, write_atomic
from whyact.prediction import to_json
from whyact.sentences import format_answer
from whyact.verbs.engine_options import add_device
from whyact.verbs.parser import Parser, open_page, whole_number

_EXAMPLES = ("whyact demo", "whyact demo --seed 4 --action drink", "whyact demo --out /tmp/demo --json")
SIZE = (640, 480)


def demo_actions() -> tuple[str, ...]:
    """Return the actions that can be filmed."""
    from whyact.homeworld.vocabulary import NULL, VOCABULARY

    return tuple(action for action in VOCABULARY.actions if action != NULL)


def film_demo(path: Path, *, seed: int, action: str, size: tuple[int, int] = SIZE) -> str:
    """Film a short household scene that no model has seen; return where it plays."""
    from whyact.homeworld.film_set import film_fresh

    return film_fresh(path, seed=seed, action=action, size=size).name


def run(argv: list[str]) -> int:
    """Film a video of a person nobody has seen, answer it with the bundled model, and show why it says what it says."""
    parser = Parser(
        "demo",
        "Film a short household scene that no model has seen, answer it with the small bundled model, from the video\n"
        "file alone, and show the evidence: a video and a page.",
        _EXAMPLES,
        "the prediction",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="where to write (default: demo)")
    parser.add_argument("--seed", metavar="N", type=whole_number, default=1, help="which video (default: 1)")
    parser.add_argument("--action", metavar="NAME", default="pick", help="the action to film (default: pick)")
    add_device(parser)
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    args = parser.parse_args(argv)
    say = _Log()

    choose(args.action, demo_actions(), "--action", "whyact demo --help")
    refuse_absent_device(args.device)
    out = writable_folder("--out", args.out)
    say(f"Filming a visitor who will {args.action.replace('_', ' ')} ...")
    video, answer, report = out / "video.mp4", out / "answer.mp4", out / "report.html"
    scene = film_demo(video, seed=args.seed, action=args.action, size=SIZE)
    say(f"Filmed a visitor with seed {args.seed} in the {scene.split(' (')[0].lower()}: {video}")
    say("The bundled model answers it: it finds hands and things, follows them, and names what changes.")
    from whyact.verbs.stills import write_illustrated

    predictions = api.load(device=args.device).predict(video, draw=answer, progress=not args.json)
    write_illustrated(predictions, report)
    write_atomic(out / "answer.json", to_json(predictions))
    say(f"Filmed was: {args.action}.")
    if args.json:
        print(to_json(predictions))
        return 0
    print(format_answer(predictions[0]))
    print(f"video:  {answer}")
    print(f"report: {report}")
    if args.open:
        open_page(report)
    return 0


class _Log:
    """Prints on stderr what is happening, with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", file=sys.stderr, flush=True)
