"""The things that a detector finds in a set of clips: a list to look at, rename, merge and drop, and who acts.

``things.json`` has one entry for each class of the detector that it found; a training reads it. ``things.html`` shows
pictures of them.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError, malformed
from whyact.files import write_atomic
from whyact.perception.tracks import Tracks

FILE, SHEET = "things.json", "things.html"
PICTURES = 6  # of each thing
PERSONS = ("person", "man", "woman", "child", "hand", "head")  # who acts, where the detector knows one of them
_SURE = 0.6  # median score of the tracks of a class that is kept by default
_SHARE = 0.1  # of the clips in which it is found
_HEIGHT = 120  # pixels of a picture


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """A class of the detector: in how many clips and tracks it was found, how surely, and what is made of it.

    Things with one ``name`` are merged; without ``keep`` a thing is dropped; what ``acts`` is a subject.
    """

    kind: str = msgspec.field(name="class")
    name: str
    keep: bool
    acts: bool
    clips: int = 0
    tracks: int = 0
    score: float = 0.0


class ThingsFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    format: Literal["whyact-things"]
    version: Literal[1]
    detector: str
    clips: int
    things: list[Thing]

    @property
    def class_map(self) -> dict[str, str]:
        """Return class of the detector -> name, of the things that are kept."""
        return {thing.kind: thing.name for thing in self.things if thing.keep}

    @property
    def objects(self) -> tuple[str, ...]:
        """Return the names that are kept, in the order of the file, each once."""
        return tuple(dict.fromkeys(self.class_map.values()))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the names that act."""
        return tuple(dict.fromkeys(thing.name for thing in self.things if thing.keep and thing.acts))


@dataclass(frozen=True)
class Sighting:
    """Where a thing can be seen best in a clip: which frame (0-based among the tracked ones), box and score."""

    kind: str
    video: str
    frame: int
    box: tuple[float, float, float, float]
    score: float


def count_things(tracks: Sequence[Tracks], detector: str) -> ThingsFile:
    """Return the classes found in the tracks of some clips, the most frequent first, with a choice among them.

    Kept are those that the detector is sure of and that are in a tenth of the clips; persons act where there are any,
    else the most frequent thing.
    """
    scores: dict[str, list[float]] = {}
    clips: dict[str, int] = {}
    for one in tracks:
        for k, kind in enumerate(one.classes):
            scores.setdefault(kind, []).append(float(one.scores[:, k].sum() / max(1, int(one.seen[:, k].sum()))))
        for kind in set(one.classes):
            clips[kind] = clips.get(kind, 0) + 1
    least = max(min(2, len(tracks)), _SHARE * len(tracks))
    things = [
        Thing(
            kind=kind,
            name=kind,
            keep=clips[kind] >= least and float(np.median(found)) >= _SURE,
            acts=False,
            clips=clips[kind],
            tracks=len(found),
            score=round(float(np.median(found)), 3),
        )
        for kind, found in sorted(scores.items(), key=lambda item: (-clips[item[0]], item[0]))
    ]
    kept = [thing for thing in things if thing.keep]
    acting = [thing for thing in kept if thing.kind in PERSONS] or kept[:1]
    for thing in acting:
        thing.acts = True
    return ThingsFile("whyact-things", 1, detector, len(tracks), things)


def read_things(path: Path) -> ThingsFile:
    """Read a list of things that a person may have edited.

    Raises:
        UserError: When it cannot be read, has another form, keeps nothing, or nothing of it acts.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ThingsFile)
    except OSError as error:
        raise UserError(path, error.strerror, "a list of things", "whyact data things --videos DIR") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(path, error, "a list of things", "whyact data things --videos DIR writes one") from error
    kinds = [thing.kind for thing in found.things]
    if twice := next((kind for kind in kinds if kinds.count(kind) > 1), ""):
        raise UserError(path, twice, "each class once")
    if nameless := next((thing.kind for thing in found.things if thing.keep and not thing.name.strip()), ""):
        raise UserError(f"{path}, {nameless}", "", "a name, or keep: false")
    if not found.objects:
        raise UserError(path, "nothing with keep: true", "at least one thing that is kept")
    if not found.subjects:
        raise UserError(path, "nothing that is kept with acts: true", "at least one thing that acts")
    return found


def write_things(folder: Path, things: ThingsFile, pictures: dict[str, list[NDArray[np.uint8]]]) -> tuple[Path, Path]:
    """Write the list and the contact sheet into a folder; return both paths.

    Args:
        folder: Where.
        things: The list.
        pictures: Of each class, some images (h,w,3) uint8 RGB.
    """
    path = write_atomic(folder / FILE, msgspec.json.format(msgspec.json.encode(things), indent=2) + b"\n")
    return path, write_atomic(folder / SHEET, _sheet(things, pictures))


def best_sightings(tracks: Iterable[tuple[str, Tracks]], each: int = PICTURES) -> list[Sighting]:
    """Return where the things of each class can be seen best: its surest boxes, one of a clip, of different clips."""
    found: dict[str, list[Sighting]] = {}
    for video, one in tracks:
        best: dict[str, Sighting] = {}
        for k, kind in enumerate(one.classes):
            t = int(one.scores[:, k].argmax())
            x1, y1, x2, y2 = (float(v) for v in one.boxes[t, k])
            sighting = Sighting(kind, video, t, (x1, y1, x2, y2), float(one.scores[t, k]))
            if kind not in best or sighting.score > best[kind].score:
                best[kind] = sighting
        for kind, sighting in best.items():
            found.setdefault(kind, []).append(sighting)
    # From the surest to the least sure of them: a wrong thing shows at the doubtful end.
    out = []
    for rows in found.values():
        rows.sort(key=lambda s: -s.score)
        at = np.unique(np.rint(np.linspace(0, len(rows) - 1, min(each, len(rows)))).astype(int))
        out += [rows[i] for i in at]
    return out


def cut_picture(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Return the part of an image in a box and a quarter of its size around it."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) / 4, (y2 - y1) / 4
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(width, max(left + 2, int(x2 + dx))), min(height, max(top + 2, int(y2 + dy)))
    return image[top:bottom, left:right]


def _sheet(things: ThingsFile, pictures: dict[str, list[NDArray[np.uint8]]]) -> str:
    rows = "\n".join(
        f"<tr><th>{html.escape(thing.kind)}</th>"
        f"<td>{html.escape(_use(thing))}</td>"
        f"<td>{thing.clips} of {things.clips}</td><td>{thing.tracks}</td><td>{thing.score:.2f}</td>"
        f"<td>{''.join(_picture(p, thing.kind) for p in pictures.get(thing.kind, []))}</td></tr>"
        for thing in things.things
    )
    return _PAGE.format(detector=html.escape(things.detector), clips=things.clips, file=FILE, rows=rows)


def _use(thing: Thing) -> str:
    """Say what is made of a thing."""
    return "dropped" if not thing.keep else f"{thing.name}, acts" if thing.acts else thing.name


def _picture(image: NDArray[np.uint8], kind: str) -> str:
    return f'<img alt="{html.escape(kind, quote=True)}" height="{_HEIGHT}" src="{picture_address(image)}">'


def picture_address(image: NDArray[np.uint8]) -> str:
    """Return an image (h,w,3) uint8 RGB as a data address: a JPEG of the height of the contact sheet."""
    from PIL import Image

    shown = Image.fromarray(np.ascontiguousarray(image))
    shown = shown.resize((max(1, round(shown.width * _HEIGHT / shown.height)), _HEIGHT))
    data = io.BytesIO()
    shown.save(data, "JPEG", quality=80)
    code = base64.b64encode(data.getvalue()).decode()
    return f"data:image/jpeg;base64,{code}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Things in {clips} clips</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #1c1c1c; background: #fff }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc; vertical-align: middle }}
img {{ margin-right: .3rem; max-width: 14rem; object-fit: contain }}
</style></head><body>
<h1>Things in {clips} clips</h1>
<p>Found by {detector}. Edit <code>{file}</code> beside this page: another <code>name</code> renames a thing, one name
for two things merges them, <code>"keep": false</code> drops it, <code>"acts": true</code> marks who acts.
Then train with <code>--things {file}</code>.</p>
<table>
<thead><tr><th>class</th><th>used as</th><th>clips</th><th>tracks</th><th>score</th><th>pictures</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""
