"""Temporal proposals: runs above a threshold, scored by what lies inside against what lies outside.

Units are snippet indices, intervals half-open. Source: outer-inner contrast, as in docs/pvlr.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64, Index


def runs(mask: NDArray[np.bool_]) -> tuple[Index, Index, Index]:
    """Return row, start and end of every maximal run of true values in (R,T), by row, then by time."""
    edges = np.zeros((mask.shape[0], mask.shape[1] + 1), dtype=bool)
    edges[:, 1:-1] = mask[:, 1:] != mask[:, :-1]
    edges[:, 0], edges[:, -1] = mask[:, 0], mask[:, -1]
    rows, at = np.nonzero(edges)  # edges alternate: start, end, start, end, ...
    return rows[0::2], at[0::2], at[1::2]


def min_max(curve: Float64) -> Float64:
    """Scale every row of (R,T) to 0..1; a constant row becomes 0."""
    low = curve.min(axis=1, keepdims=True)
    span = curve.max(axis=1, keepdims=True) - low
    return (curve - low) / np.where(span > 0, span, 1)


def outer_inner(curve: Float64, rows: Index, starts: Index, ends: Index, window: float) -> Float64:
    """Return mean inside minus mean in the two outer windows of every run.

    Args:
        curve: (R,T) the curve to average.
        rows: (N,) which row of ``curve`` a run is scored on.
        starts: (N,) first snippets.
        ends: (N,) one past the last snippets.
        window: Outer window as a share of the run's length; truncated to whole snippets, so a short run
            has one snippet on the left and none on the right. An empty outer part counts 0.

    Returns:
        (N,) differences.
    """
    length = curve.shape[1]
    sums = np.zeros((curve.shape[0], length + 1))
    np.cumsum(curve, axis=1, out=sums[:, 1:])
    inside = ends - starts
    reach = window * inside
    left = np.maximum(0, np.trunc(starts - reach)).astype(np.intp)
    right = np.minimum(length - 1, np.trunc(ends - 1 + reach)).astype(np.intp) + 1
    inner = sums[rows, ends] - sums[rows, starts]
    outer = sums[rows, starts] - sums[rows, left] + sums[rows, right] - sums[rows, ends]
    count = (starts - left) + (right - ends)
    return inner / inside - np.where(count > 0, outer / np.maximum(count, 1), 0.0)
