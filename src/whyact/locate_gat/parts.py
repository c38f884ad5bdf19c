"""LoCATe-GAT held against its split: text and graph scores of every test video, and the accuracies of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whyact.data.types import FeatureSequence, Int
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData
from whyact.locate_gat import evidence as why
from whyact.locate_gat.diagnostics import diagnose
from whyact.locate_gat.model import LoCATeGAT
from whyact.locate_gat.scores import ScoreParts, Tensors, score_parts
from whyact.prediction import Prediction
from whyact.report.diagnostics import Diagnostics
from whyact.training.evaluation import Record


@dataclass(frozen=True)
class Parts:
    """The evaluation of a model on its split; see :class:`whyact.training.evaluation.Evaluation`."""

    model: LoCATeGAT
    data: ZeroShotData
    split: ClassSplit
    tensors: Tensors
    videos: Int
    measures: Callable[[ScoreParts, float, float], dict[str, float]]
    facts: dict[str, Any]
    identity: dict[str, Any]
    predict: Callable[[FeatureSequence], Prediction]
    chunk: int = 64

    @property
    def names(self) -> list[str]:
        """Return the test videos."""
        return [self.data.videos[int(i)].id for i in self.videos]

    def answer(self, first: int, last: int) -> list[Record]:
        """Return the text and graph scores of some videos against all classes."""
        parts = self._parts(self.videos[first:last])
        return [{"text": text, "graph": graph} for text, graph in zip(parts.text, parts.graph, strict=True)]

    def score(self, records: Sequence[Record]) -> dict[str, Any]:
        """Return all accuracies with and without the graph, and the names that changed rank."""
        parts = self._all_parts(records)
        names = tuple(self.data.classes[c] for c in parts.classes)
        mine, first = parts.unseen_videos(), int(parts.seen.sum())
        changes = why.rank_changes(
            parts.text[mine][:, first:],
            parts.at(self.model.mix)[mine][:, first:],
            parts.target[mine] - first,
            names[first:],
        )
        return {
            **self.measures(parts, self.model.mix, self.model.calibration),
            "mix": self.model.mix,
            "without_graph": self.measures(parts, 0.0, self.model.calibration),
            "rank_changes": [asdict(change) for change in changes],
            **self.facts,
        }

    def diagnose(self, records: Sequence[Record]) -> Diagnostics:
        """Return what the evaluation page shows."""
        model, parts = self.model, self._all_parts(records)
        sharpness = float(model.standard[0, 1]) / model.config.temperature
        names = [self.data.classes[c] for c in parts.classes]
        videos = [self.data.videos[int(i)] for i in self.videos]
        groups = [video.group or video.id for video in videos]
        return diagnose(parts, model.mix, model.calibration, sharpness, names, groups)

    def explain(self, item: int, record: Record) -> Prediction:
        """Return the answer about one test video among unseen classes, with its evidence."""
        return self.predict(self.data.videos[int(self.videos[item])])

    def _all_parts(self, records: Sequence[Record]) -> ScoreParts:
        frame = self._parts(self.videos[:1])
        position = np.full(len(self.data.classes), -1)
        position[frame.classes] = np.arange(len(frame.classes))
        return ScoreParts(
            np.stack([record["text"] for record in records]),
            np.stack([record["graph"] for record in records]),
            position[self.tensors.target.numpy()[self.videos]],
            frame.seen,
            frame.classes,
        )

    def _parts(self, videos: Int) -> ScoreParts:
        seen, unseen = self.data.index(self.split.seen), self.data.index(self.split.unseen)
        return score_parts(self.model, self.tensors, seen, unseen, videos)
