"""Generated untrimmed feature sequences with exact times: the embedded default of PVLR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.definition import Dataset
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS, sequence
from whyact.data.untrimmed.feature_split import FeatureSplit, generated_split
from whyact.data.untrimmed.sets import Annotation
from whyact.errors import UserError

CLASSES = (
    "clean and jerk",
    "long jump",
    "tennis swing",
    "throw discus",
    "pole vault",
    "golf swing",
    "soccer penalty",
    "shot put",
)


@dataclass(frozen=True)
class SyntheticSpec:
    """The "hard" setting: widths, lengths in snippets, strengths of context and noise."""

    train_videos: int = 60
    test_videos: int = 30
    width: int = 64
    length: tuple[int, int] = (80, 200)
    first_start: tuple[int, int] = (3, 11)
    segment: tuple[int, int] = (4, 15)
    gap: tuple[int, int] = (6, 23)
    second_class: float = 0.2
    background_modes: int = 6
    mode_length: int = 20
    context: float = 0.8
    noise: float = 1.6 * 1.5 / 8
    clip_context: float = 0.3
    clip_noise: float = 1 / 8


def generate(
    text: NDArray[np.floating], seed: int, spec: SyntheticSpec | None = None
) -> tuple[list[FeatureSequence], list[FeatureSequence]]:
    """Generate train and test sequences whose image-language rows follow the given class vectors.

    The RGB stream carries a context that correlates with the main class all through the video, so that
    localising by classification alone goes wrong on purpose.

    Args:
        text: (C,D) class vectors of the text tower; only their directions are used.
        seed: Fixes prototypes and every video.
        spec: Sizes and strengths.

    Returns:
        Train and test sequences: ``features`` (T, 2*width) RGB then flow, ``second`` (T,D), exact segments.

    Raises:
        UserError: When a class vector is zero or not finite.
    """
    spec = spec or SyntheticSpec()
    rng = np.random.default_rng([0x9E37, seed])
    norms = np.linalg.norm(text, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise UserError("text", None, "finite, non-zero class vectors")
    world = _World(spec, text / norms, rng)
    train = [world.video(f"train_{i:04d}", "train", i, rng) for i in range(spec.train_videos)]
    test = [world.video(f"test_{i:04d}", "test", i, rng) for i in range(spec.test_videos)]
    return train, test


class _World:
    """Prototypes shared by all videos of one seed."""

    def __init__(self, spec: SyntheticSpec, text: NDArray[np.floating], rng: np.random.Generator) -> None:
        self.spec, self.text, self.classes = spec, text, len(text)
        self.rgb, self.flow, self.context = (_units(rng, self.classes, spec.width) for _ in range(3))
        self.rgb_modes, self.flow_modes = (_units(rng, spec.background_modes, spec.width) for _ in range(2))
        self.clip_modes = _units(rng, spec.background_modes, text.shape[1])

    def video(self, name: str, subset: str, i: int, rng: np.random.Generator) -> FeatureSequence:
        spec = self.spec
        length = int(rng.integers(*spec.length, endpoint=True))
        main = i % self.classes
        choices = [main]
        if rng.random() < spec.second_class:
            choices.append(int((main + rng.integers(1, self.classes)) % self.classes))
        segments = _place(rng, spec, length, choices)
        label = np.full(length, -1)
        for start, end, c in segments:
            label[start:end] = c
        modes = rng.integers(spec.background_modes, size=-(-length // spec.mode_length))
        mode = np.repeat(modes, spec.mode_length)[:length]
        action = label >= 0
        strength = rng.uniform(0.6, 1.4, length)[:, None]
        rgb = np.where(action[:, None], strength * self.rgb[label], self.rgb_modes[mode])
        rgb = rgb + spec.context * self.context[main] + _noise(rng, length, spec.width, spec.noise)
        flow = np.where(action[:, None], strength * self.flow[label], 0.5 * self.flow_modes[mode])
        flow = flow + _noise(rng, length, spec.width, spec.noise)
        clip = np.where(action[:, None], self.text[label], self.clip_modes[mode]) + spec.clip_context * self.text[main]
        clip = clip + spec.clip_noise * rng.standard_normal(clip.shape)
        seconds = tuple((s * SNIPPET_SECONDS, e * SNIPPET_SECONDS, c) for s, e, c in segments)
        labels = tuple(sorted({c for _, _, c in segments}))
        annotation = Annotation(name, subset, length * SNIPPET_SECONDS, labels, seconds)
        features = np.concatenate([rgb, flow], axis=1).astype(np.float32)
        return sequence(annotation, features, SNIPPET_SECONDS, clip.astype(np.float32))


def _place(
    rng: np.random.Generator, spec: SyntheticSpec, length: int, choices: list[int]
) -> list[tuple[int, int, int]]:
    segments: list[tuple[int, int, int]] = []
    start = int(rng.integers(*spec.first_start, endpoint=True))
    while True:
        end = start + int(rng.integers(*spec.segment, endpoint=True))
        if end > length:
            return segments
        segments.append((start, end, int(rng.choice(choices))))
        start = end + int(rng.integers(*spec.gap, endpoint=True))


def _units(rng: np.random.Generator, count: int, width: int) -> NDArray[np.float64]:
    rows = rng.standard_normal((count, width))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _noise(rng: np.random.Generator, length: int, width: int, scale: float) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d  # slow to import, and only this generator needs it

    return scale * gaussian_filter1d(rng.standard_normal((length, width)), sigma=1.0, axis=0)


def stand_in_vectors(prompts: Sequence[str]) -> NDArray[np.float32]:
    """Return the stand-in tower's vectors (C,D) of class names, from which the world is generated."""
    from whyact.features.towers import StandInTower, encode_texts

    vectors: NDArray[np.float32] = encode_texts(StandInTower(), prompts).numpy()
    return vectors


def _read(root: Path, fold: int) -> FeatureSplit:
    sides = generate(stand_in_vectors(CLASSES), fold)
    note = "generated feature sequences; no real video was seen"
    return generated_split("synthetic", CLASSES, sides, "stand-in", note)


DATASET = Dataset("synthetic", features=_read, generated=True)
