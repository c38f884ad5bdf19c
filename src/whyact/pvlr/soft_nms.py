"""Gaussian soft non-maximum suppression in one dimension."""

from __future__ import annotations

import numpy as np

from whyact.arrays import Float64

_MATRIX_LIMIT = 2048  # above it the n*n decay matrix would cost more memory than it saves time


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

    def decay(i: slice | int) -> Float64:
        s, e, own = (v[i, None] if isinstance(i, slice) else v[i] for v in (starts, ends, lengths))
        overlap = np.maximum(0.0, np.minimum(e, ends) - np.maximum(s, starts) + extra)
        return np.exp(-np.square(overlap / (own + lengths - overlap)) / sigma)

    matrix = decay(slice(None)) if n <= _MATRIX_LIMIT else None
    live = np.array(scores, dtype=np.float64)
    result = np.empty(n)
    for _ in range(n):
        i = int(live.argmax())
        result[i] = live[i]
        live[i] = -np.inf  # stays there: a decay is a positive factor
        live *= matrix[i] if matrix is not None else decay(i)
    return result
