"""LaIAR (CVPR 2024), Eq. 1-7: relation tokens, token selection, DT-Former, heads.

Axis letters: B clips, T frames, K slots, N = T*K tokens, R relation labels, D width. One token is one
subject-object pair in one frame. Pure functions first, thin classes after; losses live in ``losses.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.data.packed import RelationBatch
from whyact.laiar.config import ModelConfig, SelectConfig
from whyact.laiar.selection import Selection, TokenSelectors

PIXEL = 1.0 / 640  # the smallest union box side, as a share of the image: guards a division by zero


def box_masks(boxes: Tensor, seen: Tensor, size: int) -> Tensor:
    """Rasterise a subject and an object box inside their union box (Eq. 1, the box-pair mask).

    Args:
        boxes: (N,2,4) xyxy, any unit.
        seen: (N,2) which boxes are visible.
        size: Cells a side.

    Returns:
        (N,2,size,size) covered share of each cell minus 0.5; a hidden box gives -0.5 everywhere.
    """
    there = seen[..., None]
    low = boxes[..., :2].masked_fill(~there, math.inf).amin(1, keepdim=True)  # (N,1,2) union corner
    high = boxes[..., 2:].masked_fill(~there, -math.inf).amax(1, keepdim=True)
    span = (high - low).clamp_min(PIXEL)
    start = torch.where(there, (boxes[..., :2] - low) / span * size, 0.0)[..., None]  # (N,2,2,1)
    end = torch.where(there, (boxes[..., 2:] - low) / span * size, 0.0)[..., None]
    cell = torch.arange(size, device=boxes.device, dtype=boxes.dtype)
    cover = (torch.minimum(end, cell + 1) - torch.maximum(start, cell)).clamp(0, 1)  # (N,2,2,size): x then y
    return cover[:, :, 1, :, None] * cover[:, :, 0, None, :] - 0.5


def box_geometry(boxes: Tensor, seen: Tensor) -> Tensor:
    """Describe a box pair and its motion between sampled frames (not in the paper, which has the mask alone).

    Args:
        boxes: (B,T,K,2,4) xyxy as shares of the image.
        seen: (B,T,K,2).

    Returns:
        (B,T,K,26): both centres and sizes, their offset, size ratio, gap and overlap, visibility, and the motion of
        both centres, and of the gap, from the previous and to the next sampled frame; zeros where hidden.
    """
    there = seen.to(boxes.dtype)
    low, high = boxes[..., :2], boxes[..., 2:]
    size, centre = (high - low).clamp_min(PIXEL), (low + high) / 2  # (B,T,K,2,2)
    both = there.prod(-1, keepdim=True)  # (B,T,K,1)
    scale = size.prod(-1).sqrt()  # (B,T,K,2) geometric mean side
    offset = (centre[..., 1, :] - centre[..., 0, :]) / scale.mean(-1, keepdim=True)
    between = torch.maximum(low[..., 0, :], low[..., 1, :]) - torch.minimum(high[..., 0, :], high[..., 1, :])
    gap = between.clamp_min(0).norm(dim=-1, keepdim=True) / scale.mean(-1, keepdim=True)
    inside = (-between).clamp_min(0).prod(-1, keepdim=True) / size.prod(-1)  # (B,T,K,2) share of each box
    ratio = (scale[..., :1] / scale[..., 1:]).log()
    still = torch.cat([(centre * there[..., None]).flatten(-2), (size * there[..., None]).flatten(-2)], -1)
    pair = torch.cat([offset.clamp(-8, 8) / 4, ratio, gap.clamp_max(8) / 4, inside], -1) * both

    def motion(x: Tensor, known: Tensor) -> Tensor:
        step = (x[:, 1:] - x[:, :-1]) * (known[:, 1:] * known[:, :-1])
        return torch.cat(
            [F.pad(step, (0, 0) * (x.dim() - 2) + (1, 0)), F.pad(step, (0, 0) * (x.dim() - 2) + (0, 1))], -1
        )

    moved = motion(centre.flatten(-2), there.repeat_interleave(2, -1)) * 10
    return torch.cat([still, pair, there, motion(gap / 4, both), moved], -1)


GEOMETRY_WIDTH = 8 + 6 + 2 + 2 + 8


class VisualRelation(nn.Module):
    """Eq. 1: v = [appearance terms, W_u(f_box(mask)), category embeddings, geometry] of each pair."""

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
        side = (((c.mask_size + 1) // 2) + 1) // 2
        self.w_u = nn.Linear(second * side * side, c.box_width)
        self.w_app = nn.Linear(c.app_width, c.box_width) if c.app_width else None
        self.w_geometry = nn.Linear(GEOMETRY_WIDTH, c.box_width) if c.geometry else None
        self.subject = nn.Embedding(objects, c.class_width) if c.category else None
        self.object = nn.Embedding(objects, c.class_width) if c.category else None
        terms = 1 + bool(c.app_width) + c.geometry
        self.width = terms * c.box_width + 2 * c.class_width * c.category

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return v (B,T,K,d_v); padded pairs are zero, and BatchNorm never sees them."""
        valid = batch.valid
        rows = [
            self.w_u(self.f_box(box_masks(batch.boxes[valid], batch.seen[valid], self.config.mask_size)).flatten(1))
        ]
        if self.w_geometry is not None:
            rows.append(self.w_geometry(box_geometry(batch.boxes, batch.seen)[valid]))
        if self.w_app is not None:
            assert batch.appearance is not None
            rows.append(self.w_app(batch.appearance[valid]))
        if self.subject is not None and self.object is not None:
            classes = batch.classes[:, None].expand(*valid.shape, 2)[valid]
            rows += [self.subject(classes[:, 0]), self.object(classes[:, 1])]
        v = torch.cat(rows, -1)
        return v.new_zeros(*valid.shape, v.shape[-1]).masked_scatter(valid[..., None], v)


class SemanticRelation(nn.Module):
    """Eq. 2: s = [E_sub[subject], r, E_obj[object]]; r is the mean embedding of the pair's label set."""

    def __init__(self, config: ModelConfig, objects: int, relations: int) -> None:
        super().__init__()
        d = config.class_width
        self.subject, self.object = nn.Embedding(objects, d), nn.Embedding(objects, d)
        self.relation = nn.Parameter(torch.empty(relations, d).normal_(0, 1))
        self.width = 3 * d

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return s (B,T,K,d_s). Probabilities in place of labels give their weighted mean."""
        assert batch.relations is not None
        share = batch.relations / batch.relations.sum(-1, keepdim=True).clamp_min(1e-6)
        classes = batch.classes[:, None].expand(*batch.valid.shape, 2)
        s = torch.cat([self.subject(classes[..., 0]), share @ self.relation, self.object(classes[..., 1])], -1)
        return s * batch.valid[..., None]


class GPO(nn.Module):
    """Generalised pooling operator: a learned weight for each rank of the sorted values.

    The weights come from a bidirectional GRU over the rank codes and so depend on the number of elements
    alone. With ``knots`` the GRU runs on that many evenly spaced ranks and the logits are interpolated.
    """

    def __init__(self, codes: int = 32, hidden: int = 32, temperature: float = 0.1, knots: int = 0) -> None:
        super().__init__()
        self.codes, self.temperature, self.knots = codes, temperature, knots
        self.gru = nn.GRU(codes, hidden, bidirectional=True, batch_first=True)
        self.score = nn.Linear(hidden, 1, bias=False)

    def weights(self, count: Tensor, length: int) -> Tensor:
        """Return (B,length) pooling weights for ``count`` (B,) elements; zero beyond the count."""
        n, inverse = count.clamp_min(1).unique(return_inverse=True)  # U distinct counts
        steps = n.clamp_max(self.knots) if self.knots else n
        m = int(steps.max())
        grid = torch.arange(m, device=n.device)[None].float()
        last = (steps - 1).clamp_min(1)[:, None]
        rank = grid.clamp_max(float(m)) * (n - 1)[:, None] / last  # (U,m) rank - 1 of each knot
        packed = nn.utils.rnn.pack_padded_sequence(
            self._rank_codes(rank), steps.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (U,m,2H)
        logits = self.score(sum(hidden.chunk(2, -1)) / 2)[..., 0]  # (U,m)
        ranks = torch.arange(length, device=n.device)[None]  # (1,length)
        where = (ranks * last / (n - 1).clamp_min(1)[:, None]).clamp_max(m - 1)
        low = torch.minimum(where.floor().long(), (steps - 1)[:, None])
        high = torch.minimum(low + 1, (steps - 1)[:, None])
        share = where - low
        logits = logits.gather(1, low) * (1 - share) + logits.gather(1, high) * share
        logits = (logits / self.temperature).masked_fill(ranks >= n[:, None], -1e4)
        return logits.softmax(-1)[inverse] * (count > 0)[:, None]

    def _rank_codes(self, rank: Tensor) -> Tensor:
        rate = torch.exp(torch.arange(0, self.codes, 2, device=rank.device) * (-math.log(1e4) / self.codes))
        angle = (rank[..., None] + 1) * rate
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pool x (B,N,D) over the valid elements of mask (B,N): (B,D); all-invalid rows give zeros."""
        ranked = (
            x.masked_fill(~mask[..., None], -1e4)
            .sort(1, descending=True)[0]
            .masked_fill(torch.arange(x.shape[1], device=x.device)[None, :, None] >= mask.sum(1)[:, None, None], 0.0)
        )
        return torch.einsum("bn,bnd->bd", self.weights(mask.sum(1), x.shape[1]), ranked)


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


def gated_attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Attend with a_ij = exp(q_i k_j) p_j / sum, p_j = keep_j except p_i = 1 (spec 2.7).

    Args:
        q: (..., H, Q, d), the last Q of the N positions.
        k, v: (..., H, N, d).
        keep: (..., N) in {0,1}; gradients reach it where it carries some.
        allowed: (..., Q, N) bool, a further restriction of the pairs.
    """
    queries, n = q.shape[-2], k.shape[-2]
    own = torch.eye(n, device=q.device, dtype=torch.bool)[n - queries :]
    if not keep.requires_grad:
        mask = (keep[..., None, :] > 0) | own
        mask = mask if allowed is None else mask & allowed
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(-3))
    p = torch.where(own, 1.0, keep[..., None, :])
    p = (p if allowed is None else p * allowed).unsqueeze(-3)
    a = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    top = a.detach().masked_fill(p.detach() <= 0, -math.inf).amax(-1, keepdim=True)
    w = (a - top).clamp_max(20.0).exp() * p
    return (w / w.sum(-1, keepdim=True)) @ v


class Block(nn.Module):
    """Eq. 4-5: pre-norm attention and MLP, over the time of each slot or over all tokens jointly."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.width
        self.heads, self.drop = config.heads, nn.Dropout(config.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        hidden = config.ffn * d
        self.mlp = nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, d))

    def attend(self, x: Tensor, keep: Tensor, allowed: Tensor | None = None, queries: int = 0) -> Tensor:
        """Attend over x (..., N, D) with keep (..., N); only the last ``queries`` positions ask, if given."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)  # (..., H, N, d)
        return self.out(gated_attention(q[..., -queries:, :], k, v, keep, allowed).transpose(-2, -3).flatten(-2))

    def asked(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """Return how much the last position of tokens (B,N,D) attends to each other one, mean over heads (B,N-1)."""
        q, k, _ = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # (B,N,H,d)
        a = torch.einsum("bhd,bnhd->bhn", q[:, -1], k[:, :-1]) / math.sqrt(q.shape[-1])
        return a.masked_fill(keep[:, None] <= 0, -1e4).softmax(-1).mean(1)

    def slotwise(self, x: Tensor, keep: Tensor) -> Tensor:
        """Update tokens x (B,T,K,D) over the time of each slot; keep (B,T,K)."""
        y = self.attend(self.norm1(x).transpose(1, 2), keep.transpose(1, 2))  # (B,K,T,D)
        x = x + self.drop(y.transpose(1, 2))
        return x + self.drop(self.mlp(self.norm2(x)))

    def joint(self, tokens: Tensor, keep: Tensor, allowed: Tensor | None = None, queries: int = 0) -> Tensor:
        """Update a sequence (B,N,D) under keep (B,N); with ``queries`` only its last positions, which it returns."""
        asking = tokens[:, -queries:]
        asking = asking + self.drop(self.attend(self.norm1(tokens), keep, allowed, queries))
        return asking + self.drop(self.mlp(self.norm2(asking)))


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
        self.slot_blocks = nn.ModuleList(Block(config) for _ in range(slotwise))
        self.joint_blocks = nn.ModuleList(Block(config) for _ in range(config.layers - slotwise))
        self.norm = nn.LayerNorm(d)

    def positioned(self, x: Tensor) -> Tensor:
        """Add the positional embedding to x (B,T,K,D): x^0 of the paper."""
        t, k = x.shape[1:3]
        if t != self.frames or (k > self.slots and self.config.position != "temporal"):
            raise ValueError(f"a DT-Former for {self.frames} frames and {self.slots} slots got {t} and {k}")
        e = self.position[:, :k]
        return x + (e + self.slot_position[:, :k] if self.config.position == "factorised" else e)

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
            used = last.asked(tokens, keep[:, :-1])
        return self.norm(last.joint(tokens, keep, queries=1)[:, 0]), used  # nobody reads the other tokens any more


@dataclass
class Path:
    """One modality's pass: z (B,D), logits (B,C), joint-space tokens (B,T,K,D), selection, second head.

    ``used`` (B,T,K) is the share of the class token's last attention on each token (``None`` when gathered).
    """

    z: Tensor
    logits: Tensor
    tokens: Tensor
    selection: Selection
    used: Tensor | None = None
    v2s_logits: Tensor | None = None


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
    ) -> None:
        super().__init__()
        self.config, d = config, config.width
        self.v = VisualRelation(config, objects)
        self.f_v = RelationEncoder(self.v.width, config)
        self.s = SemanticRelation(config, objects, relations)
        self.f_s = RelationEncoder(self.s.width, config)
        self.dt_former = DTFormer(config, select, frames, slots)
        self.language_dt_former = self.dt_former if config.shared else DTFormer(config, select, frames, slots)
        self.head_v, self.head_s, self.head_v2s = nn.Linear(d, classes), nn.Linear(d, classes), nn.Linear(d, classes)
        self.log_t = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # Eq. 8

    def video(
        self,
        batch: RelationBatch,
        *,
        progress: float = 1.0,
        gated: bool = True,
        keep: Tensor | None = None,
        gather: bool = False,
    ) -> Path:
        """Run the video model (Eq. 1, 3-7). It never reads ``batch.relations``.

        Args:
            batch: The clips.
            progress: Share of training done, 0..1; sets the selectors' schedule.
            gated: Let the selectors drop tokens; off, they score them only.
            keep: (B,T,K) a fixed selection in place of the selectors' own.
            gather: Really drop the other tokens instead of masking them (evaluation; the multiplying gate cannot).
        """
        path = self._path(
            self.v(batch), batch.valid, self.f_v, self.dt_former, self.head_v, progress, gated, keep, gather
        )
        path.v2s_logits = self.head_v2s(path.z)
        return path

    def language(
        self, batch: RelationBatch, *, progress: float = 1.0, gated: bool = True, keep: Tensor | None = None
    ) -> Path:
        """Run the language model over the scene graph (Eq. 2-7)."""
        return self._path(
            self.s(batch), batch.valid, self.f_s, self.language_dt_former, self.head_s, progress, gated, keep, False
        )

    def _path(
        self,
        x: Tensor,
        valid: Tensor,
        encoder: RelationEncoder,
        former: DTFormer,
        head: nn.Linear,
        progress: float,
        gated: bool,
        keep: Tensor | None,
        gather: bool,
    ) -> Path:
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
        return Path(z, head(z), tokens, selection, used)
