"""The index of a feature store: where each of a million videos lies, in memory that does not grow with what is stored.

One file of records of 48 bytes, appended a shard at a time and mapped into memory to read. A record says the hash of a
video's id and of its key, the shard, its row there, and how many rows the shard has; its last word is a checksum.
Nothing rests on the file: every shard names its videos itself, and a record that does not hold is dropped.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.files import telling_of_full_disk, write_atomic

RECORD = np.dtype(
    [("id", "<u8"), ("id2", "<u8"), ("key", "<u8"), ("shard", "V16"), ("row", "<u2"), ("rows", "<u2"), ("check", "<u4")]
)
MOST_ROWS = 2**16 - 1
PIECE = 2**16  # records checked at once
Records = NDArray[np.void]
_WEIGHTS = (np.arange(RECORD.itemsize // 4 - 1, dtype=np.uint64) * 2654435761 * 2 + 1).astype(np.uint32)


class Index:
    """The records that hold, looked up by a video's id; the last one of an id counts.

    ``damaged`` says how many records of the file do not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self._later: list[Records] = []  # not merged into the sorted order yet
        self._recent: dict[tuple[int, int], Records] = {}
        self._stale = False  # the file is not what this object knows: write it anew
        self._load()

    def __len__(self) -> int:
        self._merge()
        if not len(self._sorted):
            return 0
        new = np.diff(self._sorted) != 0
        new |= np.diff(self._records["id2"][self._order]) != 0
        return 1 + int(np.count_nonzero(new))

    def find(self, video: str) -> Records | None:
        """Return the record of a video, if there is one."""
        high, low = hashes(video)
        if (recent := self._recent.get((high, low))) is not None:
            return recent
        first = int(np.searchsorted(self._sorted, np.uint64(high), "left"))
        last = int(np.searchsorted(self._sorted, np.uint64(high), "right"))
        for at in range(last - 1, first - 1, -1):
            found = self._records[int(self._order[at])]
            if int(found["id2"]) == low:
                return found
        return None

    def shards(self) -> set[str]:
        """Return the file names of the shards."""
        self._merge()
        names = self._records["shard"].copy().view("<u8").reshape(-1, 2)  # a shard's records follow each other
        first = np.ones(len(names), dtype=bool)
        first[1:] = (names[1:] != names[:-1]).any(1)
        return {shard_name(row.tobytes()) for row in names[first]}

    def append(self, records: Records) -> None:
        """Add a shard's records and wait until the disk has them."""
        if self._stale:
            self._take(records)
            self.rewrite()
            return
        with telling_of_full_disk(self.path):
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                with open(self.path, "ab") as stream:
                    stream.write(records.tobytes())
                    stream.flush()
                    os.fsync(stream.fileno())
            except OSError:
                os.truncate(self.path, size)
                raise
        self._take(records)

    def adopt(self, records: Records) -> None:
        """Add the records of a shard that the file does not name; they are written with the next shard."""
        self._stale = True
        self._take(records)

    def rewrite(self) -> None:
        """Write the file anew with the records that hold."""
        self._merge()
        write_atomic(self.path, self._records.tobytes())
        self._stale, self.damaged = False, 0
        self._load()

    def on_disk(self) -> tuple[Records, int]:
        """Return the records as the file has them now, and how many do not hold (a cut one counts)."""
        records = _read(self.path)
        size = self.path.stat().st_size if self.path.exists() else 0
        return records, int(np.count_nonzero(~_holding(records))) + (size % RECORD.itemsize > 0)

    def _load(self) -> None:
        records, self.damaged = self.on_disk()
        if self.damaged:
            self._stale = True
            records = records[_whole(records, _holding(records))]
        self._sort(records)

    def _sort(self, records: Records) -> None:
        self._records = records
        ids = np.array(records["id"])
        self._order = np.argsort(ids, kind="stable").astype(np.uint32)
        self._sorted = ids[self._order]

    def _take(self, records: Records) -> None:
        self._later.append(records)
        for record in records:
            self._recent[int(record["id"]), int(record["id2"])] = record
        if len(self._recent) >= PIECE:
            self._merge()

    def _merge(self) -> None:
        if not self._later:
            return
        later, self._later, self._recent = self._later, [], {}
        if self._stale:
            self._sort(np.concatenate([self._records, *later]))
        else:  # the file has them all, and perhaps those of another writer
            self._load()


def hashes(text: str) -> tuple[int, int]:
    """Return 128 bits that stand for a text, as two numbers."""
    digest = blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def shard_name(record: bytes) -> str:
    """Return the file name that a record's 16 bytes stand for."""
    return f"{record.hex()}.safetensors"


def make_records(shard: str, videos: list[tuple[str, str]]) -> Records:
    """Return the records (N,) of a shard's videos, (id, key) each, in the order of their rows."""
    records = np.zeros(len(videos), RECORD)
    for row, (video, key) in enumerate(videos):
        records[row]["id"], records[row]["id2"] = hashes(video)
        records[row]["key"] = hashes(key)[0]
    records["shard"] = np.frombuffer(bytes.fromhex(shard.partition(".")[0]), "V16")[0]
    records["row"], records["rows"] = np.arange(len(videos)), len(videos)
    records["check"] = _sums(records)
    return records


def _read(path: Path) -> Records:
    count = path.stat().st_size // RECORD.itemsize if path.exists() else 0
    return np.memmap(path, RECORD, "r", shape=(count,)) if count else np.zeros(0, RECORD)


def _sums(records: Records) -> NDArray[np.uint32]:
    """Return what each record's last word must be: odd weights, so that a flipped bit always shows."""
    words = np.ascontiguousarray(records).view("<u4").reshape(len(records), -1)[:, :-1]
    return np.asarray(np.uint32(1) + (words * _WEIGHTS).sum(1, dtype=np.uint32), dtype=np.uint32)


def _holding(records: Records) -> NDArray[np.bool_]:
    out = np.zeros(len(records), dtype=bool)
    for first in range(0, len(records), PIECE):
        piece = records[first : first + PIECE]
        out[first : first + PIECE] = _sums(piece) == piece["check"]
    return out


def _whole(records: Records, holding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which records hold and belong to a shard of which no record is missing."""
    kept = np.flatnonzero(holding)
    names = records["shard"][kept].copy().view("<u8").reshape(-1, 2)
    _, which, counts = np.unique(names, axis=0, return_inverse=True, return_counts=True)
    out = np.zeros(len(records), dtype=bool)
    out[kept] = counts[which.reshape(-1)] == records["rows"][kept]
    return out
