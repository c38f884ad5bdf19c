"""The state of a training in progress: one safetensors file whose header carries the rest as JSON.

Weights, optimizers, schedulers, every global generator, counters and history: enough to go on to the bit.
One file, so that one rename makes it whole.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from whyact.errors import UserError
from whyact.files import canonical_json, sha256, write_atomic
from whyact.training.checkpoint import tensors_sha256

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_AGAIN = "remove it to train from the start"


@dataclass
class Position:
    """Where within an epoch a training is.

    ``batch`` batches are done, the generators were ``drawn`` where the epoch began, and ``logged`` holds sum and weight
    of each mean so far. ``started`` batches lightning has yet to be told of.
    """

    batch: int = 0
    drawn: dict[str, Any] = field(default_factory=dict)
    logged: dict[str, list[float]] = field(default_factory=dict)
    started: int = 0


def save_state(
    path: Path,
    trainer: Trainer,
    identity: dict[str, Any],
    history: list[dict[str, float]],
    position: Position = Position(),  # noqa: B008 - never written to
) -> None:
    """Write the state between two batches to ``path``, atomically; a full disk leaves the previous one.

    ``identity`` (plain values) says which training this is; :func:`load_state` compares it.

    Raises:
        DiskFullError: When the disk is full.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    state = {
        "model": trainer.lightning_module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "precision": trainer.precision_plugin.state_dict(),
        "random": random_state(),
        "global_step": trainer.global_step,
        "history": history,
        "position": [position.batch, position.drawn, position.logged],
    }
    described = {"identity": identity, "state": _pack(state, tensors, "")}
    text = json.dumps(described)
    write_atomic(path, save(tensors, metadata={"training": text, "sha256": sha256(text + tensors_sha256(tensors))}))


def load_state(path: Path, trainer: Trainer, identity: dict[str, Any]) -> tuple[list[dict[str, float]], Position]:
    """Put the state at ``path`` into a Trainer that is about to start its first epoch.

    Returns:
        The history, and where in the next epoch the training is.

    Raises:
        UserError: When the file is damaged or belongs to another training.
    """
    described, tensors = read_state(path)
    if canonical_json(described["identity"]) != canonical_json(identity):
        differ = next(k for k in identity if described["identity"].get(k) != identity[k])
        found, wanted = _difference(str(described["identity"].get(differ)), str(identity[differ]))
        raise UserError(path, f"a training with {differ} {found}", f"one with {differ} {wanted}", _AGAIN)
    state = _unpack(described["state"], tensors)
    try:
        trainer.lightning_module.load_state_dict(state["model"])
    except RuntimeError as error:
        raise UserError(path, str(error).splitlines()[-1].strip(), "weights of this model", _AGAIN) from error
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    for config, saved in zip(trainer.lr_scheduler_configs, state["schedulers"], strict=True):
        config.scheduler.load_state_dict(saved)
    trainer.precision_plugin.load_state_dict(state["precision"])
    position = Position(*state.get("position", ()))
    _set_counters(trainer, len(state["history"]), state["global_step"])
    set_random_state(state["random"])
    return state["history"], position


def _set_counters(trainer: Trainer, epochs: int, steps: int) -> None:
    """Make ``current_epoch`` and ``global_step`` go on. The Trainer's counters have no other way in."""
    loop: Any = trainer.fit_loop
    for epoch in (loop.epoch_progress.total, loop.epoch_progress.current):
        epoch.ready = epoch.started = epoch.processed = epoch.completed = epochs
    step = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    step.ready = step.completed = steps
    loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = steps
    batch = loop.epoch_loop.batch_progress.total
    batch.ready = batch.started = batch.processed = batch.completed = epochs * int(trainer.num_training_batches)


def random_state() -> dict[str, Any]:
    """Return the state of every global generator."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators back to what :func:`random_state` returned."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a state says and its tensors, after checking all of it.

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
    """Return both texts near the first place where they differ: a fingerprint can list a hundred settings."""
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, first - around)
    return tuple(  # type: ignore[return-value]
        f"{'…' * (start > 0)}{text[start : first + around]}{'…' * (len(text) > first + around)}"
        for text in (one, other)
    )
