"""The things that the speed rows compare are the same things."""

from __future__ import annotations

import pytest
import torch

from benchmarks import locate_gat as bench_locate_gat
from benchmarks import run as bench
from whyact.locate_gat.config import for_width
from whyact.locate_gat.model import LCA, best_classes


@pytest.mark.parametrize("width", [128, 300, 512])
def test_the_plain_module_computes_what_lca_computes(width: int) -> None:
    config = for_width(width)
    lca = LCA(config.grid, config.branches, config.pad, 0.0).eval()
    x = torch.randn(3, width)
    torch.testing.assert_close(bench_locate_gat.plain_lca(lca, config.grid)(x), lca(x), atol=1e-6, rtol=1e-4)


def test_scoring_is_timed_in_its_own_process_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_locate_gat, "VIDEOS", 2000)
    seconds, processor, mebibytes = bench_locate_gat._score(2)
    assert len(seconds) == len(processor) == 2
    assert mebibytes < 100


def test_many_videos_never_need_all_their_scores_at_once() -> None:
    """20,000 videos against 4,000 classes would be 305 MiB of scores."""
    import resource

    video, weight = torch.randn(20_000, 8), torch.randn(4000, 8)
    best_classes(video[:8], weight, torch.zeros(4000), 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values, classes = best_classes(video, weight, torch.zeros(4000), 5, chunk=500)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    torch.testing.assert_close(values[777], (video[777] @ weight.T).topk(5).values)
    assert torch.equal(classes[777], (video[777] @ weight.T).topk(5).indices)


def test_the_three_speed_rows_are_benchmarks() -> None:
    assert {"locate-gat-epoch", "locate-gat-lca", "locate-gat-scoring"} <= set(bench.BENCHES)
