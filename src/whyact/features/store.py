"""A cache of features on disk: every video is encoded once, whatever is trained on it afterwards.

A folder of safetensors shards and a manifest. Shards and manifest are written whole or not at all; the manifest
comes last, so an interrupted extraction goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import sha256, write_atomic

MANIFEST = "manifest.json"
VERSION = 1


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    shard: str
    key: str
    times: list[float]
    rate: float
    degraded: str = ""


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    encoder: str
    width: int
    entries: dict[str, _Entry] = {}
    shards: dict[str, str] = {}  # file name -> SHA-256


@dataclass(frozen=True)
class Stored:
    """One video's features (T,D) float16, times (T,) in seconds, rate, and what was wrong with the video."""

    features: NDArray[np.float16]
    times: NDArray[np.float64]
    rate: float
    degraded: str


class FeatureStore:
    """Features by video id, made by one encoder. Use as a context manager while adding: leaving it writes the rest.

    Args:
        folder: Where; made when the first shard is written.
        encoder: What makes the features, with its preprocessing and sampling; a store of another encoder is refused.
        shard_videos: How many videos a shard holds; as many are lost at most when an extraction is killed.
    """

    def __init__(self, folder: Path | str, encoder: str, shard_videos: int = 64) -> None:
        self.folder, self.shard_videos = Path(folder), shard_videos
        self._pending: dict[str, tuple[_Entry, NDArray[np.float16]]] = {}
        self._loaded: tuple[str, dict[str, NDArray[np.float16]]] = ("", {})
        path = self.folder / MANIFEST
        self._manifest = _Manifest(VERSION, encoder, 0)
        if path.exists():
            try:
                self._manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
            except (OSError, msgspec.DecodeError) as error:
                raise UserError(path, str(error), "the manifest of a feature store", "remove the folder") from error
            if self._manifest.version != VERSION or self._manifest.encoder != encoder:
                raise UserError(path, self._manifest.encoder, f"features by {encoder}", "use another folder")

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._manifest.entries) + len(self._pending)

    def has(self, video: str, key: str) -> bool:
        """Tell whether a video is stored; ``key`` identifies the file, so a changed one is encoded anew."""
        entry = self._pending[video][0] if video in self._pending else self._manifest.entries.get(video)
        return entry is not None and entry.key == key

    def add(
        self,
        video: str,
        key: str,
        features: NDArray[np.floating],
        times: NDArray[np.float64],
        rate: float,
        degraded: str = "",
    ) -> None:
        """Add a video's features (T,D); they are on disk once the shard is full or the store is closed.

        Raises:
            UserError: When they are not finite, empty, or of another width than the store's.
        """
        if features.ndim != 2 or len(features) != len(times) or len(features) == 0:
            raise UserError(f"features of {video}", features.shape, f"(T,D) with {len(times)} times, at least one")
        with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite and is refused below
            half = features.astype(np.float16)
        if not np.isfinite(half).all():
            raise UserError(f"features of {video}", "NaN, or too large for float16", "finite features")
        width = self._manifest.width or features.shape[1]
        if features.shape[1] != width:
            raise UserError(f"features of {video}", f"width {features.shape[1]}", f"width {width}")
        self._manifest.width = width
        self._pending[video] = (_Entry("", key, times.tolist(), rate, degraded), half)
        if len(self._pending) >= self.shard_videos:
            self.flush()

    def flush(self) -> None:
        """Write what is pending: the shard first, then the manifest that names it."""
        if not self._pending:
            return
        from safetensors.numpy import save

        data = save({video: features for video, (_, features) in self._pending.items()})
        name = f"{sha256(data)[:16]}.safetensors"
        write_atomic(self.folder / name, data)
        for video, (entry, _) in self._pending.items():
            entry.shard = name
            self._manifest.entries[video] = entry
        self._manifest.shards[name] = sha256(data)
        self._pending = {}
        write_atomic(self.folder / MANIFEST, msgspec.json.encode(self._manifest))

    def get(self, video: str) -> Stored:
        """Return a stored video.

        Raises:
            UserError: When it is not stored, or its shard is missing or changed.
        """
        if video in self._pending:
            self.flush()
        entry = self._manifest.entries.get(video)
        if entry is None:
            raise UserError(self.folder, video, "a stored video", "run the extraction again")
        features = self._shard(entry.shard).get(video)
        if features is None or len(features) != len(entry.times):
            raise UserError(self.folder / entry.shard, video, "the video that the manifest says", "remove the folder")
        return Stored(features, np.array(entry.times), entry.rate, entry.degraded)

    def _shard(self, name: str) -> dict[str, NDArray[np.float16]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if self._loaded[0] != name:
            path = self.folder / name
            try:
                data = path.read_bytes()
                if sha256(data) != self._manifest.shards.get(name):
                    raise UserError(path, "other bytes", "the shard that was written", "remove the folder")
                self._loaded = (name, load(data))
            except (OSError, SafetensorError) as error:
                raise UserError(path, str(error), "a shard of the feature store", "remove the folder") from error
        return self._loaded[1]
