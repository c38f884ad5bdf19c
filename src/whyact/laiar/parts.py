"""LaIAR held against a test set, some clips at a time: what is kept of each answer, and the metrics of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.baselines import compare_rivals, measure_rivals
from whyact.laiar.diagnostics import diagnose
from whyact.laiar.evidence import Change
from whyact.laiar.explain import explain
from whyact.laiar.label_scores import language_map, objects_only_map, score_labels
from whyact.laiar.runs import Run
from whyact.laiar.scoring import faithfulness_curves, faithfulness_of, language_recall, score_answers
from whyact.laiar.two_stage import relation_prior
from whyact.prediction import Prediction
from whyact.report.diagnostics import Diagnostics
from whyact.training.evaluation import Record, inputs_sum
from whyact.training.numerics import numerics

SUM_LENGTH = 12  # hexadecimal digits that tell clips apart
APART = {"clip", "changes", "multi_label"}  # fields of an answer that are no arrays
ARRAYS = tuple(item.name for item in fields(Answer) if item.name not in APART)


@dataclass(frozen=True)
class Parts:
    """The evaluation of a run on the test side of a fold; see :class:`whyact.training.evaluation.Evaluation`."""

    run: Run
    train: Sequence[RelationClip]
    test: Sequence[RelationClip]
    facts: dict[str, Any]
    identity: dict[str, Any]
    chunk: int = 32

    @property
    def names(self) -> list[str]:
        """Return the test clips."""
        return [clip.id for clip in self.test]

    @numerics()
    def answer(self, first: int, last: int) -> list[Record]:
        """Return answers with their evidence, and what removing and inserting tokens does to them."""
        answers = list(answer_clips(self.run, self.test[first:last]))
        return [
            record_of(answer) | {f"curve {name}": value for name, value in curves.items()}
            for answer, curves in zip(answers, faithfulness_curves(self.run, answers), strict=True)
        ]

    @numerics()
    def score(self, records: Sequence[Record]) -> dict[str, Any]:
        """Return accuracy, explanation, calibration and faithfulness, and what the language model reaches."""
        run, words = self.run, self.run.vocabulary
        answers = self._answers(records)
        scores = score_labels(run, answers) if words.multi_label else score_answers(run, answers)
        named = "curve "
        curves = [{k.removeprefix(named): v for k, v in r.items() if k.startswith(named)} for r in records]
        scores |= faithfulness_of(curves)
        if words.multi_label:
            scores["language_mAP"] = language_map(run, self.test) if run.config.loss.guidance else None
            scores["objects_only_mAP"] = objects_only_map(self.train, self.test, len(words.actions), len(words.objects))
            scores |= {"boxes": run.config.data.boxes, "relations": run.config.data.relations} | self.facts
            return scores
        rivals = measure_rivals(self.train, self.test, words)
        if run.config.loss.guidance:
            scores["language_mAR"] = language_recall(run, self.test)
            if run.config.model.app_width:
                rivals["two-stage"] = language_recall(run, self.test, relation_prior(self.train, words))
                scores["two_stage_mAR"] = rivals["two-stage"]
        comparison = compare_rivals(scores["mAR"], rivals, annotated=not words.only_measured)
        return scores | {"rivals": rivals, "comparison": comparison}

    def diagnose(self, records: Sequence[Record]) -> Diagnostics:
        """Return what the evaluation page shows."""
        return diagnose(self.run, self._answers(records))

    def explain(self, item: int, record: Record) -> Prediction:
        """Return the answer about one test clip, with its evidence."""
        clip = self.test[item]
        return explain(self.run, answer_of(self.run, clip, record), source=clip.id, data=str(self.identity["data"]))

    def _answers(self, records: Sequence[Record]) -> list[Answer]:
        return [answer_of(self.run, clip, record) for clip, record in zip(self.test, records, strict=True)]


def clip_sum(clip: RelationClip) -> str:
    """Return a short checksum of a clip as it is annotated; a run's card lists those that it was trained on.

    A clip without a pair is identified by its name alone.
    """
    name = "" if clip.valid.any() else clip.id
    return inputs_sum([clip.subject_boxes, clip.object_boxes, clip.valid, clip.times, name])[:SUM_LENGTH]


def refuse_trained_clips(run: Run, data: str, found: RelationData, fold: int) -> None:
    """Refuse a test side with clips that a run was trained on, whatever they are called: their boxes tell.

    The run's own split needs no check. A run of an earlier version lists no checksums: its training clips are known by
    their names where its own fold is still the one that it was trained on.

    Raises:
        UserError: When there are such clips.
    """
    card = run.card or {}
    about, split = card.get("extra", {}), card.get("split_sha256")
    own = about.get("fold", fold)
    if not split or found.split_sha256(fold) == split:
        return
    test, sums = found.fold(fold)[1], set(about.get("train_clips_sums", ()))
    seen = [clip.id for clip in test if clip_sum(clip) in sums] if sums else []
    same = card.get("data") == data and all(found.folds.get(own, ((), ())))
    if same and not sums and found.split_sha256(own) == split:
        trained = {clip.id for clip in found.fold(own)[0]}
        seen = [clip.id for clip in test if clip.id in trained]
    if seen:
        value = f"{len(seen)} of {len(test)} test clips that the run was trained on: {seen[0]}"
        step = f"whyact eval {run.path} --fold {own}" if same and own != fold else ""
        raise UserError(f"{data}, fold {fold}", value, "clips that it has never seen", step)


def record_of(answer: Answer) -> Record:
    """Return an answer as arrays; the clip is not in it."""
    record = {name: np.asarray(getattr(answer, name)) for name in ARRAYS}
    record["changes"] = np.array([change[:5] for change in answer.changes], dtype=np.int64).reshape(-1, 5)
    lengths = [len(change.tokens) for change in answer.changes]
    record["change_ends"] = np.cumsum([0, *lengths], dtype=np.int64)
    record["change_tokens"] = np.array([t for change in answer.changes for t in change.tokens], dtype=np.int64)
    return record


def answer_of(run: Run, clip: RelationClip, record: Record) -> Answer:
    """Return the answer that :func:`record_of` was given."""
    ends, tokens = record["change_ends"], record["change_tokens"].tolist()
    changes = []
    for i, row in enumerate(record["changes"]):
        slot, before, after, t_before, t_after = (int(x) for x in row)
        changes.append(Change(slot, before, after, t_before, t_after, tuple(tokens[ends[i] : ends[i + 1]])))
    arrays = {name: record[name] for name in ARRAYS if name in record}
    arrays.setdefault("action", np.full(len(changes), record["probabilities"].argmax()))  # kept before there was one
    return Answer(
        clip=clip,
        changes=changes,
        multi_label=run.vocabulary.multi_label,
        **arrays,
    )
