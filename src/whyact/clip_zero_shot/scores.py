"""From vectors of frames to scores of labels, and what each frame contributes, by exact removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whyact.clip_zero_shot.texts import TextBank, unit
from whyact.video.sampling import merge_scores

Floats = NDArray[np.floating]


def probabilities(bank: TextBank, scale: float, videos: Floats) -> Floats:
    """Return probabilities (...,L+1) of unit videos (...,D): each label, and last that none of them fits.

    A softmax over labels and everyday descriptions alike, at CLIP's own scale; descriptions add up to *none of these*.
    """
    logits = scale * videos @ np.concatenate([bank.labels, bank.others]).T.astype(np.float64)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    count = len(bank.labels)
    return np.concatenate([weights[..., :count], weights[..., count:].sum(-1, keepdims=True)], -1)


@dataclass(frozen=True)
class VideoScores:
    """A video whose frames are vectors.

    Args:
        bank: The labels, and what competes with them.
        scale: CLIP's logit scale.
        frames: Unit vectors (T,D) of the frames, in the order of time.
        windows: The frames (positions) of each of W windows, at least one each; windows in the order of time.
    """

    bank: TextBank
    scale: float
    frames: Floats
    windows: Sequence[NDArray[np.intp]]

    @cached_property
    def videos(self) -> Floats:
        """Return the unit vector (W,D) of each window: the mean of its frames."""
        return unit(np.stack([self.frames[members].mean(0) for members in self.windows]))

    @cached_property
    def scores(self) -> Floats:
        """Return the scores (W,L+1) of each window."""
        return probabilities(self.bank, self.scale, self.videos)

    @cached_property
    def merged(self) -> tuple[Floats, int, int]:
        """Return the scores (L+1,) of the video, its answer, and the window that the answer comes from."""
        merged, answer, window = merge_scores(self.scores, len(self.bank.names))
        return merged, int(answer), int(window)

    @property
    def best(self) -> NDArray[np.intp]:
        """Return the answer (W,) of each window."""
        return self.scores.argmax(1)

    def towards(self, label: int) -> Floats:
        """Return the direction (D,) of a label; of none, the mean of what competes with the labels."""
        return self.bank.others.mean(0) if label == len(self.bank.names) else self.bank.labels[label]

    def cost(self, label: int, removed: NDArray[np.bool_]) -> float:
        """Return by how much the video's score of a label falls when these frames (T,) are left out.

        Where no frame is left, no label is likelier than another.
        """
        windows = [left for members in self.windows if len(left := members[~removed[members]])]
        again = VideoScores(self.bank, self.scale, self.frames, windows).merged[0] if windows else None
        then = 1 / len(self.merged[0]) if again is None else float(again[label])
        return float(self.merged[0][label]) - then

    def contributions(self, label: int) -> Floats:
        """Return by how much the video's score of a label falls (T,) when one frame is left out everywhere.

        NaN where a frame is in no window, or nothing is left without it.
        """
        sign = -1.0 if label == len(self.bank.names) else 1.0  # the score of none is the lowest of all windows
        whole = sign * self.scores[:, label]  # (W,)
        found = np.full(len(self.frames), np.nan)
        before = np.maximum.accumulate(np.r_[-np.inf, whole])  # before[w]: of the windows before w
        after = np.maximum.accumulate(np.r_[-np.inf, whole[::-1]])[::-1]  # after[w]: of window w and those behind it
        left: list[tuple[int, int, float]] = []  # frame, window, score of the window without the frame
        for w, members in enumerate(self.windows):
            if len(members) < 2:
                left += [(int(f), w, -np.inf) for f in members]
                continue
            rest = unit(self.frames[members].sum(0) - self.frames[members])
            without = sign * probabilities(self.bank, self.scale, rest)[:, label]
            left += [(int(f), w, float(p)) for f, p in zip(members, without, strict=True)]
        spans: dict[int, tuple[int, int, float]] = {}
        for frame, w, score in left:  # a frame's windows follow each other
            first, _, best = spans.get(frame, (w, w, -np.inf))
            spans[frame] = first, w, max(best, score)
        for frame, (first, last, best) in spans.items():
            then = max(before[first], after[last + 1], best)
            if np.isfinite(then):
                found[frame] = sign * (whole.max() - then)
        return found
