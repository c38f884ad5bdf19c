"""What goes in and out of the studio's HTTP interface, typed; predictions have their own schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelInfo(_Form):
    """A model that can be chosen."""

    name: str
    about: str
    actions: list[str]
    relations: list[str]


class JobInfo(_Form):
    """Where a job stands; ``share`` is how much of its stage is done.

    ``against`` is the id of the job that asks a second model about the same video; empty where none was wanted.
    """

    id: str
    name: str
    model: str
    state: Literal["arriving", "waiting", "running", "done", "failed"]
    stage: str
    share: float
    error: str
    label: str
    score: float
    against: str
    playable: bool


class Demo(_Form):
    """A freshly filmed household clip."""

    action: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    model: Name = ""
    against: Name = ""


class Take(_Form):
    """Something to take away: a piece of evidence, a pair, a thing, or all within a span of seconds, ends included.

    Which kinds there are depends on the method: ``span`` always, and the kinds of the answer's own evidence (of a
    held state: ``transition``). A ``neighbour`` is named by its ``label``.
    """

    kind: Literal["transition", "pair", "thing", "span", "frame", "snippet", "neighbour"]
    subject: Name = ""
    object: Name = ""
    label: Name = ""
    start: Seconds | None = None
    end: Seconds | None = None


class AblationRequest(_Form):
    """Everything that is taken away at once."""

    removals: Annotated[list[Take], Field(max_length=200)]


class Score(_Form):
    """An action's score without what was taken away, and before."""

    label: str
    score: float
    before: float


class RemovalCount(_Form):
    """How many units of the model's input (``what``: token, snippet, frame, known action) were taken away."""

    what: str
    count: int
    of: int


class Scores(_Form):
    """The model's answer without what was taken away, and how much that was."""

    label: str
    scores: list[Score]
    gone: list[RemovalCount]
    milliseconds: float


class Target(_Form):
    """The action that is to win; the second best by default."""

    target: Name | None = None


class FlipStep(Take):
    """Something that has to go, with ``text`` that says what it is."""

    text: str


class Flipped(_Form):
    """The smallest set of removals after which ``target`` is the answer; none: there is no such set.

    ``proven``: no smaller set of the ``candidates`` flips the answer; ``asked`` counts the sets that were tried.
    ``stopped``: the search was ended before all were, for the video is long.
    """

    target: str
    removals: list[FlipStep]
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


class Correction(_Form):
    """What a person says about an answer: the true action (the model's own: it was right), and relations."""

    action: Name
    relations: Annotated[list[Marked], Field(max_length=2000)] = []


class Saved(_Form):
    """What is in the folder of corrections now."""

    videos: int
    marked: int
    command: str


class Problem(_Form):
    """Why something was refused."""

    detail: str
