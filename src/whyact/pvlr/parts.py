"""PVLR held against a test set, video by video: what is kept of each, and the metrics of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.prediction import Prediction
from whyact.pvlr.config import Config
from whyact.pvlr.diagnostics import diagnose
from whyact.pvlr.inference import Detections, class_scores, curves, detection_map, localise, scores_map
from whyact.pvlr.model import PVLR
from whyact.report.diagnostics import Diagnostics
from whyact.training.evaluation import Record


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
