"""A GPU that is not there: tensors say ``cuda:0``, their values are computed on the CPU, and devices must not be mixed.

As on a real GPU an operation refuses a tensor of the CPU beside one of the GPU, apart from single numbers and
indices. So a tensor that some code creates in the wrong place is found on any machine, and results can be compared
with those of the CPU. Gradients cannot be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("cuda", 0)
MAY_MIX = (
    "aten._to_copy",
    "aten.to.",
    "aten.copy_",
    "aten.index.",
    "aten.index_put",
    "aten._index_put",
    "aten._pack_padded",
)


class MixedDevices(RuntimeError):
    """An operation had tensors of both devices."""


class OnGpu(Tensor):
    """A tensor that says it is on the GPU; ``values`` are where they can be computed."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        tensor: OnGpu = Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device="meta", requires_grad=False,
        )  # fmt: skip
        tensor.values = values
        return tensor

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Return the GPU; torch itself takes this for a tensor without values, and asks no driver."""
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        return OnGpu(self.values.new_tensor(data, **kwargs))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_as_tensors(index), value)

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_as_tensors(index))

    def tolist(self) -> Any:
        return self.values.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *args: Any) -> Any:
        return self.numpy()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"on the pretended GPU: {self.values!r}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("a tensor of the pretended GPU is not to be copied or sent")


def _as_tensors(index: Any) -> Any:
    """Return an index with tensors of the CPU for lists: torch would create them where it takes the tensor to be."""
    if isinstance(index, tuple):
        return tuple(_as_tensors(part) for part in index)
    return torch.tensor(index, dtype=torch.long) if isinstance(index, list) else index


class _Mode(TorchDispatchMode):
    """Also sees operations without a tensor of the GPU: those that create one, or move one there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation of torch on values, and say where the result is."""
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    on_gpu = [x for x in tensors if isinstance(x, OnGpu)]
    name = str(func)
    if any(x.is_meta and not isinstance(x, OnGpu) for x in tensors):
        raise RuntimeError(f"{name}: a tensor without values, which torch created beside one of the pretended GPU")
    here = [x for x in tensors if not isinstance(x, OnGpu) and x.dim() > 0]
    if on_gpu and here and not name.startswith(MAY_MIX):
        raise MixedDevices(
            f"{name}: shapes {[tuple(x.shape) for x in on_gpu]} on the GPU, {[tuple(x.shape) for x in here]} on the CPU"
        )
    asked = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.device)]
    to_gpu = asked[0].type in ("cuda", "meta") if asked else bool(on_gpu)
    kwargs = {key: value for key, value in kwargs.items() if key not in ("pin_memory", "non_blocking")}
    values, named = tree_map(_on_cpu, (args, kwargs))
    result = func(*values, **named)
    if result is None:
        return None
    if name.startswith("aten._pack_padded"):  # the sizes of its batches stay on the CPU
        return OnGpu(result[0]), result[1]
    if name.startswith("aten.copy_") or (func._schema.name.endswith("_") and not func._schema.name.endswith("__")):
        return args[0]
    return tree_map(lambda x: OnGpu(x) if isinstance(x, Tensor) and to_gpu else x, result)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.values if isinstance(value, OnGpu) else value


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Let ``cuda:0`` stand for the pretended GPU inside; modules and tensors are moved there with ``to``."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with patch("torch.cuda._lazy_init"), _Mode(), sdpa_kernel(SDPBackend.MATH):
            yield GPU
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
