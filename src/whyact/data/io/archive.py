"""A folder or a zip archive, read the same way and without unpacking."""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from whyact.errors import UserError, malformed
from whyact.files import decode_text, without_mark

T = TypeVar("T")
MOST_BYTES = 2**30  # a member, unpacked: small files may claim to hold anything
_ODD_ZIPS = (NotImplementedError, RuntimeError, lzma.LZMAError)  # an unknown method, a password, a broken stream


class Archive:
    """Read members of a folder, or of a zip file, by their path inside it.

    Members are only ever read by name and never unpacked to disk, so a hostile member path cannot
    write anywhere; one that leads out of a folder is not read either. Links in a folder are its owner's
    business and are followed; a link in a zip file is read as the few bytes it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(
                path, str(error), "a complete zip archive or a folder", "download the archive again"
            ) from error

    def exists(self, member: str) -> bool:
        """Return whether ``member`` is there."""
        return member in self._zip.NameToInfo if self._zip else self._inside(member).is_file()

    def read(self, member: str) -> bytes:
        """Return the bytes of ``member``.

        Raises:
            UserError: When it is missing, truncated or fails its checksum, is larger unpacked than
                :data:`MOST_BYTES`, or its path leads out of the folder.
        """
        try:
            if self._zip is None:
                return self._inside(member).read_bytes()
            size = self._zip.getinfo(member).file_size  # what follows reads no more than this
            if size > MOST_BYTES:
                found = f"{size:,} bytes when unpacked"
                raise UserError(f"{self.path}: {member}", found, f"at most {MOST_BYTES:,}", "do not trust this file")
            return self._zip.read(member)
        except UserError:
            raise
        except (KeyError, FileNotFoundError) as error:
            raise UserError(
                f"{self.path}: {member}", None, "this file, which is missing", "whyact data check"
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, *_ODD_ZIPS) as error:
            raise UserError(f"{self.path}: {member}", str(error), "an undamaged file", "download it again") from error

    def _inside(self, member: str) -> Path:
        """Return a folder's member, unless its path leads elsewhere."""
        parts = PurePosixPath(member.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in member.split("/")[0]:
            raise UserError(f"{self.path}: {member!r}", None, "a path inside the folder", "do not trust this data")
        return self.path / member

    def lines(self, member: str) -> list[str]:
        """Return the non-empty lines of a text member, stripped."""
        text = decode_text(self.read(member), f"{self.path}: {member}", "lines of text")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def json(self, member: str, kind: type[T]) -> T:
        """Return a JSON member, validated against ``kind``."""
        with json_errors(f"{self.path}: {member}"):
            return msgspec.json.decode(without_mark(self.read(member)), type=kind)

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
        raise malformed(where, error, "JSON of the documented layout") from error
    except UnicodeDecodeError as error:
        raise UserError(where, str(error), "UTF-8 JSON") from error


def sha256_text(*parts: str) -> str:
    """Return the SHA-256 of the parts joined by newlines, for naming a split."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
