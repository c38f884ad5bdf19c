"""What is chosen on clips that a model was not trained on: its temperature, when it is unsure, what names are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from whyact.data.types import RelationClip
from whyact.laiar import forest, scene
from whyact.laiar.answers import answer_clips
from whyact.laiar.reasons import Fits, claims_of, fit_claims
from whyact.laiar.runs import YES, Run
from whyact.metrics.calibration import fit_temperature, top_label
from whyact.metrics.selective import choose_threshold

SHARES = {"scene": scene.SHARES, "forest": forest.SHARES}  # of the tokens beside whole frames; of the forest
TARGET_RISK = 0.1  # an answer is called unsure where more than this share would be wrong on held-out clips


@dataclass(frozen=True)
class Calibration:
    """What is chosen on clips that a second model was not trained on; see :class:`whyact.laiar.runs.Run`."""

    temperature: float
    threshold: float
    naming: Fits
    text: str
    shares: dict[str, float] = field(default_factory=dict)

    def give_to(self, run: Run) -> None:
        """Set a run's calibration; the threshold of clips with any number of actions stays."""
        run.naming_calibration = self.naming
        for name, term in run.model.terms.items():
            if name in self.shares:
                term.share.fill_(self.shares[name])
                if run.best is not None:
                    run.best.weights[f"{name}.share"] = torch.tensor(self.shares[name])
        if not run.vocabulary.multi_label:
            run.temperature, run.threshold, run.calibrated = self.temperature, self.threshold, self.text


def _choose_shares(run: Run, held: Sequence[RelationClip]) -> dict[str, float]:
    """Set and return the weight of each term's share, by the likelihood of held-out clips."""
    terms = run.model.terms
    if not terms:
        return {}
    losses, target = {}, torch.tensor([clip.target for clip in held])
    for shares in product(*(SHARES[name] for name in terms)):
        for term, share in zip(terms.values(), shares, strict=True):
            term.share.fill_(share)
        logits = torch.from_numpy(np.stack([a.logits for a in answer_clips(run, held, explain=False)]))
        losses[shares] = float(cross_entropy(logits / fit_temperature(logits.numpy(), target.numpy()), target))
    chosen = min(losses, key=lambda shares: losses[shares])
    for term, share in zip(terms.values(), chosen, strict=True):
        term.share.fill_(share)
    return dict(zip(terms, chosen, strict=True))


def calibration_of(run: Run, clips: Sequence[RelationClip], text: str) -> Calibration:
    """Choose on held-out clips with relations and targets that an uncalibrated run answers.

    What names are worth is fitted on answers at the temperature that is chosen: whether an answer depends on a pair is
    a matter of its score, which the temperature changes.
    """
    shares = _choose_shares(run, clips)
    temperature, threshold = 1.0, YES
    if not run.vocabulary.multi_label:
        answers = list(answer_clips(run, clips, explain=False))
        logits, target = np.stack([a.logits for a in answers]), np.array([a.clip.target for a in answers])
        temperature, threshold = choose(logits, target)
    naming: Fits = {}
    if run.model.naming is not None:
        at_temperature = replace(run, temperature=temperature)
        naming = fit_claims(claims_of(at_temperature, list(answer_clips(at_temperature, clips))))
    return Calibration(temperature, threshold, naming, text, shares)


def choose(logits: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the temperature and the confidence threshold chosen on held-out logits (N,C) and targets (N,).

    Few wrong answers in all would allow a threshold of next to nothing. What is more likely wrong than right stays
    under it all the same.
    """
    temperature = float(fit_temperature(logits, target))
    scaled = logits / temperature
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    confidence, correct = top_label(p / p.sum(1, keepdims=True), target)
    point = choose_threshold(confidence, correct, TARGET_RISK)
    return temperature, max(float(point.threshold), YES) if np.isfinite(point.threshold) else 1.0
