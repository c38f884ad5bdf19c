"""The world's own action classes in the manner of Charades, and what Action Genome calls its things.

A class is an action on a group of things; pick/place, open/close and store/take out are mirror pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from whyact.homeworld.annotate import WorldClip
from whyact.homeworld.vocabulary import CUPBOARD

# What Action Genome calls each kind.
OFFICIAL = {
    "mug": "cup/glass/bottle",
    "bottle": "cup/glass/bottle",
    "jar": "medicine",
    "sandwich": "sandwich",
    "pear": "food",
    "book": "book",
    "phone": "phone/camera",
    "laptop": "laptop",
    CUPBOARD: "closet/cabinet",
}
_VESSELS, _FOODS, _ITEMS = ("mug", "bottle"), ("sandwich", "pear"), ("book", "phone", "jar")
_STORED = (*_VESSELS, *_FOODS, "jar")


@dataclass(frozen=True)
class ActionClass:
    """A class: the world's action, the kinds it is done to, and its words: name, verb, object ("None" for several)."""

    action: str
    kinds: tuple[str, ...]
    name: str
    verb: str
    object: str


CLASSES = (
    ActionClass("pick", _VESSELS, "Taking a cup or bottle in the hand", "take", "cup"),
    ActionClass("place", _VESSELS, "Letting go of a cup or bottle", "put", "cup"),
    ActionClass("pick", _FOODS, "Taking some food in the hand", "take", "food"),
    ActionClass("place", _FOODS, "Letting go of some food", "put", "food"),
    ActionClass("pick", _ITEMS, "Taking a book, phone or jar in the hand", "take", "None"),
    ActionClass("place", _ITEMS, "Letting go of a book, phone or jar", "put", "None"),
    ActionClass("drink", _VESSELS, "Drinking from a cup or bottle", "drink", "cup"),
    ActionClass("eat", _FOODS, "Eating some food", "eat", "food"),
    ActionClass("open", (CUPBOARD,), "Opening a cupboard", "open", "cabinet"),
    ActionClass("close", (CUPBOARD,), "Shutting a cupboard", "close", "cabinet"),
    ActionClass("open", ("laptop",), "Opening a laptop", "open", "laptop"),
    ActionClass("close", ("laptop",), "Shutting a laptop", "close", "laptop"),
    ActionClass("open", ("bottle", "jar"), "Taking the lid off a bottle or jar", "open", "bottle"),
    ActionClass("close", ("bottle", "jar"), "Putting the lid on a bottle or jar", "close", "bottle"),
    ActionClass("store", _STORED, "Putting something into a cupboard", "put", "cabinet"),
    ActionClass("take_out", _STORED, "Taking something out of a cupboard", "take", "cabinet"),
)
MIRROR_CLASSES = ((0, 1), (2, 3), (4, 5), (8, 9), (10, 11), (12, 13), (14, 15))


def class_of(clip: WorldClip) -> int | None:
    """Return the class of a clip, or None for the null action."""
    if not clip.pair:
        return None
    kind = kind_of(clip.pair[1])
    return next(i for i, c in enumerate(CLASSES) if c.action == clip.action and kind in c.kinds)


def kind_of(name: str) -> str:
    """Return the kind of a thing from its name (``mug_1``)."""
    return name.rpartition("_")[0]


def code(number: int) -> str:
    """Return a class's code, ``c007``."""
    return f"c{number:03d}"


def object_codes() -> dict[str, str]:
    """Return the object words with their codes; ``None`` comes first, as in Charades."""
    return {word: f"o{i:03d}" for i, word in enumerate(["None", *sorted({c.object for c in CLASSES} - {"None"})])}


def verb_codes() -> dict[str, str]:
    """Return the verb words with their codes."""
    return {word: f"v{i:03d}" for i, word in enumerate(sorted({c.verb for c in CLASSES}))}
