"""PVLR: probabilistic snippets matched with class texts (Lim et al., ACM MM 2024).

Read top to bottom: two streams correct each other (Eq. numbers follow docs/pvlr.md), the fused snippet becomes
a diagonal Gaussian in the joint space, and its inner product with every class text is the class activation.

Axes: B videos, T snippets, C classes (background is the last of C+1), D joint width, F fused width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.features.towers import TextTower
from whyact.pvlr.config import ModelConfig


@dataclass
class Output:
    """What the network says about every snippet."""

    cas: Tensor  # (B,T,C+1) class activation
    attention: Tensor  # (B,T) fused actionness in 0..1
    attention_rgb: Tensor  # (B,T)
    attention_flow: Tensor  # (B,T)
    hidden: Tensor  # (B,T,F) first fusion layer, for the co-activity loss
    mean: Tensor  # (B,T,D)
    variance: Tensor  # (B,T,D) as the contrastive losses read it
    sampling_std: Tensor  # (B,T,D) as the sampler reads it, noise scale s included
    text: Tensor  # (C+1,D)


class Consensus(nn.Module):
    """Let the auxiliary stream x gate the main stream m, and read an attention curve off the result."""

    def __init__(self, main: int, auxiliary: int, cfg: ModelConfig) -> None:
        super().__init__()
        gate_in = cfg.hidden if cfg.auxiliary_encoder else auxiliary
        self.auxiliary = _conv(auxiliary, cfg.hidden, 3, cfg.dropout) if cfg.auxiliary_encoder else nn.Identity()
        self.bit = _conv(gate_in, main, 3, cfg.dropout)
        self.channel = _conv(main, main, 3, cfg.dropout)
        self.attention = nn.Sequential(
            *_conv(main, cfg.hidden, 3, cfg.dropout),
            nn.Conv1d(cfg.hidden, cfg.hidden, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv1d(cfg.hidden, 1, 1),
            nn.Dropout(cfg.dropout if cfg.drop_attention_logits else 0.0),
        )
        self.gate, self.pool = cfg.gate, cfg.attention_pool

    def forward(self, m: Tensor, x: Tensor, m_mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated main stream (B,Dm,T) and its attention (B,T); ``m_mean`` (B,Dm,1) is m's mean over time."""
        b = self.bit(self.auxiliary(x))  # (B,Dm,T)                                          Eq. 1
        g = self._of_mean(m_mean)  # (B,Dm,1)                                                Eq. 2
        if self.gate == "cosine":
            s = F.cosine_similarity(g, b, dim=1).unsqueeze(1)  # (B,1,T)                     Eq. 3
            gated = torch.sigmoid(b * s) * m  #                                              Eq. 4
        else:
            gated = torch.sigmoid(b * g) * m  # the ActivityNet variant                      Eq. 4'
        attention = torch.sigmoid(self.attention(gated))  # (B,1,T)                          Eq. 5
        if self.pool > 1:
            attention = F.avg_pool1d(attention, self.pool, stride=1, padding=self.pool // 2)
        return gated, attention.squeeze(1)

    def _of_mean(self, m_mean: Tensor) -> Tensor:
        """Map (B,Dm,1): of a kernel of three taps only the middle one meets the one value, so that is all that runs."""
        conv, *rest = self.channel
        assert isinstance(conv, nn.Conv1d)
        g = F.linear(m_mean.squeeze(-1), conv.weight[..., conv.kernel_size[0] // 2], conv.bias).unsqueeze(-1)
        for layer in rest:
            g = layer(g)
        return g


class PromptedText(nn.Module):
    """Class texts from a frozen tower, with learned vectors around the class name (shared by position)."""

    ids: Tensor
    learned: Tensor
    read_at: Tensor

    def __init__(self, tower: TextTower, names: Sequence[str], cfg: ModelConfig) -> None:
        super().__init__()
        self._tower = (tower,)  # in a tuple: the frozen tower stays out of the checkpoint
        words = [tower.tokenize(name) for name in names]
        lengths = [len(ids) + cfg.prefix + cfg.postfix + 2 for ids in words]
        context = max(1, cfg.prefix + cfg.postfix)
        longest = max([*lengths, context + 2])
        if longest > tower.positions:
            name = names[lengths.index(max(lengths))]
            raise UserError(
                "class name", name, f"at most {tower.positions} positions, prompt included; it needs {longest}"
            )
        self.table = nn.Embedding(tower.positions, tower.token_width)  # E
        nn.init.normal_(self.table.weight, std=0.01)
        ids = torch.zeros(len(names) + 1, longest, dtype=torch.long)
        learned = torch.ones(len(names) + 1, longest, dtype=torch.bool)
        read_at = torch.zeros(len(names) + 1, dtype=torch.long)
        for c, row in enumerate(words):
            start = 1 + cfg.prefix
            for at, token in [(0, tower.start_id), *enumerate(row, start), (lengths[c] - 1, tower.end_id)]:
                ids[c, at], learned[c, at] = token, False
            read_at[c] = lengths[c] - 1
        if cfg.background == "context":  # start, learned context, end; "first-row": row 0 of E alone
            for at, token in ((0, tower.start_id), (context + 1, tower.end_id)):
                ids[-1, at], learned[-1, at] = token, False
            read_at[-1] = context + 1
        for name, value in (("ids", ids), ("learned", learned), ("read_at", read_at)):
            self.register_buffer(name, value, persistent=False)

    def forward(self) -> Tensor:
        """Return t (C+1,D), background last."""
        tower = self._tower[0]
        table = self.table.weight[: self.ids.shape[1]]
        tokens = torch.where(self.learned.unsqueeze(-1), table, tower.embed(self.ids))  # (C+1,L,W)     Eq. 6
        return tower.encode(tokens, self.read_at)  #                                                    Eq. 7

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]  # torch's own signature
        if isinstance(self._tower[0], nn.Module):
            self._tower[0]._apply(fn)
        return super()._apply(fn, recurse)


class ProjectedText(nn.Module):
    """Class texts from fixed sentence vectors through one learned layer; the background is a learned vector."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        centred = vectors - vectors.mean(0)
        self.register_buffer("vectors", F.normalize(centred, dim=1))
        self.projection = nn.Linear(vectors.shape[1], width, bias=False)
        self.background = nn.Parameter(torch.randn(width))
        nn.init.normal_(self.projection.weight)

    def forward(self) -> Tensor:
        """Return t (C+1,D), background last; rows have norms near those of CLIP's features."""
        rows = torch.cat([self.projection(self.vectors), self.background[None]])
        return rows * (8.0 / math.sqrt(rows.shape[1]))


class FixedText(nn.Module):
    """Class texts as a trained model ended with: inference needs no text tower."""

    features: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)

    def forward(self) -> Tensor:
        """Return t (C+1,D), background last."""
        return self.features


class PVLR(nn.Module):
    """Snippets to probabilistic class activations.

    Args:
        cfg: Sizes and switches.
        text: Class texts: a module that returns them (C+1,D), background last; or class vectors (C,E) of any encoder,
            which one learned layer projects, so that no text tower is needed.
    """

    def __init__(self, cfg: ModelConfig, text: nn.Module | Tensor) -> None:
        super().__init__()
        self.cfg = cfg
        self.text = ProjectedText(text, cfg.width) if isinstance(text, Tensor) else text
        rgb, flow = cfg.rgb_width, cfg.flow_width or cfg.rgb_width
        self.rgb = Consensus(rgb, flow, cfg)
        self.flow = Consensus(flow, rgb, cfg)
        self.fusion1 = _conv(rgb + flow, cfg.fused, cfg.fusion_kernel, cfg.fusion_dropout)
        self.fusion2 = _conv(cfg.fused, cfg.fused, 3, cfg.fusion_dropout)
        if cfg.kaiming:
            for module in self.modules():
                if isinstance(module, nn.Conv1d):
                    nn.init.kaiming_uniform_(module.weight)
                    nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.mean = nn.Linear(cfg.fused, cfg.width)
        head = cfg.variance_hidden
        self.variance = (
            nn.Sequential(nn.Linear(cfg.fused, head), nn.Dropout(0.2), nn.ReLU(), nn.Linear(head, cfg.width))
            if head
            else nn.Linear(cfg.fused, cfg.width)
        )

    @property
    def reach(self) -> int:
        """Return how many neighbours on each side a snippet's output depends on (the time mean apart)."""
        return 4 + self.cfg.attention_pool // 2

    def forward(self, x: Tensor, text: Tensor | None = None, time_mean: Tensor | None = None) -> Output:
        """Score every snippet.

        Args:
            x: (B,T,D_rgb+D_flow) features, RGB first.
            text: (C+1,D) class texts; by default computed here. An evaluation computes them once.
            time_mean: (B,D_rgb+D_flow) mean of the whole video where x is a piece of it.
        """
        cfg = self.cfg
        if x.shape[-1] != cfg.rgb_width + cfg.flow_width:
            raise UserError(
                "features", x.shape[-1], f"{cfg.rgb_width} + {cfg.flow_width} channels, as the model was built"
            )
        text = self.text() if text is None else text
        x_mean = (x.mean(1) if time_mean is None else time_mean).unsqueeze(-1)  # (B,D,1)
        (r, o), (r_mean, o_mean) = self._streams(x.transpose(1, 2)), self._streams(x_mean)
        gated_r, attention_rgb = self.rgb(r, o, r_mean)
        gated_o, attention_flow = self.flow(o, r, o_mean)
        attention = cfg.convex * attention_flow + (1 - cfg.convex) * attention_rgb  # (B,T)             Eq. 8
        hidden = self.fusion1(torch.cat([gated_r, gated_o], dim=1))  # (B,F,T)                          Eq. 9
        fused = self.fusion2(hidden).transpose(1, 2)  # (B,T,F)                                         Eq. 9
        mean = self.mean(fused)  # (B,T,D)                                                              Eq. 10
        raw = self.variance(fused)
        if cfg.variance == "log":
            raw = raw.clamp(*cfg.log_variance)
            variance = raw.exp()  #                                                                     Eq. 10
        else:  # official: one number, a log-variance for the sampler and a variance for the losses
            raw = variance = F.relu(raw)
        std = cfg.noise * torch.exp(0.5 * raw)
        if self.training:
            cas = sampled_activation(mean, std, text, cfg.samples) / cfg.temperature_train  #           Eq. 11
        else:
            cas = F.normalize(mean, dim=-1) @ F.normalize(text, dim=-1).T / cfg.temperature_test  #     Eq. 12
        return Output(cas, attention, attention_rgb, attention_flow, hidden.transpose(1, 2), mean, variance, std, text)

    def activation_std(self, out: Output) -> Tensor:
        """Return the standard deviation (B,T,C+1) of the test activation under the Gaussian, to first order."""
        t = F.normalize(out.text, dim=-1)
        norm = out.mean.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        unit = out.mean / norm
        cosine = unit @ t.T  # (B,T,C+1)
        v = out.sampling_std.square()
        # d cos / d mean = (t - cos * unit) / |mean|; its square, weighted by v, expands into three products.
        spread = (
            v @ t.square().T
            - 2 * cosine * ((v * unit) @ t.T)
            + cosine.square() * (v * unit.square()).sum(-1, keepdim=True)
        )
        return spread.clamp_min(0).sqrt() / norm / self.cfg.temperature_test

    def _streams(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rgb = x[:, : self.cfg.rgb_width]
        return rgb, x[:, self.cfg.rgb_width :] if self.cfg.flow_width else rgb


def sampled_activation(mean: Tensor, std: Tensor, text: Tensor, samples: int) -> Tensor:
    """Average <z_k, t_c> over K samples z_k = mean + std * noise_k (Eq. 11, without the temperature).

    The score is linear in z, so the mean of K noises does it: one noise of standard deviation 1/sqrt(K),
    equal in distribution, and no (B,K,T,D) tensor.

    Args:
        mean: (B,T,D).
        std: (B,T,D).
        text: (C+1,D).
        samples: K.

    Returns:
        (B,T,C+1).
    """
    noise = torch.randn_like(mean) / math.sqrt(samples)
    return torch.addcmul(mean, std, noise) @ text.T


def _conv(inputs: int, outputs: int, kernel: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2), nn.LeakyReLU(0.2), nn.Dropout(dropout)
    )
