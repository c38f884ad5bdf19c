"""The generalised pooling operator (GPO) that gives a clip's relation tokens their global half."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


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
