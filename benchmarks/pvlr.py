"""PVLR's speed beside plain references written from the definitions, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.memory import added_mib, in_a_fresh_process
from benchmarks.run import ratio
from whyact.metrics.localisation import Spans, detection_ap, mean_ap
from whyact.pvlr.proposals import outer_inner, runs
from whyact.reproduce import results

THRESHOLDS = tuple(np.linspace(0.1, 0.9, 9))


def detection(repeats: int) -> list[results.Row]:
    """Compare detection mAP, 50,000 predictions at 9 thresholds, with a loop over predictions."""
    found, truth = _detections(50_000)
    fast = detection_ap(found, truth, THRESHOLDS, 20)
    slow = detection_ap_by_rows(found, truth, THRESHOLDS, 20)
    same = float(np.nanmax(np.abs(fast - slow)))
    note = f"50,000 predictions, 3,358 ground truths, 9 thresholds; largest difference in AP {same:.1e}"
    work = (
        lambda: mean_ap(detection_ap(found, truth, THRESHOLDS, 20)),
        lambda: detection_ap_by_rows(found, truth, THRESHOLDS, 20),
    )
    return [ratio("pvlr-detection", "vectorised", "per-prediction loop", work, 1, note)]


def proposals(repeats: int) -> list[results.Row]:
    """Compare runs above thresholds and their outer-inner scores with a loop over runs."""
    rng = np.random.default_rng(0)
    curve = np.cumsum(rng.normal(size=(2, 2000)), axis=1)
    curve = (curve - curve.min(1, keepdims=True)) / np.ptp(curve, axis=1, keepdims=True) + 0.1 * rng.random((2, 2000))
    levels = np.linspace(0.1, 0.95, 10)

    def fast() -> np.ndarray:
        rows, start, end = runs((curve[:, None] > levels[None, :, None]).reshape(20, -1))
        return outer_inner(curve, rows // 10, start, end, 0.1)

    def slow() -> np.ndarray:
        return proposals_by_runs(curve, levels, 0.1)

    same = float(np.abs(fast() - slow()).max())
    note = f"2 classes, 10 thresholds, 2,000 snippets, {len(fast())} proposals; largest difference {same:.1e}"
    return [ratio("pvlr-proposals", "vectorised", "per-run loop", (fast, slow), repeats, note)]


def activation(repeats: int) -> list[results.Row]:
    """Compare the probabilistic class activation, forward and backward, with one that builds all samples."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work = (_activation(True), _activation(False))
        sizes = "B 10, T 320, D 1024, K 20, forward and backward"
        rows = [ratio("pvlr-activation", "mean noise", "K samples", work, min(repeats, 3), sizes)]
        batch, length = (10, 320) if repeats > 5 else (2, 64)
        note = f"forward and backward of the whole network, published widths, B {batch}, T {length}, without losses"
        rows.append(ratio("pvlr-activation", "step, mean noise", "step, K samples", _steps(batch, length), 1, note))
    finally:
        torch.set_num_threads(before)
    small, large = (in_a_fresh_process("benchmarks.pvlr:measure_peak", kind) for kind in ("fast", "plain"))
    note = f"{sizes}: {small:.0f} MiB against {large:.0f} MiB above the inputs"
    rows.append(
        results.row("pvlr-activation", "mean noise / K samples", "memory_ratio", [large / small], unit="x", note=note)
    )
    return rows


def evaluation(repeats: int) -> list[results.Row]:
    """Time the evaluation of 212 videos of 2,000 snippets from their curves: proposals, soft-NMS, mAP."""
    from whyact.data.untrimmed.feature_files import sequence
    from whyact.data.untrimmed.sets import Annotation
    from whyact.pvlr.config import InferenceConfig
    from whyact.pvlr.inference import Curves, detection_map, localise

    rng = np.random.default_rng(0)
    videos, found = [], []
    for i in range(212):
        start = np.sort(rng.choice(1990, 16, replace=False)) * 0.64
        segments = tuple((s, s + 3.2, i % 20) for s in start.tolist())
        videos.append(
            sequence(Annotation(f"v{i}", "test", 1280.0, (i % 20,), segments), np.zeros((2000, 1), np.float32))
        )
        cas, attention = rng.normal(size=(2000, 21)), np.full(2000, 0.2)
        for s in start:
            cas[round(s / 0.64) : round(s / 0.64) + 5, i % 20] += 10
            attention[round(s / 0.64) : round(s / 0.64) + 5] = 0.8
        attention = np.clip(attention + 0.05 * rng.normal(size=2000), 0, 1)
        found.append(Curves(cas, np.zeros_like(cas), attention))
    cfg = InferenceConfig()
    started = time.perf_counter()
    detections = [localise(curve, cfg) for curve in found]
    ap = detection_map(detections, videos, 20, cfg.detection)
    seconds = time.perf_counter() - started
    note = f"{sum(map(len, detections))} proposals, mAP {ap.mean():.1f}; 20 s is the limit set for it"
    return [results.row("pvlr-evaluation", "212 videos of 2,000 snippets", "seconds", [seconds], unit="s", note=note)]


def detection_ap_by_rows(found: Spans, truth: Spans, thresholds: Sequence[float], classes: int) -> np.ndarray:
    """Walk down the predictions of every class row by row, as the ActivityNet protocol is written."""
    assert found.score is not None
    rows = list(
        zip(*(c.tolist() for c in (found.video, found.label, found.start, found.end, found.score)), strict=True)
    )
    truths: dict[tuple[int, int], list[tuple[int, float, float]]] = {}
    columns = zip(*(c.tolist() for c in (truth.video, truth.label, truth.start, truth.end)), strict=True)
    for number, (video, label, start, end) in enumerate(columns):
        truths.setdefault((video, label), []).append((number, start, end))
    ap = np.full((len(thresholds), classes), np.nan)
    for c in range(classes):
        positives = sum(len(own) for (_, label), own in truths.items() if label == c)
        ranked = sorted((row for row in rows if row[1] == c), key=lambda row: -row[4])
        for k, threshold in enumerate(thresholds if positives else ()):
            taken: set[int] = set()
            recall, precision, hits = [0.0], [0.0], 0
            for n, (video, label, start, end, _) in enumerate(ranked, 1):
                candidates = []
                for number, low, high in truths.get((video, label), ()):
                    overlap = max(0.0, min(end, high) - max(start, low))
                    candidates.append((-overlap / ((end - start) + (high - low) - overlap), number))
                for iou, number in sorted(candidates):
                    if -iou < threshold:
                        break
                    if number not in taken:
                        taken.add(number)
                        hits += 1
                        break
                recall.append(hits / positives)
                precision.append(hits / n)
            for n in range(len(precision) - 2, -1, -1):
                precision[n] = max(precision[n], precision[n + 1])
            ap[k, c] = sum((recall[n] - recall[n - 1]) * precision[n] for n in range(1, len(recall)))
    return ap


def proposals_by_runs(curve: np.ndarray, levels: np.ndarray, window: float) -> np.ndarray:
    """Find and score one run after another."""
    scores = []
    for row in curve:
        for level in levels:
            above = np.nonzero(row > level)[0]
            for group in np.split(above, np.nonzero(np.diff(above) != 1)[0] + 1) if len(above) else ():
                start, end = int(group[0]), int(group[-1]) + 1
                reach = window * (end - start)
                left = row[max(0, int(np.trunc(start - reach))) : start]
                right = row[end : min(len(row) - 1, int(np.trunc(end - 1 + reach))) + 1]
                outer = np.concatenate([left, right])
                scores.append(row[start:end].mean() - (outer.mean() if len(outer) else 0.0))
    return np.array(scores)


def _detections(count: int) -> tuple[Spans, Spans]:
    rng = np.random.default_rng(0)
    video, start = rng.integers(0, 212, 3358), rng.uniform(0, 200, 3358)
    truth = Spans(video, video % 20, start, start + rng.uniform(1, 10, 3358))
    near = rng.integers(0, 3358, count)
    begin = truth.start[near] + rng.normal(0, 2, count)
    end = begin + rng.uniform(1, 12, count)
    return Spans(truth.video[near], truth.label[near], begin, end, rng.random(count)), truth


def _activation(fast: bool) -> Callable[[], object]:
    import torch

    from whyact.pvlr.model import sampled_activation

    torch.manual_seed(0)
    mean, log_variance = torch.randn(10, 320, 1024), torch.zeros(10, 320, 1024)
    text = torch.randn(21, 1024)

    def work() -> None:
        m, v = mean.requires_grad_(), log_variance.requires_grad_()
        std = torch.exp(0.5 * v)
        score = sampled_activation(m, std, text, 20) if fast else _all_samples(m, std, text, 20)
        score.sum().backward()
        m.grad = v.grad = None

    return work


def _all_samples(mean, std, text, samples):  # type: ignore[no-untyped-def]
    import torch

    z = mean.unsqueeze(1) + std.unsqueeze(1) * torch.randn(mean.shape[0], samples, *mean.shape[1:])
    return (z @ text.T).mean(dim=1)


def _steps(batch: int, length: int) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    from whyact.pvlr import model as module
    from whyact.pvlr.config import ModelConfig

    torch.manual_seed(0)
    network = module.PVLR(ModelConfig(), module.FixedText(torch.randn(21, 1024))).train()
    x = torch.randn(batch, length, 2048)

    def fast() -> None:
        network(x).cas.sum().backward()

    def slow() -> None:
        out = network(x)
        _all_samples(out.mean, out.sampling_std, out.text, 20).sum().backward()

    return fast, slow


def measure_peak(fast: str) -> float:
    """Return the MiB that one activation, forward and backward, adds to the peak of this process (Linux)."""
    import torch

    torch.set_num_threads(1)
    work = _activation(fast == "fast")
    torch.zeros(1).requires_grad_().exp().sum().backward()  # what autograd loads once is not what is measured
    return added_mib(work)
