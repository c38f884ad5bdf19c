"""The pixel terms of Eq. 1 and the clip's own vector: by definition, invariant, and really used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hand_clips import clip
from laiar_samples import ROI, close, pick, random_batch, random_keep, small_model, with_pixels
from whyact.data.relations.augment import augment
from whyact.data.relations.packed import PackedClips, RoiBatch
from whyact.data.types import RoiFeatures
from whyact.errors import UserError
from whyact.laiar.geometry import box_masks

OFF: dict[str, Any] = {"mirror": 0.0, "box_jitter": 0.0, "drop_boxes": 0.0, "drop_slots": 0.0}


def test_visual_feature_by_definition() -> None:
    model = small_model(roi=ROI, geometry=False)
    batch = with_pixels(random_batch())
    assert batch.pixels is not None
    v, f = model.v(batch), model.v
    for b, t, k in batch.valid.nonzero().tolist():
        seen = batch.seen[b, t, k].float()
        a = f.w_s.weight @ (batch.pixels.subject[b, t, k] * seen[0]) + f.w_s.bias
        o = f.w_o.weight @ (batch.pixels.object[b, t, k] * seen[1]) + f.w_o.bias
        mask = f.f_box(box_masks(batch.boxes[b, t, k][None], batch.seen[b, t, k][None], 8))[0]
        u = torch.einsum("dc,cij->dij", f.reduce.weight[..., 0, 0], batch.pixels.union[b, t, k])
        c = f.w_u(((u + f.reduce.bias[:, None, None]) + mask).flatten())
        subject, thing = batch.classes[b, k].tolist()
        close(v[b, t, k], torch.cat([a, o, c, f.subject.weight[subject], f.object.weight[thing]]))


@pytest.mark.parametrize("endpoint_delta", [False, True])
def test_answers_are_the_same_alone_padded_and_gathered(endpoint_delta: bool) -> None:
    model, batch = small_model(roi=ROI, context_width=6, endpoint_delta=endpoint_delta), with_pixels(random_batch())
    whole = model.video(batch)
    for i in range(len(batch)):
        close(model.video(pick(batch, [i])).logits, whole.logits[i : i + 1])
    assert batch.pixels is not None
    wide = replace(
        batch,
        boxes=F.pad(batch.boxes, (0, 0, 0, 0, 0, 2), value=0.3),
        seen=F.pad(batch.seen, (0, 0, 0, 2), value=True),
        classes=F.pad(batch.classes, (0, 0, 0, 2)),
        valid=F.pad(batch.valid, (0, 2)),
        relations=None,
        pixels=RoiBatch(
            F.pad(batch.pixels.subject, (0, 0, 0, 2), value=9.0),
            F.pad(batch.pixels.object, (0, 0, 0, 2), value=9.0),
            F.pad(batch.pixels.union, (0, 0, 0, 0, 0, 0, 0, 2), value=9.0),
        ),
    )
    close(model.video(wide).logits, whole.logits)
    close(model.video(wide.slots(4)).logits, whole.logits)
    keep = random_keep(batch)
    close(model.video(batch, keep=keep, gather=True).logits, model.video(batch, keep=keep).logits)


def test_every_pixel_term_and_the_context_reach_the_answer() -> None:
    model, batch = small_model(roi=ROI, context_width=6), with_pixels(random_batch())
    assert batch.pixels is not None
    before = model.video(batch).logits
    for name in ("subject", "object", "union"):
        changed = replace(batch, pixels=replace(batch.pixels, **{name: getattr(batch.pixels, name) + 1}))
        assert not torch.allclose(model.video(changed).logits, before)
    assert batch.context is not None
    assert not torch.allclose(model.video(replace(batch, context=batch.context + 1)).logits, before)


def test_a_hidden_box_shows_nothing() -> None:
    model, batch = small_model(roi=ROI), with_pixels(random_batch())
    assert batch.pixels is not None
    hidden = ~batch.seen
    noise = RoiBatch(
        batch.pixels.subject + 5.0 * hidden[..., :1],
        batch.pixels.object + 5.0 * hidden[..., 1:],
        batch.pixels.union,
    )
    close(model.video(replace(batch, pixels=noise)).logits, model.video(batch).logits)


def test_maps_of_another_side_are_refused() -> None:
    with pytest.raises(ValueError, match="side 3 beside masks of side 2"):
        small_model(roi=(3, 5, 3))


def test_a_mirror_image_mirrors_the_maps_and_hiding_a_box_empties_them() -> None:
    batch = with_pixels(random_batch(gaps=0.0))
    assert batch.pixels is not None
    random = np.random.default_rng(0)
    mirrored = augment(batch, random, **{**OFF, "mirror": 1.0}).pixels
    assert mirrored is not None
    there = batch.seen.prod(-1)[..., None, None, None] > 0
    close(mirrored.union, batch.pixels.union.flip(-1) * there)
    gone = augment(batch, random, **{**OFF, "drop_boxes": 1.0}).pixels
    assert gone is not None
    assert not gone.union.any()
    assert not gone.subject.any()


def features(t: int, k: int, seed: int = 0) -> RoiFeatures:
    random = np.random.default_rng(seed)
    return RoiFeatures(*(random.normal(size=(t, k, *s)).astype(np.float16) for s in ((3,), (3,), (5, 2, 2))))


def test_packed_clips_give_the_sampled_frames_features() -> None:
    first = clip("ffhh", "aaaa", pixels=features(4, 2), context=np.arange(6, dtype=np.float32))
    second = clip("fff", pixels=features(3, 1, 1))
    bare = clip("hh")
    packed = PackedClips([first, second, bare], slots=2)
    batch = packed.batch(np.array([1, 0, 2]), np.array([[0, 2], [3, 1], [0, 1]]))
    assert batch.pixels is not None
    assert batch.context is not None
    for name in ("subject", "object", "union"):
        found = getattr(batch.pixels, name).numpy()
        np.testing.assert_array_equal(found[0, :, 0], getattr(second.pixels, name)[[0, 2], 0])
        np.testing.assert_array_equal(found[1], getattr(first.pixels, name)[[3, 1]])
        assert not found[2].any()
        assert not found[0, :, 1].any()
    np.testing.assert_array_equal(batch.context.numpy(), [np.zeros(6), np.arange(6), np.zeros(6)])
    assert first.at([2, 0]).pixels.subject.tolist() == first.pixels.subject[[2, 0]].tolist()  # type: ignore[union-attr]


def test_features_of_other_frames_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="pixels, subject"):
        clip("ffhh", pixels=features(3, 1))
