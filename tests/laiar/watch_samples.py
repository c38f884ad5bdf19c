"""A video whose frames tell their numbers, a detector that knows what is in each, and an untrained household model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laiar_samples import SMALL
from made_videos import numbers, write_clip
from whyact.data.types import Vocabulary
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.laiar.config import Config, DataConfig
from whyact.laiar.evidence import LabelBank
from whyact.laiar.learner import build_model
from whyact.laiar.runs import Run, load_run, save_run
from whyact.perception.tracks import Tracks
from whyact.perception.types import Detections, Frames, detections

RATE, FRAMES, SIZE = 10, 30, (64, 48)


def hand(number: int) -> list[float]:
    """Return the box of the hand in a frame (0-based): it moves to the right."""
    return [2.0 + number, 5.0, 14.0 + number, 17.0]


def mug(number: int) -> list[float]:
    """Return the box of the mug in a frame: it rests."""
    return [40.0, 20.0, 52.0, 34.0]


class Knowing:
    """A detector that reads the number of a frame and knows what is there."""

    name = "known boxes"

    def __init__(self, classes: tuple[str, ...] = ("hand", "mug"), things: Any = (hand, mug)) -> None:
        self.classes, self.things, self.most = classes, things, 0

    def __call__(self, frames: Frames) -> list[Detections]:
        self.most = max(self.most, len(frames))
        many = range(len(self.things))
        return [
            detections([thing(int(n)) for thing in self.things], [0.9 for _ in many], list(many))
            for n in numbers(frames)
        ]


def film(path: Path, frames: int = FRAMES, **options: Any) -> Path:
    """Write the video."""
    return write_clip(path, frames, rate=RATE, size=SIZE, **options)


def known_tracks(frames: int = FRAMES, classes: tuple[str, ...] = ("hand", "mug")) -> Tracks:
    """Return what :class:`Knowing` finds, as tracks."""
    boxes = np.array([[hand(n), mug(n)] for n in range(frames)], np.float32)
    seen = np.ones(boxes.shape[:2], bool)
    return Tracks(
        names=tuple(f"{c}_1" for c in classes),
        classes=classes,
        boxes=boxes,
        seen=seen,
        scores=seen * np.float32(0.9),
        times=np.arange(frames) / RATE,
        frames=np.arange(1, frames + 1),
        image_size=SIZE,
        source="by hand",
    )


def untrained(vocabulary: Vocabulary = VOCABULARY, *, seed: int = 0, roi: tuple[int, int, int] = (0, 0, 0)) -> Run:
    """Return a small model as it was drawn; its bank has one row for each relation that a pair can carry."""
    torch.manual_seed(seed)
    config = Config(data=DataConfig(frames=4, slots=6), model=replace(SMALL, roi=roi))
    model = build_model(config, vocabulary).eval()
    triples = [
        (vocabulary.objects.index(a), vocabulary.relations.index(r), vocabulary.objects.index(b))
        for (a, b), names in vocabulary.allowed.items()
        for r in names
    ]
    bank = torch.nn.functional.normalize(torch.randn(len(triples), config.model.width), dim=-1)
    return Run(model, vocabulary, config, LabelBank(bank, torch.tensor(triples)), clip_seconds=1.0)


def saved(run: Run, folder: Path, data: str = "homeworld") -> Run:
    """Write the run and read it back."""
    card = {"data": data, "split_sha256": "", "licence": "Apache-2.0", "seed": 0, "metrics": {}, "extra": {"fold": 1}}
    save_run(run, folder, card)
    return load_run(folder)
