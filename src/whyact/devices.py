"""Where tensors are computed and in which precision: one resolver for every verb and every Python function."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from whyact.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
DEVICES = "auto, cpu, cuda, cuda:N or mps"


def check_device(name: str, where: str = "device") -> str:
    """Return ``name`` if it is spelt like a device. This imports nothing slow and asks no driver.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        where: What an error calls the setting: ``device`` in Python, ``--device`` on the command line.

    Raises:
        UserError: When it is spelt otherwise.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UserError(where, name, DEVICES)
    return name


def resolve_device(name: str = "auto", where: str = "device") -> torch.device:
    """Return the device of this machine that ``name`` stands for; ``auto`` is the first GPU, or else the CPU.

    Raises:
        UserError: When it is no device, or this machine does not have it.
    """
    import torch

    check_device(name, where)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cuda":
        if int(index or 0) >= gpus:
            here = ", ".join(["cpu", *(f"cuda:{i}" for i in range(gpus))])
            reason = "" if torch.version.cuda else "; this torch is built without CUDA"
            raise UserError(where, name, f"a device of this machine ({here}){reason}", "whyact doctor")
        return torch.device(f"cuda:{int(index or 0)}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError(where, name, "a device of this machine; torch finds no Apple GPU", "whyact doctor")
    return torch.device(kind)


def autocast(device: torch.device, precision: Precision = "fp32") -> AbstractContextManager[object]:
    """Return the context in which ``device`` computes with this precision; ``fp32`` changes nothing."""
    if precision == "fp32":
        return nullcontext()
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def check_precision(precision: str, device: torch.device, where: str = "precision") -> Precision:
    """Return ``precision`` if ``device`` can compute with it.

    Raises:
        UserError: When it is unknown, or is ``fp16`` without a GPU.
    """
    for known in PRECISIONS:
        if precision == known:
            if known == "fp16" and device.type == "cpu":
                raise UserError(where, precision, "fp32 or bf16 on a CPU; fp16 needs a GPU")
            return known
    raise UserError(where, precision, ", ".join(PRECISIONS))
