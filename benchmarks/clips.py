"""From a folder of clips to a model, and from a model to an answer: the CPU time that a user waits for."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.memory import in_a_fresh_process
from whyact.reproduce import results

ACTIONS = ("pick", "place", "drink", "eat", "open", "close")
EACH, FEW = 10, 3  # clips of an action; with few repeats
NEW = (1000, 1001)  # seeds of films that no training saw; the first answer loads the model


def own_clips(repeats: int) -> list[results.Row]:
    """Train on 60 generated clips in class folders with the preset of own clips, and answer a new film."""
    from whyact.homeworld.film_set import film_fresh
    from whyact.video.reader import VideoReader

    def length(path: Path) -> float:
        with VideoReader(path) as video:
            return video.length

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, action in enumerate(ACTIONS):
            (folder / "clips" / action).mkdir(parents=True)
            for i in range(EACH if repeats > 5 else FEW):
                film_fresh(folder / "clips" / action / f"{i}.mp4", seed=100 * number + i, action=action)
        new = [folder / f"{seed}.mp4" for seed in NEW]
        for seed, path in zip(NEW, new, strict=True):
            film_fresh(path, seed=seed, action=ACTIONS[0])
        films = sorted((folder / "clips").rglob("*.mp4"))
        seconds = [length(path) for path in (*films, new[1])]
        training = in_a_fresh_process("benchmarks.clips:training_seconds", str(folder / "clips"), str(folder / "run"))
        answer = in_a_fresh_process("benchmarks.clips:answer_seconds", str(folder / "run"), *map(str, new))
    note = f"{len(films)} films of {sum(seconds[:-1]) / len(films):.1f} s, 640 x 480; detecting, training twice"
    again = f"a film of {seconds[-1]:.1f} s, the model loaded: detecting, the answer and its evidence"
    return [
        results.row("own-clips", "training, CPU time", "seconds", [training], unit="s", note=note),
        results.row("own-clips", "answer, CPU time of a second of film", "seconds", [answer / seconds[-1]], unit="s",
                    note=again),
    ]  # fmt: skip


def training_seconds(clips: str, run: str) -> float:
    """Return the CPU seconds of a training, from the import on."""
    import whyact

    whyact.train("laiar", videos=clips, out=run, progress=False)
    return time.process_time()


def answer_seconds(run: str, first: str, film: str) -> float:
    """Return the CPU seconds of an answer about ``film``, after one about ``first``: all is loaded."""
    import whyact

    model = whyact.load(run)
    model.predict(first)
    started = time.process_time()
    model.predict(film)
    return time.process_time() - started
