"""Many videos to features in a store: one thread decodes while another encodes; stored features are not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.features.store import FeatureStore
from whyact.video.ahead import ahead
from whyact.video.decode import DecodedVideo

Read = Callable[[Path], DecodedVideo]
Encode = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


def extract(
    store: FeatureStore,
    videos: Iterable[tuple[str, Path]],
    key_of: Callable[[str], str],
    read: Read,
    encode: Encode,
    on_done: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """Encode every video that the store does not hold yet; one thread decodes the next while one is encoded.

    Args:
        store: Where the features go; what is left is written at the end.
        videos: Id and file of each.
        key_of: From a file's SHA-256 to its key in the store, see :func:`whyact.features.store.feature_key`.
        read: Decodes one file, such as :func:`whyact.video.decode.decode`.
        encode: From frames (T,H,W,3) to features (T,D).
        on_done: Called with a video's id when it is done.

    Returns:
        What could not be read: id -> why.
    """
    broken = {}

    def decode_missing() -> Iterator[tuple[str, str, DecodedVideo | UserError]]:
        for video, path in videos:
            stamp = _stamp(path)
            digest = store.file_sha256(video, stamp)
            if digest and store.has(video, key_of(digest)):
                continue
            try:
                yield video, stamp, read(path)
            except UserError as error:
                yield video, stamp, error

    with store:
        for video, stamp, decoded in ahead(decode_missing()):
            if isinstance(decoded, UserError):
                broken[video] = str(decoded)
            elif not store.has(video, key := key_of(decoded.facts.sha256)):
                facts = decoded.facts
                features = encode(decoded.frames)
                store.add(video, key, features, decoded.times, decoded.rate, facts.degraded, file=(facts.sha256, stamp))
            if on_done is not None:
                on_done(video)
    return broken


def _stamp(path: Path) -> str:
    """Return what changes when a file is written: asking for it is quicker than hashing the file."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}"
