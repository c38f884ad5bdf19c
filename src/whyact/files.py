"""Write files so that a reader finds the old one or the new one, never half of one.

On the lowest floor beside ``prediction`` and ``errors``: it imports nothing of whyact.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"  # the small models that travel with the package


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write ``data`` to ``path`` through a temporary sibling, synced and renamed; return ``path``.

    Text is written as UTF-8 with the newlines it has. Missing parent folders are made.

    Raises:
        OSError: When the disk refuses; ``path`` is then what it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        write_synced(temporary, data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return path


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
