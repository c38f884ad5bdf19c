"""Relations measured from boxes: how near two things are, and how they move. True of the boxes by construction.

Everything is a ratio of lengths, so that the answer is the same in another image size, mirrored or moved. A state
changes only when its measure has passed the threshold by a margin (hysteresis), after a running median over time: a
detector's jitter makes no change. Axis letters: T frames, K pairs, R relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.data.types import MEASURED, MOTION

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class MeasureSettings:
    """Thresholds of the measures, each with the margin by which it must be passed.

    Lengths are in sizes: the square root of a box's area, averaged over both boxes. Closeness is minus the gap between
    them, or the share of the smaller box that lies in the other.

    Args:
        near: Closeness from which things are near, not apart.
        touching: From which they touch.
        overlapping: From which they overlap: a fifth of the smaller box.
        inside: From which the smaller is inside the other.
        margins: Of the four.
        speed: Sizes a second, of the change of distance (approaching, leaving) or of both things (moving together).
        speed_margin: Of it.
        smooth: Seconds of the running median.
        steady: Seconds that a state lasts at least, but for the first and the last; a shorter one is passed over.
        baseline: Seconds over which speed is taken.
        bridge: Seconds without a detection after which a track is uncertain.
    """

    near: float = -0.5
    touching: float = 0.0
    overlapping: float = 0.2
    inside: float = 0.9
    margins: tuple[float, float, float, float] = (0.12, 0.06, 0.1, 0.04)
    speed: float = 0.35
    speed_margin: float = 0.15
    smooth: float = 0.6
    steady: float = 0.5
    baseline: float = 0.6
    bridge: float = 0.35


def measured_relations(
    subjects: NDArray[np.floating],
    objects: NDArray[np.floating],
    times: NDArray[np.float64],
    certain: Bool | None = None,
    settings: MeasureSettings | None = None,
) -> Bool:
    """Measure the relations of pairs of boxes over time.

    Args:
        subjects: Boxes (T,K,4) xyxy; a box without an area is not known.
        objects: The same.
        times: Seconds (T,), rising.
        certain: (T,K) where both boxes can be relied on; where both are known, by default.
        settings: Thresholds.

    Returns:
        (T,K,R) in the order of :data:`MEASURED`: one relation of each group, none where a pair is uncertain.
    """
    s = settings or MeasureSettings()
    a, b = (np.asarray(boxes, dtype=np.float64) for boxes in (subjects, objects))
    known = (a[..., 2:] > a[..., :2]).all(-1) & (b[..., 2:] > b[..., :2]).all(-1)
    certain = np.asarray(known if certain is None else known & certain)
    out = np.zeros((*known.shape, len(MEASURED)), dtype=bool)
    if not certain.any():
        return out
    window = _half_window(times, s.smooth)
    areas = [np.where(certain, np.clip(x[..., 2:] - x[..., :2], 0, None).prod(-1), np.nan) for x in (a, b)]
    size = (np.sqrt(areas[0]) + np.sqrt(areas[1])) / 2
    closeness = _median(_closeness(a, b, areas, size), window)
    thresholds = np.array([s.near, s.touching, s.overlapping, s.inside])
    steady = max(1, round(s.steady / step)) if (step := _step(times)) > 0 else 1
    level = _steady(_hysteresis(closeness, thresholds, np.array(s.margins)), steady)
    larger = _hysteresis(_median(np.log(areas[0] / areas[1]), window), np.zeros(1), np.full(1, 0.2))
    level = np.where((level == 4) & (larger == 1), 5, level)

    centers = [np.where(certain[..., None], (x[..., :2] + x[..., 2:]) / 2, np.nan) for x in (a, b)]
    scale = _median(size, window)
    away = _median(np.linalg.norm(centers[0] - centers[1], axis=-1), window)
    rate = _speed(away, times, s.baseline) / scale
    moves = [_moves(x, certain, times, window, s.baseline) for x in (a, b)]
    margin = np.full(2, s.speed_margin)
    change = _hysteresis(rate, np.array([-s.speed, s.speed]), margin)  # 0 approaching, 1 neither, 2 leaving
    together = _hysteresis(np.minimum(*moves) / scale, np.array([s.speed]), margin[:1])
    motion = np.where(change == 0, 1, np.where(change == 2, 2, np.where(together == 1, 3, 0)))
    motion = _steady(motion, steady)

    frames, pairs = np.nonzero(certain)
    out[frames, pairs, motion[certain]] = True
    out[frames, pairs, len(MOTION) + level[certain]] = True
    return out


def true_of_boxes(
    subjects: NDArray[np.floating],
    objects: NDArray[np.floating],
    distance: NDArray[np.int64],
    settings: MeasureSettings | None = None,
) -> Bool:
    """Tell where a measured distance is true of the very boxes of that moment.

    Smoothing and hysteresis make a state lag by a few frames. Over a change the boxes of a single frame may already be
    on the other side, and whoever looks at that frame would not agree.

    Args:
        subjects: Boxes (T,K,4) xyxy.
        objects: The same.
        distance: (T,K) positions in :data:`DISTANCE`; negative where there is none.
        settings: Thresholds, each of which may be missed by its margin.

    Returns:
        (T,K).
    """
    s = settings or MeasureSettings()
    a, b = (np.asarray(boxes, dtype=np.float64) for boxes in (subjects, objects))
    known = (a[..., 2:] > a[..., :2]).all(-1) & (b[..., 2:] > b[..., :2]).all(-1)
    areas = [np.where(known, np.clip(x[..., 2:] - x[..., :2], 0, None).prod(-1), np.nan) for x in (a, b)]
    closeness = _closeness(a, b, areas, (np.sqrt(areas[0]) + np.sqrt(areas[1])) / 2)
    thresholds, margins = np.array([s.near, s.touching, s.overlapping, s.inside]), np.array(s.margins)
    low, high = np.append(-np.inf, thresholds - margins), np.append(thresholds + margins, np.inf)
    level = distance.clip(0, len(thresholds))  # inside and containing are one level
    return known & (distance >= 0) & (closeness >= low[level]) & (closeness <= high[level])


def measured_motion(
    boxes: NDArray[np.floating],
    times: NDArray[np.float64],
    certain: Bool | None = None,
    settings: MeasureSettings | None = None,
) -> Bool:
    """Measure whether things that are alone move.

    Args:
        boxes: (T,K,4) xyxy; a box without an area is not known.
        times: Seconds (T,), rising.
        certain: (T,K) where a box can be relied on; where it is known, by default.
        settings: Thresholds.

    Returns:
        (T,K,R) in the order of :data:`MEASURED`: still or moving, none where a track is uncertain.
    """
    s = settings or MeasureSettings()
    a = np.asarray(boxes, dtype=np.float64)
    known = (a[..., 2:] > a[..., :2]).all(-1)
    certain = np.asarray(known if certain is None else known & certain)
    out = np.zeros((*known.shape, len(MEASURED)), dtype=bool)
    if not certain.any():
        return out
    window = _half_window(times, s.smooth)
    sides = np.clip(a[..., 2:] - a[..., :2], 0, None)
    size = _median(np.where(certain, np.sqrt(sides.prod(-1)), np.nan), window)
    speed = _moves(a, certain, times, window, s.baseline) / size
    moving = _hysteresis(speed, np.array([s.speed]), np.array([s.speed_margin])) == 1
    out[..., MEASURED.index("moving")] = certain & moving
    out[..., MEASURED.index("still")] = certain & ~moving
    return out


def _moves(boxes: Float64, certain: Bool, times: NDArray[np.float64], window: int, baseline: float) -> Float64:
    """Return the speed (T,K) of boxes' centers in pixels a second."""
    centers = np.where(certain[..., None], (boxes[..., :2] + boxes[..., 2:]) / 2, np.nan)
    parts = [_speed(_median(centers[..., i], window), times, baseline) for i in (0, 1)]
    return np.asarray(np.linalg.norm(np.stack(parts), axis=0))


def certain_frames(seen: Bool, known: Bool, times: NDArray[np.float64], bridge: float | None = None) -> Bool:
    """Return where tracks (T,K) can be relied on: a detector saw them then or shortly before and after.

    Args:
        seen: (T,K) where a detector saw the thing.
        known: (T,K) where there is a box, seen or filled in.
        times: Seconds (T,).
        bridge: Longest gap in seconds over which a filled-in box is relied on.
    """
    bridge = MeasureSettings().bridge if bridge is None else bridge
    moments = np.where(seen, times[:, None], np.nan)
    before = np.fmax.accumulate(np.where(np.isnan(moments), -np.inf, moments), 0)
    after = np.fmin.accumulate(np.where(np.isnan(moments), np.inf, moments)[::-1], 0)[::-1]
    return known & (after - before <= bridge + 1e-9)


def _closeness(a: Float64, b: Float64, areas: list[Float64], size: Float64) -> Float64:
    """Return (T,K): minus the gap between two boxes in sizes, or the shared part of the smaller; NaN where unknown."""
    side = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    gap = np.linalg.norm(np.clip(-side, 0, None), axis=-1)
    shared = np.clip(side, 0, None).prod(-1) / np.fmin(*areas)
    return np.where(gap > 0, -gap / size, shared)


def _steady(states: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Return states (T,K) in which every run but the first and the last lasts ``least`` frames: shorter ones go on as
    what was before them, the shortest first."""
    out = states.copy()
    for k in range(out.shape[1]):
        row = out[:, k]
        while True:
            starts = np.concatenate([[0], np.flatnonzero(np.diff(row)) + 1])
            lengths = np.diff(np.append(starts, len(row)))
            inner = np.flatnonzero(lengths[1:-1] < least) + 1
            if not len(inner):
                break
            i = int(inner[lengths[inner].argmin()])
            row[starts[i] : starts[i] + lengths[i]] = row[starts[i] - 1]
    return out


def _step(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _half_window(times: NDArray[np.float64], seconds: float) -> int:
    step = _step(times)
    return int(seconds / 2 / step + 1e-6) if step > 0 else 0


def _median(values: Float64, half: int) -> Float64:
    """Return the running median (T,K) over ``half`` frames on both sides, of what is known; NaN stays NaN."""
    if half < 1:
        return values
    padded = np.pad(values, ((half, half), (0, 0)), constant_values=np.nan)
    stack = np.stack([padded[i : i + len(values)] for i in range(2 * half + 1)])
    out = values.copy()
    there = ~np.isnan(values)
    out[there] = np.nanmedian(stack[:, there], axis=0)
    return out


def _speed(values: Float64, times: NDArray[np.float64], baseline: float) -> Float64:
    """Return the slope (T,K) per second over about ``baseline`` seconds; 0 where there is no other known frame."""
    half = max(1, _half_window(times, baseline))
    out = np.zeros_like(values)
    for t in range(len(values)):
        low, high = max(0, t - half), min(len(values) - 1, t + half)
        if high > low:
            rise = values[high] - values[low]
            near = values[min(t + 1, high)] - values[max(t - 1, low)]  # an end is not known: the neighbours
            span = times[high] - times[low]
            close = times[min(t + 1, high)] - times[max(t - 1, low)]
            out[t] = np.where(np.isnan(rise), near / max(close, 1e-9), rise / max(span, 1e-9))
    return np.nan_to_num(out, nan=0.0)


def _hysteresis(values: Float64, thresholds: Float64, margins: Float64) -> NDArray[np.int64]:
    """Return the level (T,K) of values (T,K): how many of the rising thresholds they are above.

    A pair starts at its plain level; it changes where a threshold is passed by its margin. NaN keeps the level.
    """
    level = np.zeros(values.shape, dtype=np.int64)
    began = np.zeros(values.shape[1], dtype=bool)
    current = np.zeros(values.shape[1], dtype=np.int64)
    for t, row in enumerate(values):
        there = ~np.isnan(row)
        plain = (row[:, None] > thresholds).sum(1)
        up = (row[:, None] > thresholds + margins).sum(1)
        down = (row[:, None] > thresholds - margins).sum(1)
        moved = np.clip(current, up, down)
        current = np.where(there, np.where(began, moved, plain), current)
        began |= there
        level[t] = current
    return level
