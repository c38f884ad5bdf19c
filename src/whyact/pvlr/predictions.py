"""Scoring anybody's predictions: a file in ActivityNet's JSON against a data set's annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whyact.data.datasets import load_annotations
from whyact.data.untrimmed.activitynet import read_predictions
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS
from whyact.errors import UserError
from whyact.metrics.localisation import Spans, mean_ap, spans, thumos_ap
from whyact.pvlr.config import PRESETS
from whyact.pvlr.inference import spans_map


def evaluate_predictions(path: Path, data: str, root: Path) -> dict[str, Any]:
    """Return detection mAP of a predictions file on the test part of a data set, as each evaluator measures it.

    Without a suffix: ActivityNet's script on the file's own seconds. ``_pvlr_grid``: the evaluator of PVLR's authors,
    on snippets of 0.64 s. ``_thumos_toolkit``: the toolkit of THUMOS'14, for that data set alone. The three treat
    ambiguous spans differently, see :mod:`whyact.metrics.localisation`. Test videos without a prediction count as
    missed.

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
            rows.append((videos[name], classes[label], start, end, score))
    preset = "default-activitynet" if data.startswith("activitynet") else "default"
    thresholds = PRESETS[preset].inference.detection
    seconds, count = spans(rows), len(truth.test)
    # A boundary on the grid is a whole number there, as in a run: a tIoU of just a threshold hangs on the last bit.
    scaled = ((seconds.start / SNIPPET_SECONDS).round(9), (seconds.end / SNIPPET_SECONDS).round(9))
    snippets = Spans(seconds.video, seconds.label, *scaled, seconds.score)
    rates = [1 / SNIPPET_SECONDS] * count
    measured = {
        "": spans_map(seconds, truth.test, [1.0] * count, len(classes), thresholds, "seconds", truth.ambiguous),
        "_pvlr_grid": spans_map(snippets, truth.test, rates, len(classes), thresholds, "pvlr", truth.ambiguous),
    }
    if data == "thumos14":
        gt = spans([(i, c, s, e) for i, video in enumerate(truth.test) for s, e, c in video.segments])
        unclear = [(i, 0, s, e) for i, video in enumerate(truth.test) for s, e in truth.ambiguous.get(video.id, ())]
        measured["_thumos_toolkit"] = mean_ap(thumos_ap(seconds, gt, spans(unclear), thresholds, len(classes)))
    result: dict[str, Any] = {}
    for suffix, ap in measured.items():
        result[f"avg_mAP{suffix}"] = float(ap.mean())
        result[f"mAP{suffix}"] = {f"{t:g}": float(value) for t, value in zip(thresholds, ap, strict=True)}
    return result | {"videos": count, "predictions": len(rows)}
