"""Write tiny ONNX files without the package onnx: one convolution, encoded by hand as the protobuf it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _int(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _number(field << 3 | 2) + _number(len(data)) + data


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(_int(1, n) for n in values.shape)
    return dims + _int(2, 1) + _bytes(8, name) + _bytes(9, values.astype("<f4").tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_bytes(1, _int(1, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, 1) + _bytes(2, dims)))


def conv_model(weight: NDArray[np.float32], bias: NDArray[np.float32], size: tuple[int, int]) -> bytes:
    """Return an ONNX file: (1,C,h,w) -> convolution with ``weight`` (O,C,k,k), stride k, plus ``bias`` (O,)."""
    out, channels, side, _ = weight.shape
    strides = _bytes(1, "strides") + _int(8, side) + _int(8, side) + _int(20, 7)
    node = b"".join(_bytes(1, name) for name in ("image", "weight", "bias")) + _bytes(2, "out")
    node += _bytes(4, "Conv") + _bytes(5, strides)
    graph = _bytes(1, node) + _bytes(2, "tiny")
    graph += _bytes(5, _tensor("weight", weight)) + _bytes(5, _tensor("bias", bias))
    graph += _bytes(11, _value("image", (1, channels, *size)))
    graph += _bytes(12, _value("out", (1, out, size[0] // side, size[1] // side)))
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _int(2, 13))
