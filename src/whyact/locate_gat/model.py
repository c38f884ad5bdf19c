"""LoCATe-GAT, read top to bottom: frames attend over time, channels attend locally, classes attend over a graph.

Axes: B videos, T frames, D width, N graph nodes (classes), C candidate classes, H heads; (c,h,w) is the layout
of D channels that LCA sees. Spec numbers point into the method page, docs/locate-gat.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyact.devices import on_own_device
from whyact.locate_gat.config import Branch, Config

QUICK = 1.702
CPU_POSITIONS = 4096  # map positions that LCA reads at once: they stay in a CPU's cache, which halves the time


def quick_gelu(x: Tensor) -> Tensor:
    """Return x * sigmoid(1.702 x), written as one fused SiLU."""
    return F.silu(x * QUICK) / QUICK


class QuickGELU(nn.Module):
    """The module form of :func:`quick_gelu`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return quick_gelu(x)


class CBAM(nn.Module):
    """Gate channels, then positions: which maps matter, and where."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(width // reduction, 1)
        self.channel = nn.Sequential(nn.Linear(width, squeezed), nn.ReLU(), nn.Linear(squeezed, width))
        self.spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate maps (B,h,y,x) to the same shape."""
        gate = torch.sigmoid(self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3))))
        x = x * gate[:, :, None, None]
        where = torch.stack([x.amax(1), x.mean(1)], dim=1)  # (B,2,y,x)
        return x * torch.sigmoid(self.spatial(where))


class LCABranch(nn.Module):
    """One scale of local context: squeeze, look around at dilation d, gate, widen, pool."""

    def __init__(self, channels: int, branch: Branch, pad: bool, dropout: float) -> None:
        super().__init__()
        dilation, squeeze, hidden, out = branch
        self.squeeze = nn.Conv2d(channels, squeeze, kernel_size=1)
        self.around = nn.Conv2d(squeeze, hidden, kernel_size=3, dilation=dilation, padding=dilation if pad else 0)
        self.gate = CBAM(hidden)
        self.widen = nn.Conv2d(hidden, out, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,c,h,w) to (B,o)."""
        x = quick_gelu(self.squeeze(x))
        x = quick_gelu(self.around(x))  # (B,hidden,y,x); unpadded 16x16 gives 14x14, 12x12, 8x8 at d = 1, 2, 4
        x = self.gate(x)
        return self.dropout(quick_gelu(self.widen(x))).mean((2, 3))


class LCA(nn.Module):
    """Local context aggregation over the *channels* of a frame vector, at several dilations.

    The neighbourhood is one of channel indices: a pooled frame vector has no image geometry left.
    :class:`PatchLCA` is the variant with true image locality.
    """

    def __init__(self, grid: tuple[int, int, int], branches: tuple[Branch, ...], pad: bool, dropout: float) -> None:
        super().__init__()
        self.grid = grid
        self.branches = nn.ModuleList(LCABranch(grid[0], branch, pad, dropout) for branch in branches)

    def forward(self, x: Tensor) -> Tensor:
        """Map (...,D) to (...,D): every frame vector on its own, branch outputs concatenated."""
        maps = x.reshape(-1, *self.grid)  # row-major (c,h,w)
        frames = max(CPU_POSITIONS // (self.grid[1] * self.grid[2]), 1)
        parts = maps.split(frames) if maps.device.type == "cpu" else (maps,)
        return torch.cat([_side_by_side(self.branches, part) for part in parts]).reshape(x.shape)


class PatchLCA(nn.Module):
    """Our variant with image locality: the same branches over a frame's patch tokens, off by default.

    Patch tokens (B,P,D) with P = side*side are read as D maps of side x side, so neighbours are image neighbours.
    """

    def __init__(self, width: int, side: int, branches: tuple[Branch, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.side = side
        self.branches = nn.ModuleList(LCABranch(width, branch, True, dropout) for branch in branches)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patch tokens (B,P,D) to one vector a frame (B, sum of branch outputs)."""
        maps = patches.transpose(1, 2).unflatten(2, (self.side, self.side))
        return _side_by_side(self.branches, maps)


def _side_by_side(branches: nn.ModuleList, maps: Tensor) -> Tensor:
    """Concatenate what every branch makes of maps (B,c,h,w): (B, sum of outputs)."""
    return torch.cat([branch(maps) for branch in branches], dim=1)


class LoCATe(nn.Module):
    """Stage 1: one pre-norm block, temporal attention then LCA, and the mean over frames."""

    def __init__(self, config: Config, video_width: int) -> None:
        super().__init__()
        width = config.width
        self.attention_axis = config.attention
        # a frame is its own vector, and behind it the vectors of its patches where the patch variant is on
        self.own_width = video_width // (1 + config.patch_side**2)
        # Where video and text widths differ a learned projection joins them; equal widths keep the published block.
        self.project = nn.Identity() if self.own_width == width else nn.Linear(self.own_width, width)
        self.positions = nn.Parameter(torch.zeros(1, config.frames, width), requires_grad=config.positions)
        starts_as_mean = config.start in ("identity", "mean")
        if config.positions and not starts_as_mean:
            nn.init.trunc_normal_(self.positions, std=0.02)
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.norm2 = nn.LayerNorm(self.own_width if config.patch_side else width)
        self.mixer: nn.Module | None = None
        if config.mixer == "lca":
            self.mixer = LCA(config.grid, config.branches, config.pad, config.lca_dropout)
        elif config.mixer == "patch-lca":
            self.mixer = PatchLCA(self.own_width, config.patch_side, config.branches, config.lca_dropout)
        elif config.mixer == "mlp":
            self.mixer = nn.Sequential(nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))
        if starts_as_mean:
            self._start_as_the_mean()
        unused = [self.attention, self.norm1] if config.attention == "none" else []
        unused += [self.norm2] if self.mixer is None else []
        for module in [self] if config.start == "mean" else unused:
            module.requires_grad_(False)  # kept, because checkpoints hold them

    def _start_as_the_mean(self) -> None:
        """Zero the last layer of both residual branches: the block is then the identity, and all of it can learn."""
        last: list[nn.Module] = [self.attention.out_proj]
        if isinstance(self.mixer, LCA | PatchLCA):
            last += [branch.widen for branch in self.mixer.branches if isinstance(branch, LCABranch)]
        elif isinstance(self.mixer, nn.Sequential):
            last.append(self.mixer[-1])
        for layer in last:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> Tensor:
        """Embed videos (B,T,Dv) as (B,D), raw and not normalised.

        ``valid`` (B,T) bool leaves frames out exactly: they are neither attended to nor averaged. Every video
        needs at least one valid frame. With clips, call on (B*K,T,Dv) and average over K.
        """
        patches = frames[..., self.own_width :]  # (B,T,0), or (B,T,P*Dv) in the patch variant
        x = self.project(frames[..., : self.own_width]) + self.positions  # X0 = F + P, (B,T,D)
        if self.attention_axis != "none":
            x = x + self._attend(self.norm1(x), valid)  # X1 = X0 + MHSA(LN(X0))
        if isinstance(self.mixer, PatchLCA):
            tokens = self.norm2(patches.unflatten(-1, (-1, self.own_width)))  # (B,T,P,Dv)
            x = x + self.mixer(tokens.flatten(0, 1)).unflatten(0, x.shape[:2])
        elif self.mixer is not None:
            x = x + self.mixer(self.norm2(x))  # X2 = X1 + LCA(LN(X1))
        if valid is None:
            return x.mean(1)
        weight = valid.to(x.dtype)
        return (x * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)

    def _attend(self, x: Tensor, valid: Tensor | None) -> Tensor:
        if self.attention_axis == "batch":  # the public code's axis, kept for the reference preset alone
            x = x.transpose(0, 1)
            return self.attention(x, x, x, need_weights=False)[0].transpose(0, 1)
        hidden = None if valid is None else ~valid
        return self.attention(x, x, x, key_padding_mask=hidden, need_weights=False)[0]


def scale_nodes(nodes: Tensor, norm: Literal["l2", "sum"]) -> Tensor:
    """Scale class texts (N,D) to unit length, or as the public code does: by their sum, which may be negative."""
    if norm == "l2":
        return F.normalize(nodes, dim=1)
    total = nodes.sum(1, keepdim=True)
    return nodes / torch.where(total == 0, 1.0, total)


def class_graph(nodes: Tensor, neighbours: int) -> Tensor:
    """Join every node with its nearest ones by cosine, itself included: (N,D) to a symmetric bool (N,N).

    Nodes come as :func:`scale_nodes` scales them: a negative sum turns a text round, and its neighbours with it.
    """
    unit = F.normalize(nodes, dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(torch.inf)  # duplicates of a node must not push out its self-loop
    nearest = similarity.topk(min(neighbours, len(nodes)), dim=1).indices
    adjacency = torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, nearest, True)
    return adjacency | adjacency.T


class GraphAttention(nn.Module):
    """One dense layer: e_ij = LeakyReLU(a1.h_i + a2.h_j) on edges, softmax over j, H heads side by side."""

    def __init__(self, heads: int, width_in: int, width_out: int, dropout: float, slope: float = 0.2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, width_in, width_out))
        self.score_i = nn.Parameter(torch.empty(heads, width_out, 1))
        self.score_j = nn.Parameter(torch.empty(heads, width_out, 1))
        self.slope, self.dropout = slope, dropout
        scores = torch.empty(heads, 2 * width_out, 1)  # one vector (a1, a2) a head: its fans are those of both halves
        for head in range(heads):
            nn.init.xavier_uniform_(self.weight.data[head], gain=1.414)
            nn.init.xavier_uniform_(scores[head], gain=1.414)
        self.score_i.data, self.score_j.data = (half.clone() for half in scores.split(width_out, dim=1))

    def forward(self, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Map nodes (N,Din) and edges (N,N) bool to (H,N,Dout) and the attention (H,N,N), rows summing to 1."""
        x = F.dropout(x, self.dropout, self.training)
        h = x @ self.weight  # (H,N,Dout)
        logits = F.leaky_relu(h @ self.score_i + (h @ self.score_j).transpose(1, 2), self.slope)
        attention = logits.masked_fill(~edges, -torch.inf).softmax(-1)
        return F.dropout(attention, self.dropout, self.training) @ h, attention


class GAT(nn.Module):
    """Stage 2: three layers over the class graph; a row is a classifier for its class."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        first, second, last = config.gat_heads
        hidden, width, dropout = config.gat_hidden, config.width, config.gat_dropout
        self.node_norm, self.final_elu = config.node_norm, config.gat_final_elu
        self.layers = nn.ModuleList(
            [
                GraphAttention(first, width, hidden, dropout),
                GraphAttention(second, first * hidden, hidden, dropout),
                GraphAttention(last, second * hidden, width, dropout),
            ]
        )

    def forward(self, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Map class texts (N,D) and edges (N,N) to unit rows (N,D) and the attention reach (N,N).

        The reach is the product of the layers' head-averaged attentions: how much each node's input counts in
        each row. Its rows sum to 1.
        """
        x = scale_nodes(nodes, self.node_norm)
        reach = torch.eye(len(nodes), dtype=nodes.dtype, device=nodes.device)
        for layer in self.layers[:-1]:
            x, attention = layer(x, edges)
            x = F.elu(F.elu(x).transpose(0, 1).flatten(1))  # ELU a head, concatenate, ELU again
            reach = attention.mean(0) @ reach
        x, attention = self.layers[-1](x, edges)
        x = x.mean(0)
        if self.final_elu:
            x = F.elu(x)
        return F.normalize(x, dim=1), attention.mean(0) @ reach


class LoCATeGAT(nn.Module):
    """Both stages, and what a score needs: seen and auxiliary class texts, standardisation, mix and calibration.

    A score is linear in the unit video vector, so text and graph merge into one classifier row a class:
    ``(1-mix) (cos(v,text) - m_t)/s_t + mix (cos(v,graph) - m_g)/s_g``. The constants come from seen training
    videos, never from the batch or the candidates, so an answer depends on the video and the class alone.
    """

    seen: Tensor
    auxiliary: Tensor
    standard: Tensor
    choice: Tensor

    def __init__(self, config: Config, video_width: int, seen: Tensor, auxiliary: Tensor) -> None:
        super().__init__()
        self.config = config
        self.encoder = LoCATe(config, video_width)
        self.gat = GAT(config) if config.graph else None
        self.register_buffer("seen", seen)  # (S,D) raw texts
        self.register_buffer("auxiliary", auxiliary.reshape(-1, config.width))  # (A,D)
        self.register_buffer("standard", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))  # mean, sd of text and of graph
        self.register_buffer("choice", torch.tensor([0.0, 0.0]))  # mix and calibration in use

    @property
    def mix(self) -> float:
        """Return the share of the graph in the score."""
        return float(self.choice[0])

    @property
    def calibration(self) -> float:
        """Return the handicap of seen classes in generalised recognition, in standardised units."""
        return float(self.choice[1])

    @on_own_device
    def embed(self, frames: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map frames (B,T,Dv) to unit video vectors (B,D)."""
        return F.normalize(self.encoder(frames, valid), dim=1)

    @on_own_device
    def graph_rows(self, others: Tensor, without: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Run the graph over seen, other (U,D) and auxiliary classes.

        Args:
            others: Texts of candidate classes that were never trained on.
            without: Nodes to cut off: each keeps its self-loop and nobody attends to it; other edges stay.

        Returns:
            Unit rows (S+U,D) of seen and other classes, and their reach (S+U,S+U+A), see :meth:`GAT.forward`.
        """
        assert self.gat is not None
        nodes = torch.cat([self.seen, others, self.auxiliary])
        edges = class_graph(scale_nodes(nodes, self.config.node_norm), self.config.neighbours)
        cut = list(without)
        edges[cut], edges[:, cut] = False, False
        edges[cut, cut] = True
        rows, reach = self.gat(nodes, edges)
        known = len(nodes) - len(self.auxiliary)
        return rows[:known], reach[:known]

    @on_own_device
    def parts(self, others: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return unit text rows and graph rows of seen and other classes, each (S+U,D)."""
        text = F.normalize(torch.cat([self.seen, others]), dim=1)
        return text, None if self.gat is None else self.graph_rows(others)[0]

    @on_own_device
    def classifier(
        self, others: Tensor, mix: float | None = None, without: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return one weight row (S+U,D) and one bias (S+U,) a class; score = unit video @ weight.T + bias.

        At mix 0 the graph is not computed: the scores are those of LoCATe alone, bit for bit.
        ``without`` cuts nodes off, see :meth:`graph_rows`.
        """
        mix = self.mix if mix is None else mix
        (text_mean, text_sd), (graph_mean, graph_sd) = self.standard
        weight = F.normalize(torch.cat([self.seen, others]), dim=1) / text_sd
        offset = -text_mean / text_sd
        if mix > 0 and self.gat is not None:
            weight = (1 - mix) * weight + mix * self.graph_rows(others, without)[0] / graph_sd
            offset = (1 - mix) * offset - mix * graph_mean / graph_sd
        return weight, offset.expand(len(weight))

    @on_own_device
    def forward(self, frames: Tensor, others: Tensor) -> Tensor:
        """Score videos (B,T,Dv) against seen and other classes (U,D): (B,S+U), calibration not applied."""
        weight, bias = self.classifier(others)
        return self.embed(frames) @ weight.T + bias


@torch.no_grad()
def best_classes(video: Tensor, weight: Tensor, bias: Tensor, k: int, chunk: int = 8192) -> tuple[Tensor, Tensor]:
    """Return scores and classes (N,k) of the ``k`` best, without ever holding the (N,C) scores.

    Args:
        video: Unit vectors (N,D).
        weight: Classifier rows (C,D).
        bias: Offsets (C,), a calibration included if wanted.
        k: At most C.
        chunk: Videos scored at once; memory is ``chunk * C`` numbers.
    """
    scores = video.new_empty(min(chunk, len(video)), len(weight))
    values, classes = video.new_empty(len(video), k), torch.empty(len(video), k, dtype=torch.long, device=video.device)
    for first in range(0, len(video), chunk):  # into one buffer: freed chunks would be cut up and the heap would grow
        part = video[first : first + chunk]
        torch.addmm(bias, part, weight.T, out=scores[: len(part)])
        rows = slice(first, first + len(part))
        torch.topk(scores[: len(part)], k, dim=1, out=(values[rows], classes[rows]))
    return values, classes
