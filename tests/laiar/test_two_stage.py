"""Relations first, then the language model: the prior by counting, and the likeliest allowed relation by hand."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from hand_clips import VOCABULARY, clip
from laiar_samples import RELATIONS, random_batch
from whyact.laiar.two_stage import predicted_relations, relation_prior


def test_the_prior_counts_frames_and_marks_what_a_pair_cannot_carry() -> None:
    clips = [clip("ffh", "ss."), clip("fh", "oo")]
    words = replace(
        VOCABULARY,
        allowed={("hand", "cup"): ("free", "held"), ("box", "box"): ("shut", "open"), ("head", "cup"): ("apart",)},
    )
    prior = relation_prior(clips, words)
    n = len(words.objects)
    for s in range(n):
        for o in range(n):
            names = words.allowed.get((words.objects[s], words.objects[o]), ())
            for r, relation in enumerate(words.relations):
                seen = sum(
                    int(c.relations[:, k, r].sum())
                    for c in clips
                    for k in range(len(c.slots))
                    if c.relations is not None and (c.subject_class[k], c.object_class[k]) == (s, o)
                )
                assert prior[s, o, r] == (seen if relation in names else -1)
    assert prior.max() > 1


@given(seed=st.integers(0, 10**6))
def test_each_token_gets_the_likeliest_relation_that_its_pair_can_carry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = random_batch(seed=seed % 7)
    b, t, k = batch.valid.shape
    prior = torch.from_numpy(rng.integers(-1, 4, (5, 5, RELATIONS)).astype(np.float32))
    prior[..., 0] = prior[..., 0].clamp_min(0)  # something is allowed for every pair
    scores = rng.random((b, t, k, RELATIONS)).astype(np.float32) * (rng.random((b, t, k, 1)) > 0.3)
    found = predicted_relations(replace(batch, appearance=torch.from_numpy(scores)), prior).relations
    assert found is not None
    for i, j, m in np.ndindex(b, t, k):
        allowed = prior[batch.classes[i, m, 0], batch.classes[i, m, 1]].numpy()
        if not batch.valid[i, j, m]:
            assert not found[i, j, m].any()
            continue
        # By probability; where nothing was seen of the pair, by how often it is so.
        by = scores[i, j, m] if scores[i, j, m].any() else allowed
        best = max(by[r] for r in range(RELATIONS) if allowed[r] >= 0)
        (chosen,) = np.flatnonzero(found[i, j, m].numpy())
        assert allowed[chosen] >= 0
        assert by[chosen] == pytest.approx(best)


def test_true_relations_are_not_read() -> None:
    batch = random_batch()
    assert batch.relations is not None
    scores = torch.rand(*batch.valid.shape, RELATIONS)
    prior = torch.ones(5, 5, RELATIONS)
    seen = replace(batch, appearance=scores)
    spoiled = replace(seen, relations=1 - batch.relations)
    assert torch.equal(predicted_relations(seen, prior).relations, predicted_relations(spoiled, prior).relations)  # type: ignore[arg-type]
