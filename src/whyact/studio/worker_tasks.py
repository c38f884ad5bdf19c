"""What the worker processes do: answer a video, and evaluate an answer again. Heavy imports stay in here."""

from __future__ import annotations

import io
import string
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.prediction import Prediction, to_json
from whyact.report.private import replace_path
from whyact.sentences import summarize_answer
from whyact.studio.limits import Limits
from whyact.studio.workers import OnProgress, Task

if TYPE_CHECKING:
    from PIL.Image import Image

    from whyact.ablation.protocol import Session

PREDICTION, PREVIEW, REPORT, ABLATION = "prediction.json", "preview.mp4", "report.html", "ablation.safetensors"
THUMBNAIL, STRIP = "thumbnail.jpg", "strip"  # a frame of the video; a folder of small ones, evenly along it
_CELLS, _CELL = 24, 160  # small frames, and the pixels of their width
MOST_ABLATIONS = 8  # answers whose tensors stay in memory; the others are read from disk
MOST_MODELS = 3  # models that stay in memory
_WIDEST = 960  # pixels of the copy that is played
_FASTEST, _LONG, _SLOWER = 30.0, 60.0, 12.0  # frames a second of the copy; of one longer than so many seconds
_TEXT = frozenset(string.printable.encode())


def answer_tasks(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that reads videos."""
    import torch  # noqa: F401  (before memory is bounded)

    models = _Models()

    def answer(
        on_progress: OnProgress, *, folder: str, file: str, name: str, model: str | None, demo: dict[str, Any] | None
    ) -> dict[str, Any]:
        path = Path(folder) / file
        try:
            if demo is not None:
                _film(path, on_progress, **demo)
            check_video(path, limits)
            write_atomic(path.parent / THUMBNAIL, read_picture(path))
            on_progress("Loading the model", 0.0)
            prediction = models.load(model).answer(path, path.parent / ABLATION, on_progress)
        except UserError as error:
            raise without_server_path(error, path, name) from error
        prediction = with_user_name(prediction, path, name)
        _write(prediction, path, Path(folder), on_progress)
        best = prediction.labels[0] if prediction.labels else None
        return {
            "label": best.label if best else "",
            "score": best.score if best else 0.0,
            "answer": summarize_answer(prediction),
            "playable": (Path(folder) / PREVIEW).exists(),
            "cells": len(list((Path(folder) / STRIP).glob("*.jpg"))),
        }

    return {"answer": answer}


def ablation_tasks(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that evaluates answers again; it never reads a video."""
    import torch  # noqa: F401

    from whyact.ablation.flips import smallest_flip
    from whyact.ablation.protocol import Ablation, Removal

    models = _Models()
    loaded: OrderedDict[str, Ablation] = OrderedDict()

    def load_ablation(folder: str, model: str | None) -> Ablation:
        if folder in loaded:
            loaded.move_to_end(folder)
        else:
            try:
                loaded[folder] = models.load(model).load_ablation(Path(folder) / ABLATION)
            except (OSError, RuntimeError):  # safetensors raises either for a file that is gone
                if (Path(folder) / ABLATION).exists():
                    raise
                raise UserError("job", None, "an answer that is still kept", "send the video again") from None
            while len(loaded) > MOST_ABLATIONS:
                loaded.popitem(last=False)
        return loaded[folder]

    def warm(on_progress: OnProgress, *, folder: str, model: str | None) -> bool:
        load_ablation(folder, model).scores([()])  # so that the first removal is as quick as the next
        return True

    def without(
        on_progress: OnProgress, *, folder: str, model: str | None, removals: list[dict[str, Any]]
    ) -> dict[str, Any]:
        ablation, chosen = load_ablation(folder, model), msgspec.convert(removals, list[Removal])
        (before, after), (_, best) = ablation.scores([(), chosen])
        return {
            "label": ablation.labels[best],
            "scores": [
                {"label": label, "score": float(b), "before": float(a)}
                for label, a, b in zip(ablation.labels, before, after, strict=True)
            ],
            "removed": ablation.count_removed(chosen),
        }

    def flip(on_progress: OnProgress, *, folder: str, model: str | None, target: str | None) -> dict[str, Any]:
        ablation = load_ablation(folder, model)
        if target is not None and target not in ablation.labels:
            raise UserError("target", target, f"one of {', '.join(ablation.labels)}")
        result = smallest_flip(ablation, None if target is None else ablation.labels.index(target))
        texts = ablation.list_removals()
        return {
            "target": ablation.labels[result.target],
            "removals": list(result.removals),
            "texts": [texts[removal] for removal in result.removals],
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

    def load(self, model: str | None) -> Session:
        from whyact.files import SHIPPED
        from whyact.methods import open_run

        key = model or str(SHIPPED / "laiar")
        if key not in self._runs:
            self._runs[key] = open_run(Path(key))
            while len(self._runs) > MOST_MODELS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return self._runs[key]


def _film(path: Path, on_progress: OnProgress, *, action: str, seed: int) -> None:
    from whyact.verbs.demo import film_demo

    on_progress("Filming a fresh clip", 0.0)
    film_demo(path, seed=seed, action=action)


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


def read_picture(path: Path, moment: float | None = None, width: int = 480) -> bytes:
    """Return a frame of a video as a JPEG, by default that of its middle; no bytes where there is no frame."""
    from PIL import Image

    from whyact.video.reader import VideoReader

    with VideoReader(path, limit=30.0) as reader:
        last = max(0.0, reader.length - reader.step)
        shown = next(reader.frames_at([min(last, reader.length / 2 if moment is None else moment)]), None)
    return b"" if shown is None else jpeg(Image.fromarray(shown.image), width)


def jpeg(image: Image, width: int) -> bytes:
    """Return an image as a JPEG, at most so many pixels wide."""
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def without_server_path(error: UserError, path: Path, name: str) -> UserError:
    """Return the same error about the user's own file name, without a trace of where the server kept it."""

    def shown(value: object) -> object:
        return _hide(value, path, name) if isinstance(value, str) else value

    return UserError(shown(error.where), shown(error.value), str(shown(error.expected)), str(shown(error.next_step)))


def with_user_name(prediction: Prediction, path: Path, name: str) -> Prediction:
    """Return the prediction under the user's own file name, without a trace of where the server kept it."""

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return _hide(value, path, name)
        if isinstance(value, list):
            return [shown(item) for item in value]
        return {key: shown(item) for key, item in value.items()} if isinstance(value, dict) else value

    clean = msgspec.convert(shown(msgspec.to_builtins(prediction)), Prediction)
    clean.video.path, clean.id = name, name
    return clean


def _hide(text: str, path: Path, name: str) -> str:
    """Return a text with the file's name in place of its path, and of everything else in its folder."""
    shown = replace_path(text, path, name)
    return replace_path(shown, path.parent, name) if shown != name else shown


def _write(prediction: Prediction, path: Path, folder: Path, on_progress: OnProgress) -> None:
    """Write what remains of a job: the answer, its report, and a copy to play in any browser."""
    from whyact.verbs.stills import write_illustrated

    on_progress("Making a copy to play", 0.0)
    try:
        _preview(path, folder / PREVIEW, lambda share: on_progress("Making a copy to play", share))
    except UserError:
        (folder / PREVIEW).unlink(missing_ok=True)
    on_progress("Writing the report", 0.0)
    shown = msgspec.structs.replace(prediction, video=msgspec.structs.replace(prediction.video, path=str(path)))
    write_illustrated([prediction], folder / REPORT, [shown])
    write_atomic(folder / PREDICTION, to_json([prediction]))


def preview_rate(length: float, fps: float) -> float:
    """Return the frames a second of the copy that is played: every frame of a short video of a usual rate."""
    return min(fps or _SLOWER, _FASTEST if length <= _LONG else _SLOWER)


def _preview(path: Path, out: Path, on_progress: Callable[[float], None]) -> None:
    """Write the video again at a constant rate, H.264, at most 960 pixels wide."""
    import numpy as np
    from PIL import Image

    from whyact.perception.perception import open_video
    from whyact.video.write import write_video

    with open_video(path) as reader:
        length = max(reader.length, reader.step)
        rate = preview_rate(length, reader.fps)
        moments = np.arange(max(1, int(length * rate + 1e-6))) / rate

        def frames() -> Any:
            size: tuple[int, int] | None = None
            count = min(_CELLS, len(moments))
            cells = {int((i + 0.5) * len(moments) / count): i for i in range(count)}
            (out.parent / STRIP).mkdir(exist_ok=True)
            for number, shown in enumerate(reader.frames_at(moments.tolist())):
                height, width = shown.image.shape[:2]
                scale = min(1.0, _WIDEST / width)
                size = size or (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
                image = shown.image
                if (width, height) != size:
                    image = np.asarray(Image.fromarray(image).resize(size))
                if number in cells:
                    (out.parent / STRIP / f"{cells[number]}.jpg").write_bytes(jpeg(Image.fromarray(image), _CELL))
                yield image
                on_progress(shown.moment / length)

        write_video(out, frames(), rate)
