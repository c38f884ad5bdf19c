"""How good LaIAR is where a clip shows any number of actions : the official Charades mAP and its company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip
from whyact.laiar.answers import Answer
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.runs import Run
from whyact.laiar.scoring import plain, score_evidence
from whyact.metrics.average_precision import charades_map
from whyact.metrics.charades import multi_hot


def score_labels(run: Run, answers: Sequence[Answer]) -> dict[str, Any]:
    """Score answers whose clips carry relations and actions.

    Returns:
        ``mAP`` and ``wAP`` in 0..100 by the official rules over all clips, those without a token included at the class
        prior; ``mAP_annotated`` over the clips with a token; ``classes`` with a positive; then the evidence scores.
    """
    classes = len(run.vocabulary.actions)
    truth = multi_hot([_targets(a.clip) for a in answers], classes)
    scores = np.stack([a.probabilities for a in answers])
    there = np.array([bool(a.valid.any()) for a in answers])
    whole, annotated = charades_map(scores, truth), charades_map(scores[there], truth[there])
    return plain(
        {
            "clips": len(answers),
            "clips_without_token": int((~there).sum()),
            "mAP": 100 * whole.mean,
            "wAP": 100 * whole.weighted,
            "mAP_annotated": 100 * annotated.mean,
            "classes": classes - len(whole.absent),
            **score_evidence(run, answers),
        }
    )


@torch.no_grad()
def language_map(run: Run, clips: Sequence[RelationClip]) -> float:
    """Return the language model's mAP (0..100) on true relations: the bound of what can be taught."""
    packed = PackedClips(clips, slots=run.config.data.slots, window=run.config.data.window)
    scores = []
    for _, batch in evaluation_batches(packed, run.config.data.frames):
        found = run.model.language(batch).logits.sigmoid()
        empty = ~batch.valid.flatten(1).any(1)
        found[empty] = torch.tensor(run.prior)
        scores.append(found.numpy())
    truth = multi_hot([_targets(clip) for clip in clips], len(run.vocabulary.actions))
    return 100 * charades_map(np.concatenate(scores), truth).mean


def class_prior(clips: Sequence[RelationClip], classes: int) -> list[float]:
    """Return how often each action happens among the clips (C,)."""
    return [float(x) for x in multi_hot([_targets(clip) for clip in clips], classes).mean(0)]


def objects_only(
    train: Sequence[RelationClip], test: Sequence[RelationClip], classes: int, objects: int
) -> NDArray[np.float64]:
    """Score the test clips from nothing but which object classes occur (N,C).

    Annotated boxes tell which objects are there, and action names tell objects: what this control reaches is no
    understanding of anything, so it belongs beside every figure from annotated boxes.
    """
    from sklearn.linear_model import LogisticRegression

    seen, asked = (np.stack([_present(clip, objects) for clip in clips]) for clips in (train, test))
    truth = multi_hot([_targets(clip) for clip in train], classes)
    out = np.tile(truth.mean(0), (len(test), 1))
    there = asked.any(1)
    for c in range(classes):
        if there.any() and 0 < truth[:, c].sum() < len(truth):
            model = LogisticRegression(max_iter=200).fit(seen, truth[:, c])
            out[there, c] = model.predict_proba(asked[there])[:, 1]
    return out


def objects_only_map(train: Sequence[RelationClip], test: Sequence[RelationClip], classes: int, objects: int) -> float:
    """Return the mAP (0..100) of :func:`objects_only`."""
    truth = multi_hot([_targets(clip) for clip in test], classes)
    return 100 * charades_map(objects_only(train, test, classes, objects), truth).mean


def _present(clip: RelationClip, objects: int) -> NDArray[np.float64]:
    out = np.zeros(objects)
    out[clip.object_class[clip.valid.any(0)]] = 1.0
    return out


def _targets(clip: RelationClip) -> tuple[int, ...]:
    if clip.targets is None:
        raise ValueError(f"clip {clip.id} has no actions to be scored against")
    return clip.targets
