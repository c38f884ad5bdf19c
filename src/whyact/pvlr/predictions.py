"""Scoring anybody's predictions: a file in ActivityNet's JSON against a data set's annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whyact.data.datasets import load_annotations
from whyact.data.untrimmed.activitynet import read_predictions
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS
from whyact.errors import UserError
from whyact.metrics.localisation import spans
from whyact.pvlr.config import PRESETS
from whyact.pvlr.inference import spans_map


def evaluate_predictions(path: Path, data: str, root: Path) -> dict[str, Any]:
    """Return detection mAP of a predictions file on the test part of a data set, in both protocols.

    Test videos without a prediction count as missed. The official grid has snippets of 0.64 s.

    Args:
        path: ActivityNet's predictions JSON; times in seconds.
        data: A data set with annotations.
        root: The folder that holds it; features are not needed.

    Raises:
        UserError: On a video or a class that the test part lacks, or a test part without segments.
    """
    truth = load_annotations(data, root)
    videos = {video.id: i for i, video in enumerate(truth.test)}
    classes = {name: i for i, name in enumerate(truth.classes)}
    if not any(video.segments for video in truth.test):
        raise UserError(data, "no segments in the test part", "test videos with annotated segments")
    rows = []
    for name, found in read_predictions(path).items():
        if name not in videos:
            raise UserError(f"{path}, {name}", "no such test video", f"videos of the test part of {truth.name}")
        for start, end, label, score in found:
            if label not in classes:
                raise UserError(f"{path}, {name}", label, f"one of the classes {', '.join(truth.classes[:8])}")
            rows.append((videos[name], classes[label], start / SNIPPET_SECONDS, end / SNIPPET_SECONDS, score))
    preset = "default-activitynet" if data.startswith("activitynet") else "default"
    thresholds = PRESETS[preset].inference.detection
    rates = [1 / SNIPPET_SECONDS] * len(truth.test)
    result: dict[str, Any] = {}
    for protocol, suffix in (("seconds", ""), ("official", "_official_grid")):
        ap = spans_map(spans(rows), truth.test, rates, len(classes), thresholds, protocol, truth.ambiguous)  # type: ignore[arg-type]
        result[f"avg_mAP{suffix}"] = float(ap.mean())
        result[f"mAP{suffix}"] = {f"{t:g}": float(value) for t, value in zip(thresholds, ap, strict=True)}
    return result | {"videos": len(truth.test), "predictions": len(rows)}
