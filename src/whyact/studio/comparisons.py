"""Two models over a set of films: each film is asked of both, one after the other, and what changed is listed.

The films are those that were answered here, or the clips of a training. What a model learned from a film says little
about it, so such films are named and counted apart.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from whyact.ablation.compare import compare_pair
from whyact.data.io.tables import spelling
from whyact.errors import UserError
from whyact.files import stored_sha256
from whyact.prediction import Prediction
from whyact.studio.forms import Direction, FilmComparison
from whyact.studio.jobs import Busy, Job, Jobs, Progress, Unknown
from whyact.studio.models import tested_files, training_films
from whyact.studio.trainings import Training, Trainings

HISTORY = "history"  # the name of the set of films that were answered here
STAGE = "Asking both models"
_POLL = 0.2  # seconds
_FEW = 20  # films
_KEPT = 4  # comparisons that are over; the oldest go first

State = Literal["waiting", "running", "done", "stopped"]


@dataclass(frozen=True)
class SetFilm:
    """A film of a set: how to come by it, its action if that is known, and which models learned from it."""

    name: str
    content: str
    target: str = ""
    path: Path | None = None
    demo: dict[str, object] | None = None
    learned: tuple[str, ...] = ()


@dataclass
class Comparison(Progress):
    """Two models, the films that both are asked about, and what has been found so far.

    Attributes:
        id: Cannot be guessed.
        a: One model.
        b: The other; changes are listed from ``a`` to ``b``.
        title: What the set is.
        films: The films.
        rows: What both said of the first of them.
        failed: Films that could not be answered, with the reason.
        held: The answers, which are kept as long as this is.
    """

    id: str
    a: str
    b: str
    title: str
    films: list[SetFilm]
    state: State = "waiting"
    rows: list[FilmComparison] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    held: list[Job] = field(default_factory=list)
    made: float = field(default_factory=time.monotonic)
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def total(self) -> int:
        """Return how many films there are."""
        return len(self.films)

    @property
    def summary(self) -> list[str]:
        """Say in sentences what changed, and how often each model was right where that is known."""
        return summarize(self)


class Comparisons:
    """All comparisons of a studio; one is worked on at a time.

    Args:
        jobs: What answers.
        trainings: What was taught, and from which clips.
    """

    def __init__(self, jobs: Jobs, trainings: Trainings) -> None:
        self.jobs, self.trainings = jobs, trainings
        self.comparisons: dict[str, Comparison] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue[Comparison | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="whyact comparisons", daemon=True)
        self._thread.start()

    def sets(self) -> dict[str, tuple[str, list[SetFilm]]]:
        """Return the sets of films that there are: name -> what it is, and its films."""
        found = {HISTORY: ("films answered here", self._history())}
        for training in self.trainings.trainings.values():
            if training.clips:
                found[training.id] = (f"clips of {training.model or 'a training'}", self._clips(training))
        return {name: (title, films) for name, (title, films) in found.items() if films}

    def start(self, a: str, b: str, name: str) -> Comparison:
        """Compare two models over a set.

        Raises:
            Unknown: For a model or a set that there is not.
            UserError: For one model twice, or too many films.
        """
        for model in (a, b):
            if model not in self.jobs.models:
                raise Unknown(f"no model {model!r}; there are {', '.join(self.jobs.models)}")
        if a == b:
            raise UserError("the second model", b, "another model than the first")
        sets = self.sets()
        if name not in sets:
            raise Unknown("no such films; answer some, or teach from clips")
        title, films = sets[name]
        if len(films) > self.jobs.limits.compared:
            raise UserError("films", len(films), f"at most {self.jobs.limits.compared} at a time")
        ended = [one for one in self.comparisons.values() if one.ended.is_set()]
        for one in ended[: max(0, len(ended) - _KEPT + 1)]:
            self.remove(one)
        made = Comparison(id=secrets.token_urlsafe(12), a=a, b=b, title=title, films=films)
        self.comparisons[made.id] = made
        self._queue.put(made)
        return made

    def get(self, id_: str) -> Comparison:
        """Return a comparison.

        Raises:
            Unknown: When there is none of this id, or no longer.
        """
        if id_ not in self.comparisons:
            raise Unknown("no such comparison; it was deleted, or the studio was started again")
        return self.comparisons[id_]

    def stop(self, comparison: Comparison) -> None:
        """Stop asking; what has been found stays."""
        comparison.stopped.set()

    def remove(self, comparison: Comparison) -> None:
        """Forget a comparison; its answers are kept as long as any other."""
        comparison.stopped.set()
        self.comparisons.pop(comparison.id, None)
        if comparison.state == "running":
            comparison.ended.wait(10)
        for job in comparison.held:
            job.held -= 1
        comparison.held = []

    def close(self) -> None:
        """Stop all of them."""
        for comparison in list(self.comparisons.values()):
            comparison.stopped.set()
        self._queue.put(None)
        self._thread.join(10)

    def _history(self) -> list[SetFilm]:
        """Return each film that was answered here and can be asked about again."""
        films: dict[str, SetFilm] = {}
        asked: dict[str, set[str]] = {}
        done = list(self.jobs.jobs.values())
        learned = self._learned({job.size for job in done})
        for job in done:
            if job.state != "done" or not job.content:
                continue
            asked.setdefault(job.content, set()).add(job.model)
            old = films.get(job.content)
            path = job.upload if job.demo is None and job.upload.is_file() else None
            films[job.content] = SetFilm(
                job.name,
                job.content,
                job.target or (old.target if old else ""),
                path or (old.path if old else None),
                job.demo,
                learned.get(job.content, ()),
            )
        return [f for f in films.values() if f.path is not None or f.demo is not None or len(asked[f.content]) > 1]

    def _clips(self, training: Training) -> list[SetFilm]:
        learned = self._learned({clip.size for clip in training.clips.values()})
        return [
            SetFilm(
                clip.name,
                clip.content,
                "" if clip.marks.segments else clip.label,
                training.folder / clip.file,
                learned=learned.get(clip.content, ()),
            )
            for clip in training.clips.values()
        ]

    def _learned(self, sizes: Collection[int]) -> dict[str, tuple[str, ...]]:
        """Return content of a film of one of these sizes in bytes -> the models that learned from it.

        Known are models that were taught here, and those whose data lie beside them.
        """
        found: dict[str, tuple[str, ...]] = {}
        taught = {training.model for training in self.trainings.trainings.values() if training.state == "done"}
        for name, run in list(self.jobs.models.items()):
            for path in training_films(run) if run is not None and name not in taught else ():
                with suppress(OSError):
                    if path.stat().st_size in sizes:
                        content = stored_sha256(path)
                        found[content] = (*found.get(content, ()), name)
        for training in self.trainings.trainings.values():
            run = self.jobs.models.get(training.model)
            if training.state != "done" or run is None:
                continue
            tested = tested_files(run)
            for clip in training.clips.values():
                if clip.file not in tested:
                    found[clip.content] = (*found.get(clip.content, ()), training.model)
        return found

    def _run(self) -> None:
        while (comparison := self._queue.get()) is not None:
            comparison.state = "running"
            for number, film in enumerate(comparison.films):
                if comparison.stopped.is_set():
                    break
                comparison.advance(STAGE, number / comparison.total)
                self._compare(comparison, film)
            comparison.state = "stopped" if comparison.stopped.is_set() else "done"
            comparison.ended.set()

    def _compare(self, comparison: Comparison, film: SetFilm) -> None:
        """Ask both models about a film."""
        pair: list[Job] = []
        try:
            for model in (comparison.a, comparison.b):
                job = self._ask(comparison, film, model)
                if job is None:
                    return
                pair.append(job)
            answers = [self.jobs.prediction(job) for job in pair]
        except (Unknown, UserError) as error:
            reason = str(error)  # a film that cannot be read is named by its reader
            comparison.failed.append(reason if reason.startswith(f"{film.name}:") else f"{film.name}: {reason}")
            return
        except Exception as error:  # a film must never take the others with it
            comparison.failed.append(f"{film.name}: it could not be asked about ({type(error).__name__})")
            return
        comparison.rows.append(compare_film(film, (pair[0].id, pair[1].id), answers[0], answers[1]))

    def _ask(self, comparison: Comparison, film: SetFilm, model: str) -> Job | None:
        """Return a job with the answer of a model about a film, an earlier one if there is one; ``None`` if stopped.

        Raises:
            Unknown: When the film is no longer here, or is not answered.
        """
        for job in list(self.jobs.jobs.values()):
            if job.content == film.content and job.model == model and job.state == "done":
                return _keep_answer(comparison, job)
        if film.demo is None and (film.path is None or not film.path.is_file()):
            raise Unknown(f"the film is no longer here to be asked of {model}")
        while True:
            try:
                job = self.jobs.open(film.name, model, film.demo)
                break
            except Busy:  # other videos come first
                if comparison.stopped.wait(1.0):
                    return None
        job.target, job.awaited = film.target, True  # it is not the oldest to go before it is held
        try:
            if film.path is not None and film.demo is None:
                job.content, job.size = film.content, film.path.stat().st_size
                try:
                    os.link(film.path, job.upload)
                except OSError:
                    shutil.copyfile(film.path, job.upload)
            self.jobs.submit(job)
            while not job.ended.wait(_POLL):
                if comparison.stopped.is_set():
                    self.jobs.cancel(job)
                    return None
                if job.id not in self.jobs.jobs:
                    raise Unknown(f"the answer of {model} was deleted")
            if job.state != "done":
                raise Unknown(job.error)
            return _keep_answer(comparison, job)
        finally:
            job.awaited = False


def _keep_answer(comparison: Comparison, job: Job) -> Job:
    """Keep an answer as long as a comparison."""
    job.held += 1
    comparison.held.append(job)
    return job


def compare_film(film: SetFilm, jobs: tuple[str, str], a: Prediction, b: Prediction) -> FilmComparison:
    """Return what two models say of a film, and in which direction it changed from the first to the second.

    The score that is followed is that of the film's own action where either model knows it, else of the first answer.
    """
    wanted = spelling(film.target)
    scores = [{spelling(s.label): s.score for s in p.labels} for p in (a, b)]
    for p in (a, b):  # a person may write the action otherwise than the model does
        p.target = next((s.label for s in p.labels if spelling(s.label) == wanted), film.target)
    pair = compare_pair(a, b)
    label = film.target if any(wanted in known for known in scores) else a.label
    direction: Direction = "same" if spelling(a.label) == spelling(b.label) else "other"
    if film.target and pair.a.right != pair.b.right:
        direction = "gained" if pair.b.right else "lost"
    return FilmComparison(
        name=film.name,
        target=film.target,
        learned=list(film.learned),
        jobs=jobs,
        direction=direction,
        label=label,
        before=scores[0].get(spelling(label)),
        after=scores[1].get(spelling(label)),
        agree=pair.agree,
        unfamiliar=(a.unfamiliar, b.unfamiliar),
        a=pair.a,
        b=pair.b,
        changes=pair.changes,
    )


def summarize(comparison: Comparison) -> list[str]:
    """Say what changed over the films so far; films that a model learned from are counted apart."""
    rows, a, b = comparison.rows, comparison.a, comparison.b
    if not rows:
        return []
    count = {name: sum(row.direction == name for row in rows) for name in ("gained", "lost", "other", "same")}
    parts = [f"{count['same']} with the same answer"] if count["same"] else []
    parts += [f"{count['gained']} that only {b} gets right"] if count["gained"] else []
    parts += [f"{count['lost']} that only {a} gets right"] if count["lost"] else []
    otherwise = " otherwise" if len(parts) > bool(count["same"]) else ""
    parts += [f"{count['other']} answered differently{otherwise}"] if count["other"] else []
    lines = [f"{_films(len(rows))}: {', '.join(parts)}."]
    fresh = [row for row in rows if row.target and not {a, b} & set(row.learned)]
    if fresh:
        right = [sum(bool(getattr(row, side).right) for row in fresh) for side in ("a", "b")]
        few = "; so few say little" if len(fresh) < _FEW else ""
        of = f"Of {_films(len(fresh))} that neither learned from"
        lines.append(f"{of}, {a} is right about {right[0]}, {b} about {right[1]}{few}.")
    for place, (model, known) in enumerate(((a, "before"), (b, "after"))):
        if guesses := sum(row.unfamiliar[place] for row in rows):
            lines.append(f"{model} merely guesses about {_films(guesses)}: it does not know such videos.")
        if unknown := sum(bool(row.target) and getattr(row, known) is None for row in rows):
            lines.append(f"{model} does not know the action of {_films(unknown)}.")
        if learned := sum(model in row.learned for row in rows):
            lines.append(f"{model} learned from {learned} of these films: what it says of them proves little.")
    return lines


def _films(count: int) -> str:
    return f"{count} film{'s' if count != 1 else ''}"
