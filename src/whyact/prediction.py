"""What every method returns: a :class:`Prediction` with the :class:`Evidence` behind it.

It imports nothing of whyact, so every layer may use it. The types are plain records,
so ``to_json`` and ``from_json`` validate both ways and the JSON schema is read off the types.

Units: times in seconds (float), intervals half-open ``[start, end)``; boxes xyxy in pixels;
scores are probabilities in 0..1.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 1

Box = tuple[float, float, float, float]


class _Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Keyword-only record; unknown JSON keys are errors."""


class VideoFacts(_Record):
    """Facts about the input, measured and not assumed.

    ``path`` is what the user typed; ``frames_declared`` comes from the container and
    ``frames_decoded`` from decoding. ``degraded`` gives the reason when something was missing or broken.

    Times are those of a player's clock, which starts with the first sound or picture: the first frame is shown at
    ``start`` and the last one leaves at ``duration``. ``width`` and ``height`` are those of the upright image with
    square pixels; ``pixel_aspect`` is how much wider than high the stored pixels are, ``mirrored`` says that the file
    asks for a mirror image. ``stream`` of ``streams`` video streams was read, counted from 1.
    """

    path: str
    sha256: str = ""
    duration: float = 0.0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    frames_decoded: int = 0
    frames_declared: int = 0
    degraded: str = ""
    start: float = 0.0
    pixel_aspect: float = 1.0
    mirrored: bool = False
    stream: int = 1
    streams: int = 1


class LabelScore(_Record):
    """One class name with its probability."""

    label: str
    score: float


class Segment(_Record):
    """A span of the video with a label. ``interval`` is the uncertainty of (start, end) in seconds, if known."""

    start: float
    end: float
    label: str
    score: float
    interval: tuple[float, float] | None = None


class TrackPoint(_Record):
    """One relation token: one subject-object pair in one sampled frame, as the model named it.

    ``similarity`` is the cosine to the named label in the joint space, ``margin`` the lead over the
    runner-up (``None`` where nothing was named, or no other name was possible), ``keep_probability`` the selectors'
    product and ``kept`` their decision.
    """

    time: float
    frame: int
    label: str
    similarity: float | None
    margin: float | None
    keep_probability: float
    kept: bool
    subject_box: Box
    object_box: Box


class Track(_Record):
    """One slot over time: the same subject and object in every point. A self-pair carries an attribute."""

    slot: int
    subject: str
    object: str
    points: list[TrackPoint]


class Curve(_Record):
    """A value over time, for a report to draw (attention, class activation, uncertainty).

    ``lower`` and ``upper`` bound it where the method knows its spread.
    """

    name: str
    times: list[float]
    values: list[float]
    lower: list[float] | None = None
    upper: list[float] | None = None


class Table(_Record):
    """Rows of text and numbers that a method shows beside its answer; ``text`` says what they mean."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]
    text: str = ""


class Evidence(_Record):
    """One checkable reason for the answer.

    ``contribution`` is how much the predicted label's score drops when exactly this evidence is
    removed from the model's input (negative: removing it would raise the score).
    ``action`` names the label whose score that is, where it is not the answer's: a segment or a window of a long video
    may show another one. ``score`` is that score where it is not the one in ``labels``: a window has scores of its own.
    ``similarity`` and ``margin`` belong to the naming, not to the decision; ``None`` where it was not named but
    measured, or no other name was possible.

    ``stated`` is whether a reader may be told that it is a reason. A method that names what it sees states only what
    has a calibrated ``probability`` of being true of at least its level, and a ``contribution`` above its ``control``:
    the most that removing as much of the input at random costs the same score. ``removed`` says what was removed.
    """

    kind: Literal["transition", "state", "frame", "snippet", "neighbour"]
    text: str
    start: float
    end: float
    contribution: float
    label: str = ""
    subject: str = ""
    object: str = ""
    track: int | None = None
    from_state: str = ""
    to_state: str = ""
    similarity: float | None = None
    margin: float | None = None
    rank: int = 0
    action: str = ""
    score: float | None = None
    probability: float | None = None
    control: float | None = None
    stated: bool = True
    removed: str = ""


class Provenance(_Record):
    """Where the answer comes from, so that somebody else can get the same one.

    ``prompt`` is the sentence around a label and ``prompts`` the whole sentence that stood for each label, where
    labels were read as language.
    """

    method: str
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    trained_on: str = ""
    data: str = ""
    split_sha256: str = ""
    prompt: str = ""
    prompts: dict[str, str] = {}
    sampler: str = ""
    seed: int | None = None
    versions: dict[str, str] = {}


class Prediction(_Record):
    """The answer about one video: labels, segments, evidence and provenance.

    ``labels`` are sorted by falling score. ``unsure`` is true when the best score lies under the model's own threshold,
    the model saw nothing in the video, or the video is unlike what the model was trained on; ``unfamiliar`` in the last
    case only. ``annotated`` are the segments of the annotation, where it has any. ``notes`` are sentences a reader must
    see beside the answer.
    """

    video: VideoFacts
    labels: list[LabelScore]
    provenance: Provenance
    segments: list[Segment] = []
    annotated: list[Segment] = []
    evidence: list[Evidence] = []
    tracks: list[Track] = []
    curves: list[Curve] = []
    tables: list[Table] = []
    id: str = ""
    target: str = ""
    unsure: bool = False
    unfamiliar: bool = False
    threshold: float | None = None
    tokens_valid: int = 0
    tokens_kept: int = 0
    notes: list[str] = []
    version: int = SCHEMA_VERSION

    @property
    def label(self) -> str:
        """Return the best label, or an empty string when there is none."""
        return self.labels[0].label if self.labels else ""

    @property
    def score(self) -> float:
        """Return the best label's probability, 0 when there is none."""
        return self.labels[0].score if self.labels else 0.0


def to_json(predictions: list[Prediction]) -> str:
    """Encode predictions as the JSON list that every ``--json`` of ``predict`` prints."""
    return msgspec.json.format(msgspec.json.encode(predictions), indent=2).decode()


def from_json(text: str | bytes) -> list[Prediction]:
    """Decode and validate what :func:`to_json` wrote.

    Raises:
        ValueError: On malformed JSON, an unknown key, a wrong type or another schema version.
    """
    predictions = msgspec.json.decode(text, type=list[Prediction])
    for prediction in predictions:
        if prediction.version != SCHEMA_VERSION:
            raise ValueError(f"prediction schema version {prediction.version}; this whyact reads {SCHEMA_VERSION}")
    return predictions


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a list of predictions (draft 2020-12)."""
    return msgspec.json.schema(list[Prediction])
