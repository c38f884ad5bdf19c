"""Single frames of the films that a person marks: read in a process of its own, by their real numbers and times."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.studio.jobs import Unknown
from whyact.studio.limits import Limits
from whyact.studio.marks import FilmIndex
from whyact.studio.worker_tasks import check_video, jpeg, without_server_path
from whyact.studio.workers import OnProgress, Task, Worker

INDEX = "index.json"
_AT_ONCE = 24  # frames that are read together: a person goes on to the next ones
_MOST = 480  # pictures of a film that are kept
_WIDEST = 960  # pixels of a picture


def film_tasks(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that reads single frames; no model is loaded into it."""

    def describe(on_progress: OnProgress, *, path: str, name: str) -> dict[str, Any]:
        from whyact.video.numbers import frame_times
        from whyact.video.reader import VideoReader

        try:
            check_video(Path(path), limits)
            times = frame_times(path, limits.work)
            with VideoReader(path, limit=30.0) as reader:
                next(reader.frames_at([0.0]), None)  # an upright size is known from a frame
                facts = reader.facts()
                fps = facts.fps or 1 / reader.step
        except UserError as error:
            raise without_server_path(error, Path(path), name) from error
        if not len(times):
            raise UserError(name, "no frame", "a video with at least one frame that decodes")
        return asdict(FilmIndex(times.tolist(), fps, facts.width, facts.height, facts.sha256))

    def read(on_progress: OnProgress, *, path: str, name: str, first: int, last: int, out: str) -> None:
        from PIL import Image

        from whyact.video.numbers import frames_numbered

        try:
            for shown in frames_numbered(path, range(first, last + 1), limits.work):
                write_atomic(Path(out) / f"{shown.number}.jpg", jpeg(Image.fromarray(shown.image), _WIDEST))
        except UserError as error:
            raise without_server_path(error, Path(path), name) from error

    return {"describe": describe, "read": read}


class Films:
    """The films that are marked; what was read of each is kept in a folder that its owner deletes.

    Args:
        limits: What is let in.
        tasks: Returns the tasks of the process that reads them.
    """

    def __init__(self, limits: Limits, tasks: Callable[[Limits], dict[str, Task]] = film_tasks) -> None:
        self._limits = limits
        self._worker = Worker(tasks, limits, "whyact films", "this film")
        self._lock = threading.Lock()

    def describe(self, path: Path, name: str, cache: Path) -> FilmIndex:
        """Return when each frame of a film is shown.

        Raises:
            Refused: When it cannot be read.
            WorkerLost: When the process fails.
        """
        with self._lock:
            known = cache / INDEX
            if not known.is_file():
                found = self._worker.call("describe", self._limits.work, path=str(path), name=name)
                cache.mkdir(parents=True, exist_ok=True)
                write_atomic(known, msgspec.json.encode(found))
            return msgspec.json.decode(known.read_bytes(), type=FilmIndex)

    def frame(self, path: Path, name: str, cache: Path, number: int) -> bytes:
        """Return a frame of a film by its number, from 1, as a JPEG.

        Raises:
            Unknown: When the film does not have it.
            Refused: When it cannot be read.
            WorkerLost: When the process fails.
        """
        count = len(self.describe(path, name, cache).times)
        if not 1 <= number <= count:
            raise Unknown(f"no such frame; there are {count}")
        picture = cache / f"{number}.jpg"
        with self._lock:
            if not picture.is_file():
                last = min(count, number + _AT_ONCE - 1)
                span: dict[str, Any] = {"first": number, "last": last, "out": str(cache)}
                self._worker.call("read", self._limits.ask, path=str(path), name=name, **span)
                _forget_oldest(cache)
            try:
                return picture.read_bytes()
            except OSError as error:
                raise Unknown(f"frame {number} does not decode") from error

    def close(self) -> None:
        """Stop the process."""
        self._worker.close()


def _forget_oldest(cache: Path) -> None:
    pictures = sorted(cache.glob("*.jpg"), key=lambda path: path.stat().st_mtime)
    for path in pictures[:-_MOST]:
        path.unlink(missing_ok=True)
