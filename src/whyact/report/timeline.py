"""What happened when: lanes, runs, tokens, segments and curves on one axis of seconds, as percentages of its width."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from whyact import wording
from whyact.prediction import Evidence, Prediction, Segment, Track, TrackPoint
from whyact.report.scene import track_of

_TICKS = 6
_NUMBERED = 9  # evidence on the axis up to this rank bears its number
_CLEAR = 4.0  # percent of the axis: a number is as wide on a phone
_MOST_LANES = 8  # that stand open; the rest is folded
_MOST_SEGMENT_LANES = 4
_MOST_RUNS = 24  # words on an open lane, the longest runs first; a script adds those that a zoom makes room for
_MOST_FOLDED_RUNS = 6
_APART = 60  # cells up to which each token is drawn with a gap to the next
_GAP = 1.5  # thousandths of the axis
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Axis:
    """A span of seconds; :meth:`at` gives a time's place in percent."""

    start: float
    end: float
    long: bool = False  # times are written as h:mm:ss whatever the axis spans

    def at(self, time: float) -> float:
        """Return the place of a time in percent of the width, kept within 0..100."""
        return round(min(100.0, max(0.0, 100 * (time - self.start) / (self.end - self.start))), 2)

    def box(self, start: float, end: float) -> tuple[float, float]:
        """Return left and width in percent of a span."""
        left = self.at(start)
        return left, round(self.at(end) - left, 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Return about six round times with their places."""
        finest = 0.1 if self.clock else 0.01  # what a tick's text can tell apart
        step = max(finest, _step((self.end - self.start) / _TICKS))
        first = math.ceil(round(self.start / step, 6))
        last = math.floor(round(self.end / step, 6))
        times = [round(i * step, 9) for i in range(first, last + 1)]
        return [(self.at(t), wording.format_time(t, unit=False, clock=self.clock)) for t in times or [self.start]]

    @property
    def clock(self) -> bool:
        """Tell whether times are written as ``h:mm:ss``."""
        return self.long or wording.needs_clock(self.start, self.end)

    @property
    def unit(self) -> str:
        """Say how the ticks are written."""
        return "seconds" if not self.clock else "min:s" if self.end < 3600 else "h:min:s"


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens with one name."""

    left: float
    width: float
    label: str
    kept: int
    total: int
    when: str


@dataclass(frozen=True)
class Mark:
    """A piece of evidence on the axis; only one that is ``numbered`` has room for its number."""

    left: float
    width: float
    rank: int
    deciding: bool
    text: str
    when: str
    name: str = ""
    numbered: bool = True


@dataclass(frozen=True)
class Lane:
    """One track over time. ``kept_path`` and ``dropped_path`` draw its tokens in a field of 1000 x 10."""

    slot: int
    names: tuple[str, ...]
    runs: list[Run]
    kept_path: str
    dropped_path: str
    points: list[TrackPoint]
    marks: list[Mark]
    kept: int
    contribution: float | None
    deciding: bool


@dataclass(frozen=True)
class SegmentBar:
    """A segment as a bar; ``whiskers`` are left and width of its uncertain ends. An ``annotated`` one has no score."""

    left: float
    width: float
    text: str
    when: str
    row: int
    strength: float
    whiskers: list[tuple[float, float]]
    annotated: bool = False


@dataclass(frozen=True)
class SegmentLane:
    """All segments of one label, in as many rows as they need not to overlap; annotated ones have the first rows."""

    label: str
    bars: list[SegmentBar]
    rows: int
    found: int


@dataclass(frozen=True)
class Timeline:
    """Everything that a page draws over time."""

    axis: Axis
    whole: str
    band: tuple[float, float] | None
    band_text: str
    segments: list[SegmentLane]
    more_segments: list[SegmentLane]
    loose: list[Mark]
    shown: list[Lane]
    folded: list[Lane]
    unpaired: int


def timeline(prediction: Prediction) -> Timeline | None:
    """Lay a prediction out over time; ``None`` when it has nothing that lies in time."""
    timed = [
        (place, e)
        for place, e in wording.number_evidence(prediction)
        if e.kind != "neighbour" and _finite(e.start, e.end)
    ]
    named = [t for t in prediction.tracks if is_named(t)]
    times = [p.time for t in named for p in t.points] + [x for c in prediction.curves for x in c.times]
    times += [x for s in (*prediction.segments, *prediction.annotated) for x in (s.start, s.end)]
    times += [x for _, e in timed for x in (e.start, e.end)]
    times = [t for t in times if math.isfinite(t)]
    if not times and not named:
        return None
    samples = sorted({p.time for t in named for p in t.points if math.isfinite(p.time)})
    edges = _edges(samples)
    duration = prediction.video.duration if math.isfinite(prediction.video.duration) else 0.0
    axis, whole = _axis(times, [*edges[:1], *edges[-1:]], duration)
    axis = replace(axis, long=wording.uses_clock(prediction))
    first = wording.find_deciding(prediction)
    deciding = next((e for _, e in timed if e is first), None)
    marks = [(track_of(prediction, e), e, _mark(place, e, axis, deciding)) for place, e in timed]
    lanes = []
    for track in named:
        own = [(e, mark) for owner, e, mark in marks if owner is track]
        lanes.append(_lane(track, own, axis, samples, edges))
    lanes.sort(key=lambda lane: (not lane.deciding, _falling(lane.contribution), -lane.kept))
    segments = _segments(prediction, axis)
    room = max(_MOST_LANES - min(len(segments), _MOST_SEGMENT_LANES) - min(len(prediction.curves), 2), 1)
    count = min(sum(bool(lane.kept or lane.deciding) for lane in lanes), room)
    return Timeline(
        axis=axis,
        whole=whole,
        band=axis.box(deciding.start, deciding.end) if deciding else None,
        band_text=wording.format_span(deciding.start, deciding.end, clock=axis.clock) if deciding else "",
        segments=segments[:_MOST_SEGMENT_LANES],
        more_segments=segments[_MOST_SEGMENT_LANES:],
        loose=_numbered([mark for owner, _, mark in marks if owner is None or not is_named(owner)]),
        shown=lanes[:count],
        folded=[replace(lane, runs=_longest(lane.runs, _MOST_FOLDED_RUNS)) for lane in lanes[count:]],
        unpaired=len({t.subject for t in prediction.tracks if not is_named(t)}),
    )


def is_named(track: Track) -> bool:
    """Tell whether anything is said of a track; a thing that is in no pair is followed for the eye only."""
    return not track.points or any(p.label or p.kept for p in track.points)


def _axis(times: list[float], edges: list[float], duration: float) -> tuple[Axis, str]:
    """Span the whole video, or only what is told about it when that is less than half; then say so.

    A single moment does not say how far to go in: it gets the whole video, or a second where the length is unknown.
    """
    if not times or max(times) - min(times) < 1e-3:
        moment = times[0] if times else 0.0
        return (Axis(0.0, duration) if 0.0 <= moment <= duration > 0 else Axis(moment - 0.5, moment + 0.5)), ""
    low, high = min([*times, *edges]), max([*times, *edges])
    if low < 0 or high - low >= duration / 2:
        return Axis(min(low, 0.0) if duration > 0 else low, max(high, duration)), ""
    return Axis(low, high), f"Shown: {wording.format_span(low, high)} of a video of {wording.format_time(duration)}."


def _step(rough: float) -> float:
    """Return the next round step of seconds, minutes or hours."""
    if rough < 1:
        power = 10.0 ** math.floor(math.log10(rough))
        return next((power * m for m in (1, 2, 5) if power * m >= rough), 10 * power)
    hours = math.ceil(rough / 3600)
    return float(next((s for s in _STEPS if s >= rough), 3600 * 2 ** math.ceil(math.log2(hours))))


def _edges(samples: list[float]) -> list[float]:
    """Return the borders of the sampled times: a token owns the time up to half way to its neighbours."""
    if not samples:
        return []
    if len(samples) == 1:
        return [max(samples[0] - 0.5, min(0.0, samples[0])), samples[0] + 0.5]
    middles = [(a + b) / 2 for a, b in pairwise(samples)]
    first, last = samples[0] - (middles[0] - samples[0]), samples[-1] + (samples[-1] - middles[-1])
    return [max(first, min(0.0, samples[0])), *middles, last]


def _lane(
    track: Track, evidence: list[tuple[Evidence, Mark]], axis: Axis, samples: list[float], edges: list[float]
) -> Lane:
    points = sorted((p for p in track.points if math.isfinite(p.time)), key=lambda p: p.time)
    cells = [axis.box(*_cell(p, samples, edges)) for p in points]
    runs = []
    for label, group in groupby(points, key=lambda p: wording.format_label(p.label)):
        own = list(group)
        begin, finish = _cell(own[0], samples, edges)[0], _cell(own[-1], samples, edges)[1]
        left, width = axis.box(begin, finish)
        when = wording.format_span(own[0].time, own[-1].time, clock=axis.clock)
        runs.append(Run(left, width, label, sum(p.kept for p in own), len(own), when))
    drops = [e.contribution for e, _ in evidence if math.isfinite(e.contribution)]
    return Lane(
        slot=track.slot,
        names=wording.list_pair(track.subject, track.object),
        runs=_longest(runs, _MOST_RUNS),
        kept_path=_path([cell for cell, p in zip(cells, points, strict=True) if p.kept], len(cells) <= _APART, 0, 10),
        dropped_path=_path(
            [cell for cell, p in zip(cells, points, strict=True) if not p.kept], len(cells) <= _APART, 3.5, 3
        ),
        points=points,
        marks=[mark for _, mark in evidence],
        kept=sum(p.kept for p in points),
        contribution=max(drops, default=None),
        deciding=any(mark.deciding for _, mark in evidence),
    )


def _longest(runs: list[Run], most: int) -> list[Run]:
    """Return the widest runs, in the order of time."""
    widest = sorted(range(len(runs)), key=lambda i: -runs[i].width)[:most]
    return [runs[i] for i in sorted(widest)]


def _path(cells: list[tuple[float, float]], apart: bool, top: float, height: float) -> str:
    """Return SVG path data of (left, width) in percent: one bar a cell, or one a run of cells that touch."""
    bars: list[tuple[float, float]] = []
    for left, width in cells:
        if bars and not apart and left <= sum(bars[-1]) + 0.02:
            bars[-1] = (bars[-1][0], left + width - bars[-1][0])
        else:
            bars.append((left, width))
    gap = _GAP if apart else 0.0
    return "".join(
        f"M{10 * left:.4g} {top:g}h{max(10 * width - gap, 0.5):.4g}v{height:g}H{10 * left:.4g}z" for left, width in bars
    )


def _cell(point: TrackPoint, samples: list[float], edges: list[float]) -> tuple[float, float]:
    index = bisect_left(samples, point.time)
    return edges[index], edges[index + 1]


def _mark(place: int, evidence: Evidence, axis: Axis, deciding: Evidence | None) -> Mark:
    left, width = axis.box(evidence.start, evidence.end)
    text = wording.format_change(evidence) or wording.format_label(evidence.label) or evidence.text or evidence.kind
    when = wording.format_span(evidence.start, evidence.end, clock=axis.clock)
    name = " – ".join(wording.list_pair(evidence.subject, evidence.object))
    return Mark(left, width, place, evidence is deciding, text, when, name)


def _numbered(marks: list[Mark]) -> list[Mark]:
    """Leave the number to the first mark of each rank that stands clear of the numbers before it; wide marks last."""
    taken: list[tuple[float, int]] = []
    chosen = set()
    for mark in sorted(marks, key=lambda m: (not m.deciding, m.rank, m.width)):
        middle = mark.left + mark.width / 2
        if mark.rank <= _NUMBERED and all(abs(middle - at) >= _CLEAR and mark.rank != rank for at, rank in taken):
            taken.append((middle, mark.rank))
            chosen.add(id(mark))
    return [replace(mark, numbered=id(mark) in chosen) for mark in sorted(marks, key=lambda m: -m.width)]


def _segments(prediction: Prediction, axis: Axis) -> list[SegmentLane]:
    """Return a lane for each label: the answer, then best segment first; labels that were not found come last."""
    found, known = (
        [s for s in segments if _finite(s.start, s.end, s.score)]
        for segments in (sorted(prediction.segments, key=lambda s: -s.score), prediction.annotated)
    )
    lanes = []
    labels = dict.fromkeys(s.label for s in (*found, *known))
    for label in sorted(labels, key=lambda label: label != prediction.label):  # the answer first
        own = [s for s in found if s.label == label]
        annotated, first = _rows([s for s in known if s.label == label], axis, 0, annotated=True)
        bars, rows = _rows(own, axis, first)
        lanes.append(SegmentLane(wording.format_label(label), annotated + bars, rows, len(own)))
    return lanes


def _rows(segments: list[Segment], axis: Axis, first: int, *, annotated: bool = False) -> tuple[list[SegmentBar], int]:
    """Lay segments out in rows from ``first`` on, so that none overlaps another; return them and the next free row."""
    ends: list[float] = []
    bars = []
    for s in sorted(segments, key=lambda s: s.start):
        early, late = s.interval if s.interval and _finite(*s.interval) else (0.0, 0.0)
        row = next((i for i, end in enumerate(ends) if end <= s.start - early), len(ends))
        ends[row : row + 1] = [s.end + late]
        whiskers = [axis.box(s.start - early, s.start + early), axis.box(s.end - late, s.end + late)]
        doubt = f", give or take {wording.format_time(early)} and {wording.format_time(late)}" if early or late else ""
        bars.append(
            SegmentBar(
                *axis.box(s.start, s.end),
                text="annotated" if annotated else wording.format_score(s.score),
                when=wording.format_span(s.start, s.end, clock=axis.clock) + doubt,
                row=first + row,
                strength=min(1.0, max(0.0, s.score)),
                whiskers=[w for w in whiskers if w[1] > 0],
                annotated=annotated,
            )
        )
    return bars, first + len(ends)


def _falling(contribution: float | None) -> float:
    return math.inf if contribution is None else -contribution


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))
