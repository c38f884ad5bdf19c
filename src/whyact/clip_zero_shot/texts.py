"""Sentences: what stands for a label, and what else a video could show.

CLIP compares; it does not know when nothing fits. So labels compete with descriptions of everyday actions and scenes:
where one of those fits better, none of the labels is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from whyact.wording import format_label

TEMPLATES = (
    "{}",
    "a photo of {}",
    "a video of {}",
    "a picture of somebody {}",
    "a person {}",
    "a frame of a film that shows {}",
    "this is what {} looks like",
)
"""Sentences around a label. Their unit vectors are averaged, so that no single wording decides."""

EVERYDAY = (
    "walking",
    "running",
    "sitting still",
    "standing around",
    "lying down",
    "sleeping",
    "eating",
    "drinking",
    "cooking",
    "washing dishes",
    "cleaning a room",
    "reading",
    "writing by hand",
    "typing on a keyboard",
    "using a phone",
    "talking to the camera",
    "two people talking",
    "hugging",
    "shaking hands",
    "fighting",
    "dancing",
    "singing",
    "playing an instrument",
    "playing football",
    "playing basketball",
    "playing tennis",
    "swimming",
    "cycling",
    "lifting weights",
    "stretching",
    "climbing stairs",
    "climbing a rock",
    "jumping",
    "throwing a ball",
    "driving a car",
    "traffic on a road",
    "opening a door",
    "carrying a box",
    "putting on clothes",
    "combing hair",
    "brushing teeth",
    "washing hands",
    "gardening",
    "repairing something with tools",
    "painting a wall",
    "sewing",
    "shopping",
    "feeding an animal",
)
"""What else people do in videos."""

SCENES = (
    "a dog playing",
    "a crowd of people",
    "an empty room",
    "a landscape without people",
    "a building",
    "a table with things on it",
    "text on a screen",
    "a cartoon",
    "a black screen",
    "a blurred picture",
)
"""What else a video could show; :data:`SCENE_TEMPLATES` make sentences of them."""

SCENE_TEMPLATES = ("{}", "a photo of {}", "a video of {}", "a frame of a film that shows {}")

NEAR = 0.95  # quantile of the cosines between everyday descriptions; one that is nearer to a label may mean the same


@dataclass(frozen=True)
class TextBank:
    """Unit vectors (L,D) of the labels and (R,D) of the descriptions that compete with them, with their names."""

    names: tuple[str, ...]
    labels: NDArray[np.float32]
    other_names: tuple[str, ...]
    others: NDArray[np.float32]


def sentences_of(name: str) -> list[str]:
    """Return the sentences that stand for a name."""
    return [template.format(format_label(name)) for template in (SCENE_TEMPLATES if name in SCENES else TEMPLATES)]


def build_bank(names: Sequence[str], encode: Callable[[list[str]], Tensor]) -> TextBank:
    """Encode labels and everyday descriptions, and set descriptions aside that may mean the same as a label.

    A description is set aside if it is nearer to some label than 95 % of pairs of descriptions are to each other: that
    scale belongs to the encoder, so no cosine needs to be known beforehand. At least half of them, the farthest, stay.
    """
    others_named = (*EVERYDAY, *SCENES)
    sentences = [sentences_of(name) for name in (*names, *others_named)]
    vectors = unit(encode([sentence for own in sentences for sentence in own]).double().numpy())
    ends = np.cumsum([len(own) for own in sentences])
    averaged = unit(np.stack([part.mean(0) for part in np.split(vectors, ends[:-1])]))
    labels, others = averaged[: len(names)], averaged[len(names) :]
    among = (others @ others.T)[np.triu_indices(len(others), 1)]
    nearest = (others @ labels.T).max(1)
    limit = max(float(np.quantile(among, NEAR)), float(np.median(nearest)))
    kept = np.flatnonzero(nearest <= limit)
    return TextBank(
        tuple(names),
        labels.astype(np.float32),
        tuple(others_named[i] for i in kept),
        others[kept].astype(np.float32),
    )


def unit(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return vectors (...,D) divided by their lengths; a vector of zeros stays one."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
