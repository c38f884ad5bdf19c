"""Cut a clip of subject-object pairs out of an annotated video: tracks with boxes, pairs with relation labels."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from whyact.data.types import RelationClip

Pair = tuple[str, str]


def pairs_in_view(kinds: Mapping[str, str], allowed: Container[Pair]) -> list[Pair]:
    """Pair things of which no relation is known: each subject with every other thing, two subjects once, by name.

    Args:
        kinds: Thing -> its class.
        allowed: (subject class, class of the other thing).
    """

    def fits(a: str, b: str) -> bool:
        return (kinds[a], kinds[b]) in allowed

    return [(a, b) for a, b in permutations(kinds, 2) if fits(a, b) and (a < b or not fits(b, a))]


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video of F annotated frames.

    ``boxes`` track -> (F,4) xyxy pixels, zeros where hidden; ``kind`` track -> object class; ``labels`` pair of tracks
    -> (F,R) relations that hold, a track with itself for an attribute; ``frames`` (F,) their 1-based numbers.
    """

    boxes: Mapping[str, NDArray[np.float32]]
    kind: Mapping[str, int]
    labels: Mapping[Pair, NDArray[np.bool_]]
    frames: NDArray[np.int64]
    rate: float
    image_size: tuple[int, int]
    relations: int

    def clip(
        self,
        name: str,
        span: slice,
        max_pairs: int,
        *,
        target: int | None = None,
        targets: tuple[int, ...] | None = None,
        group: str = "",
    ) -> RelationClip:
        """Cut the frames of ``span`` (positions): every labelled pair whose tracks are both seen in it.

        The pairs visible longest come first; those beyond ``max_pairs`` are dropped and counted. A token is valid
        where a relation is named: a hidden box stays a token, for food in the microwave is hidden, and that matters.
        """
        visible = {track: (boxes[span] != 0).any(axis=1) for track, boxes in self.boxes.items()}
        pairs = [p for p in self.labels if visible[p[0]].any() and visible[p[1]].any()]
        pairs.sort(key=lambda p: (-int((visible[p[0]] & visible[p[1]]).sum()), self.kind[p[1]], p))
        kept = pairs[:max_pairs]
        frames = self.frames[span]
        relations = np.zeros((len(frames), len(kept), self.relations), dtype=bool)
        stack = np.zeros((2, len(frames), len(kept), 4), dtype=np.float32)
        for slot, pair in enumerate(kept):
            relations[:, slot] = self.labels[pair][span]
            for side in (0, 1):
                stack[side, :, slot] = self.boxes[pair[side]][span]
        return RelationClip(
            id=name,
            subject_boxes=stack[0],
            object_boxes=stack[1],
            subject_class=np.array([self.kind[a] for a, _ in kept], dtype=np.int64),
            object_class=np.array([self.kind[b] for _, b in kept], dtype=np.int64),
            valid=np.asarray(relations.any(axis=2)),
            times=(frames - frames[0]) / self.rate,
            frames=frames,
            slots=tuple(kept),
            image_size=self.image_size,
            relations=relations,
            target=target,
            targets=targets,
            group=group,
            dropped_pairs=len(pairs) - len(kept),
        )
