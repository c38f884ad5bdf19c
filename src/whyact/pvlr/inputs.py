"""What ``predict`` takes: a feature file, a video file, or the name of a video of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS, Recipe, read_features, sequence, snippet_seconds_of
from whyact.data.untrimmed.sets import Annotation
from whyact.data.untrimmed.snippet_files import Streams, extract_features, streams_of
from whyact.errors import UserError
from whyact.prediction import VideoFacts
from whyact.video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    import torch

BLOCK = 4096  # rows hashed at once


class Inputs:
    """Reads inputs for one run; encoders are loaded with the first video and kept.

    Args:
        card: The run's card: how its features were made.
        known: Videos of a data set by name.
        weights: The encoder's weight file, where the run's features were made with one.
        device: Where the encoder computes.
    """

    def __init__(
        self,
        card: dict[str, Any],
        known: dict[str, FeatureSequence],
        weights: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.card, self.known, self.weights, self.device = card, known, weights, device
        self._streams: Streams | None = None

    def read(self, name: str, scratch: Path) -> tuple[FeatureSequence, VideoFacts]:
        """Return the features of an input, mapped where they lie in one file, and facts about it.

        Those of a video file are written to the folder ``scratch``, over those of the one before.

        Raises:
            UserError: When there is no such input, or it cannot be read as features.
        """
        path = Path(name)
        if name in self.known:
            video = self.known[name]
            return video, _facts(name, video, _digest(video.features))
        if path.suffix == ".npy":
            seconds = snippet_seconds_of(path) or self._seconds
            video = _unlabelled(path.stem, read_features(path), seconds)
            with open(path, "rb") as file:
                return video, _facts(name, video, hashlib.file_digest(file, "sha256").hexdigest())
        if path.suffix.lower() in VIDEO_SUFFIXES or path.is_file():
            return self._film(path, scratch)
        step = "" if self.known else "give --data NAME --root DIR for a video of a data set"
        raise UserError(name, "no such input", "a video, a .npy file of snippet features, or a video's name", step)

    @property
    def _seconds(self) -> float:
        seconds: float = self.card["extra"].get("snippet_seconds", SNIPPET_SECONDS)
        return seconds

    def _film(self, path: Path, scratch: Path) -> tuple[FeatureSequence, VideoFacts]:
        if not path.is_file():
            raise UserError(path, "no such file", "a video", "check the path")
        if self._streams is None:
            recipe = msgspec.convert(self.card["extra"].get("recipe") or {}, Recipe)
            self._streams = streams_of(recipe, self.weights, self.device)
        features = scratch / "features.npy"
        facts = extract_features(path, features, self._streams)
        return _unlabelled(path.stem, read_features(features), self._streams.recipe.snippet_seconds), facts


def _unlabelled(name: str, features: NDArray[np.floating], seconds: float) -> FeatureSequence:
    return sequence(Annotation(name, "", 0.0, ()), features, seconds)


def _facts(name: str, video: FeatureSequence, digest: str) -> VideoFacts:
    return VideoFacts(path=name, sha256=digest, duration=len(video.features) / video.rate)


def _digest(features: NDArray[np.floating]) -> str:
    digest = hashlib.sha256()
    for rows in blocks(features):
        digest.update(rows.tobytes())
    return digest.hexdigest()


def blocks(features: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """Yield features (T,D), mapped or not, in pieces that fit in memory."""
    for start in range(0, len(features), BLOCK):
        yield np.ascontiguousarray(features[start : start + BLOCK])
