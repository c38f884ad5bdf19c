"""The whole of LaIAR: what must not change its answer, what inference may know, what is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from laiar_samples import close, padded, pick, random_batch, small_model
from whyact.data.relations.packed import RelationBatch
from whyact.laiar.config import SelectConfig
from whyact.laiar.model import LaIAR

SELECTS = {
    "budget": SelectConfig(),
    "budget, class context": SelectConfig(context="class"),
    "budget, whole frames": SelectConfig(spatial=False),
    "threshold": SelectConfig(rule="threshold", context="mean"),
    "off": SelectConfig(temporal=False, spatial=False),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "joint": {"attention": "joint"},
    "multiply": {"gate": "multiply", "attention": "joint"},
    "leak free": {"leak_free": True},
    "knots": {"gpo_knots": 4},
    "endpoint_delta": {"endpoint_delta": True},
    "literal f_v": {"post_proj": False, "geometry": False, "category": False},
}
PAIRS = [(variant, "budget") for variant in VARIANTS] + [("default", select) for select in list(SELECTS)[1:]]


def both(model: LaIAR, batch: RelationBatch) -> list[Any]:
    return [model.video(batch), model.language(batch)]


class TestInvariance:
    @pytest.mark.parametrize(("variant", "select"), PAIRS)
    def test_padding(self, variant: str, select: str) -> None:
        model, batch = small_model(select=SELECTS[select], **VARIANTS[variant]), random_batch()
        k = batch.valid.shape[2]
        for a, b in zip(both(model, batch), both(model, padded(batch, 3)), strict=True):
            close(b.logits, a.logits)
            assert torch.equal(b.selection.keep[..., :k], a.selection.keep)
            assert not b.selection.keep[..., k:].any()

    @pytest.mark.parametrize(("variant", "select"), PAIRS)
    def test_order_of_slots(self, variant: str, select: str) -> None:
        model, batch = small_model(select=SELECTS[select], **VARIANTS[variant]), random_batch()
        order = [2, 0, 3, 1]
        assert batch.relations is not None
        moved = replace(
            batch,
            boxes=batch.boxes[:, :, order],
            seen=batch.seen[:, :, order],
            classes=batch.classes[:, order],
            valid=batch.valid[:, :, order],
            relations=batch.relations[:, :, order],
        )
        for a, b in zip(both(model, batch), both(model, moved), strict=True):
            close(b.logits, a.logits)
            close(b.tokens, a.tokens[:, :, order])
            assert torch.equal(b.selection.keep, a.selection.keep[:, :, order])

    @pytest.mark.parametrize(("variant", "select"), PAIRS)
    def test_company_in_the_batch(self, variant: str, select: str) -> None:
        model, batch = small_model(select=SELECTS[select], **VARIANTS[variant]), random_batch(4)
        together = both(model, batch)
        for i in range(4):
            for a, b in zip(both(model, pick(batch, [i])), together, strict=True):
                close(a.logits[0], b.logits[i])
                assert torch.equal(a.selection.keep[0], b.selection.keep[i])

    def test_content_of_invalid_tokens(self) -> None:
        model, batch = small_model(app_width=3), random_batch(appearance=3)
        bad = ~batch.valid
        garbage = replace(
            batch,
            boxes=torch.where(bad[..., None, None], torch.rand_like(batch.boxes), batch.boxes),
            relations=torch.where(bad[..., None], 1.0, batch.relations),  # type: ignore[arg-type]
            appearance=torch.where(bad[..., None], 9.0, batch.appearance),  # type: ignore[arg-type]
        )
        for a, b in zip(both(model, batch), both(model, garbage), strict=True):
            assert torch.equal(a.logits, b.logits)

    def test_order_of_frames_matters(self) -> None:
        model, batch = small_model(), random_batch(gaps=0.0)
        flipped = replace(batch, boxes=batch.boxes.flip(1), seen=batch.seen.flip(1))
        assert (model.video(batch).logits - model.video(flipped).logits).abs().max() > 1e-3

    @pytest.mark.parametrize("select", SELECTS)
    def test_a_clip_without_any_token(self, select: str) -> None:
        """The class token alone is encoded, whatever the clip's company."""
        model, batch = small_model(select=SELECTS[select]), random_batch()
        empty = replace(batch, valid=batch.valid.clone(), seen=batch.seen.clone())
        empty.valid[1], empty.seen[1] = False, False
        for a, gather in ((empty, False), (empty, True), (pick(empty, [1]), False), (pick(empty, [1]), True)):
            path = model.video(a, gather=gather)
            i = 1 if len(a) > 1 else 0
            alone = model.dt_former.cls
            for block in model.dt_former.joint_blocks:
                alone = block.joint(alone, torch.ones(1, 1))
            close(path.z[i], model.dt_former.norm(alone)[0, 0])
            assert not path.selection.keep[i].any()
        close(model.video(empty).logits[[0, 2]], model.video(batch).logits[[0, 2]])

    def test_evaluation_repeats_itself(self) -> None:
        model, batch = small_model(dropout=0.5), random_batch()
        assert torch.equal(model.video(batch).logits, model.video(batch).logits)


class TestInference:
    def test_works_without_relations(self) -> None:
        model, batch = small_model(), random_batch()
        assert torch.equal(model.video(batch.without_relations()).logits, model.video(batch).logits)

    def test_relations_change_nothing(self) -> None:
        model, batch = small_model(), random_batch()
        expected = model.video(batch)
        for garbage in (torch.full_like(batch.relations, torch.nan), torch.rand(1)):  # type: ignore[arg-type]
            found = model.video(replace(batch, relations=garbage))
            assert torch.equal(found.logits, expected.logits)
            assert torch.equal(found.selection.keep, expected.selection.keep)

    def test_language_needs_them(self) -> None:
        model, batch = small_model(), random_batch()
        other = replace(batch, relations=batch.relations.roll(1, -1))  # type: ignore[union-attr]
        assert (model.language(batch).logits - model.language(other).logits).abs().max() > 1e-3

    @pytest.mark.parametrize("shared", [True, False])
    def test_language_modules_can_be_stripped(self, shared: bool) -> None:
        model, batch = small_model(shared=shared), random_batch()
        before = model.video(batch)
        stripped = ("s.", "f_s.", "head_s.", "head_v2s.", *(() if shared else ("language_dt_former.",)))
        spoilt = [p for name, p in model.named_parameters() if name.startswith(stripped)]
        assert len(spoilt) > 10
        with torch.no_grad():
            for parameter in spoilt:
                parameter.fill_(torch.nan)
        assert torch.equal(model.video(batch).logits, before.logits)
        assert torch.isnan(model.language(batch).logits).all()

    def test_removed_tokens_are_as_if_they_had_never_been(self) -> None:
        model, batch = small_model(), random_batch(1, gaps=0.0)
        gone = torch.zeros_like(batch.valid)
        gone[0, :, 3] = True
        without = replace(batch, valid=batch.valid & ~gone, seen=batch.seen & ~gone[..., None])
        never = RelationBatch(
            batch.boxes[:, :, :3], batch.seen[:, :, :3], batch.classes[:, :3], batch.valid[:, :, :3], batch.target
        )
        close(model.video(without).logits, model.video(never).logits)


class TestSharing:
    def test_one_set_of_parameters(self) -> None:
        shared, apart = small_model(), small_model(shared=False)
        size = sum(p.numel() for p in shared.dt_former.parameters())
        assert sum(p.numel() for p in apart.parameters()) == sum(p.numel() for p in shared.parameters()) + size
        assert apart.language_dt_former is not apart.dt_former

    def test_parameters_and_state_hold_it_once(self) -> None:
        model = small_model()
        assert not any(name.startswith("language_dt_former") for name, _ in model.named_parameters())
        state = model.state_dict()  # its second name, if it has one, is the same storage
        own = {t.data_ptr() for name, t in state.items() if name.startswith("dt_former.")}
        assert own >= {t.data_ptr() for name, t in state.items() if name.startswith("language_dt_former.")}
        other = small_model(seed=5)
        once = {name: t for name, t in state.items() if not name.startswith("language_dt_former.")}
        other.load_state_dict(once, strict=False)
        for a, b in zip(both(model, random_batch()), both(other, random_batch()), strict=True):
            assert torch.equal(a.logits, b.logits)

    def test_language_moves_the_shared_former_only(self) -> None:
        for shared in (True, False):
            model = small_model(shared=shared)
            model.language(random_batch()).logits.sum().backward()
            moved = [p.grad is not None and bool(p.grad.any()) for p in model.dt_former.joint_blocks.parameters()]
            assert any(moved) == shared

    def test_gradient_reaches_every_parameter_that_takes_part(self) -> None:
        model, batch = small_model(), random_batch()
        model.train()
        video, language = model.video(batch, progress=0.9), model.language(batch, progress=0.9)
        loss = video.logits.square().sum() + language.logits.square().sum() + video.v2s_logits.square().sum()  # type: ignore[union-attr]
        loss.backward()
        idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        assert idle == {"log_t"}  # the temperature is L_sim's alone
