"""A cache of features on disk: every video is encoded once, whatever is trained on it afterwards.

A folder of safetensors shards, an index of them and ``store.json``, which says what made the features. A shard is
written whole or not at all, bears its SHA-256 as its name, and says itself what it holds: row n is the tensor ``n``, a
checksum and JSON, with the video's arrays ``n/NAME`` beside it. So one that a killed extraction finished is found again
although the index does not name it yet, and an index that is lost or damaged is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.features.index import MOST_ROWS, Index, Records, hashes, make_records, shard_name
from whyact.files import LEFTOVER_SECONDS, canonical_json, file_sha256, leftovers, sha256, write_atomic

STORE, INDEX = "store.json", "index.bin"
VERSION = 3
SEAL = 16  # bytes of checksum before an entry's JSON
FEATURES = "features"  # the array's name where a video has one
_AGAIN = "remove the folder and extract again"

Arrays = Mapping[str, NDArray[np.floating]]
Half = NDArray[np.float16]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """What a shard says of one video, beside its arrays; ``sums`` are checksums of the arrays' bytes."""

    video: str
    key: str
    times: list[float]
    rate: float
    shapes: dict[str, list[int]]
    sums: dict[str, str]
    degraded: str = ""
    file: tuple[str, str] = ("", "")


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    """What the store and every shard of it say: what made the features."""

    version: int
    encoder: str


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """``store.json``: the label with the SHA-256 of its own text."""

    sha256: str
    store: msgspec.Raw


@dataclass(frozen=True)
class Stored:
    """One video's arrays (T,...) float16, times (T,) in seconds, rate, and what was wrong with the video."""

    arrays: dict[str, Half]
    times: NDArray[np.float64]
    rate: float
    degraded: str

    @property
    def features(self) -> Half:
        """Return the one array (T,D) of a video stored by :meth:`FeatureStore.add`."""
        return self.arrays[FEATURES]


def feature_key(video_sha256: str, sampler: str, encoder: str, weights_sha256: str, **more: str) -> str:
    """Return the name of a video's features: what changes any part of them changes it.

    Args:
        video_sha256: Of the video file.
        sampler: Which frames are taken, as ``uniform 32``.
        encoder: What encodes them, with its preprocessing.
        weights_sha256: Of the encoder's weights.
        more: Anything else that goes in, such as a hash of the boxes.
    """
    parts = {"video": video_sha256, "sampler": sampler, "encoder": encoder, "weights": weights_sha256, **more}
    return sha256(canonical_json(parts))


class FeatureStore:
    """Features by video id, made by one encoder. Use as a context manager while adding: leaving it writes the rest.

    Args:
        folder: Where; made when the first shard is written.
        encoder: What makes the features, with its preprocessing and sampling; a store of another encoder is refused.
        shard_videos: How many videos a shard holds; as many are lost at most when an extraction is killed.
        shard_bytes: A shard is written earlier when it is as large as this.

    Raises:
        UserError: When the folder holds another encoder's features, or ``store.json`` is damaged.
    """

    def __init__(
        self, folder: Path | str, encoder: str, shard_videos: int = 64, shard_bytes: int = 256 * 2**20
    ) -> None:
        self.folder, self.encoder = Path(folder), encoder
        self.shard_videos, self.shard_bytes = min(shard_videos, MOST_ROWS), shard_bytes
        self._pending: dict[str, tuple[_Entry, dict[str, Half]]] = {}
        self._pending_bytes = 0
        self._widths: dict[str, list[int]] | None = None
        found = read_label(self.folder)
        if found is not None and (found.version, found.encoder) != (VERSION, encoder):
            raise UserError(self.folder / STORE, found.encoder, f"features by {encoder}", "use another folder")
        self._index = Index(self.folder / INDEX)
        self._adopt(found is not None)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._index) + sum(self._index.find(video) is None for video in self._pending)

    def has(self, video: str, key: str) -> bool:
        """Tell whether a video is stored; ``key`` identifies what it was made from, so a changed one is encoded anew.

        :func:`feature_key` makes such a key.
        """
        if video in self._pending:
            return self._pending[video][0].key == key
        record = self._index.find(video)
        return record is not None and int(record["key"]) == hashes(key)[0]

    def file_sha256(self, video: str, stamp: str) -> str:
        """Return the SHA-256 of a stored video's file if its stamp is still this one, else an empty string."""
        if not stamp:
            return ""
        entry = self._pending[video][0] if video in self._pending else None
        if entry is None and (record := self._index.find(video)) is not None:
            entry = self._read(video, record, arrays=False)[0]
        return entry.file[0] if entry is not None and entry.file[1] == stamp else ""

    def add(
        self,
        video: str,
        key: str,
        features: NDArray[np.floating],
        times: NDArray[np.float64],
        rate: float,
        degraded: str = "",
        file: tuple[str, str] = ("", ""),
    ) -> None:
        """Add a video's features (T,D); they are on disk once the shard is full or the store is closed.

        ``file`` is the video file's SHA-256 and a stamp of it, for :meth:`file_sha256`.

        Raises:
            UserError: As :meth:`add_arrays`, and when they are not (T,D).
        """
        if features.ndim != 2:
            raise UserError(f"features of {video}", features.shape, f"(T,D) with {len(times)} times")
        self.add_arrays(video, key, {FEATURES: features}, times, rate, degraded, file)

    def add_arrays(
        self,
        video: str,
        key: str,
        arrays: Arrays,
        times: NDArray[np.float64],
        rate: float,
        degraded: str = "",
        file: tuple[str, str] = ("", ""),
    ) -> None:
        """Add several named arrays (T,...) of a video.

        Raises:
            UserError: When one is empty, not finite in float16, or the store's videos have others or another shape
                behind T.
        """
        half = {name: _half(f"{name} of {video}", array, len(times)) for name, array in arrays.items()}
        shapes = {name: list(array.shape) for name, array in half.items()}
        sums = {name: _sum(array.tobytes()).hex() for name, array in half.items()}
        entry = _Entry(video, key, [float(t) for t in times], rate, shapes, sums, degraded, file)
        widths = _widths(shapes)
        if self._widths is None:
            self._widths = self._known_widths() or widths
        if widths != self._widths:
            raise UserError(f"features of {video}", _said(widths), _said(self._widths))
        self._pending[video] = (entry, half)
        self._pending_bytes += sum(array.nbytes for array in half.values())
        if len(self._pending) >= self.shard_videos or self._pending_bytes >= self.shard_bytes:
            self.flush()

    def get_or_add(self, video: str, key: str, make: Callable[[], tuple[Arrays, NDArray[np.float64], float]]) -> Stored:
        """Return a stored video; when it is not stored under this key, ``make`` its (arrays, times, rate) first."""
        if not self.has(video, key):
            self.add_arrays(video, key, *make())
        return self.get(video)

    def flush(self) -> None:
        """Write what is pending: the shard first, then the index that names it."""
        if not self._pending:
            return
        from safetensors.numpy import save

        tensors: dict[str, NDArray[np.generic]] = {}
        for row, (entry, half) in enumerate(self._pending.values()):
            said = msgspec.json.encode(entry)
            tensors[str(row)] = np.frombuffer(_sum(said) + said, np.uint8)
            tensors |= {f"{row}/{name}": array for name, array in half.items()}
        label = _Label(VERSION, self.encoder)
        data = save(tensors, metadata={"whyact": msgspec.json.encode(label).decode(), "rows": str(len(self._pending))})
        if not (self.folder / STORE).exists():
            body = msgspec.json.encode(label)
            write_atomic(self.folder / STORE, msgspec.json.encode(_Sealed(sha256(body), msgspec.Raw(body))))
        name = shard_name(bytes.fromhex(sha256(data)[:32]))
        write_atomic(self.folder / name, data)
        self._index.append(make_records(name, [(video, entry.key) for video, (entry, _) in self._pending.items()]))
        self._pending, self._pending_bytes = {}, 0

    def get(self, video: str) -> Stored:
        """Return a stored video; only its own bytes are read, and they are checked.

        Raises:
            UserError: When it is not stored, or its shard is missing or changed.
        """
        if video in self._pending:
            entry, half = self._pending[video]
            return Stored(dict(half), np.array(entry.times), entry.rate, entry.degraded)
        if (record := self._index.find(video)) is None:
            raise UserError(self.folder, video, "a stored video", "run the extraction again")
        entry, arrays = self._read(video, record)
        return Stored(arrays, np.array(entry.times), entry.rate, entry.degraded)

    def verify(self) -> list[str]:
        """Return what is wrong on disk, a sentence each: shards missing or changed, an index that says otherwise."""
        self.flush()
        wrong = []
        there = {path.name for path in self.folder.glob("*.safetensors")}
        named = self._index.shards()
        for name in sorted(named | there):
            path = self.folder / name
            if name not in there:
                wrong.append(str(UserError(path, "missing", "a shard of the feature store", _AGAIN)))
            elif not file_sha256(path).startswith(path.stem):
                wrong.append(str(UserError(path, "other bytes", "the shard that was written", _AGAIN)))
        damaged = self._index.on_disk()[1]
        if damaged:
            step = "remove it alone: it is made again from the shards"
            wrong.append(str(UserError(self.folder / INDEX, f"{damaged} damaged records", "whole ones", step)))
        return wrong

    def _read(self, video: str, record: Records, arrays: bool = True) -> tuple[_Entry, dict[str, Half]]:
        from safetensors import SafetensorError, safe_open

        path, row = self.folder / shard_name(record["shard"].tobytes()), int(record["row"])
        changed = UserError(path, "other bytes", f"the shard with {video} that was written", _AGAIN)
        try:
            with safe_open(str(path), framework="numpy") as shard:
                entry = _entry(shard.get_tensor(str(row)))
                if entry is None or entry.video != video:
                    raise changed
                found = {name: shard.get_tensor(f"{row}/{name}") for name in entry.shapes} if arrays else {}
        except UserError:
            raise
        except (OSError, SafetensorError, ValueError) as error:
            raise UserError(path, str(error), f"the arrays of {video}", _AGAIN) from error
        for name, array in found.items():
            if list(array.shape) != entry.shapes[name] or _sum(array.tobytes()).hex() != entry.sums[name]:
                raise changed
        return entry, found

    def _known_widths(self) -> dict[str, list[int]] | None:
        """Return what the store's videos have in common, from any of them that can be read."""
        for name in sorted(self._index.shards()):
            with suppress(UserError):
                return _widths(_open_shard(self.folder / name)[1][0].shapes)
        return None

    def _adopt(self, labelled: bool) -> None:
        """Take in whole shards that the index does not name: they were finished just before a kill."""
        for left in leftovers(self.folder, LEFTOVER_SECONDS):  # younger ones may be being written
            left.unlink(missing_ok=True)
        named = self._index.shards()
        unnamed = [path for path in self.folder.glob("*.safetensors") if path.name not in named]
        for path in sorted(unnamed, key=lambda p: (p.stat().st_mtime_ns, p.name)):
            try:
                label, entries = _open_shard(path)
            except UserError:
                continue  # not a shard of ours, or a damaged one, which verify names
            if (label.version, label.encoder) == (VERSION, self.encoder):
                self._index.adopt(make_records(path.name, [(entry.video, entry.key) for entry in entries]))
            elif not labelled and not named:
                raise UserError(path, label.encoder, f"features by {self.encoder}", "use another folder")


def read_label(folder: Path) -> _Label | None:
    """Return what ``store.json`` says of a store: version and encoder; ``None`` where there is no such file.

    Raises:
        UserError: When it is damaged.
    """
    path = folder / STORE
    rebuild = f"remove {STORE} alone: it is made again"
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if sha256(bytes(sealed.store)) != sealed.sha256:
            raise UserError(path, "other bytes", "what was written", rebuild)
        return msgspec.json.decode(sealed.store, type=_Label)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(path, str(error), "the label of a feature store", rebuild) from error


def verify_store(folder: Path) -> list[str]:
    """Return what is wrong with the store in a folder, whatever made it; see :meth:`FeatureStore.verify`.

    Raises:
        UserError: When there is no store.
    """
    label = read_label(folder)
    if label is None:
        raise UserError(folder, f"no {STORE}", "a feature store")
    return FeatureStore(folder, label.encoder).verify()


def _open_shard(path: Path) -> tuple[_Label, list[_Entry]]:
    """Return what a shard says of itself and of its rows, after checking all its bytes.

    Raises:
        UserError: When it is no shard, or a changed one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as shard:
            facts = shard.metadata() or {}
            label = msgspec.json.decode(facts.get("whyact", ""), type=_Label)
            entries = [_entry(shard.get_tensor(str(row))) for row in range(int(facts.get("rows", 0)))]
        if not entries or not file_sha256(path).startswith(path.stem):
            raise UserError(path, "other bytes", "the shard that was written", _AGAIN)
    except UserError:
        raise
    except (OSError, SafetensorError, msgspec.DecodeError, ValueError) as error:
        raise UserError(path, str(error), "a shard of a feature store", _AGAIN) from error
    return label, [entry for entry in entries if entry is not None]


def _entry(sealed: NDArray[np.uint8]) -> _Entry | None:
    data = sealed.tobytes()
    if _sum(data[SEAL:]) != data[:SEAL]:
        return None
    return msgspec.json.decode(data[SEAL:], type=_Entry)


def _sum(data: bytes) -> bytes:
    return blake2b(data, digest_size=SEAL).digest()


def _half(where: str, array: NDArray[np.floating], length: int) -> Half:
    needed = array.shape if array.ndim < 3 else (len(array), *array.shape[2:])  # a clip may be without any slot
    if array.ndim < 2 or len(array) != length or 0 in needed:
        raise UserError(where, array.shape, f"(T,...) with {length} times, at least one")
    with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite and is refused below
        half = np.ascontiguousarray(array, dtype=np.float16)
    if not np.isfinite(half).all():
        raise UserError(where, "NaN, or too large for float16", "finite features")
    return half


def _widths(shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Return the shapes without T; the number of slots K may differ from video to video."""
    return {name: shape[1:] if len(shape) < 3 else shape[2:] for name, shape in shapes.items()}


def _said(shapes: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name} of width {'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))
