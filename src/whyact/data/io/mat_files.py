"""MATLAB 5 files, checked before they are read: sizes that the file cannot hold would cost minutes and gigabytes."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

from whyact.data.io.pickles import memory_ceiling
from whyact.errors import UserError

HEADER, MATRIX, COMPRESSED = 128, 14, 15
DEEPEST = 16
MOST_BYTES = 2**30  # of an element, uncompressed
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}  # type -> bytes a value


def load_mat(path: Path) -> dict[str, Any]:
    """Read a MATLAB 5 file as plain dicts and arrays.

    Raises:
        UserError: When it is missing, damaged, or claims more than it holds.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise UserError(path, "no such file", "a MATLAB file of the zero-shot data", "point --root at its folder")
    try:
        data = path.read_bytes()
        check(data)
        with memory_ceiling(len(data)):
            found: dict[str, Any] = loadmat(path, simplify_cells=True)
    except Exception as error:  # a broken file may raise nearly anything
        raise UserError(path, f"{type(error).__name__}: {error}", "a MATLAB 5 file") from error
    return found


def check(data: bytes) -> None:
    """Walk over the elements of a MATLAB 5 file: each must lie in the one around it, each array fit into its bytes.

    Raises:
        ValueError: When one does not.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no MATLAB 5 header")
    _elements(data, HEADER, len(data), order, 0)


def _elements(data: bytes, at: int, end: int, order: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("arrays nested too deeply")
    while at < end:
        kind, low, high, at = _element(data, at, end, order)
        if kind == COMPRESSED:
            opened = zlib.decompressobj()
            inside = opened.decompress(data[low:high], MOST_BYTES)
            if opened.unconsumed_tail:
                raise ValueError("an element that unpacks to more than a gigabyte")
            _elements(inside, 0, len(inside), order, depth + 1)
        elif kind == MATRIX:
            _matrix(data, low, high, order, depth)
        elif depth:
            raise ValueError(f"an element of type {kind} between arrays")


def _matrix(data: bytes, at: int, end: int, order: str, depth: int) -> None:
    """Check one array: flags, dimensions, name; then its values, or the arrays in its cells and fields."""
    if at == end:  # an empty array may be nothing at all
        return
    _, low, high, at = _element(data, at, end, order)
    if high - low < 4:
        raise ValueError("an array without flags")
    kind = struct.unpack_from(f"{order}I", data, low)[0] & 0xFF
    which, low, high, at = _element(data, at, end, order)
    if which != 5 or high - low < 8:
        raise ValueError("an array without dimensions")
    sizes = struct.unpack_from(f"{order}{(high - low) // 4}i", data, low)
    count = math.prod(sizes)
    if min(sizes) < 0 or count > len(data):
        raise ValueError(f"an array of {sizes} values in {len(data)} bytes")
    _, _, _, at = _element(data, at, end, order)
    if kind in (1, 2):  # cells, or a struct: field names, then an array for each
        if kind == 2:
            _, low, high, at = _element(data, at, end, order)
            length = struct.unpack_from(f"{order}i", data, low)[0] if high - low >= 4 else 0
            if not 0 < length <= 256:
                raise ValueError(f"field names of length {length}")
            _, low, high, at = _element(data, at, end, order)
            count *= (high - low) // length
        held = 0
        while at < end:
            which, low, high, at = _element(data, at, end, order)
            if which != MATRIX:
                raise ValueError(f"type {which} where an array belongs")
            _matrix(data, low, high, order, _deeper(depth))
            held += 1
        if held != count:
            raise ValueError(f"{held} arrays where {count} belong")
    elif kind == 3 or not 4 <= kind <= 15:
        raise ValueError(f"an array of class {kind}")
    elif kind == 4 or 6 <= kind <= 15:
        which, low, high, at = _element(data, at, end, order)
        if which not in WIDTHS or (which != 16 and (high - low) // WIDTHS[which] != count):
            raise ValueError(f"{high - low} bytes of type {which} for {count} values")


def _deeper(depth: int) -> int:
    if depth >= DEEPEST:
        raise ValueError("arrays nested too deeply")
    return depth + 1


def _element(data: bytes, at: int, end: int, order: str) -> tuple[int, int, int, int]:
    """Return an element's type, where its bytes start and end, and where the next one starts."""
    if at + 8 > end:
        raise ValueError("an element cut off")
    kind, size = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:  # a small one: type and size share a word
        kind, size, low, step = kind & 0xFFFF, kind >> 16, at + 4, 4
        if size > 4:
            raise ValueError(f"a small element of {size} bytes")
    else:
        low, step = at + 8, size + -size % 8 if kind != COMPRESSED else size
    if low + size > end:
        raise ValueError(f"an element of {size} bytes where {end - low} are left")
    return kind, low, low + size, min(low + step, end)
