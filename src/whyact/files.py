"""Write files so that a reader finds the old one or the new one, never half of one.

Like ``prediction`` and ``errors`` it imports nothing else of whyact, so everything may use it.
"""

from __future__ import annotations

import codecs
import errno
import glob
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from whyact.errors import DiskFullError, UserError

LEFTOVER_SECONDS = 3600.0  # a half-written file this old has no writer any more
SHIPPED = Path(__file__).parent / "shipped"  # the small models that travel with the package


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write ``data`` to ``path`` through a temporary sibling, synced and renamed; return ``path``.

    Text is written as UTF-8 with the newlines it has. Missing parent folders are made.

    Raises:
        DiskFullError: When the disk is full; ``path`` is then what it was before.
        OSError: When the disk refuses for another reason; the same.
    """
    path = Path(path)
    temporary = temporary_sibling(path)
    with telling_of_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_synced(temporary, data.encode() if isinstance(data, str) else data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return path


def read_text(path: Path, expected: str) -> str:
    """Return the text of a file in UTF-8 or UTF-16, without a byte order mark.

    Args:
        path: The file.
        expected: What the file should be, for the error.

    Raises:
        UserError: When it cannot be read or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(path, error.strerror, expected) from error
    text = decode_text(data, path, expected)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}", "a NUL character", expected, "save it as UTF-8 text")
    return text


def without_mark(data: bytes) -> bytes:
    """Return JSON bytes as UTF-8 without a byte order mark, which some editors write and JSON readers refuse."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        with suppress(UnicodeDecodeError):
            return data.decode("utf-16").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def decode_text(data: bytes, path: object, expected: str) -> str:
    """Return the text of bytes in UTF-8 or UTF-16, see :func:`read_text`; ``path`` is where they come from."""
    half = len(data) // 2
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif half and data[1::2].count(0) > 0.7 * half:  # Latin text without a mark: every other byte is 0
        encoding = "utf-16-le"
    elif half and data[0::2].count(0) > 0.7 * half:
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = f"bytes that are no {encoding.removesuffix('-sig').upper()} text"
        raise UserError(f"{path}:{line}", found, f"{expected}, in UTF-8", "save it as UTF-8") from error


def check_single_input(inputs: Sequence[str]) -> None:
    """Refuse one input that is not there before anything slow begins; of several, each is answered for by itself.

    Raises:
        MissingFileError: When it is missing.
    """
    if len(inputs) == 1 and not Path(inputs[0]).exists():
        step = "check the path, or give --data NAME for a clip of a data set"
        raise UserError(inputs[0], "no such file", "a video or a feature file", step)


def writable_file(option: str, path: Path) -> Path:
    """Return ``path`` when a file can be written there: checked before work that may take hours.

    Raises:
        UserError: When it is a folder, its parent is a file or may not be written to, or its name is too long.
    """
    with _telling_of_bad_names(option, path):
        if path.is_dir():
            raise UserError(option, str(path), "a file name, not a folder", f"{option} {path / 'out'}{path.suffix}")
        exists = path.exists()
    _check_place(option, path, path.parent)
    if exists and not os.access(path, os.W_OK):
        raise UserError(option, str(path), "a file that may be replaced; this one is read-only", "choose another path")
    return path


def writable_folder(option: str, path: Path) -> Path:
    """Return ``path`` when files can be written into it, or it can be made: checked before the work.

    Raises:
        UserError: When it or a parent is a file or may not be written to, or its name is too long.
    """
    _check_place(option, path, path)
    return path


def _check_place(option: str, path: Path, folder: Path) -> None:
    whole = folder.absolute()
    with _telling_of_bad_names(option, path):
        there = next((place for place in (whole, *whole.parents) if place.exists()), whole)
        is_folder = there.is_dir()
    if not is_folder:
        raise UserError(option, str(path), f"a path whose folders are folders; {there} is none", "choose another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(option, str(path), f"a place that can be written to; {there} cannot", "choose another path")


@contextmanager
def _telling_of_bad_names(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # for example a name that is longer than the file system takes, or a closed folder
        found = f"{str(path)[:60]}{'…' if len(str(path)) > 60 else ''} ({error.strerror})"
        raise UserError(option, found, "a place that can be written to", "choose another path") from error


@contextmanager
def telling_of_full_disk(path: Path) -> Iterator[None]:
    """Say in words that the disk, or a limit on it, stopped what is written inside.

    Raises:
        DiskFullError: Then; everything else passes through.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        step = "make room and run the same command again: it goes on from what is there, which is whole"
        raise DiskFullError(path, error.strerror, "room to write", step) from error


@contextmanager
def folder_lock(folder: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let one process at a time do what is inside for a folder, which is made; the others wait at the door.

    A process that dies has left. Where the system or the file system has no such locks (Windows, some network drives)
    nobody waits, so what is done inside must be right without it too.

    Args:
        folder: Which; on a shared drive the other processes may be on other machines.
        waiting: Called once where another process is inside.
    """
    with telling_of_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def restored_on_failure(folder: Path | None, made: Path) -> Iterator[None]:
    """Put the documents and links right in a folder back as they were where the block does not come to write a file.

    Args:
        folder: Documents that were added in it go, if there was any before; nothing is done where it is not there.
        made: What the block is for. Once it is written, the folder stays as it is, whatever fails later.
    """

    def documents() -> dict[Path, bytes | str]:
        paths = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
        linked: dict[Path, bytes | str] = {path: os.readlink(path) for path in paths if path.is_symlink()}
        files = (path for path in paths if path.suffix in (".json", ".csv") and path.is_file())
        return {path: path.read_bytes() for path in files if path not in linked} | linked

    def written() -> tuple[int, int] | None:
        return (made.stat().st_ino, made.stat().st_mtime_ns) if made.is_file() else None

    before, old = documents(), written()
    try:
        yield
    except BaseException:
        if not before or written() != old:
            raise
        after = documents()
        for path in after.keys() - before.keys():
            path.unlink()
        for path, content in before.items():
            if after.get(path) != content and isinstance(content, str):
                path.unlink(missing_ok=True)
                os.symlink(content, path, target_is_directory=True)
            elif after.get(path) != content:
                write_atomic(path, content)
        raise


def write_synced(path: Path, data: bytes) -> None:
    """Write ``data`` to a new file and wait until the disk has it."""
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries (a renamed file's new name among them)."""
    if os.name == "nt":  # Windows cannot open a folder for this, and renames there are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden name beside ``path``, so that a rename stays on one file system."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def leftovers(folder: Path, seconds: float = 0.0, name: str = "") -> list[Path]:
    """Return what killed writers left half-written in a folder (of one name), untouched for this many seconds."""
    found = []
    for left in sorted(folder.glob(f".{glob.escape(name) or '*'}.????????.tmp")):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime >= seconds:
                found.append(left)
    return found


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read piece by piece."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stored_sha256(path: Path) -> str:
    """Return :func:`file_sha256`; a file that has not changed since the last time is not read again."""
    facts = path.stat()
    return _stored_sha256(path.absolute(), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _stored_sha256(path: Path, size: int, written: int) -> str:
    return file_sha256(path)


def canonical_json(value: object) -> str:
    """Encode a value so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: On NaN or infinity, which JSON does not know.
        TypeError: On a value that JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(data: bytes | str) -> str:
    """Return the SHA-256 of bytes (or of text as UTF-8) in hexadecimal."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
