"""Feature rows as they come, into one ``.npy`` file."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import LEFTOVER_SECONDS, leftovers, temporary_sibling


class RowFile:
    """A ``.npy`` file of float16 rows that grows; it has its name only once it is whole."""

    HEADER = 128  # bytes: room for any number of rows

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.temporary = path, temporary_sibling(path)
        for left in leftovers(path.parent, LEFTOVER_SECONDS, path.name):
            left.unlink(missing_ok=True)
        self.stream = open(self.temporary, "wb")  # noqa: SIM115 - closed by close() or discard()
        self.stream.write(b" " * self.HEADER)
        self.rows, self.width = 0, 0

    def add(self, rows: NDArray[np.floating]) -> None:
        """Append rows (N,D).

        Raises:
            UserError: When a value is not finite, or too large for float16.
        """
        with np.errstate(over="ignore"):  # becomes infinite, and is refused
            half = np.ascontiguousarray(rows, dtype="<f2")
        if not np.isfinite(half).all():
            raise UserError(self.path, "NaN, or too large for float16", "finite features")
        self.rows, self.width = self.rows + len(half), half.shape[1]
        self.stream.write(half.tobytes())

    def close(self) -> None:
        """Write the header, wait for the disk, and give the file its name."""
        shape = f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({self.rows}, {self.width}), }}"
        room = self.HEADER - 10
        self.stream.seek(0)
        self.stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", room) + shape.ljust(room - 1).encode() + b"\n")
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        """Leave nothing behind, unless the file is whole already."""
        with suppress(OSError):  # a full disk refuses the last bytes once more
            self.stream.close()
        self.temporary.unlink(missing_ok=True)
