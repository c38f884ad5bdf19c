"""LaIAR (CVPR 2024), Eq. 1-7: relation tokens, token selection, DT-Former, heads.

Axis letters: B clips, T frames, K slots, N = T*K tokens, R relation labels, D width. One token is one
subject-object pair in one frame. Pure functions first, thin classes after; losses live in ``losses.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.data.relations.packed import RelationBatch
from whyact.devices import on_own_device
from whyact.laiar.attention import Block, Blocks
from whyact.laiar.config import ModelConfig, SelectConfig
from whyact.laiar.forest import ForestSize, ForestTerm
from whyact.laiar.geometry import DELTA_WIDTH, LAYOUT_WIDTH, box_geometry, box_masks, endpoint_delta, mask_side
from whyact.laiar.number_embedding import number_encoder
from whyact.laiar.pooling import GPO
from whyact.laiar.scene import SceneTerm
from whyact.laiar.selection import Selection, TokenSelectors


class VisualRelation(nn.Module):
    """Eq. 1: v = [W_s app_i, W_o app_j, W_u(u + f_box(mask))], then category embeddings, geometry, scores.

    Without pixels there is no appearance and the union map u is zero.
    """

    def __init__(self, config: ModelConfig, objects: int) -> None:
        super().__init__()
        c, (first, second) = config, config.mask_channels
        self.config = config
        self.f_box = nn.Sequential(  # sizes of the published box encoder: 27 -> 14 -> 7
            nn.Conv2d(2, first, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.BatchNorm2d(first),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(second),
        )
        side = mask_side(c.mask_size)
        app, channels, map_side = c.roi
        if app:
            if map_side != side:
                raise ValueError(f"union maps of side {map_side} beside masks of side {side}")
            times = 1 + 2 * c.endpoint_delta
            self.w_s, self.w_o = nn.Linear(times * app, c.box_width), nn.Linear(times * app, c.box_width)
            self.reduce = nn.Conv2d(channels, second, 1)
        self.w_u = nn.Linear(second * side * side, c.box_width)
        scores, layout = (1 + 2 * c.endpoint_delta) * c.app_width, LAYOUT_WIDTH + DELTA_WIDTH * c.endpoint_delta
        self.w_app = number_encoder(scores, c.box_width, c.numbers) if c.app_width else None
        self.w_geometry = number_encoder(layout, c.box_width, c.numbers) if c.geometry else None
        self.subject = nn.Embedding(objects, c.class_width) if c.category else None
        self.object = nn.Embedding(objects, c.class_width) if c.category else None
        terms = 1 + 2 * bool(app) + bool(c.app_width) + c.geometry
        self.width = terms * c.box_width + 2 * c.class_width * c.category

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return v (B,T,K,d_v); padded pairs are zero, and BatchNorm never sees them."""
        valid = batch.valid
        union = self.f_box(box_masks(batch.boxes[valid], batch.seen[valid], self.config.mask_size))
        rows = []
        if batch.pixels is not None and self.config.roi[0]:
            for weight, app, there in (
                (self.w_s, batch.pixels.subject, batch.seen[..., :1]),
                (self.w_o, batch.pixels.object, batch.seen[..., 1:]),
            ):
                rows.append(weight(self._with_delta(app, there)[valid]))
            union = union + self.reduce(batch.pixels.union[valid])
        rows.append(self.w_u(union.flatten(1)))
        if self.w_geometry is not None:
            rows.append(self.w_geometry(box_geometry(batch.boxes, batch.seen, self.config.endpoint_delta)[valid]))
        if self.w_app is not None:
            assert batch.appearance is not None
            known = batch.appearance.any(-1, keepdim=True) & valid[..., None]
            rows.append(self.w_app(self._with_delta(batch.appearance, known)[valid]))
        if self.subject is not None and self.object is not None:
            classes = batch.classes[:, None].expand(*valid.shape, 2)[valid]
            rows += [self.subject(classes[:, 0]), self.object(classes[:, 1])]
        v = torch.cat(rows, -1)
        return v.new_zeros(*valid.shape, v.shape[-1]).masked_scatter(valid[..., None], v)

    def _with_delta(self, x: Tensor, known: Tensor) -> Tensor:
        """Return x (B,T,K,A) where known (B,T,K,1), and beside it how it differs from its slot's two ends."""
        there = known.to(x.dtype)
        x = x * there
        return torch.cat([x, endpoint_delta(x, there)], -1) if self.config.endpoint_delta else x


class SemanticRelation(nn.Module):
    """Eq. 2: s = [E_sub[subject], r, E_obj[object]]; r embeds the pair's label set.

    r is the mean over the labels or, by ``group_sum``, the sum over the groups of relations of the mean in each; a
    group that says nothing of a pair has a learned row of its own.
    """

    def __init__(self, config: ModelConfig, objects: int, relations: int, groups: Sequence[int] = ()) -> None:
        super().__init__()
        self.groups = tuple(groups) if config.relation_pooling == "group_sum" and len(set(groups)) > 1 else ()
        d = config.class_width
        self.subject, self.object = nn.Embedding(objects, d), nn.Embedding(objects, d)
        self.relation = nn.Parameter(torch.empty(relations, d).normal_(0, 1))
        self.none = nn.Parameter(torch.zeros(max(self.groups) + 1, d)) if self.groups else None
        self.width = 3 * d

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return s (B,T,K,d_s). Probabilities in place of labels give their weighted mean."""
        assert batch.relations is not None
        classes = batch.classes[:, None].expand(*batch.valid.shape, 2)
        r = self.pooled(batch.relations)
        s = torch.cat([self.subject(classes[..., 0]), r, self.object(classes[..., 1])], -1)
        return s * batch.valid[..., None]

    def pooled(self, relations: Tensor) -> Tensor:
        """Return r (...,d) of label sets (...,R)."""
        if self.none is None:
            return relations / relations.sum(-1, keepdim=True).clamp_min(1e-6) @ self.relation
        group = F.one_hot(torch.tensor(self.groups, device=relations.device)).to(relations.dtype)  # (R,G)
        count = relations @ group  # (...,G)
        share = relations / (count @ group.T).clamp_min(1e-6)
        return share @ self.relation + (count == 0).to(relations.dtype) @ self.none


class RelationEncoder(nn.Module):
    """f_v and f_s: a local linear map beside the GPO of all of them, [l, g] -> D."""

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        half = config.width // 2
        self.local = nn.Linear(inputs, half)
        self.pool = GPO(knots=config.gpo_knots)
        self.mix = nn.Linear(config.width, config.width) if config.post_proj else nn.Identity()

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """Encode x (B,T,K,d) into (B,T,K,D); the global half pools over ``pooled`` (B,T,K) only."""
        local = self.local(x)
        overall = self.pool(local.flatten(1, 2), pooled.flatten(1))
        return self.mix(torch.cat([local, overall[:, None, None].expand_as(local)], -1))


class DTFormer(nn.Module):
    """Eq. 3-6: position, class token, token selectors and blocks; one object serves both modalities."""

    def __init__(self, config: ModelConfig, select: SelectConfig, frames: int, slots: int) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.frames, self.slots = frames, slots
        shape = {"full": (frames, slots, d), "factorised": (frames, 1, d), "temporal": (frames, 1, d)}[config.position]
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=config.position_std))
        if config.position == "factorised":
            self.slot_position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, slots, d), std=config.position_std))
        self.cls = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, d), std=0.02))
        self.selectors = TokenSelectors(d, select)
        slotwise = config.layers // 2 if config.attention == "slot_then_joint" else 0
        self.slot_blocks = Blocks(Block(config) for _ in range(slotwise))
        self.joint_blocks = Blocks(Block(config) for _ in range(config.layers - slotwise))
        self.norm = nn.LayerNorm(d)

    def positioned(self, x: Tensor) -> Tensor:
        """Add the positional embedding to x (B,T,K,D): x^0 of the paper."""
        t, k = x.shape[1:3]
        if t != self.frames or (k > self.slots and self.config.position != "temporal"):
            raise ValueError(f"a DT-Former for {self.frames} frames and {self.slots} slots got {t} and {k}")
        e = self.position[:, :k]
        return x + (e + self.slot_position[:, :k] if self.config.position == "factorised" else e)

    def over_time(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return tokens x (B,T,K,D) after the slot blocks, nothing dropped."""
        x = self.positioned(x)
        for block in self.slot_blocks:
            x = block.slotwise(x, valid.to(x.dtype))
        return x

    def forward(self, x0: Tensor, keep: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x0 (B,T,K,D) under keep (B,T,K), the masked path used in training.

        Returns:
            z (B,D), and the share of the class token's last attention that each token gets (B,T,K), detached.
        """
        x, cls = x0 * keep[..., None], self.cls.expand(len(x0), -1, -1)
        seen = valid.to(x.dtype) if self.config.gate == "multiply" else keep
        for block in self.slot_blocks:
            x = block.slotwise(x, seen)
        tokens = torch.cat([x.flatten(1, 2), cls], 1)
        z, used = self._joint(tokens, F.pad(seen.flatten(1), (0, 1), value=1.0))
        return z, used.view_as(keep)

    def forward_gathered(self, x0: Tensor, keep: Tensor) -> Tensor:
        """Encode only the kept tokens: z (B,D), equal to :meth:`forward` and cheaper the fewer are kept."""
        k, flat = keep.shape[2], keep.flatten(1) > 0
        m = max(1, int(flat.sum(1).max()))
        index = flat.float().topk(m, dim=1).indices.sort(1).values  # (B,M): the kept ones and padding
        there = flat.gather(1, index).to(x0.dtype)
        tokens = x0.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, x0.shape[-1])) * there[..., None]
        slot = index % k
        for block in self.slot_blocks:
            tokens = block.joint(tokens, there, slot[:, :, None] == slot[:, None])
        tokens = torch.cat([tokens, self.cls.expand(len(x0), -1, -1)], 1)
        return self._joint(tokens, F.pad(there, (0, 1), value=1.0))[0]

    def _joint(self, tokens: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Run the joint blocks over (B,N+1,D), the class token last; Eq. 6: z = LN(class token)."""
        *first, last = self.joint_blocks
        for block in first:
            tokens = block.joint(tokens, keep)
        with torch.no_grad():
            used = last.cls_attention(tokens, keep[:, :-1])
        return self.norm(last.joint(tokens, keep, queries=1)[:, 0]), used  # nobody reads the other tokens any more


class NamingHead(nn.Module):
    """Codes of all valid tokens that know the time of their slot, to be compared with the label codes of Eq. 8's space.

    The paper names a token by its nearest label alone. Here a slot's relations are a chain over time
    (:mod:`whyact.laiar.chain`): ``scale`` times the cosine to a label's code, less ``switch`` for each change.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.width
        self.norm, self.project = nn.LayerNorm(d), nn.Linear(d, d // 2)
        self.log_scale = nn.Parameter(torch.tensor(math.log(8.0)))
        self.log_switch = nn.Parameter(torch.tensor(math.log(2.0)))

    def forward(self, x: Tensor) -> Tensor:
        """Return codes (B,T,K,D/2) of length 1 for tokens x (B,T,K,D) that the slot blocks have updated."""
        return F.normalize(self.project(self.norm(x)), dim=-1)

    @property
    def scale(self) -> Tensor:
        """Return what cosines are multiplied by to be scores of a chain."""
        return self.log_scale.exp().clamp_max(100.0)

    @property
    def switch(self) -> Tensor:
        """Return what a change of relation costs."""
        return self.log_switch.exp()


@dataclass
class BranchOutput:
    """One modality's pass: z (B,D), logits (B,C), joint-space tokens (B,T,K,D), selection, second head.

    ``used`` (B,T,K) is the share of the class token's last attention on each token (``None`` when gathered);
    ``codes`` (B,T,K,D/2) are what names are read from, where they were asked for.
    """

    z: Tensor
    logits: Tensor
    tokens: Tensor
    selection: Selection
    used: Tensor | None = None
    v2s_logits: Tensor | None = None
    codes: Tensor | None = None


class LaIAR(nn.Module):
    """The whole system. Inference uses :meth:`video` alone; :meth:`language` guides it in training."""

    def __init__(
        self,
        config: ModelConfig,
        select: SelectConfig,
        *,
        objects: int,
        relations: int,
        classes: int,
        frames: int,
        slots: int,
        groups: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.config, d = config, config.width
        self.v = VisualRelation(config, objects)
        self.f_v = RelationEncoder(self.v.width, config)
        self.s = SemanticRelation(config, objects, relations, groups)
        self.f_s = RelationEncoder(self.s.width, config)
        self.dt_former = DTFormer(config, select, frames, slots)
        self.language_dt_former = self.dt_former if config.shared else DTFormer(config, select, frames, slots)
        self.naming = NamingHead(config) if config.naming == "chain" else None
        self.context = nn.Linear(config.context_width, d) if config.context_width else None
        self.scene = SceneTerm(config.scene_width, classes) if config.scene_width else None
        size = ForestSize(*config.forest_size)
        self.forest = ForestTerm(size, objects, classes) if size.trees else None  # a training grows it at its end
        z = d * (1 + bool(config.context_width))  # the clip's own vector stands beside the class token
        self.head_v, self.head_s, self.head_v2s = nn.Linear(z, classes), nn.Linear(d, classes), nn.Linear(z, classes)
        self.log_t = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # Eq. 8

    @property
    def terms(self) -> dict[str, SceneTerm | ForestTerm]:
        """Return what was fitted beside the network and joins its logits, by the attribute's name."""
        found = {"scene": self.scene, "forest": self.forest}
        return {name: term for name, term in found.items() if term is not None}

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return the logits (B,C) of clips, as :meth:`video` computes them for an answer."""
        return self.video(batch).logits

    @on_own_device
    def video(
        self,
        batch: RelationBatch,
        *,
        progress: float = 1.0,
        gated: bool = True,
        keep: Tensor | None = None,
        gather: bool = False,
        names: bool = False,
    ) -> BranchOutput:
        """Run the video model (Eq. 1, 3-7). It never reads ``batch.relations``.

        Args:
            batch: The clips.
            progress: Share of training done, 0..1; sets the selectors' schedule.
            gated: Let the selectors drop tokens; off, they score them only.
            keep: (B,T,K) a fixed selection in place of the selectors' own.
            gather: Really drop the other tokens instead of masking them (evaluation; the multiplying gate cannot).
            names: Also return the codes that names are read from; they come from all valid tokens, dropped ones too.
        """
        x, former = self.v(batch), self.dt_former
        z, tokens, selection, used = self._encode(x, batch.valid, self.f_v, former, progress, gated, keep, gather)
        beside = z
        if self.context is not None:
            context = z.new_zeros(len(z), self.config.context_width) if batch.context is None else batch.context
            beside = torch.cat([z, self.context(context)], -1)
        codes = self.naming(former.over_time(tokens, batch.valid)) if names and self.naming is not None else None
        logits = self.head_v(beside)
        if self.scene is not None:
            logits = self.scene.joined(logits, batch.scene)
        if self.forest is not None:
            logits = self.forest.joined(logits, batch)
        return BranchOutput(z, logits, tokens, selection, used, self.head_v2s(beside), codes)

    @on_own_device
    def language(
        self, batch: RelationBatch, *, progress: float = 1.0, gated: bool = True, keep: Tensor | None = None
    ) -> BranchOutput:
        """Run the language model over the scene graph (Eq. 2-7)."""
        x, former = self.s(batch), self.language_dt_former
        z, tokens, selection, used = self._encode(x, batch.valid, self.f_s, former, progress, gated, keep, False)
        return BranchOutput(z, self.head_s(z), tokens, selection, used)

    @on_own_device
    def label_codes(self, classes: Tensor) -> Tensor:
        """Return the codes (M,R,D/2) of every relation between these subject and object classes (M,2).

        A code is the local half of f_s: the joint space of Eq. 8 without the clip's pooled half. It is put together
        from words, so that a combination that no training clip shows has one too.
        """
        r = self.s.pooled(torch.eye(self.s.relation.shape[0], device=classes.device))  # (R,d)
        shape = (len(classes), *r.shape)
        words = [self.s.subject(classes[:, 0]), self.s.object(classes[:, 1])]
        subject, thing = (w[:, None].expand(shape) for w in words)
        return F.normalize(self.f_s.local(torch.cat([subject, r.expand(shape), thing], -1)), dim=-1)

    def _encode(
        self,
        x: Tensor,
        valid: Tensor,
        encoder: RelationEncoder,
        former: DTFormer,
        progress: float,
        gated: bool,
        keep: Tensor | None,
        gather: bool,
    ) -> tuple[Tensor, Tensor, Selection, Tensor | None]:
        """Return z (B,D), the joint-space tokens, the selection and the attention of Eq. 2-6."""
        tokens = encoder(x, valid)  # (B,T,K,D) in the joint space
        x0 = former.positioned(tokens)
        selection = former.selectors(x0, valid, former.cls, progress, gated)
        if keep is not None:
            selection = Selection(keep.to(x0.dtype) * valid, selection.probability)
        if self.config.leak_free:
            x0 = former.positioned(encoder(x, selection.keep.detach() > 0))
        if gather and self.config.gate == "mask":  # the multiplying gate leaves a trace of what it drops
            z, used = former.forward_gathered(x0, selection.keep), None
        else:
            z, used = former(x0, selection.keep, valid)
        return z, tokens, selection, used
