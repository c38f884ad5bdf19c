"""PVLR held against a test set, video by video: what is kept of each, and the metrics of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.errors import UserError
from whyact.prediction import Prediction
from whyact.pvlr.config import Config
from whyact.pvlr.diagnostics import diagnose
from whyact.pvlr.inference import Detections, class_scores, curves, detection_map, localise, scores_map
from whyact.pvlr.inputs import blocks
from whyact.pvlr.model import PVLR
from whyact.report.diagnostics import Diagnostics
from whyact.training.evaluation import Record, inputs_sum

SUM_LENGTH = 12  # hexadecimal digits: of ten thousand videos no two are likely to share them


@dataclass(frozen=True)
class Parts:
    """The evaluation of a model on the test part of a split; see :class:`whyact.training.evaluation.Evaluation`.

    ``predict`` answers about one video; a training that only measures has none.
    """

    model: PVLR
    text: Tensor
    split: FeatureSplit
    config: Config
    identity: dict[str, Any]
    predict: Callable[[FeatureSequence], Prediction] | None = None
    chunk: int = 1

    @property
    def names(self) -> list[str]:
        """Return the test videos."""
        return [video.id for video in self.split.test]

    def answer(self, first: int, last: int) -> list[Record]:
        """Return detections and class scores of some videos."""
        records = []
        for video in self.split.test[first:last]:
            found = curves(self.model, video.features, self.text, self.config.inference.chunk)
            detections = localise(found, self.config.inference)
            record = {item.name: getattr(detections, item.name) for item in fields(detections)}
            records.append({**record, "classes": class_scores(found)})
        return records

    def score(self, records: Sequence[Record]) -> dict[str, Any]:
        """Return detection mAP in both protocols, and classification mAP."""
        detections = _detections(records)
        split, cfg = self.split, self.config.inference
        result: dict[str, Any] = {}
        for protocol, suffix in (("seconds", ""), ("pvlr", "_pvlr_grid")):
            ap = detection_map(
                detections,
                split.test,
                len(split.classes),
                cfg.detection,
                protocol,  # type: ignore[arg-type]
                split.ambiguous,
            )
            result[f"avg_mAP{suffix}"] = float(ap.mean())
            result[f"mAP{suffix}"] = {f"{t:g}": float(value) for t, value in zip(cfg.detection, ap, strict=True)}
        whole = scores_map([record["classes"] for record in records], split.test)
        return result | {"classification_mAP": whole, "videos": len(split.test)}

    def diagnose(self, records: Sequence[Record]) -> Diagnostics:
        """Return what the evaluation page shows."""
        scores = np.stack([record["classes"] for record in records])
        return diagnose(_detections(records), scores, self.split, self.config.inference)

    def explain(self, item: int, record: Record) -> Prediction:
        """Return the answer about one test video, with its evidence."""
        if self.predict is None:
            raise ValueError("an evaluation inside a training explains nothing")
        return self.predict(self.split.test[item])


def _detections(records: Sequence[Record]) -> list[Detections]:
    names = [item.name for item in fields(Detections)]
    return [Detections(**{name: record[name] for name in names}) for record in records]


def video_sum(video: FeatureSequence) -> str:
    """Return a short checksum of a video's features; a run's card lists those that it was trained on."""
    return inputs_sum(blocks(video.features))[:SUM_LENGTH]


def refuse_trained_videos(
    run: Path, card: dict[str, Any], split: FeatureSplit, fold: int, own: Callable[[int], FeatureSplit] | None
) -> None:
    """Refuse a test part with videos that a run was trained on, whatever they are called: their features tell.

    Compositions share snippets, not videos: of another composition than the run's own no test snippet may be one of the
    run's training part.

    Args:
        run: Its folder.
        card: Its card.
        split: What is to be measured on; the run's own split needs no check.
        fold: Its number.
        own: Reads another fold of the data that the run was trained on; ``None`` where this is other data.

    Raises:
        UserError: When there are such videos.
    """
    if split.sha256 == card["split_sha256"]:
        return
    about, step = card["extra"], ""
    sums = set(about.get("train_videos_sums", "").split())
    seen = [video.id for video in split.test if video_sum(video) in sums] if sums else []
    if own is not None and about.get("fold", fold) != fold:
        step = f"whyact eval {run} --fold {about['fold']}"
        trained = own(about["fold"])
        if not seen and trained.sha256 == card["split_sha256"]:
            snippets = {row for video in trained.train for row in _rows(video)}
            seen = [video.id for video in split.test if not snippets.isdisjoint(_rows(video))]
    if seen:
        value = f"{len(seen)} of {len(split.test)} test videos that the run was trained on, in whole or in part"
        raise UserError(f"{split.name}, fold {fold}", f"{value}: {seen[0]}", "videos that it has never seen", step)


def _rows(video: FeatureSequence) -> Iterator[bytes]:
    return (row.tobytes() for rows in blocks(video.features) for row in rows)
