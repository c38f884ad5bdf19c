"""Jobs: one for each video, from upload to deletion. Videos are answered one at a time, in a process of their own."""

from __future__ import annotations

import os
import queue
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, TypeVar

from whyact.prediction import Prediction, from_json
from whyact.studio import worker_tasks
from whyact.studio.limits import Limits
from whyact.studio.workers import Refused, Task, Worker, WorkerLost
from whyact.video import VIDEO_SUFFIXES

_TIDY = 60.0  # seconds between two looks for what is kept too long
T = TypeVar("T")
State = Literal["arriving", "waiting", "running", "done", "failed"]


class Busy(Exception):
    """Too many jobs wait already."""


class Unknown(Exception):
    """No such job, or not in the state that the question needs."""


@dataclass(kw_only=True)
class Progress:
    """How far a piece of work is: its stage, the share of it that is done, and since when it is in this stage."""

    stage: str = "Waiting"
    share: float = 0.0
    since: float = 0.0

    def advance(self, stage: str, share: float) -> None:
        """Note the stage and the share of it that is done."""
        if stage != self.stage:
            self.since = time.monotonic()
        self.stage, self.share = stage, share

    @property
    def left(self) -> float | None:
        """Return the seconds that the stage will take if it goes on as before; ``None`` where that is a guess."""
        passed = time.monotonic() - self.since
        if not self.since or self.share < 0.05 or passed < 2 or self.share >= 1:
            return None
        return round(passed / self.share * (1 - self.share), 1)


@dataclass
class Job(Progress):
    """A video on its way to an answer.

    Attributes:
        id: Cannot be guessed.
        name: The user's name of the file, for the eye; never part of a path.
        model: A name of the studio's models.
        folder: Where its files are.
        file: The name of the upload in there.
        demo: What to film, for a clip that nobody sent.
        content: The same for two jobs about the same video; ``size``: the bytes of the upload.
        answer: What is said of the answer in a few words.
        cells: Small pictures along the video.
        against: The id of the job that asks a second model about this video, if that was wanted.
        target: What the video shows, where that is known.
        held: Comparisons that this answer is part of; it stays as long as they do.
        awaited: Somebody waits for the answer and removes the job then, so that it is no answer that is kept.
    """

    id: str
    name: str
    model: str
    folder: Path
    file: str
    demo: dict[str, Any] | None = None
    content: str = ""
    size: int = 0
    against: str = ""
    target: str = ""
    held: int = 0
    awaited: bool = False
    state: State = "arriving"
    error: str = ""
    label: str = ""
    score: float = 0.0
    answer: str = ""
    playable: bool = False
    cells: int = 0
    finished: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def thumbnail(self) -> bool:
        """Return whether there is a picture of the video yet."""
        return (self.folder / worker_tasks.THUMBNAIL).is_file()

    @property
    def upload(self) -> Path:
        """Return the path of the upload."""
        return self.folder / self.file


class Jobs:
    """All jobs of a studio, their files and the two processes that work on them.

    Args:
        models: Name -> run folder, ``None`` for the bundled model; the first is the default.
        limits: What is let in.
        answering: Returns the tasks of the process that reads videos.
        asking: Returns the tasks of the process that evaluates answers again.
        keep_uploads: Keep videos as long as their answers, so that a correction can be saved with its video.
    """

    def __init__(
        self,
        models: dict[str, Path | None],
        limits: Limits | None = None,
        *,
        answering: Callable[[Limits], dict[str, Task]] = worker_tasks.answer_tasks,
        asking: Callable[[Limits], dict[str, Task]] = worker_tasks.ablation_tasks,
        keep_uploads: bool = False,
    ) -> None:
        self.models, self.limits, self.keep_uploads = models, limits or Limits(), keep_uploads
        self.root = Path(tempfile.mkdtemp(prefix="whyact-studio-"))
        self.jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._answered: Job | None = None  # the one that is being answered
        self._answering = Worker(answering, self.limits, "whyact answers")
        self._asking = Worker(asking, self.limits, "whyact questions")
        self._thread = threading.Thread(target=self._run, name="whyact jobs", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """Return the numbers of the worker processes that run."""
        return [pid for pid in (self._answering.pid, self._asking.pid) if pid]

    def warm(self) -> None:
        """Start both processes ahead of the first job, without waiting for them."""
        self._answering.start()
        self._asking.start()

    def open(self, name: str, model: str, demo: dict[str, Any] | None = None) -> Job:
        """Make a job whose file is still to come.

        Raises:
            Unknown: For a model that the studio does not have.
            Busy: When too many jobs are on their way.
        """
        if model not in self.models:
            raise Unknown(f"no model {model!r}; there are {', '.join(self.models)}")
        self._tidy()
        with self._lock:
            if sum(job.state in ("arriving", "waiting", "running") for job in self.jobs.values()) > self.limits.waiting:
                raise Busy
            id_ = secrets.token_urlsafe(12)
            name = clean_name(name)
            suffix = Path(name).suffix.lower()
            folder = self.root / id_
            folder.mkdir(mode=0o700)
            file = "upload" + (suffix if suffix in VIDEO_SUFFIXES else ".video")
            content = "" if demo is None else f"demo {sorted(demo.items())}"
            job = Job(id_, name, model, folder, "upload.mp4" if demo is not None else file, demo, content)
            self.jobs[id_] = job
        return job

    def submit(self, job: Job) -> None:
        """Put a job whose file has arrived into the queue."""
        job.state = "waiting"
        self._queue.put(job)

    def add_second(self, job: Job, model: str) -> Job:
        """Make a second job about the same video for another model, before the first is submitted.

        Raises:
            Unknown: For a model that the studio does not have.
            Busy: When too many jobs are on their way.
        """
        second = self.open(job.name, model, job.demo)
        second.content, second.size, job.against = job.content, job.size, second.id
        if job.demo is None:  # the same bytes under a second name: each job deletes its own
            try:
                os.link(job.upload, second.upload)
            except OSError:
                try:
                    shutil.copyfile(job.upload, second.upload)
                except BaseException:
                    self.remove(second)
                    raise
        return second

    def others(self, job: Job) -> list[Job]:
        """Return the other jobs about the same video."""
        same = [other for other in self.jobs.values() if other.content == job.content and other is not job]
        return same if job.content else []

    def get(self, id_: str) -> Job:
        """Return a job.

        Raises:
            Unknown: When there is none of this id, or no longer.
        """
        job = self.jobs.get(id_)
        if job is None:
            raise Unknown("no such job; answers are kept for a while only")
        return job

    def done(self, id_: str) -> Job:
        """Return a job that has its answer.

        Raises:
            Unknown: Also while it has none.
        """
        job = self.get(id_)
        if job.state != "done":
            raise Unknown(job.error or "this job has no answer yet")
        return job

    def prediction(self, job: Job) -> Prediction:
        """Return a job's answer."""
        try:
            return from_json((job.folder / worker_tasks.PREDICTION).read_bytes())[0]
        except OSError as error:
            raise Unknown("no such job; answers are kept for a while only") from error

    def ask(self, job: Job, task: str, **arguments: Any) -> Any:
        """Ask an answer again, in the process for that.

        Raises:
            Refused: When the question is wrong.
            WorkerLost: When the process fails.
        """
        place: dict[str, Any] = {"folder": str(job.folder), "model": self._path(job)}
        return self._asking.call(task, self.limits.ask, None, **place, **arguments)

    def remove(self, job: Job) -> None:
        """Forget a job and delete its files. One that is being answered is deleted when that ends."""
        with self._lock:
            self.jobs.pop(job.id, None)
            running = job.state == "running"
            if job.state == "waiting":  # nobody will work on it, and somebody may wait for its answer
                job.state, job.error = "failed", "it was deleted before its turn came"
                job.ended.set()
        if not running:
            shutil.rmtree(job.folder, ignore_errors=True)

    def cancel(self, job: Job) -> None:
        """Forget a job at once: one that is being answered is stopped."""
        self.remove(job)
        with self._lock:
            if self._answered is job:
                self._answering.interrupt()

    def close(self) -> None:
        """Stop the processes and delete every file."""
        self._queue.put(None)
        self._answering.close()
        self._asking.close()
        self._thread.join(10)
        shutil.rmtree(self.root, ignore_errors=True)

    def _path(self, job: Job) -> str | None:
        path = self.models[job.model]
        return None if path is None else str(path)

    def _run(self) -> None:
        while (job := next_task(self._queue, self._tidy, self.limits.keep)) is not None:
            with self._lock:
                if job.id not in self.jobs:
                    continue
                job.state, self._answered = "running", job
            job.advance("Starting", 0.0)
            state: State = "failed"
            try:
                self._answer(job)
                state = "done"
            except (Refused, WorkerLost) as error:
                job.error = str(error)
            except Exception as error:  # a job must never take the queue with it
                job.error = f"the job failed ({type(error).__name__})"
            job.finished = time.monotonic()  # before its state says so: what is old is deleted by it
            with self._lock:
                job.state, self._answered = state, None
            self._settle(job)

    def _answer(self, job: Job) -> None:
        found = self._answering.call(
            "answer",
            self.limits.work,
            job.advance,
            folder=str(job.folder),
            file=job.file,
            name=job.name,
            model=self._path(job),
            demo=job.demo,
        )
        job.label, job.score = found["label"], found["score"]
        job.answer, job.playable = found["answer"], found["playable"]
        job.cells = found.get("cells", 0)

    def _settle(self, job: Job) -> None:
        """Delete an upload that is not to be kept, and everything of a job that failed or was removed meanwhile."""
        if not self.keep_uploads:
            job.upload.unlink(missing_ok=True)
        with self._lock:
            gone = job.id not in self.jobs
        if gone or job.state == "failed":
            shutil.rmtree(job.folder, ignore_errors=True)
        job.ended.set()
        if not gone and job.state == "done":
            with suppress(Refused, WorkerLost, Unknown):
                self.ask(job, "warm")  # the first removal is as quick as the next
        self._tidy()

    def _tidy(self) -> None:
        """Remove the jobs that ended long ago, and the oldest beyond those that are kept."""
        with self._lock:
            ended = [j for j in self.jobs.values() if j.state in ("done", "failed") and not (j.awaited or j.held)]
        ended.sort(key=lambda job: job.finished)
        now = time.monotonic()
        for place, job in enumerate(ended):
            if now - job.finished > self.limits.keep or len(ended) - place > self.limits.kept:
                self.remove(job)


def next_task(tasks: queue.Queue[T], tidy: Callable[[], None], keep: float) -> T:
    """Return the next of the tasks; while there is none, ``tidy`` is called often enough to delete what is too old."""
    while True:
        try:
            return tasks.get(timeout=min(_TIDY, max(0.1, keep / 2)))
        except queue.Empty:
            tidy()


def clean_name(name: str) -> str:
    """Return the last part of a file name in printable letters, at most 120; it is shown and never opened."""
    last = PureWindowsPath(name).name  # knows both kinds of slashes
    shown = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*\\/')[:120].strip(" .")
    return shown or "video"


def clean_label(text: str) -> str:
    """Return the name of an action or a film in printable letters, at most 120."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:120]


def safe_stem(name: str) -> str:
    """Return what is left of a file's name without its ending, to be part of a path: plain letters, at most 40."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem)[:40].strip("-") or "clip"
