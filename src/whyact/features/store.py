"""A cache of features on disk: every video is encoded once, whatever is trained on it afterwards.

A folder of safetensors shards and a manifest. Both are written whole or not at all. Each shard says itself what it
holds, so one that a killed extraction finished is found again although the manifest does not name it yet.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import canonical_json, sha256, write_atomic

MANIFEST = "manifest.json"
VERSION = 2
FEATURES = "features"  # the array's name where a video has one
LEFTOVER_SECONDS = 3600.0
_AGAIN = "remove the folder and extract again"

Arrays = Mapping[str, NDArray[np.floating]]
Half = NDArray[np.float16]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    times: list[float]
    rate: float
    shapes: dict[str, list[int]]
    shard: str = ""
    row: int = 0
    degraded: str = ""
    file: tuple[str, str] = ("", "")


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    encoder: str
    entries: dict[str, _Entry] = {}
    shards: dict[str, str] = {}  # file name -> SHA-256


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """The manifest with the SHA-256 of its own text."""

    sha256: str
    manifest: msgspec.Raw


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    """What a shard says of itself."""

    version: int
    encoder: str
    entries: dict[str, _Entry]


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
        UserError: When the folder holds another encoder's features, or its manifest is damaged.
    """

    def __init__(
        self, folder: Path | str, encoder: str, shard_videos: int = 64, shard_bytes: int = 256 * 2**20
    ) -> None:
        self.folder, self.shard_videos, self.shard_bytes = Path(folder), shard_videos, shard_bytes
        self._pending: dict[str, tuple[_Entry, dict[str, Half]]] = {}
        self._pending_bytes = 0
        self._sound: set[str] = set()  # shards whose bytes were checked
        self._manifest = self._read_manifest(encoder)
        self._adopt()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._manifest.entries.keys() | self._pending.keys())

    def has(self, video: str, key: str) -> bool:
        """Tell whether a video is stored; ``key`` identifies what it was made from, so a changed one is encoded anew.

        :func:`feature_key` makes such a key.
        """
        entry = self._pending[video][0] if video in self._pending else self._manifest.entries.get(video)
        return entry is not None and entry.key == key

    def file_sha256(self, video: str, stamp: str) -> str:
        """Return the SHA-256 of a stored video's file if its stamp is still this one, else an empty string."""
        entry = self._pending[video][0] if video in self._pending else self._manifest.entries.get(video)
        return entry.file[0] if entry is not None and stamp and entry.file[1] == stamp else ""

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
        entry = _Entry(key, [float(t) for t in times], rate, {n: list(a.shape) for n, a in half.items()})
        entry.degraded, entry.file = degraded, file
        known = next((e for e, _ in self._pending.values()), None) or next(iter(self._manifest.entries.values()), None)
        if known is not None and _widths(entry) != _widths(known):
            raise UserError(f"features of {video}", _said(_widths(entry)), _said(_widths(known)))
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
        """Write what is pending: the shard first, then the manifest that names it."""
        if not self._pending:
            return
        from safetensors.numpy import save

        tensors: dict[str, Half] = {}
        for row, (entry, half) in enumerate(self._pending.values()):
            entry.row = row
            tensors |= {f"{row}/{name}": array for name, array in half.items()}
        entries = {video: entry for video, (entry, _) in self._pending.items()}
        label = msgspec.json.encode(_Label(VERSION, self._manifest.encoder, entries)).decode()
        data = save(tensors, metadata={"whyact": label})
        digest = sha256(data)
        name = f"{digest[:32]}.safetensors"
        write_atomic(self.folder / name, data)
        self._take(name, digest, entries)
        self._pending, self._pending_bytes = {}, 0
        self._write_manifest()

    def get(self, video: str) -> Stored:
        """Return a stored video.

        Raises:
            UserError: When it is not stored, or its shard is missing or changed.
        """
        if video in self._pending:
            entry, half = self._pending[video]
            return Stored(dict(half), np.array(entry.times), entry.rate, entry.degraded)
        if (entry_ := self._manifest.entries.get(video)) is None:
            raise UserError(self.folder, video, "a stored video", "run the extraction again")
        arrays = self._arrays(video, entry_)
        return Stored(arrays, np.array(entry_.times), entry_.rate, entry_.degraded)

    def verify(self) -> list[str]:
        """Return what is wrong on disk, a sentence each: shards missing or changed, videos they do not hold."""
        self.flush()
        wrong = [str(error) for name in sorted(self._manifest.shards) if (error := self._unsound(name))]
        for video, entry in self._manifest.entries.items():
            try:
                if entry.shard in self._sound:
                    self._arrays(video, entry)
            except UserError as error:
                wrong.append(str(error))
        return wrong

    def _arrays(self, video: str, entry: _Entry) -> dict[str, Half]:
        from safetensors import SafetensorError, safe_open

        if (error := self._unsound(entry.shard)) is not None:
            raise error
        path = self.folder / entry.shard
        found = {}
        try:
            with safe_open(str(path), framework="numpy") as shard:
                for name in entry.shapes:
                    found[name] = shard.get_tensor(f"{entry.row}/{name}")
        except (OSError, SafetensorError) as error:
            raise UserError(path, str(error), f"the arrays of {video}", _AGAIN) from error
        shapes = {name: list(array.shape) for name, array in found.items()}
        if shapes != entry.shapes:
            raise UserError(path, f"{video}: {_said(shapes)}", _said(entry.shapes), _AGAIN)
        return found

    def _unsound(self, name: str) -> UserError | None:
        """Check a shard's bytes once."""
        if name in self._sound:
            return None
        path = self.folder / name
        try:
            with open(path, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            return UserError(path, error.strerror, "a shard of the feature store", _AGAIN)
        if digest != self._manifest.shards.get(name):
            return UserError(path, "other bytes", "the shard that was written", _AGAIN)
        self._sound.add(name)
        return None

    def _read_manifest(self, encoder: str) -> _Manifest:
        path = self.folder / MANIFEST
        if not path.exists():
            return _Manifest(VERSION, encoder)
        rebuild = f"remove {MANIFEST} alone: it is made again from the shards"
        try:
            sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
            if sha256(bytes(sealed.manifest)) != sealed.sha256:
                raise UserError(path, "other bytes", "the manifest that was written", rebuild)
            manifest = msgspec.json.decode(sealed.manifest, type=_Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(path, str(error), f"the manifest of a feature store, version {VERSION}", rebuild) from error
        if manifest.version != VERSION or manifest.encoder != encoder:
            raise UserError(path, manifest.encoder, f"features by {encoder}", "use another folder")
        return manifest

    def _write_manifest(self) -> None:
        body = msgspec.json.encode(self._manifest)
        write_atomic(self.folder / MANIFEST, msgspec.json.encode(_Sealed(sha256(body), msgspec.Raw(body))))

    def _adopt(self) -> None:
        """Take in whole shards that the manifest does not name: they were finished just before a kill."""
        from safetensors import SafetensorError, safe_open

        for left in self.folder.glob(".*.tmp"):  # what a kill left half-written; younger ones may be being written
            if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                left.unlink(missing_ok=True)
        unnamed = [path for path in self.folder.glob("*.safetensors") if path.name not in self._manifest.shards]
        for path in sorted(unnamed, key=lambda p: (p.stat().st_mtime_ns, p.name)):
            try:
                with safe_open(str(path), framework="numpy") as shard:
                    label = msgspec.json.decode((shard.metadata() or {}).get("whyact", ""), type=_Label)
                with open(path, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
            except (OSError, SafetensorError, msgspec.DecodeError):
                continue  # not a shard of ours
            if label.encoder != self._manifest.encoder and not self._manifest.shards:
                raise UserError(path, label.encoder, f"features by {self._manifest.encoder}", "use another folder")
            if (label.version, label.encoder) == (VERSION, self._manifest.encoder) and digest.startswith(path.stem):
                self._take(path.name, digest, label.entries)

    def _take(self, shard: str, digest: str, entries: dict[str, _Entry]) -> None:
        self._manifest.shards[shard] = digest
        for video, entry in entries.items():
            entry.shard = shard
            self._manifest.entries[video] = entry


def _half(where: str, array: NDArray[np.floating], length: int) -> Half:
    if array.ndim < 2 or len(array) != length or array.size == 0:
        raise UserError(where, array.shape, f"(T,...) with {length} times, at least one")
    with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite and is refused below
        half = np.ascontiguousarray(array, dtype=np.float16)
    if not np.isfinite(half).all():
        raise UserError(where, "NaN, or too large for float16", "finite features")
    return half


def _widths(entry: _Entry) -> dict[str, list[int]]:
    """Return the shapes without T; the number of slots K may differ from video to video."""
    return {name: shape[1:] if len(shape) < 3 else shape[2:] for name, shape in entry.shapes.items()}


def _said(shapes: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name} of width {'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))
