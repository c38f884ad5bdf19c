"""CLIP weights: which activation they were trained with, what identifies a file of them, and where it lies.

OpenAI's weights, and some others, were trained with QuickGELU; with the plain GELU every vector is off. open_clip knows
that of its tags. Of a file it knows nothing, so the file is asked.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, urlopen

import torch
from torch import Tensor

from whyact.errors import UserError
from whyact.files import file_sha256

BACKBONES = ("ViT-B-16", "ViT-B-32", "ViT-L-14", "RN50", "RN101")
RANDOM = "random"
WAY_OUT = "give the path of a weight file, or random to try the parts"
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


@dataclass(frozen=True)
class Download:
    """CLIP weights that are not on this machine: which, where they are fetched from, and about how many bytes."""

    name: str
    tag: str
    url: str
    size: int

    @property
    def host(self) -> str:
        """Return the host's name."""
        return urlsplit(self.url).hostname or ""

    def __str__(self) -> str:
        return f"CLIP {self.name} {self.tag}, about {round(self.size / 1e6, -1):.0f} MB from {self.host}"


def pending_download(name: str, weights: str) -> Download | None:
    """Return what open_clip would have to fetch for a CLIP; ``None`` for what is on this machine, files and ``random``.

    Raises:
        UserError: When open_clip is not installed, or knows no such CLIP or tag.
    """
    check_known(name, weights)
    if weights == RANDOM or Path(weights).is_file():
        return None
    import open_clip

    found: dict[str, Any] = open_clip.get_pretrained_cfg(name, weights)
    if hub := str(found.get("hf_hub") or ""):
        from huggingface_hub import constants

        folder = Path(constants.HF_HUB_CACHE) / f"models--{hub.rpartition('/')[0].replace('/', '--')}" / "snapshots"
        here = any(path.suffix in _SUFFIXES for path in folder.glob("*/*"))
        url = constants.ENDPOINT
    else:
        url = str(found.get("url") or "")
        here = (Path.home() / ".cache" / "clip" / url.rpartition("/")[2]).is_file()
    return None if here or not urlsplit(url).hostname else Download(name, weights, url, _size(name))


def check_known(name: str, weights: str) -> None:
    """Refuse a CLIP, or a tag of its weights, that open_clip does not know.

    Raises:
        UserError: For that, and when open_clip is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise UserError("CLIP", None, "the package open_clip_torch", "pip install 'whyact[clip]'") from error
    if name not in open_clip.list_models():
        raise UserError("backbone", name, f"a CLIP that open_clip knows, such as {', '.join(BACKBONES)}")
    if weights == RANDOM or Path(weights).is_file():
        return
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights not in tags:
        expected = f"a file, random, or weights that open_clip can fetch, such as {', '.join(tags[:3])}"
        raise UserError(f"weights of CLIP {name}", weights, expected, WAY_OUT)


def _size(name: str) -> int:
    """Return the bytes of a CLIP's float32 weights, from its configuration alone."""
    import open_clip
    from open_clip.model import CustomTextCLIP

    config: dict[str, Any] = open_clip.get_model_config(name)
    kind: Any = CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        return 4 * sum(p.numel() for p in kind(**config).parameters())


def refuse_unreachable(name: str, tag: str, seconds: float = 5.0) -> None:
    """Refuse, within seconds, weights that would have to be fetched from a host that does not answer.

    The libraries that fetch them try again for minutes.

    Raises:
        UserError: When the weights are not on this machine and their host does not answer.
    """
    pending = pending_download(name, tag)
    if pending is None or _answers(pending.url, seconds):
        return
    raise UserError(
        f"weights of CLIP {name}",
        f"{tag}, which is not on this machine, and {pending.host} does not answer",
        "weights that are here, or a network",
        WAY_OUT,
    )


def _answers(url: str, seconds: float) -> bool:
    """Return whether a host takes a connection, or a proxy leads to it.

    Asked in a thread, because looking up a name has no time limit.
    """
    reached: list[bool] = []

    def connect() -> None:
        try:
            if getproxies():
                urlopen(Request(url, method="HEAD"), timeout=seconds).close()
            else:
                parts = urlsplit(url)
                socket.create_connection((parts.hostname or "", parts.port or 443), timeout=seconds).close()
            reached.append(True)
        except HTTPError:  # whatever the page says, the host is there
            reached.append(True)
        except URLError as error:  # another library may trust a certificate that this one does not
            reached.extend([True] if isinstance(error.reason, ssl.SSLError) else [])
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(reached)


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
        from open_clip.factory import load_state_dict

        state = load_state_dict(str(path))
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
