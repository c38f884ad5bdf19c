"""The words of Action Genome: 36 object classes and 26 relations in three groups, in the order of its text files.

The text files write them without separators (``cupglassbottle``, ``lookingat``), the annotations with them.
"""

from __future__ import annotations

from pathlib import Path

from whyact.data.types import RelationGroup, Vocabulary
from whyact.errors import UserError

PERSON = "person"
OBJECTS = (
    "person",
    "bag",
    "bed",
    "blanket",
    "book",
    "box",
    "broom",
    "chair",
    "closet/cabinet",
    "clothes",
    "cup/glass/bottle",
    "dish",
    "door",
    "doorknob",
    "doorway",
    "floor",
    "food",
    "groceries",
    "laptop",
    "light",
    "medicine",
    "mirror",
    "paper/notebook",
    "phone/camera",
    "picture",
    "pillow",
    "refrigerator",
    "sandwich",
    "shelf",
    "shoe",
    "sofa/couch",
    "table",
    "television",
    "towel",
    "vacuum",
    "window",
)
ATTENTION = ("looking_at", "not_looking_at", "unsure")
SPATIAL = ("above", "beneath", "in_front_of", "behind", "on_the_side_of", "in")
CONTACTING = (
    "carrying",
    "covered_by",
    "drinking_from",
    "eating",
    "have_it_on_the_back",
    "holding",
    "leaning_on",
    "lying_on",
    "not_contacting",
    "other_relationship",
    "sitting_on",
    "standing_on",
    "touching",
    "twisting",
    "wearing",
    "wiping",
    "writing_on",
)
GROUPS = (
    RelationGroup("attention", ATTENTION, exclusive=True),
    RelationGroup("spatial", SPATIAL),
    RelationGroup("contacting", CONTACTING),
)
RELATIONS = ATTENTION + SPATIAL + CONTACTING


def vocabulary(actions: tuple[str, ...], *, contact_only: bool = False) -> Vocabulary:
    """Return the words with these action names; ``contact_only`` keeps the contacting relations alone.

    Raises:
        UserError: When two actions have one name.
    """
    if len(set(actions)) != len(actions):
        raise UserError("action classes", next(a for a in actions if actions.count(a) > 1), "each name once")
    groups = GROUPS[2:] if contact_only else GROUPS
    relations = sum((g.relations for g in groups), ())
    return Vocabulary(OBJECTS, relations, actions, groups=groups, multi_label=True, at_most={"person": 1})


def squashed(word: str) -> str:
    """Return a word as the text files spell it."""
    return word.replace("/", "").replace("_", "")


def check_list(path: Path, words: tuple[str, ...]) -> None:
    """Compare ``object_classes.txt`` or ``relationship_classes.txt`` with the words; either spelling is fine.

    Raises:
        UserError: For a missing or unreadable file, or a line that is another word.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(path, error.strerror, "this file of Action Genome") from error
    except UnicodeDecodeError as error:
        raise UserError(path, str(error), "UTF-8 text") from error
    for number, (found, word) in enumerate(zip(lines, words, strict=False), 1):
        if squashed(found) != squashed(word):
            raise UserError(f"{path} line {number}", found, f"{squashed(word)}, for the order is fixed")
    if len(lines) != len(words):
        raise UserError(path, f"{len(lines)} lines", f"{len(words)} lines")
