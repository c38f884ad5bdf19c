"""What the evaluation page shows of PVLR: detections by tIoU, their errors by kind, recall by length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whyact.arrays import Index
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.metrics.average_precision import mean_average_precision
from whyact.metrics.detection_errors import KINDS, RECALLS, Matches, best_overlap, error_kinds, length_groups, overlaps
from whyact.metrics.localisation import Spans, mean_ap
from whyact.prediction import Table
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.inference import Detections, compared, join_detections
from whyact.report.diagnostics import Confusion, Diagnostics, Line, Mistake, Plot, Shares
from whyact.training.diagnostics import MISTAKES, UNIT, calibration_plots, confusion, figure

AT = 0.5  # tIoU of errors, confusion and recall by length
RESAMPLES = 200
DEEPEST = 10  # times as many predictions as ground truths, as DETAD counts them
SIZES = ("shortest", "short", "middle", "long", "longest")


def diagnose(
    detections: Sequence[Detections], classes: np.ndarray, split: FeatureSplit, cfg: InferenceConfig
) -> Diagnostics:
    """Return what the page shows of detections; ``classes`` (V,C) are the videos' class scores."""
    videos, names, rates = split.test, split.classes, [video.rate for video in split.test]
    found, truth, ignored = compared(join_detections(detections), videos, rates, "seconds", split.ambiguous)
    thresholds = sorted({*cfg.detection, AT})
    matches = Matches.of(found, truth, thresholds, len(videos), len(names), ignored)
    in_mean = [thresholds.index(t) for t in cfg.detection]
    overlap = best_overlap(matches.predictions, truth, same=True), best_overlap(matches.predictions, truth, same=False)
    every_kind = [error_kinds(hits, *overlap, t) for hits, t in zip(matches.hits, thresholds, strict=True)]
    kinds = every_kind[thresholds.index(AT)]
    counted = ~matches.ignored | (kinds == 0)
    labels = np.zeros((len(videos), len(names)), dtype=bool)
    for i, video in enumerate(videos):
        labels[i, list(video.target)] = True

    def detection(i: Index) -> float:
        weight = np.bincount(i, minlength=len(videos)).astype(np.float64)
        return float(mean_ap(matches.average_precision(weight)[in_mean]).mean())

    n = len(videos)
    figures = [
        figure("average mAP", detection, n, f"mean over {_range(cfg.detection)}", scale="percent", resamples=RESAMPLES),
        figure(
            "classification mAP",
            lambda i: 100 * mean_average_precision(classes[i], labels[i]).mean,
            n,
            "which actions a video shows, whenever",
            scale="percent",
            resamples=RESAMPLES,
        ),
    ]
    probability = np.stack([d.probability for d in detections])
    best = probability.argmax(1)
    return Diagnostics(
        figures,
        _classes(matches, thresholds, in_mean, names),
        [
            _precision_recall(matches, thresholds, in_mean),
            *calibration_plots(probability.max(1), labels[np.arange(n), best], "videos", cfg.class_threshold),
        ],
        [_profile(matches, kinds, counted)],
        [_gains(matches, every_kind, kinds, counted, in_mean), _lengths(matches, truth, rates, thresholds.index(AT))],
        _confusion(matches, truth, names),
        _mistakes(matches, kinds, counted, truth, rates, names),
    )


def _range(thresholds: Sequence[float]) -> str:
    return f"{len(thresholds)} tIoU from {thresholds[0]:g} to {thresholds[-1]:g}"


def _classes(matches: Matches, thresholds: list[float], in_mean: list[int], names: Sequence[str]) -> Table:
    ap = 100 * matches.average_precision()
    segments = matches.positives.sum(0)
    rows: list[list[str | float]] = [
        [name, int(segments[c]), float(ap[in_mean, c].mean()), float(ap[thresholds.index(AT), c])]
        for c, name in enumerate(names)
        if segments[c]
    ]
    text = f"Average AP is the mean over {_range([thresholds[t] for t in in_mean])}."
    return Table("Actions", ["action", "segments", "average AP", f"AP at tIoU {AT:g}"], rows, text=text)


def _precision_recall(matches: Matches, thresholds: list[float], in_mean: list[int]) -> Plot:
    curves = matches.precision_recall()
    shown = in_mean if len(in_mean) <= 7 else in_mean[::2]
    lines = [
        Line(f"tIoU {thresholds[t]:g}", list(zip(RECALLS.tolist(), curves[t].tolist(), strict=True))) for t in shown
    ]
    text = "The best precision at each recall or a higher one, averaged over actions."
    return Plot("Precision against recall by tIoU", "recall", "precision", lines, text, UNIT, UNIT)


def _profile(matches: Matches, kinds: Index, counted: np.ndarray) -> Shares:
    """Return which kinds of errors the best predictions are, as DETAD's false positive profile."""
    rows = []
    for times in (1, 2, 3, 5, DEEPEST):
        own = kinds[matches.top(times) & counted]
        rows.append(
            (f"best {times} G" if times > 1 else "best G", [float((own == k).mean()) for k in range(len(KINDS))])
        )
    rows = [(name, shares) for name, shares in rows if np.isfinite(shares).all()]
    text = (
        f"The best predictions of each action by score, G as many as it has annotated segments, at tIoU {AT:g}. A "
        "double finds a segment that a better one has; a bad extent overlaps one by 0.1 or more, yet too little; "
        "background overlaps none."
    )
    return Shares("Errors by kind", KINDS, rows, text)


def _gains(
    matches: Matches, every_kind: Sequence[Index], kinds: Index, counted: np.ndarray, in_mean: list[int]
) -> Table:
    """Return what removing all errors of a kind is worth: at each tIoU those that are of the kind there."""
    whole = mean_ap(matches.average_precision()[in_mean]).mean()
    top = matches.top(DEEPEST) & counted
    rows: list[list[str | float]] = []
    for k, name in enumerate(KINDS[1:], 1):
        without = np.mean([mean_ap(matches.average_precision(keep=every_kind[t] != k)[[t]]) for t in in_mean])
        rows.append([name, int((top & (kinds == k)).sum()), float(without - whole)])
    rows.sort(key=lambda row: -float(row[2]))
    text = f"How much higher average mAP is without them; counted among the best {DEEPEST} G of each action."
    return Table("What each kind of error costs", ["kind", "predictions", "average mAP gained"], rows, text=text)


def _lengths(matches: Matches, truth: Spans, rates: Sequence[float], at: int) -> Table:
    """Return how many annotated segments of each length are found, and what is predicted in that length.

    Predictions that do not count either way, for the annotation is ambiguous there, are not among the predicted.
    """
    group, seconds = length_groups(truth), (truth.end - truth.start) / np.asarray(rates)[truth.video]
    found = matches.predictions
    length = (found.end - found.start) / np.asarray(rates)[found.video]
    best, top = matches.top(1), matches.top(DEEPEST) & (~matches.ignored | matches.hits[at])
    tests = [
        best_overlap(truth, found.at(best), same=True) >= AT,
        best_overlap(truth, found, same=True) >= AT,
        best_overlap(truth, found) >= AT,
    ]
    rows: list[list[str | float]] = []
    for g in np.unique(group):
        own = group == g
        low, high = seconds[own].min(), seconds[own].max()
        within = top & (length >= low) & (length <= high)
        precision = float(matches.hits[at][within].mean()) if within.any() else float("nan")
        recalls = [float(test[own].mean()) for test in tests]
        rows.append([f"{SIZES[g]}: {low:.1f} to {high:.1f} s", int(own.sum()), *recalls, int(within.sum()), precision])
    columns = ["length", "segments", "recall, best G", "recall", "recall, any action", "predictions", "precision"]
    text = (
        f"Segments in fifths by length; recall at tIoU {AT:g}, of each action's best G predictions and of all; "
        f"predictions of that length among each action's best {DEEPEST} G, and the share of true ones among them."
    )
    return Table("Proposals by length", columns, rows, text=text)


def _confusion(matches: Matches, truth: Spans, names: Sequence[str]) -> Confusion:
    found = matches.predictions
    assert found.score is not None
    answered = np.full(len(truth), len(names))
    for video in np.unique(truth.video):
        rows, own = np.flatnonzero(truth.video == video), np.flatnonzero(found.video == video)
        if len(own):
            score = np.where(overlaps(truth.at(rows), found.at(own)) >= AT, found.score[own], -np.inf)
            hit = np.isfinite(score.max(1))
            answered[rows[hit]] = found.label[own[score.argmax(1)[hit]]]
    text = f"Rows are annotated segments, columns the best-scored prediction that overlaps one by tIoU {AT:g}."
    return confusion("Confusion matrix of segments", truth.label, answered, names, text, extra="missed")


def _mistakes(
    matches: Matches, kinds: Index, counted: np.ndarray, truth: Spans, rates: Sequence[float], names: Sequence[str]
) -> list[Mistake]:
    """Return the wrong predictions of the highest scores, one a video."""
    found = matches.predictions
    assert found.score is not None
    wrong = np.flatnonzero((kinds > 0) & counted)
    out: dict[int, Mistake] = {}
    for i in wrong[np.argsort(-found.score[wrong], kind="stable")]:
        video = int(found.video[i])
        if len(out) == MISTAKES:
            break
        if video in out:
            continue
        own = truth.at(truth.video == video)
        iou = overlaps(found.at(np.array([i])), own)[0] if len(own) else np.zeros(0)
        annotated = "nothing there"
        if len(iou) and iou.max() > 0:
            near = int(iou.argmax())
            annotated = f"{names[own.label[near]]}, {_span(own.start[near], own.end[near], rates[video])}"
        answered = f"{names[found.label[i]]}, {_span(found.start[i], found.end[i], rates[video])}"
        end = max(own.end.max(initial=0), found.end[found.video == video].max())
        lanes = [("predicted", [(found.start[i] / end, found.end[i] / end)])]
        for name, wanted in (("annotated", own.label == found.label[i]), ("others", own.label != found.label[i])):
            if name == "annotated" or wanted.any():
                shown = own.at(wanted)
                lanes.append((name, [(s / end, e / end) for s, e in zip(shown.start, shown.end, strict=True)]))
        out[video] = Mistake(video, answered, annotated, float(found.score[i]), KINDS[kinds[i]], lanes)
    return list(out.values())


def _span(start: float, end: float, rate: float) -> str:
    return f"{start / rate:.1f} to {end / rate:.1f} s"
