"""LaIAR's speed: what really dropping tokens saves over masking them."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from benchmarks.run import one_thread, ratio
from whyact.data.relations.packed import RelationBatch
from whyact.laiar.config import ModelConfig, SelectConfig
from whyact.laiar.model import DTFormer, LaIAR
from whyact.reproduce import results

B, T, K, SHARE = 16, 16, 16, 0.3
SHAPE = f"B {B}, T {T}, K {K}, D 512, L 4, {SHARE:.0%} of the tokens kept"


@torch.no_grad()
def gather(repeats: int) -> list[results.Row]:
    """Compare the DT-Former on gathered tokens with the same one masking them: alone, and within a whole prediction."""
    torch.manual_seed(0)
    rows = []
    with one_thread():
        for attention in ("joint", "slot_then_joint"):
            config = ModelConfig(attention=attention)
            former = DTFormer(config, SelectConfig(), T, K).eval()
            x0, valid = torch.randn(B, T, K, config.width), torch.ones(B, T, K, dtype=torch.bool)
            keep = _keep(SHARE)
            difference = float((former.forward_gathered(x0, keep) - former(x0, keep, valid)[0]).abs().max())
            work = (
                lambda f=former, x=x0, k=keep: f.forward_gathered(x, k),
                lambda f=former, x=x0, k=keep, v=valid: f(x, k, v),
            )
            note = f"DT-Former alone, {attention} attention, {SHAPE}; largest difference {difference:.0e}"
            rows.append(ratio("laiar-gather", f"gathered, {attention}", "masked", work, min(repeats, 7), note))
        model = LaIAR(
            ModelConfig(), SelectConfig(share=SHARE), objects=13, relations=8, classes=10, frames=T, slots=K
        ).eval()
        batch = _batch()
        whole = (lambda: model.video(batch, gather=True), lambda: model.video(batch))
        seconds = [_former_share(model, batch, gathered) for gathered in (True, False)]
        note = (
            f"the whole answer from boxes, {SHAPE}; the DT-Former takes {seconds[1]:.0%} of it masked, "
            f"{seconds[0]:.0%} gathered"
        )
        rows.append(ratio("laiar-gather", "answer, gathered", "answer, masked", whole, min(repeats, 5), note))
    return rows


def _keep(share: float) -> Tensor:
    """Return a selection (B,T,K) of exactly that share of each clip's tokens."""
    rank = torch.rand(B, T * K).argsort(1).argsort(1)
    return (rank < round(share * T * K)).float().view(B, T, K)


def _batch() -> RelationBatch:
    low = torch.rand(B, T, K, 2, 2) * 0.6
    return RelationBatch(
        boxes=torch.cat([low, low + 0.1 + torch.rand(B, T, K, 2, 2) * 0.2], -1),
        seen=torch.ones(B, T, K, 2, dtype=torch.bool),
        classes=torch.randint(13, (B, K, 2)),
        valid=torch.ones(B, T, K, dtype=torch.bool),
        target=torch.zeros(B, dtype=torch.long),
    )


def _former_share(model: LaIAR, batch: RelationBatch, gathered: bool) -> float:
    """Return the share of an answer's time that the DT-Former takes: the median of five."""
    former, spent = model.dt_former, [0.0]
    shares = []

    def timed(function):  # type: ignore[no-untyped-def]
        def run(*args):  # type: ignore[no-untyped-def]
            started = time.perf_counter()
            out = function(*args)
            spent[0] += time.perf_counter() - started
            return out

        return run

    plain = (former.forward, former.forward_gathered)
    former.forward, former.forward_gathered = (timed(f) for f in plain)  # type: ignore[method-assign]
    try:
        for _ in range(5):
            spent[0], started = 0.0, time.perf_counter()
            model.video(batch, gather=gathered)
            shares.append(spent[0] / (time.perf_counter() - started))
    finally:
        former.forward, former.forward_gathered = plain  # type: ignore[method-assign]
    return sorted(shares)[2]
