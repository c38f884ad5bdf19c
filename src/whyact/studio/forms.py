"""What goes in and out of the studio's HTTP interface, typed; predictions have their own schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whyact.ablation.compare import AnswerSummary
from whyact.ablation.protocol import FOREVER, Removal, RemovalCount

_LONGEST_NAME = 200
Name = Annotated[str, Field(max_length=_LONGEST_NAME)]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Frame = Annotated[int, Field(ge=1, le=10**8)]
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelInfo(_Form):
    """A model that can be chosen; ``measured``: all its relations are, from the boxes, and none can be corrected."""

    name: str
    about: str
    actions: list[str]
    relations: list[str]
    objects: list[str] = []
    measured: bool = False
    quality: str = ""
    sample: SampleInfo | None = None


class SampleInfo(_Form):
    """How a model answers a clip that it did not learn from; ``picture`` is a JPEG as a data address."""

    name: str
    action: str
    answer: str
    because: str
    picture: str


class JobInfo(_Form):
    """Where a job stands; ``share`` is how much of its stage is done, ``left`` how many seconds it may still take.

    ``thumbnail`` tells whether there is a picture of the video yet, ``cells`` how many small ones there are along it.
    ``against`` is the id of the job that asks a second model about the same video; empty where none was wanted.
    """

    id: str
    name: str
    model: str
    state: Literal["arriving", "waiting", "running", "done", "failed"]
    stage: str
    share: float
    left: float | None
    error: str
    label: str
    score: float
    against: str
    playable: bool
    thumbnail: bool
    cells: int


class Demo(_Form):
    """A freshly filmed household clip."""

    action: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    model: Name = ""
    against: Name = ""


class AblationRequest(_Form):
    """Everything that is taken away at once.

    Which kinds of removal there are depends on the method: ``span`` always, and the kinds of the answer's own evidence
    (of a held state: ``transition``). A ``neighbour`` is named by its ``label``.
    """

    removals: Annotated[list[Removal], Field(max_length=200)]

    @field_validator("removals")
    @classmethod
    def _check(cls, removals: list[Removal]) -> list[Removal]:
        for removal in removals:
            if not 0 <= removal.start <= FOREVER or not 0 <= removal.end <= FOREVER:
                raise ValueError(f"start and end are seconds from 0 to {FOREVER:g}")
            if max(map(len, (removal.subject, removal.object, removal.label))) > _LONGEST_NAME:
                raise ValueError(f"a name has at most {_LONGEST_NAME} letters")
        return removals


class Score(_Form):
    """An action's score without what was taken away, and before."""

    label: str
    score: float
    before: float


class Scores(_Form):
    """The model's answer without what was taken away, and how much that was."""

    label: str
    scores: list[Score]
    removed: list[RemovalCount]
    milliseconds: float


class Target(_Form):
    """The action that is to win; the second best by default."""

    target: Name | None = None


class FlipResult(_Form):
    """The smallest set of removals after which ``target`` is the answer; none: there is no such set.

    ``texts`` says what each removal is. ``proven``: no smaller set of the ``candidates`` flips the answer; ``asked``
    counts the sets that were tried. ``stopped``: the search ended early because the video is long.
    """

    target: str
    removals: list[Removal]
    texts: list[str]
    score: float
    proven: bool
    candidates: int
    asked: int
    stopped: bool


class Marked(_Form):
    """A stretch of a pair with the relation that a person sees there; empty for none."""

    subject: Name
    object: Name
    start: Seconds
    end: Seconds
    relation: Name


class MarkedSegment(_Form):
    """An action from a frame to a frame of the film, both included, counted from 1."""

    action: Name
    start: Frame
    end: Frame


class DrawnBox(_Form):
    """A box ``[x1, y1, x2, y2]`` that a person drew on a frame, in pixels of the film."""

    frame: Frame
    box: tuple[Pixel, Pixel, Pixel, Pixel]


class DrawnThing(_Form):
    """A thing that a person drew; on the frames between its boxes it is interpolated in a straight line over time.

    ``name`` is what the thing is, such as ``kettle``; or the name of a track, whose boxes these replace from the first
    of them to the last.
    """

    name: Name
    boxes: Annotated[list[DrawnBox], Field(min_length=1, max_length=2000)]


class Marks(_Form):
    """What a person marks on a film: segments of actions, boxes of things, relations of two things."""

    segments: Annotated[list[MarkedSegment], Field(max_length=2000)] = []
    drawn: Annotated[list[DrawnThing], Field(max_length=200)] = []
    relations: Annotated[list[Marked], Field(max_length=2000)] = []


class Correction(Marks):
    """What a person says about an answer: the true action (the model's own: it was right), what things are, and marks.

    Actions and things may be new words; ``things`` names them by the names of their tracks. Segments take the place of
    the action of the whole video.
    """

    action: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    things: Annotated[dict[Name, Name], Field(max_length=200)] = {}


class FilmThing(_Form):
    """A thing that was found in a film: its box in some frames, in pixels of the film."""

    name: str
    kind: str
    frames: list[int]
    boxes: list[tuple[float, float, float, float]]


class FilmInfo(_Form):
    """A film to mark: when each of its frames is shown in seconds, what was found in it, and what is marked already.

    ``measured``: all relations are measured from the boxes, so that none can be marked.
    """

    name: str
    times: list[float]
    width: int
    height: int
    things: list[FilmThing]
    actions: list[str]
    objects: list[str]
    measured: bool
    marks: Marks


class Saved(_Form):
    """What is in the folder of corrections now."""

    videos: int
    marked: int
    command: str


class ClipInfo(_Form):
    """A clip of a training: the user's name of its file, its action, and the film that it is cut from, if known.

    ``segments`` and ``drawn`` count what a person marked in it.
    """

    id: str
    name: str
    label: str
    group: str
    size: int
    segments: int
    drawn: int


class Curve(_Form):
    """The loss after each epoch: (share of the training that is done, loss)."""

    points: list[tuple[float, float]] = []
    epoch: int = 0
    epochs: int = 0


class ThingChoice(_Form):
    """What is made of a class of the detector: its name, whether it is used, and whether it acts."""

    kind: Name
    name: Name
    keep: bool
    acts: bool


class ThingInfo(ThingChoice):
    """A class that the detector found: in how many clips, how surely, and pictures of it as data addresses."""

    clips: int
    score: float
    pictures: list[str]


class TrainingInfo(_Form):
    """Where a training stands: its clips are collected, it waits, runs, or has ended.

    ``missing`` says what its clips lack before it can start, ``things`` how many were found when somebody looked.
    """

    id: str
    model: str
    state: Literal["collecting", "waiting", "running", "done", "failed", "stopped"]
    stage: str
    share: float
    left: float | None
    error: str
    notes: list[str]
    missing: str
    curve: Curve
    things: int
    clips: list[ClipInfo]


class ClipNames(_Form):
    """Each clip's action by the clip's id."""

    labels: Annotated[dict[str, Name], Field(max_length=10_000)] = {}


class Start(_Form):
    """How to train: the name of the model, each clip's action by the clip's id, and passes through the clips.

    ``things`` are those that were found, as a person changed them; by default they are found and used as they are.
    """

    model: Annotated[str, Field(min_length=1, max_length=60)]
    labels: Annotated[dict[str, Name], Field(max_length=10_000)] = {}
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    things: Annotated[list[ThingChoice], Field(max_length=2000)] | None = None


Direction = Literal["gained", "lost", "other", "same"]


class FilmComparison(_Form):
    """What two models say of one film: ``jobs`` are the ids of their answers, ``learned`` who learned from the film.

    ``direction``: the second model is right where the first was not (gained), or the other way round (lost), says
    something else (other), or the same. ``before`` and ``after`` are the scores of ``label`` in the first and the
    second answer; none where a model does not know it. ``unfamiliar``: whether each model merely guesses, because it
    does not know such films.
    """

    name: str
    target: str
    learned: list[str]
    jobs: tuple[str, str]
    direction: Direction
    label: str
    before: float | None
    after: float | None
    agree: bool
    unfamiliar: tuple[bool, bool]
    a: AnswerSummary
    b: AnswerSummary
    changes: list[str]


class SetChoice(_Form):
    """Two models and the set of films to compare them over: ``history``, or the id of a training."""

    a: Name
    b: Name
    films: Name


class ComparisonInfo(_Form):
    """Where a comparison over a set stands, and what was found so far."""

    id: str
    a: str
    b: str
    title: str
    state: Literal["waiting", "running", "done", "stopped"]
    stage: str
    share: float
    left: float | None
    total: int
    summary: list[str]
    rows: list[FilmComparison]
    failed: list[str]


class Problem(_Form):
    """Why something was refused."""

    detail: str
