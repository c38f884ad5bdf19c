"""A checkpoint: a folder with ``model.safetensors``, ``config.yaml`` and ``card.json``, verified on load.

The card says what the weights are: method, data, split, metrics with their spread, licence, seed, versions.
It carries the SHA-256 of the tensor bytes, of both other files and of itself, so that a flipped bit anywhere
is found. Nothing here is a pickle.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whyact.errors import UserError, malformed
from whyact.files import (
    LEFTOVER_SECONDS,
    canonical_json,
    folder_lock,
    leftovers,
    sha256,
    sync_folder,
    telling_of_full_disk,
    temporary_sibling,
    write_synced,
)

if TYPE_CHECKING:
    from torch import Tensor

MODEL, CONFIG, CARD = "model.safetensors", "config.yaml", "card.json"
STATE = "state"  # where a training in progress may keep what it needs to resume
HISTORY = "history.csv"  # what the training logged, epoch by epoch
BEST = "best"  # a run folder within the run: the weights that scored highest on held-out data
_OURS = {MODEL, CONFIG, CARD, STATE, HISTORY, BEST}
_AGAIN = "fetch the folder again, or train it again with: whyact train"


class Spread(msgspec.Struct, forbid_unknown_fields=True):
    """A metric over ``n`` runs: mean and sample standard deviation."""

    mean: float
    sd: float
    n: int


class _Card(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    method: str
    data: str
    split_sha256: str
    licence: str
    seed: int | None
    metrics: dict[str, float | Spread | None] = {}
    versions: dict[str, str] = {}
    extra: dict[str, Any] = {}
    tensors_sha256: str = ""
    files_sha256: dict[str, str] = {}
    card_sha256: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """What :func:`load_checkpoint` read: tensors on the CPU, the two documents, and the tensors' SHA-256."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    card: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class BestWeights:
    """The weights of the epoch that scored highest on held-out data, and a card of their own."""

    tensors: Mapping[str, Tensor]
    card: dict[str, Any]


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: dict[str, Any],
    card: dict[str, Any],
    *,
    history: str = "",
    best: BestWeights | None = None,
) -> Path:
    """Write a checkpoint folder whole or not at all.

    An existing run folder is replaced only once the new one is complete on disk; files in it that are not
    a checkpoint's own are kept. Of several processes under torchrun the first writes and the others wait for it.

    Args:
        folder: Where; the parent is made when missing.
        tensors: Name -> tensor of any shape and device; what :meth:`torch.nn.Module.state_dict` gives.
        config: Plain values (str, int, float, bool, None, lists, dicts).
        card: ``method``, ``data``, ``split_sha256``, ``licence``, ``seed``, and ``metrics``
            (name -> number, or ``{mean, sd, n}``); a free ``extra``; ``versions`` is filled in when absent.
        history: The text of ``history.csv``.
        best: Written as a run folder of its own, ``best``, with the same settings.

    Returns:
        ``folder``.

    Raises:
        UserError: When ``folder`` holds something other than a run, or cannot be written.
        DiskFullError: When the disk is full; a run that was there before is intact.
        ValueError: When the card lacks a key or has an unknown one, or a number in it is not finite.
    """
    from whyact.training.processes import barrier, this_process

    folder = Path(folder)
    if not this_process().is_rank_zero:
        barrier()
        return folder
    check_run_folder(folder)
    files = _files(tensors, config, card)
    if best is not None:
        files |= {f"{BEST}/{name}": data for name, data in _files(best.tensors, config, best.card).items()}
    if history:
        files[HISTORY] = history.encode()

    temporary = temporary_sibling(folder)
    with telling_of_full_disk(folder):
        temporary.mkdir(parents=True)
        try:
            for name, data in files.items():
                (temporary / name).parent.mkdir(exist_ok=True)
                write_synced(temporary / name, data)
            for part in {(temporary / name).parent for name in files}:
                sync_folder(part)
            _swap_in(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    for left in leftovers(folder.parent, LEFTOVER_SECONDS, folder.name):  # of a training killed while it wrote
        shutil.rmtree(left, ignore_errors=True)
    barrier()
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder and verify every byte of it.

    Raises:
        UserError: When a file is missing, not readable, truncated or changed; it names the file.
    """
    import yaml
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    card = read_card(folder)
    data = {name: _read(folder / name) for name in (MODEL, CONFIG)}
    for name, content in data.items():
        found, expected = sha256(content), card["files_sha256"].get(name, "")
        if found != expected:
            raise UserError(folder / name, f"SHA-256 {found[:12]}", f"{expected[:12]} as {CARD} says", _AGAIN)
    try:
        tensors = load(data[MODEL])
    except (SafetensorError, ValueError) as error:
        raise UserError(folder / MODEL, str(error), "a safetensors file", _AGAIN) from error
    found = tensors_sha256(tensors)
    if found != card["tensors_sha256"]:
        expected = f"{card['tensors_sha256'][:12]} as {CARD} says"
        raise UserError(folder / MODEL, f"tensors with SHA-256 {found[:12]}", expected, _AGAIN)
    try:
        config = yaml.safe_load(data[CONFIG])
    except yaml.YAMLError as error:
        raise UserError(folder / CONFIG, str(error).splitlines()[0], "YAML", _AGAIN) from error
    if not isinstance(config, dict):
        raise UserError(folder / CONFIG, type(config).__name__, "a mapping of settings", _AGAIN)
    return Checkpoint(tensors, config, card, found)


def read_card(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's card, verified, without reading the weights (and without importing torch).

    Raises:
        UserError: When the folder or the card is missing, malformed or changed.
    """
    folder = Path(folder)
    _recover(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise UserError(folder, found, "a run folder", "make one with: whyact train METHOD --out RUN")
    path = folder / CARD
    text = _read(path)
    try:
        card = msgspec.json.decode(text, type=_Card)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(path, error, "the card of a run", _AGAIN) from error
    digest = _card_sha256(msgspec.to_builtins(card))
    if digest != card.card_sha256:
        raise UserError(path, f"SHA-256 {digest[:12]}", f"{card.card_sha256[:12]} as the card itself says", _AGAIN)
    plain: dict[str, Any] = msgspec.to_builtins(card)
    return plain


def unreadable(folder: Path, error: Exception) -> UserError:
    """Return what keeps a whole run from being built by this version, as one plain sentence.

    Args:
        folder: The run.
        error: A setting that does not fit (``msgspec.ValidationError``), a part that is not there (``KeyError``), or
            tensors of other shapes (``RuntimeError``).
    """
    step = "train it again, or use the version of whyact that its card names"
    if isinstance(error, msgspec.ValidationError):
        return malformed(Path(folder) / CONFIG, error, "the settings of a run of this version", step)
    found = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error).splitlines()[-1].strip()
    return UserError(folder, found, "a run that this version can read", step)


@contextmanager
def run_folder_for(folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Keep a run folder for one training: checked before the work, closed to other trainings during it.

    Raises:
        UserError: When the folder may not be written, holds a finished run that is not to be replaced, or another
            training is writing it.
    """
    check_run_folder(folder)
    if (folder / CARD).is_file() and not overwrite:
        card = read_card(folder)
        finished = f"a finished run: {card['method']} on {trained_on(card)}"
        raise UserError(f"--out {folder}", finished, "a new folder", "--overwrite to replace it")

    def refuse() -> None:
        raise UserError(
            f"--out {folder}", "another training that writes it", "a folder of its own", "wait, or choose another --out"
        )

    if os.environ.get("RANK", "0") != "0" and "TORCHELASTIC_RUN_ID" in os.environ:
        yield  # under torchrun the first process holds the folder for all
        return
    try:
        with folder_lock(folder, refuse):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()  # only where nothing was written into it


def refuse_other_data(card: Mapping[str, Any], fold: int, split_sha256: str, root: Path | None) -> None:
    """Refuse data kept beside a run whose split is not that of its card: a later training may have written them.

    Raises:
        UserError: When the fold is the one that the run was trained on, and holds other clips or videos.
    """
    own = card.get("split_sha256", "")
    if own and own != split_sha256 and fold == card.get("extra", {}).get("fold", 1):
        found = f"split {split_sha256[:8]}, of another training or edited since"
        expected = f"the data that the run was trained on, split {own[:8]}"
        raise UserError(root, found, expected, f"train again, or --root {root} to measure on them as other data")


def trained_on(card: Mapping[str, Any]) -> str:
    """Return what a run was trained on, for people: the folder of own videos by its name, else the data set."""
    return str(card.get("extra", {}).get("videos") or card.get("data", ""))


def check_run_folder(folder: Path) -> None:
    """Refuse a folder that a checkpoint may not be written to, before any work is done.

    Raises:
        UserError: When ``folder`` is a file or the current one, holds something other than a run, or cannot be written.
    """
    folder = Path(folder)
    if folder.resolve() == Path.cwd():  # it is replaced by a new folder of its name: a shell would stay in the old one
        raise UserError(folder, "the folder that you are in", "another folder, as a run replaces it", "cd ..")
    _recover(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(folder, "a file", "a folder, or a name not taken yet", "choose another --out")
    if folder.is_dir() and not (folder / CARD).is_file():
        foreign = sorted({entry.name for entry in folder.iterdir()} - _OURS)
        if foreign:
            found = f"a folder with {foreign[0]!r} and no {CARD}"
            raise UserError(folder, found, "a run folder, an empty one or a new one", "choose another --out")
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UserError(parent, "a file", f"a folder to write {folder} in", "choose another --out")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(parent, "not writable", f"a folder to write {folder} in", "choose another --out")


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the tensors' bytes, taken in the order of their names."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on: whyact, torch, numpy and Python."""
    found = {"python": platform.python_version()}
    for name in ("whyact", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "unknown"
    return found


def _files(tensors: Mapping[str, Tensor], config: dict[str, Any], card: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of a checkpoint, name -> content."""
    import yaml
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    files = {
        MODEL: save(plain),
        CONFIG: yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode(),
    }
    whole = {"versions": versions(), **card}
    whole["tensors_sha256"] = tensors_sha256(plain)
    whole["files_sha256"] = {name: sha256(data) for name, data in files.items()}
    return {**files, CARD: _encode_card(whole)}


def _encode_card(card: dict[str, Any]) -> bytes:
    try:
        checked = msgspec.to_builtins(msgspec.convert(card, _Card))
    except msgspec.ValidationError as error:
        raise ValueError(f"the card of a checkpoint: {error}") from error
    checked["card_sha256"] = _card_sha256(checked)
    return msgspec.json.format(msgspec.json.encode(checked), indent=2) + b"\n"


def _card_sha256(card: dict[str, Any]) -> str:
    return sha256(canonical_json({key: value for key, value in card.items() if key != "card_sha256"}))


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _swap_in(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``. A kill between the two renames leaves what :func:`_recover` restores."""
    previous = _previous(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.rename(folder, previous)
    os.rename(new, folder)
    sync_folder(folder.parent)
    if previous.exists():
        _retire(previous, folder)


def _recover(folder: Path) -> None:
    """Finish a replacement that was killed: the old folder returns unless the new one is in place."""
    previous = _previous(folder)
    if previous.is_dir():
        if folder.exists():
            _retire(previous, folder)
        else:
            os.rename(previous, folder)


def _retire(previous: Path, folder: Path) -> None:
    """Remove a replaced run folder, but hand files that are not a checkpoint's own to the new one."""
    for entry in previous.iterdir():
        if entry.name not in _OURS and not (folder / entry.name).exists():
            os.rename(entry, folder / entry.name)
    shutil.rmtree(previous)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(path, error.strerror, "a file of a checkpoint", _AGAIN) from error
