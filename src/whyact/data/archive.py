"""A folder or a zip archive, read the same way and without unpacking."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from whyact.errors import UserError

T = TypeVar("T")


class Archive:
    """Read members of a folder, or of a zip file, by their path inside it.

    Members are only ever read by name and never unpacked to disk, so a hostile member path cannot
    write anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                path, str(error), "a complete zip archive or a folder", "download the archive again"
            ) from error

    def exists(self, member: str) -> bool:
        """Return whether ``member`` is there."""
        return member in self._zip.NameToInfo if self._zip else (self.path / member).is_file()

    def read(self, member: str) -> bytes:
        """Return the bytes of ``member``.

        Raises:
            UserError: When it is missing, truncated or fails its checksum.
        """
        try:
            return self._zip.read(member) if self._zip else (self.path / member).read_bytes()
        except (KeyError, FileNotFoundError) as error:
            raise UserError(
                f"{self.path}: {member}", None, "this file, which is missing", "whyact data check"
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:  # a name with a null byte too
            raise UserError(f"{self.path}: {member}", str(error), "an undamaged file", "download it again") from error

    def lines(self, member: str) -> list[str]:
        """Return the non-empty lines of a text member, stripped."""
        try:
            text = self.read(member).decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: {member}", str(error), "UTF-8 text") from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def json(self, member: str, kind: type[T]) -> T:
        """Return a JSON member, validated against ``kind``."""
        with json_errors(f"{self.path}: {member}"):
            return msgspec.json.decode(self.read(member), type=kind)

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        if self._zip:
            return sorted(name for name in self._zip.namelist() if not name.endswith("/"))
        return sorted(str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file())

    def close(self) -> None:
        """Close the archive; further reads fail."""
        if self._zip:
            self._zip.close()


@contextmanager
def json_errors(where: str) -> Iterator[None]:
    """Turn a JSON or validation error into a :class:`UserError` that names the file and the item."""
    try:
        yield
    except msgspec.DecodeError as error:
        raise UserError(where, str(error), "JSON of the documented layout") from error
    except UnicodeDecodeError as error:
        raise UserError(where, str(error), "UTF-8 JSON") from error


def sha256_text(*parts: str) -> str:
    """Return the SHA-256 of the parts joined by newlines, for naming a split."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
