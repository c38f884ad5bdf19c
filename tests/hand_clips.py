"""Clips written by hand, a word a slot: each letter is the relation of one frame, a dot an invalid token."""

from __future__ import annotations

from typing import Any

import numpy as np

from whyact.data.types import RelationClip, Rule, Vocabulary

VOCABULARY = Vocabulary(
    objects=("hand", "head", "cup", "box"),
    relations=("free", "held", "apart", "near", "shut", "open"),
    actions=("null", "pick", "place", "drink", "open", "close"),
    rules=(
        Rule("pick", "free", "held", "hand", ("cup", "box")),
        Rule("place", "held", "free", "hand", ("cup", "box")),
        Rule("drink", "apart", "near", "head", ("cup",)),
        Rule("open", "shut", "open", "", ("box",)),
        Rule("close", "open", "shut", "", ("box",)),
    ),
)
LETTER = {"f": 0, "h": 1, "a": 2, "n": 3, "s": 4, "o": 5}
PAIR = {"f": (0, 2), "h": (0, 2), "a": (1, 2), "n": (1, 2), "s": (3, 3), "o": (3, 3), ".": (0, 2)}


def clip(*words: str, action: str | None = None, appearance: np.ndarray | None = None, **other: Any) -> RelationClip:
    """Return a clip whose slots are the words; boxes are random ones inside a 640 x 480 image, self-pairs have one."""
    t, k = len(words[0]), len(words)
    random = np.random.default_rng(t * 100 + k)
    low = random.uniform(0, (400, 300), (2, t, k, 2))
    boxes = np.concatenate([low, low + random.uniform(20, 150, (2, t, k, 2))], -1).astype(np.float32)
    pairs = [PAIR[next((c for c in word if c != "."), ".")] for word in words]
    for slot, (a, b) in enumerate(pairs):
        if a == b:
            boxes[1, :, slot] = boxes[0, :, slot]
    relations = np.zeros((t, k, len(VOCABULARY.relations)), bool)
    for slot, word in enumerate(words):
        for frame, letter in enumerate(word):
            if letter != ".":
                relations[frame, slot, LETTER[letter]] = True
    values: dict[str, Any] = {
        "id": "-".join(words),
        "subject_boxes": boxes[0],
        "object_boxes": boxes[1],
        "subject_class": np.array([a for a, _ in pairs]),
        "object_class": np.array([b for _, b in pairs]),
        "valid": relations.any(-1),
        "times": np.arange(t) / 30,
        "frames": np.arange(1, t + 1),
        "slots": tuple((f"s{i}", f"o{i}") for i in range(k)),
        "image_size": (640, 480),
        "relations": relations,
        "appearance": appearance,
        "target": None if action is None else VOCABULARY.actions.index(action),
    }
    return RelationClip(**{**values, **other})


ONE_OF_EACH = [
    clip("fffhhh", "aaaaaa", action="pick"),
    clip("hhhfff", "ssssss", action="place"),
    clip("ffffff", "aaannn", action="drink"),
    clip("sssooo", "ffffff", action="open"),
    clip("ooosss", "hhhhhh", action="close"),
    clip("ffffff", "ssssss", "aaaaaa", action="null"),
]
