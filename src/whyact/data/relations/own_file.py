"""The JSON of own data as types, checked for its form; :mod:`whyact.data.relations.own` says what it means."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from whyact.data.io.archive import json_errors
from whyact.errors import UserError
from whyact.files import without_mark

FILE = "whyact.json"
LONGEST = 200  # characters of a name
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Frame = Annotated[int, msgspec.Meta(ge=1, le=10**8)]
_Box = tuple[float, float, float, float]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Allowed(_Strict):
    """The relations that a pair of classes can carry; the same class twice for an attribute."""

    subject: str
    object: str
    relations: list[str]


class Group(_Strict):
    """Relations that answer one question; ``exclusive``: exactly one of them is true."""

    name: str
    relations: list[str]
    exclusive: bool = False


class OwnRule(_Strict):
    """The transition that defines an action; without a subject it is a change of the object itself."""

    action: str
    before: str
    after: str
    objects: list[str]
    subject: str = ""


class OwnTrack(_Strict):
    """One thing over the listed frames: a box or null for each. Scores are of no use here."""

    name: _Name
    kind: str = msgspec.field(name="class")
    boxes: list[_Box | None]
    scores: list[float | None] | None = None
    seen: list[bool] | None = None


class OwnRelation(_Strict):
    """A relation of two tracks (or a track with itself) from one frame to another, both included."""

    pair: tuple[str, str]
    relation: str
    start: _Frame = msgspec.field(name="from")
    end: _Frame = msgspec.field(name="to")


class OwnAction(_Strict):
    """A clip: one action from a frame to a frame, both included."""

    action: str
    start: _Frame = msgspec.field(name="from")
    end: _Frame = msgspec.field(name="to")


class OwnVideo(_Strict):
    """A video: its clips are ``actions``, or it is one clip itself with any number of ``labels``."""

    id: _Name
    file: str = ""
    fps: _Positive | None = None
    image_size: tuple[int, int] | None = None
    frames: list[_Frame] | None = None
    tracks: list[OwnTrack] = []
    relations: list[OwnRelation] = []
    actions: list[OwnAction] = []
    labels: list[str] | None = None
    group: str = ""
    split: Literal["train", "test", ""] = ""


class Fold(_Strict):
    """Which groups to train on and which to test on."""

    train: list[str]
    test: list[str]


class OwnFile(_Strict):
    """The whole JSON."""

    format: Literal["whyact-own"]
    version: Literal[1]
    objects: list[_Name]
    actions: list[_Name]
    videos: list[OwnVideo]
    relations: list[_Name] = []
    subjects: list[str] = []
    allowed: list[Allowed] = []
    groups: list[Group] = []
    rules: list[OwnRule] = []
    folds: list[Fold] = []
    at_most: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    measured: bool = False
    name: str = "own"
    clip_boxes: bool = False


def read_file(path: Path) -> OwnFile:
    """Read the JSON and check its form.

    Raises:
        UserError: When it is missing or of another form; the message says where in it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(path, error.strerror, "the JSON of your data", "see docs/own-data.md") from error
    with json_errors(str(path)):
        return msgspec.json.decode(without_mark(data), type=OwnFile)


def encode_file(file: OwnFile) -> bytes:
    """Return the JSON of own data, which :func:`read_file` reads back.

    Raises:
        UserError: For what own data cannot hold, such as too long a name.
    """
    data = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
    with json_errors(FILE):
        msgspec.json.decode(data, type=OwnFile)
    return data


def video_path(where: str, root: Path, file: str) -> Path:
    """Return the path of a video under the root.

    Raises:
        UserError: When the name points out of it: a JSON from elsewhere must not open other files.
    """
    name = PurePosixPath(file)
    if name.is_absolute() or ".." in name.parts or "\\" in file or "\0" in file:
        raise UserError(f"{where}, file", file, "a path below the folder of the JSON")
    return root / name
