"""From a detector's classes to the model's: a map in a file, or the one built in for COCO and homeworld."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from whyact.errors import UserError, malformed
from whyact.files import read_text, without_mark

# Both spellings of COCO's names are in use. COCO has no hands and no heads: a whole person stands in for a hand,
# so that something can hold a thing; what the model says of such a pair is a guess, and an answer has to say so.
COCO_TO_HOMEWORLD: Mapping[str, str] = {
    "cup": "mug",
    "wine glass": "mug",
    "bottle": "bottle",
    "book": "book",
    "cell phone": "phone",
    "laptop": "laptop",
    "sandwich": "sandwich",
    "apple": "pear",
    "orange": "pear",
    "banana": "pear",
    "refrigerator": "cupboard",
    "person": "hand",
}
PERSON_NOTE = "the detector knows no hands: whole persons stand in for them"


@lru_cache(maxsize=1)
def coco_names() -> tuple[str, ...]:
    """Return COCO's 80 class names in the order that detectors with 80 classes use, as torchvision lists them."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    listed = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return tuple(name for name in listed if name not in ("__background__", "N/A"))


def read_names(path: Path | str) -> tuple[str, ...]:
    """Read a detector's class names, one a line; empty lines do not count.

    Raises:
        UserError: When the file cannot be read, is no text or holds no name.
    """
    lines = read_text(Path(path), "one class name a line").splitlines()
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise UserError(path, "no names", "one class name a line, UTF-8", "--names FILE")
    return found


def default_map(source: Sequence[str], target: Sequence[str]) -> dict[str, str]:
    """Return detector class -> model class: a name that both know stands for itself, COCO's by the built-in map."""
    known = set(target)
    own = {name: name for name in source if name in known}
    return {name: word for name, word in COCO_TO_HOMEWORLD.items() if name in source and word in known} | own


def read_class_map(path: Path | str, source: Sequence[str], target: Sequence[str]) -> dict[str, str]:
    """Read a map detector class -> model class from a JSON or YAML file (one mapping of names to names).

    Classes that are not in it have no tracks in the model: they are only drawn.

    Args:
        path: The file; ``.yaml`` and ``.yml`` are YAML, all else JSON.
        source: The detector's classes.
        target: The model's object classes.

    Raises:
        UserError: When the file cannot be read, or names a class that the detector or the model does not have.
    """
    path = Path(path)
    try:
        data = without_mark(path.read_bytes())
    except OSError as error:
        raise UserError(path, error.strerror, "a class map", "--class-map FILE") from error
    yaml = path.suffix.lower() in (".yaml", ".yml")
    form = "YAML such as cup: mug" if yaml else 'JSON such as {"cup": "mug"}, or YAML in a file that ends in .yaml'
    wanted = f"one mapping, detector class to model class, both strings, in {form}"
    try:
        decode = msgspec.yaml.decode if yaml else msgspec.json.decode
        found: dict[str, str] = decode(data, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(path, error, wanted, "correct the file, or leave out --class-map") from error
    for name, word in found.items():
        if name not in source:
            raise UserError(path, name, f"a class of the detector: {', '.join(source)}")
        if word not in target:
            raise UserError(f"{path}, {name}", word, f"an object class of the model: {', '.join(target)}")
    return found
