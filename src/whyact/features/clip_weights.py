"""CLIP weights: which activation they were trained with, what identifies a file of them, and where it lies.

OpenAI's weights, and some others, were trained with QuickGELU; with the plain GELU every vector is off. open_clip knows
that of its tags. Of a file it knows nothing, so the file is asked.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whyact.data.io.pickles import load_torch
from whyact.errors import UserError
from whyact.files import file_sha256

RANDOM = "random"
QUICK = "-quickgelu"  # at the end of a name: open_clip's own way to ask for that activation
OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")  # beside the weights in OpenAI's own files
_FILE = "file sha256:"
_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


def uses_quick_gelu(name: str, weights: str) -> bool:
    """Return whether a CLIP computes with QuickGELU.

    Args:
        name: One that open_clip knows; ``NAME-quickgelu`` decides by itself.
        weights: A tag, a file, or ``random``. A file is OpenAI's if it holds OpenAI's marks; else the
            ``open_clip_config.json`` beside it decides, or a tag in the file's name; else it is the plain GELU.
    """
    import open_clip

    if name.endswith(QUICK):
        return True
    if weights == RANDOM:
        return False
    if not Path(weights).is_file():
        return _tag_is_quick(name, weights)
    path = Path(weights)
    if openai_state(path) is not None:
        return True
    beside = path.parent / "open_clip_config.json"
    if beside.is_file():
        try:
            config = json.loads(beside.read_text(encoding="utf-8"))
            return bool(config.get("model_cfg", config).get("quick_gelu", False))
        except (ValueError, AttributeError, OSError):
            pass  # another program's file: what it does not say, the file's name may
    named = [tag for tag in open_clip.list_pretrained_tags_by_model(name) if tag in path.name.lower()]
    return any(_tag_is_quick(name, tag) for tag in named)


def _tag_is_quick(name: str, tag: str) -> bool:
    import open_clip

    known: Any = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")
    if known is None:  # left out where it is the plain one; old versions list the others under another name
        known = tag == "openai" or tag in open_clip.list_pretrained_tags_by_model(name + QUICK)
    return bool(known)


def openai_state(path: Path) -> dict[str, Tensor] | None:
    """Return the weights of a file in OpenAI's own form, without its marks; ``None`` for any other file.

    That form is a TorchScript archive, or a plain dictionary of its tensors with the marks among them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            scripted = any("/code/" in member for member in members)
            index = next((member for member in members if member.endswith("data.pkl")), None)
            marked = index is not None and OPENAI_MARKS[0].encode() in archive.read(index)
    except (OSError, zipfile.BadZipFile):  # no archive: whoever loads it says what is wrong with it
        return None
    state: dict[str, Tensor]
    if scripted:
        try:
            with warnings.catch_warnings():  # the form is old, and so are OpenAI's files
                warnings.simplefilter("ignore")
                state = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        except RuntimeError:
            return None
    elif marked:
        state = load_torch(path)
    else:
        return None
    if not all(mark in state for mark in OPENAI_MARKS):
        return None
    return {key: value for key, value in state.items() if key not in OPENAI_MARKS}


def weights_name(weights: str) -> str:
    """Return how a run names weights: by their tag, by the SHA-256 of their file, or as random."""
    if weights == RANDOM:
        return "random weights"
    return f"{_FILE}{digest(Path(weights))}" if Path(weights).is_file() else weights


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, computed once as long as the file does not change."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def find_weights(named: str, places: Sequence[Path] = (), given: Path | None = None) -> str:
    """Return the tag, the file or ``random`` that :func:`weights_name` named.

    Args:
        named: As a run has it.
        places: Where the file may lie.
        given: Where the user says it lies.

    Raises:
        UserError: When no such file has that SHA-256, or the weights are no file and one is given.
    """
    if named == "random weights":
        return RANDOM
    if not named.startswith(_FILE):
        if given is not None and Path(named).suffix in _SUFFIXES:
            return str(given)  # an older run, which has the file's path in the place of its SHA-256
        if given is not None:
            raise UserError("--clip-weights", str(given), f"nothing: the run reads frames and names with {named}")
        return named
    wanted = named.removeprefix(_FILE)
    if given is not None:
        if not given.is_file():
            raise UserError("--clip-weights", str(given), "a file that exists")
        if digest(given) != wanted:
            raise UserError("--clip-weights", f"{given}, SHA-256 {digest(given)[:12]}", f"the run's, {wanted[:12]}")
        return str(given)
    for place in places:
        if place.is_file() and digest(place) == wanted:
            return str(place)
    expected = f"the file with SHA-256 {wanted[:12]} that the run was trained with"
    raise UserError(
        "CLIP weights", f"not in {places[0] if places else 'any known place'}", expected, "--clip-weights FILE"
    )
