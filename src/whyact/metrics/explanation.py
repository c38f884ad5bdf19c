"""How good the parts of an explanation are: the names it gives, what it keeps, and whether seeds agree.

Leak, selection and naming are different things, so each has its own number. Per-clip arrays come as a
sequence of (T,K) arrays, one a clip; T and K may differ between clips. A token that is kept but not valid
is an error: it would count something that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Bool
from whyact.metrics.recall import class_recall


@dataclass(frozen=True)
class NamingAccuracy:
    """Share of tokens whose name is right: over tokens (``micro``) and averaged over labels (``macro``).

    ``per_label`` (R,) is NaN and ``absent`` lists the label where no token carries it. Static labels
    dominate the micro value, so read both.
    """

    micro: float
    macro: float
    per_label: NDArray[np.float64]
    absent: tuple[int, ...]


@dataclass(frozen=True)
class KeptTokens:
    """Mean kept tokens a clip ("Num"), mean valid tokens a clip, and the ratio of the two (NaN if none is valid)."""

    num: float
    valid: float
    ratio: float


@dataclass(frozen=True)
class SelectionQuality:
    """Whether the kept tokens are the relevant ones, over the tokens of all clips.

    ``precision``: share of kept tokens that are relevant; ``base_rate``: the same for keeping everything.
    ``recall``: share of relevant tokens that are kept; ``elsewhere``: share of the other valid tokens that
    are kept. A blind selector has precision = base rate and recall = elsewhere. NaN where nothing is counted.
    """

    precision: float
    base_rate: float
    recall: float
    elsewhere: float


def naming_accuracy(target: ArrayLike, named: ArrayLike, labels: int, top: int = 1) -> NamingAccuracy:
    """Compute how often the true label is among the first ``top`` names of a token.

    Args:
        target: True label of each token (N,).
        named: Named label (N,), or labels by falling similarity (N,P).
        labels: Number of labels R.
        top: How many of the P names count.

    Raises:
        ValueError: If the shapes do not fit or ``top`` exceeds the names given.
    """
    truth, names = np.asarray(target, dtype=np.int64), np.asarray(named, dtype=np.int64)
    names = names[:, None] if names.ndim == 1 else names
    if truth.ndim != 1 or names.ndim != 2 or len(names) != len(truth) or not 1 <= top <= names.shape[1]:
        raise ValueError(f"target {truth.shape}, names {names.shape}, top {top}: expected (N,), (N,P), 1..P")
    hit = (names[:, :top] == truth[:, None]).any(axis=1)
    recall = class_recall(truth, np.where(hit, truth, -1), labels)
    seen = ~np.isnan(recall)
    return NamingAccuracy(
        micro=float(hit.mean()) if hit.size else float("nan"),
        macro=float(recall[seen].mean()) if seen.any() else float("nan"),
        per_label=recall,
        absent=tuple(int(r) for r in np.flatnonzero(~seen)),
    )


def kept_tokens(kept: Sequence[Bool], valid: Sequence[Bool]) -> KeptTokens:
    """Count kept and valid tokens.

    Args:
        kept: Kept tokens of each clip, (T,K) each.
        valid: Valid tokens of each clip, (T,K) each.
    """
    k, v = _tokens(kept, valid)
    if not len(valid):
        raise ValueError("no clip to count")
    return KeptTokens(float(k.sum() / len(valid)), float(v.sum() / len(valid)), _share(k, v))


def changing_slots(relations: Bool, valid: Bool) -> Bool:
    """Find the slots whose set of relation labels changes between two of their valid frames.

    Args:
        relations: True relation labels (T,K,R), multi-hot.
        valid: Valid tokens (T,K).

    Returns:
        (K,), false for a slot that is valid in less than two frames.
    """
    present = np.asarray(valid, dtype=bool)[..., None]
    labels = np.asarray(relations, dtype=bool)
    ever, always = (labels & present).any(axis=0), (labels | ~present).all(axis=0)
    return (ever & ~always).any(axis=-1)


def selection_quality(kept: Sequence[Bool], valid: Sequence[Bool], relevant: Sequence[Bool]) -> SelectionQuality:
    """Compare kept tokens with the relevant ones.

    Args:
        kept: Kept tokens of each clip, (T,K) each.
        valid: Valid tokens of each clip, (T,K) each.
        relevant: Relevant tokens (T,K) or slots (K,) of each clip, as :func:`changing_slots` finds them.
    """
    k, v = _tokens(kept, valid)
    if len(relevant) != len(valid):
        raise ValueError(f"{len(relevant)} clips of relevant tokens; expected {len(valid)}")
    r = _flat(
        [np.broadcast_to(np.asarray(one, dtype=bool), np.shape(v)) for one, v in zip(relevant, valid, strict=True)]
    )
    r = r & v
    return SelectionQuality(_share(r & k, k), _share(r, v), _share(k & r, r), _share(k & ~r, v & ~r))


def seed_stability(kept: Sequence[Sequence[Bool]], valid: Sequence[Bool]) -> float:
    """Compute the mean IoU of the kept sets over clips and pairs of seeds, 0..1.

    Two empty sets agree: IoU 1.

    Args:
        kept: For each seed the kept tokens of each clip, (T,K) each.
        valid: Valid tokens of each clip, (T,K) each.

    Raises:
        ValueError: If there are fewer than two seeds or no clip.
    """
    if len(kept) < 2 or not len(valid):
        raise ValueError(f"{len(kept)} seeds and {len(valid)} clips; expected at least two seeds and one clip")
    clip = np.repeat(np.arange(len(valid)), [np.size(v) for v in valid])
    sets = [_tokens(seed, valid)[0] for seed in kept]

    def per_clip(tokens: Bool) -> NDArray[np.float64]:
        return np.bincount(clip[tokens], minlength=len(valid)).astype(np.float64)

    ious = []
    for a, b in combinations(sets, 2):
        common, either = per_clip(a & b), per_clip(a | b)
        ious.append(np.divide(common, either, out=np.ones(len(valid)), where=either > 0).mean())
    return float(np.mean(ious))


def _tokens(kept: Sequence[Bool], valid: Sequence[Bool]) -> tuple[Bool, Bool]:
    """Lay the tokens of all clips end to end: kept (M,), valid (M,)."""
    if [np.shape(k) for k in kept] != [np.shape(v) for v in valid]:
        raise ValueError("kept and valid must hold the same clips with the same (T,K)")
    k, v = _flat(kept), _flat(valid)
    if (k & ~v).any():
        raise ValueError(f"{int((k & ~v).sum())} tokens are kept but not valid")
    return k, v


def _flat(arrays: Sequence[Bool]) -> Bool:
    return np.concatenate([np.zeros(0, bool), *(np.asarray(a, dtype=bool).ravel() for a in arrays)])


def _share(part: Bool, whole: Bool) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")
