"""What happened when: lanes, runs, tokens, segments and curves on one axis of seconds, as percentages of its width."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from whyact import wording
from whyact.prediction import Evidence, Prediction, Segment, Track, TrackPoint
from whyact.report.scene import track_of

_TICKS = 6
_NUMBERED = 9  # evidence on the axis up to this rank bears its number
_CLEAR = 4.0  # percent of the axis: a number is as wide on a phone
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Axis:
    """A span of seconds; :meth:`at` gives a time's place in percent."""

    start: float
    end: float

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
        return wording.needs_clock(self.start, self.end)

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
    """One track over time. ``cells`` are (left, width, kept), in the order of ``points``."""

    slot: int
    names: tuple[str, ...]
    runs: list[Run]
    cells: list[tuple[float, float, bool]]
    points: list[TrackPoint]
    marks: list[Mark]
    kept: int
    contribution: float | None
    deciding: bool


@dataclass(frozen=True)
class SegmentBar:
    """A segment as a bar; ``whisker`` is left and width of its uncertain ends."""

    left: float
    width: float
    text: str
    when: str
    row: int
    strength: float
    whiskers: list[tuple[float, float]]


@dataclass(frozen=True)
class SegmentLane:
    """All segments of one label, in as many rows as they need not to overlap."""

    label: str
    bars: list[SegmentBar]
    rows: int


@dataclass(frozen=True)
class Timeline:
    """Everything that a page draws over time."""

    axis: Axis
    whole: str
    band: tuple[float, float] | None
    band_text: str
    segments: list[SegmentLane]
    loose: list[Mark]
    shown: list[Lane]
    folded: list[Lane]


def timeline(prediction: Prediction) -> Timeline | None:
    """Lay a prediction out over time; ``None`` when it has nothing that lies in time."""
    ranked = wording.number_evidence(prediction.evidence)
    timed = [(place, e) for place, e in ranked if e.kind != "neighbour" and _finite(e.start, e.end)]
    times = [p.time for t in prediction.tracks for p in t.points] + [x for c in prediction.curves for x in c.times]
    times += [x for s in prediction.segments for x in (s.start, s.end)] + [
        x for _, e in timed for x in (e.start, e.end)
    ]
    times = [t for t in times if math.isfinite(t)]
    if not times and not prediction.tracks:
        return None
    samples = sorted({p.time for t in prediction.tracks for p in t.points if math.isfinite(p.time)})
    edges = _edges(samples)
    duration = prediction.video.duration if math.isfinite(prediction.video.duration) else 0.0
    axis, whole = _axis(times, [*edges[:1], *edges[-1:]], duration)
    first = wording.find_deciding(prediction)
    deciding = next((e for _, e in timed if e is first), None)
    marks = [(track_of(prediction, e), e, _mark(place, e, axis, deciding)) for place, e in timed]
    lanes = []
    for track in prediction.tracks:
        own = [(e, mark) for owner, e, mark in marks if owner is track]
        lanes.append(_lane(track, own, axis, samples, edges))
    lanes.sort(key=lambda lane: (not lane.deciding, _falling(lane.contribution), -lane.kept))
    return Timeline(
        axis=axis,
        whole=whole,
        band=axis.box(deciding.start, deciding.end) if deciding else None,
        band_text=wording.format_span(deciding.start, deciding.end) if deciding else "",
        segments=_segments(prediction.segments, axis),
        loose=_numbered([mark for owner, _, mark in marks if owner is None]),
        shown=[lane for lane in lanes if lane.kept or lane.deciding],
        folded=[lane for lane in lanes if not lane.kept and not lane.deciding],
    )


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
    runs = []
    for label, group in groupby(points, key=lambda p: wording.format_label(p.label)):
        own = list(group)
        begin, finish = _cell(own[0], samples, edges)[0], _cell(own[-1], samples, edges)[1]
        left, width = axis.box(begin, finish)
        when = wording.format_span(own[0].time, own[-1].time)
        runs.append(Run(left, width, label, sum(p.kept for p in own), len(own), when))
    drops = [e.contribution for e, _ in evidence if math.isfinite(e.contribution)]
    return Lane(
        slot=track.slot,
        names=wording.list_pair(track.subject, track.object),
        runs=runs,
        cells=[(*axis.box(*_cell(p, samples, edges)), p.kept) for p in points],
        points=points,
        marks=[mark for _, mark in evidence],
        kept=sum(p.kept for p in points),
        contribution=max(drops, default=None),
        deciding=any(mark.deciding for _, mark in evidence),
    )


def _cell(point: TrackPoint, samples: list[float], edges: list[float]) -> tuple[float, float]:
    index = bisect_left(samples, point.time)
    return edges[index], edges[index + 1]


def _mark(place: int, evidence: Evidence, axis: Axis, deciding: Evidence | None) -> Mark:
    left, width = axis.box(evidence.start, evidence.end)
    text = wording.format_change(evidence) or wording.format_label(evidence.label) or evidence.text or evidence.kind
    when = wording.format_span(evidence.start, evidence.end)
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


def _segments(segments: Iterable[Segment], axis: Axis) -> list[SegmentLane]:
    lanes = []
    usable = [s for s in segments if _finite(s.start, s.end, s.score)]
    by_label: dict[str, list[Segment]] = {}
    for segment in sorted(usable, key=lambda s: -s.score):
        by_label.setdefault(segment.label, []).append(segment)
    for label, own in by_label.items():
        ends: list[float] = []
        bars = []
        for s in sorted(own, key=lambda s: s.start):
            early, late = s.interval if s.interval and _finite(*s.interval) else (0.0, 0.0)
            row = next((i for i, end in enumerate(ends) if end <= s.start - early), len(ends))
            ends[row : row + 1] = [s.end + late]
            whiskers = [axis.box(s.start - early, s.start + early), axis.box(s.end - late, s.end + late)]
            doubt = (
                f", give or take {wording.format_time(early)} and {wording.format_time(late)}" if early or late else ""
            )
            when = wording.format_span(s.start, s.end) + doubt
            strength = min(1.0, max(0.0, s.score))
            kept = [w for w in whiskers if w[1] > 0]
            bars.append(SegmentBar(*axis.box(s.start, s.end), wording.format_score(s.score), when, row, strength, kept))
        lanes.append(SegmentLane(wording.format_label(label), bars, len(ends)))
    return lanes


def _falling(contribution: float | None) -> float:
    return math.inf if contribution is None else -contribution


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))
