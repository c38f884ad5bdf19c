"""What whyact writes itself, for :mod:`robustness.fuzz` to damage: runs, stores, answers, class maps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from robustness.fuzz_inputs import Target, files_of


def checkpoint() -> Target:
    """Return a run folder: weights, settings and card."""
    import torch

    from whyact.training.checkpoint import load_checkpoint, save_checkpoint

    card = {"method": "laiar", "data": "toy", "split_sha256": "0" * 64, "licence": "Apache-2.0", "seed": 0}
    tensors = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.zeros(4)}
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "run", tensors, {"width": 4, "names": ["a", "b"]}, card)
        sound = files_of(Path(folder))
    return Target(sound, lambda root: load_checkpoint(root / "run"))


def feature_store() -> Target:
    """Return a store of two videos: shards, and what says what they hold."""
    from whyact.features.store import FeatureStore

    with tempfile.TemporaryDirectory() as folder:
        with FeatureStore(Path(folder), "toy") as store:
            for video in ("a", "b"):
                store.add(video, f"key of {video}", np.ones((3, 4), np.float32), np.arange(3.0), 1.0)
        sound = files_of(Path(folder))

    def read(root: Path) -> None:
        store = FeatureStore(root, "toy")
        store.verify()
        for video in ("a", "b"):
            store.get(video)

    return Target(sound, read)


def answers() -> Target:
    """Return the JSON of ``whyact predict --json``."""
    from whyact.prediction import LabelScore, Prediction, Provenance, Segment, VideoFacts, to_json
    from whyact.report.answers_file import read_predictions

    one = Prediction(
        video=VideoFacts(path="a.mp4", duration=2.0),
        labels=[LabelScore(label="drink", score=0.75)],
        segments=[Segment(start=0.0, end=1.0, label="drink", score=0.5)],
        provenance=Provenance(method="toy"),
    )
    return Target({"answers.json": to_json([one]).encode()}, lambda root: read_predictions(str(root / "answers.json")))


def class_map() -> Target:
    """Return a class map in both its formats, and a list of class names."""
    from whyact.perception.classes import read_class_map, read_names

    def read(path: Path) -> None:
        if path.suffix == ".txt":
            read_names(path)
        else:
            read_class_map(path, ("cup", "person"), ("mug", "head"))

    sound = {
        "map.json": b'{"cup": "mug", "person": "head"}',
        "map.yaml": b"cup: mug\nperson: head\n",
        "names.txt": b"cup\nperson\n",
    }
    return Target(sound, read, alone=True)


OWN_FILES: dict[str, Callable[[], Target]] = {
    "checkpoint": checkpoint,
    "feature-store": feature_store,
    "answers": answers,
    "class-map": class_map,
}
