"""Gaussian soft non-maximum suppression in one dimension."""

from __future__ import annotations

import numpy as np

from whyact.arrays import Float64, Index

_MATRIX_LIMIT = 2048  # above it the n*n decay matrix would cost more memory than it saves time
_FEW = 0.05  # of all pairs overlap, as in a long video: then only those are computed, several times faster


def soft_nms(starts: Float64, ends: Float64, scores: Float64, sigma: float, pixel: bool = False) -> Float64:
    """Return decayed scores: take the highest, decay the rest by exp(-IoU^2/sigma), repeat. Nothing is removed.

    Args:
        starts: (N,).
        ends: (N,).
        scores: (N,), may be negative; a decayed negative score rises towards 0.
        sigma: Width of the decay.
        pixel: Count both end points, as for pixels: length end-start+1.

    Returns:
        (N,) in the order of the input.
    """
    n, extra = len(scores), float(pixel)
    starts, ends = np.asarray(starts, dtype=np.float64), np.asarray(ends, dtype=np.float64)
    lengths = ends - starts + extra

    def decay(i: Index | int, j: Index | slice = slice(None)) -> Float64:
        overlap = np.maximum(0.0, np.minimum(ends[i], ends[j]) - np.maximum(starts[i], starts[j]) + extra)
        return np.exp(-np.square(overlap / (lengths[i] + lengths[j] - overlap)) / sigma)

    pairs = _overlapping(starts, ends + extra, most=int(_FEW * n * n))
    if pairs is not None:
        i, j = pairs
        bounds, values = np.searchsorted(i, np.arange(n + 1)), decay(i, j)
    matrix = decay(np.arange(n)[:, None]) if pairs is None and n <= _MATRIX_LIMIT else None
    live = np.array(scores, dtype=np.float64)
    result = np.empty(n)
    for _ in range(n):
        best = int(live.argmax())
        result[best] = live[best]
        live[best] = -np.inf  # stays there: a decay is a positive factor
        if pairs is not None:
            of = slice(bounds[best], bounds[best + 1])
            live[j[of]] *= values[of]
        else:
            live *= matrix[best] if matrix is not None else decay(best)
    return result


def _overlapping(starts: Float64, ends: Float64, most: int) -> tuple[Index, Index] | None:
    """Return the ordered pairs (i, j) of intervals that may overlap, by ``i``; None for more than ``most``."""
    order = np.argsort(starts, kind="stable")
    after = np.searchsorted(starts[order], ends[order])  # what starts later but before this one's end
    count = np.maximum(after - np.arange(len(order)) - 1, 0)
    total = int(count.sum())
    if 2 * total > most:
        return None
    first = np.repeat(np.arange(len(order)), count)
    second = first + 1 + np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    i, j = np.concatenate([order[first], order[second]]), np.concatenate([order[second], order[first]])
    by_row = np.argsort(i, kind="stable")
    return i[by_row], j[by_row]
