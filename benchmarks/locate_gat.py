"""LoCATe-GAT's speed: cached features against encoding, LCA against its plain form, scoring in bounded memory."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.run import ratio
from whyact.reproduce import results
from whyact.training.numerics import numerics

if TYPE_CHECKING:
    from torch import Tensor

    from whyact.features.clip import ClipEncoder
    from whyact.locate_gat.model import CBAM, LCA

VIDEOS, CLASSES = 100_000, 700
SECONDS_ALLOWED = 5.0


@numerics(1)
def epoch(repeats: int) -> list[results.Row]:
    """Compare an epoch of stage 1 on cached features with one that encodes every frame first (extra ``clip``).

    Frames are encoded by CLIP ViT-B/16 with random weights: the time does not depend on what the weights are.
    A few frames are timed and the time is scaled to the epoch's; the note says so.
    """
    import numpy as np

    from whyact.features.clip import load_clip

    clip = load_clip("ViT-B-16", "random")
    videos, frames, sample = 64, 16, 16
    pixels = np.random.default_rng(0).integers(0, 255, (sample, 240, 320, 3), dtype=np.uint8)
    train = _training_epoch(videos, frames)
    train()
    _encode_seconds(clip, pixels[:2])
    cached, per_frame = [], []
    for _ in range(min(repeats, 3)):
        started = time.perf_counter()
        train()
        cached.append(time.perf_counter() - started)
        per_frame.append(_encode_seconds(clip, pixels) / sample)
    encoding = [videos * frames * one for one in per_frame]
    ratios = [(c + e) / c for c, e in zip(cached, encoding, strict=True)]
    median = statistics.median(per_frame)
    note = (
        f"{videos} videos of {frames} frames, published widths, one thread; {statistics.median(cached):.1f} s cached; "
        f"encoding measured on {sample} frames of 320x240 ({1000 * median:.0f} ms each, ViT-B/16, "
        f"random weights) and scaled to {videos * frames}, without decoding; 20 is the least allowed"
    )
    return [
        results.row("locate-gat-epoch", "cached features / encoding frames", "speed_ratio", ratios, unit="x", note=note)
    ]


@numerics(1)
def lca(repeats: int) -> list[results.Row]:
    """Compare LCA's forward at the published widths with the plain three-branch module, on the same weights."""
    import torch

    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.model import LCA

    rows = []
    for preset in ("default", "vit-l-14", "rn50"):
        config = PRESETS[preset]
        torch.manual_seed(0)
        fast = LCA(config.grid, config.branches, config.pad, 0.0).eval()
        slow = plain_lca(fast, config.grid)
        x = torch.randn(64, config.width)
        with torch.inference_mode():
            same = float((fast(x) - slow(x)).abs().max())
            work = (partial(fast, x), partial(slow, x))
            note = f"64 frames, one thread, largest difference {same:.0e}; 1 is the least allowed"
            rows.append(ratio("locate-gat-lca", f"whyact D={config.width}", "plain modules", work, repeats, note))
    return rows


def scoring(repeats: int) -> list[results.Row]:
    """Time the five best of 700 classes for 100,000 videos, and the memory that it takes above its inputs."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        seconds, processor, mebibytes = pool.apply(_score, (min(repeats, 5),))
    name = f"{VIDEOS} videos, {CLASSES} classes"
    note = f"five best of each, D=512, one thread; {SECONDS_ALLOWED:g} s is the limit set for it"
    table = "locate-gat-scoring"
    return [
        results.row(table, name, "seconds", seconds, unit="s", note=note),
        results.row(table, name, "cpu_seconds", processor, unit="s", note="does not grow when the machine is busy"),
        results.row(table, name, "memory", [mebibytes], unit="MiB", note="peak above the inputs and what torch loads"),
    ]


def plain_lca(like: LCA, grid: tuple[int, int, int]) -> Any:
    """Return the three branches written down one operation after another, on the weights of ``like``."""
    import torch

    def gelu(x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)

    def gate(x: Tensor, like: CBAM) -> Tensor:
        average = torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        largest = torch.nn.functional.adaptive_max_pool2d(x, 1).flatten(1)
        x = x * torch.sigmoid(like.channel(average) + like.channel(largest)).unsqueeze(2).unsqueeze(3)
        where = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(like.spatial(where))

    def forward(frames: Tensor) -> Tensor:
        maps = frames.reshape(-1, *grid)
        pooled = []
        for branch in like.branches:
            x = gelu(branch.around(gelu(branch.squeeze(maps))))  # type: ignore[operator]
            x = gelu(branch.widen(gate(x, branch.gate)))  # type: ignore[operator,arg-type]
            pooled.append(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return torch.cat(pooled, dim=1).reshape(frames.shape)

    return forward


def _training_epoch(videos: int, frames: int) -> Any:
    import torch

    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.learner import Batches, Stage1
    from whyact.locate_gat.model import LoCATeGAT
    from whyact.training.fit import fit

    torch.manual_seed(0)
    config = PRESETS["default"]
    features, target = torch.randn(videos, frames, config.width), torch.arange(videos) % 51
    model = LoCATeGAT(config, config.width, torch.randn(51, config.width), torch.zeros(0))
    batches = Batches(features, target, config.batch)

    def train() -> None:
        fit(Stage1(model, len(batches)), batches, epochs=1, seed=0, device="cpu", progress=False)

    return train


def _encode_seconds(clip: ClipEncoder, pixels: Any) -> float:
    started = time.perf_counter()
    clip.encode_frames(pixels)
    return time.perf_counter() - started


def _score(repeats: int) -> tuple[list[float], list[float], float]:
    """Score in a process of its own, whose peak memory is then that of the scoring."""
    import resource

    import torch
    from torch.nn import functional as F

    from whyact.locate_gat.model import best_classes

    torch.set_num_threads(1)
    video = torch.randn(VIDEOS, 512)
    for part in video.split(1000):  # no second copy, which would hide the scoring's own peak
        part.copy_(F.normalize(part, dim=1))
    weight, bias = torch.randn(CLASSES, 512), torch.randn(CLASSES)
    best_classes(video[:64], weight, bias, 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, processor = [], []
    for _ in range(repeats):
        started, busy = time.perf_counter(), time.process_time()
        best_classes(video, weight, bias, 5)
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - busy)
    return seconds, processor, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
