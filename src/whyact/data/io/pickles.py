"""The one place that reads published pickles, through unpicklers that can build plain data only.

A pickle may name any callable on this machine. These readers resolve nothing but the handful of NumPy
and container constructors that published annotation arrays need; everything else is refused by name.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError

if TYPE_CHECKING:
    import torch


def load_pickle(path: Path | str, encoding: str = "latin1") -> Any:
    """Read a pickle of plain data: containers, numbers, strings and NumPy arrays.

    Args:
        path: The pickle file.
        encoding: How 8-bit strings of Python 2 pickles are decoded.

    Raises:
        UserError: When the file is missing, broken, or names anything but plain data.
    """
    with _open(path) as file:
        return _unpickle(file, path, encoding)


def load_array(path: Path | str, mmap: bool = False) -> NDArray[Any]:
    """Read a ``.npy`` file; an object array (a pickle inside) goes through the restricted unpickler.

    Args:
        path: The array file.
        mmap: Map a numeric array instead of reading it. Object arrays are always read.

    Raises:
        UserError: When the file is missing, no ``.npy`` file, or holds more than plain data.
    """
    with _open(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
        except Exception as error:  # a header is Python source to NumPy: a broken one may raise nearly anything
            reason = f"{type(error).__name__}: {error}"
            raise UserError(path, reason, "a NumPy .npy file") from error
        if not dtype.hasobject:
            try:
                return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
            except (ValueError, TypeError, OverflowError, MemoryError, OSError, EOFError) as error:
                raise UserError(path, f"{type(error).__name__}: {error}", "a complete NumPy .npy file") from error
        array = np.asarray(_unpickle(file, path, "latin1"), dtype=object)
    if array.shape != shape:
        raise UserError(path, array.shape, f"an object array of the shape in its header, {shape}")
    return array


def load_torch(path: Path | str) -> dict[str, torch.Tensor]:
    """Read the tensors of a published PyTorch checkpoint, weights only, on the CPU.

    A file that wraps them under ``state_dict`` or ``model`` is unwrapped.

    Raises:
        UserError: When the file is missing or holds more than tensors.
    """
    import torch

    _open(path).close()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(path, None, "a PyTorch checkpoint that holds weights only") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(path, type(state).__name__, "a mapping from parameter names to tensors")
    return state


def _open(path: Path | str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(path, error.strerror, "a readable file") from error


def _unpickle(file: IO[bytes], path: Path | str, encoding: str) -> Any:
    try:
        with memory_ceiling(os.fstat(file.fileno()).st_size):
            return _PlainUnpickler(file, encoding=encoding).load()
    except UserError as error:
        raise UserError(path, error.value, error.expected, error.next_step) from None
    except Exception as error:  # a broken pickle may raise nearly anything
        raise UserError(path, f"{type(error).__name__}: {error}", "a complete pickle of plain data") from error


@contextmanager
def memory_ceiling(size: int) -> Iterator[None]:
    """Let the process grow by a generous multiple of the file's size and no more, where the system can say so.

    Five bytes of a pickle can ask the C unpickler for a table of 64 GiB; with a ceiling that is a MemoryError.
    """
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as stream:
            used = int(stream.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError):
        yield
        return
    ceiling = used + 2**30 + 64 * size
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([ceiling, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _no_bytes() -> bytes:
    """Stand in for ``bytes``, which old protocols call for an empty value; a number would ask for that many."""
    return b""


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, which pickles of bytes written by protocol 2 call."""
    if encoding not in ("latin1", "latin-1"):
        raise UserError("pickle", encoding, "bytes stored as latin1")
    return text.encode("latin1")


def _numpy_constructors() -> dict[str, Any]:
    # ndarray.__reduce__ names its own rebuilder: taken from there, it needs no private import.
    return {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "scalar": np.float64(0).__reduce__()[0],
    }


_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (module, name): value
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, value in _numpy_constructors().items()
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, list, dict, tuple, bytearray, complex)},
    **{("__builtin__", kind.__name__): kind for kind in (set, frozenset, list, dict, tuple, complex)},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                "pickle",
                f"{module}.{name}",
                "plain data only (containers, numbers, strings, NumPy arrays)",
                "do not trust this file",
            )
        return _ALLOWED[(module, name)]

    def persistent_load(self, pid: Any) -> Any:
        raise UserError("pickle", "a persistent reference", "plain data only", "do not trust this file")


def dump_plain(value: Any) -> bytes:
    """Return a pickle of plain data, for the writers of published layouts that are pickles; equal data, equal bytes.

    Nothing of ours is kept in this format: only generated worlds that imitate Action Genome write it.

    Args:
        value: Containers, numbers, strings and NumPy arrays; an object that occurs twice is written twice.
    """
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=4)
    pickler.fast = True  # without a memo, for what it notes depends on which equal strings happen to be one object
    pickler.dump(value)
    return stream.getvalue()
