"""Where tensors are computed and in which precision: one resolver for every verb and every Python function."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from whyact.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")
Module = TypeVar("Module", bound="nn.Module")

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
DEVICES = "auto, cpu, cuda, cuda:N or mps"


def check_device(name: str, where: str = "--device") -> str:
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


def refuse_absent_device(name: str, where: str = "--device") -> None:
    """Refuse a device that this machine surely lacks, without importing torch: no driver of NVIDIA or AMD, no Mac.

    What passes may still be refused by :func:`resolve_device`, which asks torch.

    Raises:
        UserError: When it is spelt otherwise, or the machine lacks it.
    """
    kind = check_device(name, where).partition(":")[0]
    if kind == "mps" and sys.platform != "darwin":
        raise UserError(where, name, "a device of this machine, which is no Mac", "whyact doctor")
    if kind == "cuda" and sys.platform == "linux" and not _has_gpu_driver():
        raise UserError(where, name, "a device of this machine (cpu); it has no GPU driver", "whyact doctor")


def _has_gpu_driver() -> bool:
    """Tell whether the library that torch reaches a GPU through can be loaded; ROCm's GPUs are called cuda too."""
    import ctypes

    for library in ("libcuda.so.1", "libamdhip64.so"):
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return os.path.exists("/dev/kfd")  # ROCm's own library comes with torch


def resolve_device(name: str = "auto", where: str = "--device") -> torch.device:
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


def check_precision(precision: str, device: torch.device, where: str = "--precision") -> Precision:
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


def device_of(module: nn.Module) -> torch.device:
    """Return the device that a module's parameters and buffers are on; the CPU if it has none."""
    import torch

    for tensors in (module.parameters(), module.buffers()):
        for tensor in tensors:
            return tensor.device
    return torch.device("cpu")


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return ``value`` with ``function`` applied to every tensor in it: in tuples, lists, dicts and dataclasses."""
    import torch

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple | list):
        items = [map_tensors(item, function) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)})
    return value


def on_own_device(
    method: Callable[Concatenate[Module, Inputs], Result],
) -> Callable[Concatenate[Module, Inputs], Result]:
    """Let a method of a module compute where the module is, wherever its input is.

    The result returns to the device of the first tensor that goes in, so that whoever asks a model need not know where
    it computes. Nothing is moved if both are on the same device, as in training.
    """

    @wraps(method)
    def moved(self: Module, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Result:
        own = device_of(self)
        devices: list[torch.device] = []

        def note(tensor: Tensor) -> Tensor:
            devices.append(tensor.device)
            return tensor

        map_tensors((args, kwargs), note)
        if all(device == own for device in devices):
            return method(self, *args, **kwargs)
        args, kwargs = map_tensors((args, kwargs), lambda tensor: tensor.to(own))
        result: Result = map_tensors(method(self, *args, **kwargs), lambda tensor: tensor.to(devices[0]))
        return result

    return moved
