"""What the worker processes do: answer a video, and ask an answer again. Heavy imports stay in here."""

from __future__ import annotations

import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.prediction import Prediction, to_json
from whyact.studio.limits import Limits
from whyact.studio.workers import Task, Tell

if TYPE_CHECKING:
    from whyact.ablation.protocol import Removal, Session

PREDICTION, PREVIEW, REPORT, QUESTIONS = "prediction.json", "preview.mp4", "report.html", "questions.safetensors"
REMEMBERED = 8  # answers whose tensors stay in memory; the others are read from disk
MODELS = 3  # that stay in memory
_WIDEST = 960  # pixels of the copy that is played
_FASTEST, _LONG, _SLOWER = 30.0, 60.0, 12.0  # frames a second of the copy; of one longer than so many seconds
_TEXT = frozenset(string.printable.encode())


def answers(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that reads videos."""
    import torch  # noqa: F401  (before memory is bounded)

    models = _Models()

    def answer(
        tell: Tell, *, folder: str, file: str, name: str, model: str | None, demo: dict[str, Any] | None
    ) -> dict[str, Any]:
        path = Path(folder) / file
        try:
            if demo is not None:
                _film(path, tell, **demo)
            check_video(path, limits)
            tell("Loading the model", 0.0)
            prediction = models.run(model).answer(path, path.parent / QUESTIONS, tell)
        except UserError as error:
            raise UserError(name, None, str(error).replace(str(path), name).replace(folder, "")) from error
        prediction = named(prediction, path, name)
        _write(prediction, path, Path(folder), tell)
        best = prediction.labels[0] if prediction.labels else None
        return {
            "label": best.label if best else "",
            "score": best.score if best else 0.0,
            "playable": (Path(folder) / PREVIEW).exists(),
        }

    return {"answer": answer}


def questions(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that asks answers again; it never reads a video."""
    import torch  # noqa: F401

    from whyact.ablation.flips import smallest_flip
    from whyact.ablation.protocol import Ablation, Removal

    models = _Models()
    known: OrderedDict[str, Ablation] = OrderedDict()

    def asked(folder: str, model: str | None) -> Ablation:
        if folder in known:
            known.move_to_end(folder)
        else:
            try:
                known[folder] = models.run(model).questions(Path(folder) / QUESTIONS)
            except (OSError, RuntimeError):  # torch's word for a file that has gone
                if (Path(folder) / QUESTIONS).exists():
                    raise
                raise UserError("job", None, "an answer that is still kept", "send the video again") from None
            while len(known) > REMEMBERED:
                known.popitem(last=False)
        return known[folder]

    def warm(tell: Tell, *, folder: str, model: str | None) -> bool:
        asked(folder, model).scores([()])  # so that the first removal is as quick as the next
        return True

    def without(tell: Tell, *, folder: str, model: str | None, removals: list[dict[str, Any]]) -> dict[str, Any]:
        found = asked(folder, model)
        chosen = [Removal(**removal) for removal in removals]
        (before, after), (_, best) = found.scores([(), chosen])
        return {
            "label": found.labels[best],
            "scores": [
                {"label": label, "score": float(b), "before": float(a)}
                for label, a, b in zip(found.labels, before, after, strict=True)
            ],
            "gone": [asdict(one) for one in found.gone(chosen)],
        }

    def flip(tell: Tell, *, folder: str, model: str | None, target: str | None) -> dict[str, Any]:
        found = asked(folder, model)
        if target is not None and target not in found.labels:
            raise UserError("target", target, f"one of {', '.join(found.labels)}")
        result = smallest_flip(found, None if target is None else found.labels.index(target))
        told = found.pieces()
        return {
            "target": found.labels[result.target],
            "removals": [{**_finite(r), "text": told[r]} for r in result.removals],
            "score": result.scores[result.target],
            "proven": result.proven,
            "candidates": result.candidates,
            "asked": result.asked,
            "stopped": result.stopped,
        }

    return {"warm": warm, "without": without, "flip": flip}


class _Models:
    """The runs in memory, least recently used out first."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Session] = OrderedDict()

    def run(self, model: str | None) -> Session:
        from whyact.files import SHIPPED
        from whyact.methods import open_run

        key = model or str(SHIPPED / "laiar")
        if key not in self._runs:
            self._runs[key] = open_run(Path(key))
            while len(self._runs) > MODELS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return self._runs[key]


def _finite(removal: Removal) -> dict[str, Any]:
    """Return a removal as JSON holds it: without what is empty or endless."""
    return {name: value for name, value in asdict(removal).items() if value not in ("", -inf, inf)}


def _film(path: Path, tell: Tell, *, action: str, seed: int) -> None:
    from whyact.homeworld.film_set import film_fresh

    tell("Filming a fresh clip", 0.0)
    film_fresh(path, seed=seed, action=action)


def check_video(path: Path, limits: Limits) -> None:
    """Refuse what no video can be before a decoder sees it, and videos that are too long.

    Raises:
        UserError: With the reason.
    """
    from whyact.video.reader import VideoReader

    with open(path, "rb") as stream:
        head = stream.read(512)
    if not head:
        raise UserError(path, "an empty file", "a video file")
    if all(byte in _TEXT for byte in head):  # playlists and scripts, which could point a decoder at other files
        raise UserError(path, "text", "a video file")
    with VideoReader(path, limit=30.0) as reader:
        if reader.length > limits.seconds:
            raise UserError(
                path,
                f"{reader.length:.0f} seconds",
                f"a video of at most {limits.seconds:g} seconds",
                "cut it, or start the studio with a larger --max-seconds",
            )


def named(prediction: Prediction, path: Path, name: str) -> Prediction:
    """Return the prediction under the user's own file name, without a trace of where the server kept it."""
    text = to_json([prediction])
    for place in (str(path), str(path.parent)):
        text = text.replace(msgspec.json.encode(place).decode()[1:-1], name)
    (clean,) = msgspec.json.decode(text, type=list[Prediction])
    clean.video.path, clean.id = name, name
    return clean


def _write(prediction: Prediction, path: Path, folder: Path, tell: Tell) -> None:
    """Write what stays of a job: the answer, its report, and a copy to play in any browser."""
    from whyact.report import write_report
    from whyact.verbs.stills import stills

    tell("Making a copy to play", 0.0)
    try:
        _preview(path, folder / PREVIEW, lambda share: tell("Making a copy to play", share))
    except UserError:
        (folder / PREVIEW).unlink(missing_ok=True)
    tell("Writing the report", 0.0)
    shown = msgspec.structs.replace(prediction, video=msgspec.structs.replace(prediction.video, path=str(path)))
    write_report([prediction], folder / REPORT, stills([shown]))
    write_atomic(folder / PREDICTION, to_json([prediction]))


def _preview(path: Path, out: Path, tell: Callable[[float], None]) -> None:
    """Write the video again at a constant rate, H.264, at most 960 pixels wide."""
    import numpy as np
    from PIL import Image

    from whyact.laiar.pixels import LIMIT
    from whyact.video.reader import VideoReader
    from whyact.video.write import write_video

    with VideoReader(path, limit=LIMIT) as reader:
        length = max(reader.length, reader.step)
        rate = min(reader.fps or _SLOWER, _FASTEST if length <= _LONG else _SLOWER)
        moments = np.arange(max(1, int(length * rate + 1e-6))) / rate

        def frames() -> Any:
            size: tuple[int, int] | None = None
            for shown in reader.frames_at(moments.tolist()):
                height, width = shown.image.shape[:2]
                scale = min(1.0, _WIDEST / width)
                size = size or (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
                image = shown.image
                if (width, height) != size:
                    image = np.asarray(Image.fromarray(image).resize(size))
                yield image
                tell(shown.moment / length)

        write_video(out, frames(), rate)
