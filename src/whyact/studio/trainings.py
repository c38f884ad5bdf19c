"""Trainings: clips that a person sends and names, and the models that come of them, one at a time, in a process."""

from __future__ import annotations

import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from whyact.data.io.tables import refuse_alike
from whyact.errors import UserError
from whyact.files import folder_lock
from whyact.studio import train_tasks
from whyact.studio.clips import Clip, clean_model_name, forget_marks, missing_for, rename_marked, save_marks
from whyact.studio.forms import Curve, Marks, ThingChoice, ThingInfo
from whyact.studio.jobs import Busy, Progress, Unknown, clean_label, clean_name, next_task, safe_stem
from whyact.studio.limits import MB, Limits
from whyact.studio.marks import FilmIndex
from whyact.studio.workers import Refused, Task, Worker, WorkerLost
from whyact.training.checkpoint import CARD
from whyact.video import VIDEO_SUFFIXES

State = Literal["collecting", "waiting", "running", "done", "failed", "stopped"]
_OPEN = ("collecting", "waiting", "running")


@dataclass
class Training(Progress):
    """A model on its way: the clips first, then the work.

    Attributes:
        id: Cannot be guessed.
        folder: Where the clips are.
        clips: By id, in the order of their arrival.
        model: The name of the model to be.
        task: What is waited for: a model, or a look at the things in the clips.
        curve: The loss so far.
        found: The things, once somebody has looked at them; ``chosen``: as a person changed them.
        notes: What a person should know of the work.
        used: When somebody last asked for it.
    """

    id: str
    folder: Path
    clips: dict[str, Clip] = field(default_factory=dict)
    model: str = ""
    epochs: int | None = None
    state: State = "collecting"
    error: str = ""
    task: Literal["train", "find"] = "train"
    curve: Curve = field(default_factory=Curve)
    found: list[ThingInfo] = field(default_factory=list)
    chosen: list[ThingChoice] | None = None
    notes: list[str] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)
    arrived: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def things(self) -> int:
        """Return how many things were found."""
        return len(self.found)

    @property
    def size(self) -> int:
        """Return the bytes of all clips."""
        return sum(clip.size for clip in self.clips.values())


class Trainings:
    """All trainings of a studio.

    Args:
        models: Name -> run folder, that of the studio: a model is added when its training is done.
        limits: What is let in.
        folder: Where models and their clips are kept; by default as long as the studio runs.
        detector: What finds things in the clips; ``auto`` chooses.
        names: A file with the detector's class names.
        tasks: Returns the tasks of the process that trains.
    """

    def __init__(
        self,
        models: dict[str, Path | None],
        limits: Limits | None = None,
        *,
        folder: Path | None = None,
        detector: str = "auto",
        names: str = "",
        tasks: Callable[[Limits], dict[str, Task]] = train_tasks.train_tasks,
    ) -> None:
        self.models, self.limits, self.kept = models, limits or Limits(), folder is not None
        self._detector, self._names = detector, names
        self._temporary = Path(tempfile.mkdtemp(prefix="whyact-studio-clips-"))
        self.folder = (folder or self._temporary / "models").absolute()
        self.trainings: dict[str, Training] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue[Training | None] = queue.Queue()
        self._running: Training | None = None
        self._worker = Worker(tasks, self.limits, "whyact trains", "these clips")
        self._thread = threading.Thread(target=self._run, name="whyact trainings", daemon=True)
        self._thread.start()

    @property
    def root(self) -> Path:
        """Return where clips are collected."""
        return self._temporary

    def open(self) -> Training:
        """Begin a training: its clips are still to come.

        Raises:
            Busy: When too many are collected or wait already.
        """
        self._tidy()
        with self._lock:
            if sum(t.state in _OPEN for t in self.trainings.values()) >= self.limits.trainings:
                raise Busy
            id_ = secrets.token_urlsafe(12)
            folder = self._temporary / id_
            folder.mkdir(mode=0o700)
            training = self.trainings[id_] = Training(id_, folder)
        return training

    def get(self, id_: str) -> Training:
        """Return a training.

        Raises:
            Unknown: When there is none of this id, or no longer.
        """
        training = self.trainings.get(id_)
        if training is None:
            raise Unknown("no such training; it was deleted, or the studio was started again")
        training.used = time.monotonic()
        return training

    def place(self, training: Training, name: str, label: str, group: str) -> Clip:
        """Return the next clip of a training, whose file is still to come.

        Raises:
            UserError: When no further clip is taken.
        """
        with self._lock:
            self._check_editable(training)
            if len(training.clips) >= self.limits.clips:
                raise UserError("clips", len(training.clips) + 1, f"at most {self.limits.clips} clips")
            if training.size >= self.limits.clip_bytes:
                expected = f"at most {self.limits.clip_bytes / MB:g} MB of clips"
                raise UserError("clips", f"{training.size / MB:.0f} MB", expected)
            training.arrived += 1
            number = str(training.arrived)
        shown = clean_name(name)
        suffix = Path(shown).suffix.lower()
        file = f"{int(number):03d}-{safe_stem(shown)}{suffix if suffix in VIDEO_SUFFIXES else '.mp4'}"
        return Clip(number, shown, clean_label(label), clean_label(group), file)

    def add(self, training: Training, clip: Clip) -> None:
        """Add a clip whose file has arrived."""
        with self._lock:
            self._check_editable(training)
            training.clips[clip.id] = clip

    def drop(self, training: Training, id_: str) -> None:
        """Delete a clip.

        Raises:
            Unknown: When there is none of this id.
        """
        with self._lock:
            self._check_editable(training)
            clip = training.clips.pop(id_, None)
        if clip is None:
            raise Unknown("no such clip")
        (training.folder / clip.file).unlink(missing_ok=True)
        forget_marks(training.folder, clip)
        shutil.rmtree(self.pictures(training, clip.id), ignore_errors=True)

    def clip(self, training: Training, id_: str) -> Clip:
        """Return a clip.

        Raises:
            Unknown: When there is none of this id.
        """
        if id_ not in training.clips:
            raise Unknown("no such clip")
        return training.clips[id_]

    def pictures(self, training: Training, clip: str = "") -> Path:
        """Return where single frames of a clip, or of all of a training's, are kept while it is marked."""
        return self._temporary / "pictures" / training.id / clip

    def mark(self, training: Training, id_: str, index: FilmIndex, marks: Marks) -> Clip:
        """Keep what a person marked in a clip: in place of what was marked before, and as own data beside the clips.

        Raises:
            UserError: For marks that are not of this clip, or a training that has started.
            Unknown: When there is no such clip.
        """
        with self._lock:
            self._check_editable(training)
            clip = replace(self.clip(training, id_), marks=marks)
            save_marks(training.folder, clip, index)
            training.clips[id_] = clip
        return clip

    def name_clips(self, training: Training, labels: Mapping[str, str]) -> None:
        """Name the actions of clips by the clips' ids."""
        with self._lock:
            self._check_editable(training)
            for id_, label in labels.items():
                if id_ in training.clips:
                    training.clips[id_] = replace(training.clips[id_], label=clean_label(label))
                    rename_marked(training.folder, training.clips[id_])

    def look(self, training: Training) -> None:
        """Put a look at the things in the clips into the queue; the clips are still to be trained on then.

        Raises:
            UserError: When there are no clips.
        """
        with self._lock:
            self._check_editable(training)
            if not training.clips:
                raise UserError("clips", None, "at least one clip")
            self._queue_up(training, "find")

    def start(
        self, training: Training, model: str, epochs: int | None = None, things: list[ThingChoice] | None = None
    ) -> None:
        """Put a training into the queue.

        Raises:
            UserError: When it would end in nothing: too few clips, clips without an action, a name that is taken.
        """
        with self._lock:
            self._check_editable(training)
            name = clean_model_name(model)
            if things is not None and not any(thing.keep for thing in things):
                raise UserError("things", None, "at least one that is used")
            if things is not None and not any(thing.keep and thing.acts for thing in things):
                raise UserError("things", None, "at least one that acts")
            if missing := missing_for(training.clips.values()):
                raise UserError("clips", None, missing)
            refuse_alike(((clip.name, label) for clip in training.clips.values() for label in clip.actions), "action")
            self._check_name(name)
            training.model, training.epochs, training.chosen = name, epochs, things
            self._queue_up(training, "train")

    def _queue_up(self, training: Training, task: Literal["train", "find"]) -> None:
        training.task, training.state = task, "waiting"
        training.error, training.notes, training.curve = "", [], Curve()
        training.ended.clear()
        training.advance("Waiting", 0.0)
        self._queue.put(training)

    def stop(self, training: Training) -> None:
        """Stop a training that waits or runs; its clips stay, so that it can be started again."""
        with self._lock:
            if training.state in ("waiting", "running"):
                training.state = "stopped"
                if self._running is training:
                    self._worker.interrupt()
                else:
                    training.ended.set()

    def remove(self, training: Training) -> None:
        """Forget a training: stop it, and delete its clips unless a model was made of them."""
        self.stop(training)
        with self._lock:
            self.trainings.pop(training.id, None)
            running = self._running is training
        shutil.rmtree(self.pictures(training), ignore_errors=True)
        if not running and training.state != "done":
            shutil.rmtree(training.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop the process, and delete what is not to be kept."""
        self._queue.put(None)
        self._worker.close()
        self._thread.join(10)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _check_editable(self, training: Training) -> None:
        if training.state in ("waiting", "running", "done"):
            found = {"done": "a training that is done"}.get(training.state, "a training that has started")
            raise UserError("clips", found, "a training whose clips are still being collected", "begin another")

    def _paths(self, name: str) -> list[Path]:
        """Return where a model of a name, its data and its clips are kept."""
        return [self.folder / f"{name}{ending}" for ending in ("", "-data", "-clips")]

    def _check_name(self, name: str) -> None:
        taken = name in self.models or any(path.exists() for path in self._paths(name))
        promised = any(t.model == name for t in self.trainings.values() if t.state in ("waiting", "running"))
        if taken or promised:
            raise UserError("the model's name", name, "a name that no model has yet")

    def _run(self) -> None:
        while (training := next_task(self._queue, self._tidy, self.limits.keep)) is not None:
            with self._lock:
                if training.state != "waiting":
                    continue
                training.state, self._running = "running", training
            training.advance("Starting", 0.0)
            state: State = "failed"
            try:
                if training.task == "train":
                    self._train(training)
                    state = "done"
                else:
                    training.found = [ThingInfo(**thing) for thing in self._call(training)["things"]]
                    state = "collecting"
            except (Refused, WorkerLost, UserError) as error:
                training.error = str(error)
            except Exception as error:  # a training must never take the queue with it
                training.error = f"the training failed ({type(error).__name__})"
            with self._lock:
                self._running = None
                if training.state == "stopped" and state == "failed":
                    training.error = ""
                else:
                    training.state = state
                gone = training.id not in self.trainings
            if state != "done":
                if training.task == "train":
                    self._take_back(training)
                if gone:
                    shutil.rmtree(training.folder, ignore_errors=True)
            training.ended.set()

    def _train(self, training: Training) -> None:
        run, clips = self.folder / training.model, self.folder / f"{training.model}-clips"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with folder_lock(self.folder):  # another studio may keep its models here too
                if any(path.exists() for path in self._paths(training.model)):
                    raise UserError("the model's name", training.model, "a name that no model has yet")
                shutil.move(training.folder, clips)
                training.folder = clips
        except OSError as error:
            raise UserError("the folder for models", error.strerror, "a folder that can be written") from error

        things = None if training.chosen is None else [one.model_dump() for one in training.chosen]
        self._call(training, out=str(run), epochs=training.epochs, things=things)
        if not (run / CARD).is_file():
            raise WorkerLost("the training left no model")
        self.models[training.model] = run

    def _call(self, training: Training, **more: Any) -> dict[str, Any]:
        """Do a training's task in the process for that."""

        def on_progress(stage: str, share: float, curve: dict[str, Any] | None = None) -> None:
            training.advance(stage, share)
            if training.state == "stopped":  # before the process was there to be stopped
                self._worker.interrupt()
            if curve is not None:
                training.curve = Curve(**curve)

        rows = [clip.row() for clip in training.clips.values()]
        own: dict[str, Any] = {"folder": str(training.folder), "clips": rows}
        own |= {"detector": self._detector, "names": self._names}
        found: dict[str, Any] = self._worker.call(training.task, self.limits.train, on_progress, **own, **more)
        training.notes = found["notes"]
        return found

    def _take_back(self, training: Training) -> None:
        """Delete what a training that came to nothing has written; its clips are collected again."""
        own = self._temporary / training.id
        if training.folder == own:  # it has not begun: what is kept under its name is another's
            return
        for folder in self._paths(training.model)[:2]:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            shutil.move(training.folder, own)
            training.folder = own

    def _tidy(self) -> None:
        """Delete the clips of trainings that nobody has looked at for long."""
        for training in list(self.trainings.values()):
            idle = training.state in ("collecting", "failed", "stopped")
            if idle and time.monotonic() - max(training.used, training.since) > self.limits.keep:
                self.remove(training)
