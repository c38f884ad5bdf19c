"""Zero-shot recognition on 21 real gym exercises: I3D features, class names through the sentence encoder.

Ten seeded class splits, 11 seen and 10 unseen. Each split's checksum is written here, so a split that another
file, version or machine would draw differently is an error and not a different result.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whyact.arrays import Float32
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.gym import load
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData, seeded_split
from whyact.errors import UserError
from whyact.features import text

PROMPT = "a video of a person doing the exercise {}"
SECONDS_PER_SNIPPET = 0.64
SEEN = 11
SPLITS_SHA256 = (
    "a601a506880e110d68e65ddb339f815acc3b62efb2669c10ab667783d8997e5a",
    "e0ebcc79daa3ae32659b0032c3ef2d020674b40ae63486aac18f644dfc93311b",
    "9254303360f27fe47e0a92b5ce953d3275a6cdf277a2560261cf6b312491726a",
    "66055a80d9ef84bd036cbf11bad8d1bb806f1734770f1d5389ab2a477c09b746",
    "48ca94e0c487718a70b5c1079a757a0b750e1ca33cac733c5822d306ae7e78fa",
    "13ca08c4e648ca9b1cab9e1e4fb92b641093dafe8d1eff4219b444b8d1c92009",
    "a4387a3b45ca3f5eec11416f3b8e6e339281259db881350e7c7295a2f54e1b08",
    "daa93e2b8ec72fff24637cda317404854fa1f77211f0f785b257c5745b507c08",
    "17f257cca52d130404f7cf45b860391288d57af5a9e2388c5547e96b123ebf72",
    "5e78e527a692219ddd6e0c51405bd299430b8375a8464e78e3f35552277b65eb",
)


def read(root: Path | str, auxiliary: tuple[str, ...] = ()) -> ZeroShotData:
    """Read the clips and encode the 21 names (and ``auxiliary`` ones, which only densify the graph).

    The RGB and the flow half of every snippet are scaled to unit length each: the halves then count alike.

    Raises:
        UserError: When the file is missing or broken, or the sentence encoder is not installed.
    """
    clips = load(root)
    classes = tuple(sorted(set(clips.labels)))
    position = {name: i for i, name in enumerate(classes)}
    videos = tuple(
        FeatureSequence(
            id=name,
            features=_unit_halves(features),
            times=np.arange(len(features), dtype=np.float64) * SECONDS_PER_SNIPPET,
            rate=1 / SECONDS_PER_SNIPPET,
            target=(position[label],),
        )
        for name, label, features in zip(clips.names, clips.labels, clips.features, strict=True)
    )
    vectors = text.encode_sentences([PROMPT.format(name) for name in (*classes, *auxiliary)])
    return ZeroShotData(
        name="gym",
        classes=classes,
        text=vectors[: len(classes)],
        videos=videos,
        semantics=text.NAME,
        prompt=PROMPT,
        auxiliary=auxiliary,
        auxiliary_text=vectors[len(classes) :],
    )


def splits(classes: tuple[str, ...]) -> tuple[ClassSplit, ...]:
    """Return the ten class splits, checked against their checksums.

    Raises:
        UserError: When a split is not the one that results were made with.
    """
    if not classes:
        raise UserError("gym classes", "none", "the 21 exercises")
    return tuple(
        seeded_split(f"gym-{seed}", classes, SEEN, seed).verified(expected)
        for seed, expected in enumerate(SPLITS_SHA256)
    )


def _unit_halves(features: Float32) -> Float32:
    halves = features.reshape(len(features), 2, -1)
    norm = np.linalg.norm(halves, axis=2, keepdims=True)
    return (halves / np.maximum(norm, 1e-12)).reshape(features.shape).astype(np.float32)
