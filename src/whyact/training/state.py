"""The state of a training in progress: one safetensors file whose header carries the rest as JSON.

It holds weights, optimiser, schedule, every global generator, counters and history: enough to resume to the bit.
It is one file, so that one rename replaces all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from whyact.errors import UserError
from whyact.files import canonical_json, sha256, write_atomic
from whyact.training.checkpoint import tensors_sha256
from whyact.training.numerics import random_state, set_random_state

_AGAIN = "remove it to train from the start"


class Stateful(Protocol):
    """Anything that gives its state and takes it back."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take a state back."""


@dataclass
class Best:
    """The weights that scored highest on held-out data, after which epoch (from 1) and with which score."""

    epoch: int
    score: float
    weights: dict[str, Tensor]


@dataclass
class Position:
    """How far a training is.

    ``history`` has a row for each finished epoch, ``step`` counts the batches of all epochs and ``batch`` those of the
    epoch in progress. ``epoch_start`` is the state of the generators when that epoch began, and ``sums`` holds the
    weighted sum and the weight of each of its means.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    batch: int = 0
    epoch_start: dict[str, Any] = field(default_factory=dict)
    sums: Mapping[str, Any] = field(default_factory=dict)
    best: Best | None = None


def save_state(path: Path, parts: Mapping[str, Stateful], identity: dict[str, Any], position: Position) -> int:
    """Write the state between two batches to ``path``, atomically; a full disk leaves the previous one.

    Args:
        path: The file.
        parts: ``model``, ``optimizer``, ``schedule`` and ``scaler``, as far as the training has them.
        identity: Plain values that say which training this is; :func:`load_state` compares them.
        position: How far it is.

    Returns:
        The size of the file in bytes.

    Raises:
        DiskFullError: When the disk is full.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    best = position.best
    state = {name: part.state_dict() for name, part in parts.items()} | {
        "random": random_state(),
        "history": position.history,
        "position": [position.step, position.batch, position.epoch_start, dict(position.sums)],
        "best": None if best is None else [best.epoch, best.score, best.weights],
    }
    header = json.dumps({"identity": identity, "state": _pack(state, tensors, "")})
    data = save(tensors, metadata={"training": header, "sha256": sha256(header + tensors_sha256(tensors))})
    write_atomic(path, data)
    return len(data)


def load_state(path: Path, parts: Mapping[str, Stateful], identity: dict[str, Any]) -> Position:
    """Put the state at ``path`` into the parts of a training and into the global generators.

    Raises:
        UserError: When the file is damaged, of another version, or belongs to another training.
    """
    header, tensors = read_state(path)
    if canonical_json(header["identity"]) != canonical_json(identity):
        name = next(k for k in identity if header["identity"].get(k) != identity[k])
        saved, expected = _difference(str(header["identity"].get(name)), str(identity[name]))
        raise UserError(path, f"a training with {name} {saved}", f"one with {name} {expected}", _AGAIN)
    state = _unpack(header["state"], tensors)
    if missing := [name for name in parts if name not in state]:
        raise UserError(path, f"a state without {missing[0]}", "a state that this version wrote", _AGAIN)
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(path, str(error).splitlines()[-1].strip(), "weights of this model", _AGAIN) from error
    set_random_state(state["random"])
    best = None if state["best"] is None else Best(*state["best"])
    step, batch, epoch_start, sums = state["position"]
    return Position(state["history"], step, batch, epoch_start, sums, best)


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header of a state and its tensors, after checking every byte.

    Raises:
        UserError: When it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            facts = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        if facts["sha256"] != sha256(facts["training"] + tensors_sha256(tensors)):
            raise UserError(path, "other bytes", "the state that was written", _AGAIN)
        return json.loads(facts["training"]), tensors
    except UserError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(path, str(error), "the state of a training", _AGAIN) from error


def _pack(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Turn nested state into JSON, with tensors moved to ``tensors``. Only tagged dicts stand for other things."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, tensors, ""), _pack(v, tensors, f"{name}/{k}")] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(v, tensors, f"{name}/{i}") for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(v, tensors, f"{name}/{i}") for i, v in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"the training state {name or '/'} is a {type(value).__name__}, which JSON cannot hold")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "dict":
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in content}
    return tuple(_unpack(v, tensors) for v in content)


def _difference(one: str, other: str, around: int = 40) -> tuple[str, str]:
    """Return both texts near the first difference: a fingerprint can list a hundred settings."""
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, first - around)
    return tuple(  # type: ignore[return-value]
        f"{'…' * (start > 0)}{text[start : first + around]}{'…' * (len(text) > first + around)}"
        for text in (one, other)
    )
