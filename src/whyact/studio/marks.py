"""What a person marks on a film, as own data: segments of actions, boxes of things that a detector missed, relations.

Boxes that were drawn are seen; those between them are interpolated in a straight line over the film's own frame times,
and own data say so: their ``seen`` is false.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from whyact.ablation.protocol import TIME_TOLERANCE
from whyact.data.io.tables import spelling
from whyact.data.relations.footage import spaced_positions
from whyact.data.relations.own_file import Allowed, OwnAction, OwnFile, OwnRelation, OwnTrack
from whyact.errors import UserError
from whyact.metrics.boxes import clip_to_image
from whyact.perception.tracks import RATE, Tracks
from whyact.studio.forms import DrawnThing, Marked, Marks
from whyact.studio.jobs import clean_label

SMALLEST = 2.0  # pixels of a side of a box that is drawn
_FAR = 2.0  # seconds between two frames in which a box was found that it is moved over

Pair = tuple[str, str]


@dataclass(frozen=True)
class FilmIndex:
    """When each frame of a film is shown, in seconds of the player's clock; its rate, size and SHA-256."""

    times: list[float]
    fps: float
    width: int
    height: int
    sha256: str


def check_marks(marks: Marks, index: FilmIndex) -> None:
    """Refuse marks that are not of this film.

    Raises:
        UserError: With the first that is wrong.
    """
    count = len(index.times)
    spans: dict[tuple[int, int], str] = {}
    for segment in marks.segments:
        span = f"{segment.action!r}, frames {segment.start} to {segment.end}"
        if not clean_label(segment.action):
            raise UserError(
                "segments", f"frames {segment.start} to {segment.end} without a name", "a name of an action"
            )
        if not 1 <= segment.start <= segment.end <= count:
            raise UserError("segments", span, f"a first and a later frame of the {count} of this film")
        if other := spans.get((segment.start, segment.end)):
            raise UserError("segments", f"{other!r} and {span}", "one action on the same frames")
        spans[segment.start, segment.end] = segment.action
    names: set[str] = set()
    for thing in marks.drawn:
        name = clean_label(thing.name)
        if not name or name in names:
            raise UserError("boxes", thing.name, "a name that no other drawn thing has")
        names.add(name)
        for drawn in thing.boxes:
            if drawn.frame > count:
                raise UserError(f"box of {name}", f"frame {drawn.frame}", f"one of the {count} frames of this film")
            x1, y1, x2, y2 = clip_to_image(drawn.box, (index.width, index.height)).tolist()
            if x2 - x1 < SMALLEST or y2 - y1 < SMALLEST:
                size = f"{SMALLEST:g} x {SMALLEST:g} pixels inside the {index.width} x {index.height} of the film"
                raise UserError(
                    f"box of {name}, frame {drawn.frame}", [round(x, 1) for x in drawn.box], f"at least {size}"
                )


def draw_marks(tracks: Tracks, marks: Marks, index: FilmIndex) -> Tracks:
    """Return the tracks at the frames that own data list, with the drawn things in them.

    Listed are the frames of the tracks, :data:`RATE` frames a second, the last, and each that something was marked on.

    Args:
        tracks: What was found; ``frames`` are numbers of the film.
        marks: Checked by :func:`check_marks`.
        index: Of the film.
    """
    times = np.array(index.times, np.float64)
    at = np.flatnonzero(tracks.frames <= len(times))
    own = tracks.frames[at]
    marked = [frame for s in marks.segments for frame in (s.start, s.end)]
    marked += [box.frame for thing in marks.drawn for box in thing.boxes]
    ends = np.array([t for m in marks.relations for t in (m.start, m.end)])
    marked += np.clip(np.searchsorted(times, ends + TIME_TOLERANCE, side="right"), 1, len(times)).tolist()
    frames = np.unique(np.concatenate([own, spaced_positions(times, RATE) + 1, marked]).astype(np.int64))
    out = replace(
        tracks,
        boxes=tracks.boxes[at],
        seen=tracks.seen[at],
        scores=tracks.scores[at],
        frames=own,
        times=times[own - 1],
    )
    out = replace(out.at(times[frames - 1], longest=_FAR), frames=frames)
    found = np.isin(frames, own)[:, None]
    out = replace(out, seen=out.seen & found)
    for thing in marks.drawn:
        out = _draw(out, thing, index)
    return out


def _draw(tracks: Tracks, thing: DrawnThing, index: FilmIndex) -> Tracks:
    """Return tracks with a drawn thing: a new track, or its boxes in place of those of a track of its name."""
    row = {int(frame): i for i, frame in enumerate(tracks.frames)}
    drawn = replace(
        tracks,
        names=("drawn",),
        classes=("drawn",),
        boxes=np.zeros((len(row), 1, 4), np.float32),
        seen=np.zeros((len(row), 1), bool),
        scores=np.zeros((len(row), 1), np.float32),
    )
    for box in thing.boxes:
        drawn.boxes[row[box.frame], 0] = clip_to_image(box.box, (index.width, index.height))
        drawn.seen[row[box.frame], 0] = True
    drawn = drawn.filled(longest=np.inf)
    drawn = replace(drawn, scores=drawn.seen.astype(np.float32))
    name = clean_label(thing.name)
    if name in tracks.names:
        k, span = tracks.names.index(name), drawn.known[:, 0]
        boxes, seen, scores = tracks.boxes.copy(), tracks.seen.copy(), tracks.scores.copy()
        for own, new in ((boxes, drawn.boxes), (seen, drawn.seen), (scores, drawn.scores)):
            own[span, k] = new[span, 0]
        return replace(tracks, boxes=boxes, seen=seen, scores=scores)
    own_name, kind = name_thing(name, tracks.names)
    return replace(
        tracks,
        names=(*tracks.names, own_name),
        classes=(*tracks.classes, kind),
        boxes=np.concatenate([tracks.boxes, drawn.boxes], axis=1),
        seen=np.concatenate([tracks.seen, drawn.seen], axis=1),
        scores=np.concatenate([tracks.scores, drawn.scores], axis=1),
    )


def name_thing(text: str, taken: Container[str]) -> tuple[str, str]:
    """Return the name of a new track and its class: ``kettle`` is ``kettle_1``, ``kettle_2`` is another kettle."""
    found = re.fullmatch(r"(.+)_\d+", text)
    if found:
        return text, found[1]
    number = 1
    while f"{text}_{number}" in taken:
        number += 1
    return f"{text}_{number}", text


def empty_tracks(index: FilmIndex) -> Tracks:
    """Return the tracks of a film in which nothing was looked for."""
    nothing = np.zeros((0, 0), np.float32)
    size = (index.width, index.height)
    return Tracks(
        names=(),
        classes=(),
        boxes=nothing.reshape(0, 0, 4),
        seen=nothing.astype(bool),
        scores=nothing,
        times=np.zeros(0),
        frames=np.zeros(0, np.int64),
        image_size=size,
    )


def to_own_tracks(tracks: Tracks, kinds: dict[str, str], *, with_seen: bool) -> list[OwnTrack]:
    """Return tracks as own data write them, with the words of the data as classes."""
    out = []
    for k, name in enumerate(tracks.names):
        boxes = [_own_box(row) for row in tracks.boxes[:, k]]
        out.append(OwnTrack(name, kinds[name], boxes, seen=tracks.seen[:, k].tolist() if with_seen else None))
    return out


def _own_box(row: NDArray[np.float32]) -> tuple[float, float, float, float] | None:
    x1, y1, x2, y2 = (float(str(x)) for x in row)  # no more digits than float32 has
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def to_own_actions(marks: Marks, action: str, frames: NDArray[np.int64], known: list[str]) -> list[OwnAction]:
    """Return the clips of a film: its segments, or else all of it as one action; new words are added to ``known``."""
    if marks.segments:
        return [OwnAction(add_word(s.action, known, "segments"), s.start, s.end) for s in marks.segments]
    return [OwnAction(add_word(action, known, "action"), int(frames[0]), int(frames[-1]))]


def add_word(text: str, known: list[str], what: str) -> str:
    """Return a word as the data spells it; a new one is added to ``known``."""
    word = clean_label(text)
    if not word:
        raise UserError(what, text, "a name")
    for other in known:
        if spelling(other) == spelling(word):
            return other
    known.append(word)
    return word


def offered_relations(file: OwnFile, subject: str, thing: str, *, itself: bool = False) -> list[str]:
    """Return the relations that a pair of classes can carry.

    Args:
        file: Own data, which list them.
        subject: The class of the one that acts.
        thing: The class of the other. A class that no pair has yet can carry what others in its place can.
        itself: The two are one thing, and its relations are states.
    """
    listed = {(a.subject, a.object): a.relations for a in file.allowed}
    if itself or subject == thing:  # two things of one class are not the state of one
        return listed.get((subject, thing), []) if itself else []
    if (subject, thing) in listed:
        return listed[subject, thing]
    known = {name for pair in listed for name in pair}
    new = (subject not in known, thing not in known)
    found = {
        relation
        for (a, b), relations in listed.items()
        if any(new) and a != b and (new[0] or a == subject) and (new[1] or b == thing)
        for relation in relations
    }
    return [relation for relation in file.relations if relation in found]


def hold_labels(points: list[tuple[float, int, str]], tracks: Tracks) -> list[tuple[float, int, str]]:
    """Return time, frame and relation at each frame of the tracks: that of the nearest point, none outside of them."""
    if not points:
        return [(time, int(frame), "") for time, frame in zip(tracks.times.tolist(), tracks.frames, strict=True)]
    numbers = np.array([frame for _, frame, _ in points])
    out = []
    for time, frame in zip(tracks.times.tolist(), tracks.frames.tolist(), strict=True):
        inside = numbers[0] <= frame <= numbers[-1]
        out.append((time, frame, points[int(np.abs(numbers - frame).argmin())][2] if inside else ""))
    return out


def mark_relations(
    pair: Pair,
    labels: Iterable[tuple[float, int, str]],
    marks: Iterable[Marked],
    kinds: dict[str, str],
    file: OwnFile,
) -> list[OwnRelation]:
    """Return the runs of one relation of a pair: a person's where marked, elsewhere as given; no name is no relation.

    Args:
        pair: Subject and object.
        labels: Time, frame and relation of each listed frame.
        marks: The person's, of this pair; the last one wins.
        kinds: The class of each thing.
        file: The own data: a pair that is new to it may carry its relations from now on.

    Raises:
        UserError: For a relation that the pair cannot carry.
    """
    marks = list(marks)
    a, b = (kinds[name] for name in pair)
    offered = offered_relations(file, a, b, itself=pair[0] == pair[1])
    for mark in marks:
        if mark.end < mark.start:
            raise UserError("relations", f"from {mark.start:.2f} s to {mark.end:.2f} s", "an end after the start")
        if mark.relation and mark.relation not in offered:
            what = f"{pair[0]} – {pair[1]}" if pair[0] != pair[1] else pair[0]
            expected = f"one of {', '.join(offered)}" if offered else f"no relation: {what} can carry none"
            raise UserError(f"relations of {what}", mark.relation, expected)
    if any(mark.relation for mark in marks) and (a, b) not in {(one.subject, one.object) for one in file.allowed}:
        file.allowed.append(Allowed(a, b, list(offered)))
    chosen = []
    for time, frame, label in labels:
        own = [m.relation for m in marks if m.start - TIME_TOLERANCE <= time <= m.end + TIME_TOLERANCE]
        chosen.append((own[-1] if own else label, frame))
    out = []
    for label, run in groupby(chosen, key=lambda row: row[0]):
        frames = [frame for _, frame in run]
        if label:
            out.append(OwnRelation(pair, label, frames[0], frames[-1]))
    return out
