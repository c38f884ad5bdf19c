"""From curves to segments and mAP: the oracle is perfect, the loops agree, the edges are defined."""

import math
from dataclasses import replace

import numpy as np
import pytest

from whyact.data.untrimmed.feature_files import sequence
from whyact.data.untrimmed.sets import Annotation
from whyact.data.untrimmed.synthetic import SyntheticSpec, generate
from whyact.pvlr.config import OFFICIAL_INFERENCE, InferenceConfig
from whyact.pvlr.inference import (
    Curves,
    classification_map,
    detection_map,
    localise,
    softmax,
    suppressed,
    video_logits,
)

DEFAULT = InferenceConfig()
THRESHOLDS = (0.1, 0.5, 0.7)


def oracle(video, classes):
    cas = np.full((len(video.features), classes + 1), -5.0)
    attention = np.full(len(cas), 0.02)
    for s, e, c in video.segments:
        at = slice(round(s * video.rate), round(e * video.rate))
        cas[at, c] = 30.0
        attention[at] = 0.98
    cas[attention < 0.5, -1] = 30.0
    return Curves(cas, np.zeros_like(cas), attention)


@pytest.fixture(scope="module")
def videos():
    return generate(np.eye(8, 16), 0, SyntheticSpec(train_videos=0, test_videos=12))[1]


@pytest.mark.parametrize("cfg", [DEFAULT, OFFICIAL_INFERENCE], ids=["default", "official"])
@pytest.mark.parametrize("protocol", ["seconds", "pvlr"])
def test_an_oracle_reaches_100_through_the_whole_pipeline(videos, cfg, protocol):
    found = [oracle(video, 8) for video in videos]
    detections = [localise(c, cfg) for c in found]
    assert detection_map(detections, videos, 8, THRESHOLDS, protocol).tolist() == [100.0] * 3
    assert classification_map(found, videos) == pytest.approx(100)


def test_noise_is_near_zero(videos):
    rng = np.random.default_rng(0)
    noise = [
        Curves(rng.normal(size=(len(v.features), 9)), np.zeros((len(v.features), 9)), rng.random(len(v.features)))
        for v in videos
    ]
    assert detection_map([localise(c, DEFAULT) for c in noise], videos, 8, THRESHOLDS).mean() < 5


def test_seconds_and_grid_agree_when_boundaries_lie_on_the_grid(videos):
    rng = np.random.default_rng(1)
    blurred = []
    for video in videos:
        o = oracle(video, 8)
        blurred.append(Curves(o.cas + rng.normal(0, 12, o.cas.shape), o.std, o.attention))
    detections = [localise(c, DEFAULT) for c in blurred]
    grid, seconds = (detection_map(detections, videos, 8, THRESHOLDS, p) for p in ("pvlr", "seconds"))
    np.testing.assert_allclose(grid, seconds)
    assert 1 < grid.mean() < 99


def by_hand(found, cfg):
    """Follow the published recipe one proposal at a time."""
    length, classes = found.cas.shape[0], found.cas.shape[1] - 1
    z = found.cas * found.attention[:, None]
    if cfg.suppression == "positive":
        z = np.maximum(found.cas, 0) * found.attention[:, None]
    k = max(1, length // cfg.top_k)
    u = np.array([np.mean(sorted(z[:, c])[-k:]) for c in range(classes + 1)])
    p = np.exp(u - u.max()) / np.exp(u - u.max()).sum()
    soft = np.exp((u - u.max()) / cfg.softness)
    weight, floor = (soft / soft.sum(), cfg.class_floor) if cfg.scoring == "product" else (p, cfg.class_threshold)
    kept = [c for c in range(classes) if weight[c] >= floor] or [int(np.argmax(p[:-1]))]
    rows = []

    def scored_as(value, c, gamma):
        return value * weight[c] if cfg.scoring == "product" else value + gamma * p[c]

    def scan(mask):
        if cfg.drop_lone_first and mask.sum() == 1 and mask[0]:
            return
        t = 0
        while t < length:
            if mask[t]:
                s = t
                while t < length and mask[t]:
                    t += 1
                yield s, t
            else:
                t += 1

    def contrast(curve, s, e, window):
        n = e - s
        left = list(range(max(0, math.trunc(s - window * n)), s))
        right = list(range(e, min(length - 1, math.trunc(e - 1 + window * n)) + 1))
        outer = curve[left + right].mean() if left + right else 0.0
        return curve[s:e].mean() - outer

    for c in kept:
        span = z[:, c].max() - z[:, c].min()
        q = (z[:, c] - z[:, c].min()) / (span if span > 0 else 1)
        for theta in np.linspace(*cfg.cas_thresholds):
            rows += [
                (c, s, e, scored_as(contrast(q, s, e, cfg.cas_window), c, cfg.cas_gamma)) for s, e in scan(q > theta)
            ]
        scored = q if cfg.normalise_attention else z[:, c]
        for theta in np.linspace(*cfg.attention_thresholds):
            rows += [
                (c, s, e, scored_as(contrast(scored, s, e, cfg.attention_window), c, cfg.attention_gamma))
                for s, e in scan(found.attention > theta)
            ]
    result = []
    extra = int(cfg.pixel_iou)
    for c in kept:
        left = [list(row) for row in rows if row[0] == c]
        while left:
            best = max(left, key=lambda row: row[3])
            left.remove(best)
            result.append(tuple(best))
            for row in left:
                overlap = max(0, min(best[2], row[2]) - max(best[1], row[1]) + extra)
                union = best[2] - best[1] + row[2] - row[1] + 2 * extra - overlap
                row[3] *= math.exp(-((overlap / union) ** 2) / cfg.sigma)
    return sorted(result)


@pytest.mark.parametrize(
    "cfg",
    [
        DEFAULT,
        replace(DEFAULT, softness=1.0, class_floor=0.3),
        replace(DEFAULT, class_floor=0.99),
        OFFICIAL_INFERENCE,
        replace(OFFICIAL_INFERENCE, class_threshold=0.99),
    ],
)
@pytest.mark.parametrize("length", [1, 2, 7, 45])
def test_segments_equal_the_recipe_by_hand(cfg, length):
    rng = np.random.default_rng(length)
    found = Curves(rng.normal(size=(length, 4)), np.zeros((length, 4)), rng.random(length))
    got = localise(found, cfg)
    rows = sorted(zip(got.label.tolist(), got.start.tolist(), got.end.tolist(), got.score.tolist(), strict=True))
    np.testing.assert_allclose(np.array(rows).reshape(-1, 4), np.array(by_hand(found, cfg)).reshape(-1, 4), atol=1e-12)


def test_low_attention_never_raises_an_activation_by_default_but_does_officially():
    found = Curves(np.array([[-3.0, 2.0]]), np.zeros((1, 2)), np.array([0.1]))
    assert suppressed(found, OFFICIAL_INFERENCE)[0, 0] > -3.0
    half = replace(found, attention=np.array([0.05]))
    assert (suppressed(half, DEFAULT) <= suppressed(found, DEFAULT)).all()


def test_a_constant_curve_has_no_segment_and_no_warning():
    found = Curves(np.full((6, 3), 2.0), np.zeros((6, 3)), np.full(6, 0.05))
    assert len(localise(found, DEFAULT)) == 0


def test_official_loses_a_mask_whose_only_snippet_is_the_first():
    cas = np.array([[30.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = Curves(cas, np.zeros_like(cas), np.array([1.0, 0.0, 0.0]))
    assert len(localise(found, replace(DEFAULT, drop_lone_first=True))) == 0
    assert set(localise(found, DEFAULT).start.tolist()) == {0.0}


def test_video_logits_average_the_highest():
    assert video_logits(np.array([[1.0], [5.0], [3.0], [2.0]]), replace(DEFAULT, top_k=2)).tolist() == [4.0]


def test_softmax_stands_large_numbers():
    assert softmax(np.array([1000.0, 1000.0])).tolist() == [0.5, 0.5]


def test_ambiguous_spans_take_predictions_away():
    video = sequence(Annotation("v", "test", 0, (0,), ((6.4, 12.8, 0),)), np.zeros((40, 2), np.float32))
    detections = [localise(oracle(video, 1), DEFAULT)]
    assert detection_map(detections, [video], 1, [0.5])[0] == 100
    # the true positive stays, as in the official toolkit; PVLR's public evaluator drops it as well
    assert detection_map(detections, [video], 1, [0.5], ambiguous={"v": ((7.0, 8.0),)})[0] == 100
    assert detection_map(detections, [video], 1, [0.5], "pvlr", ambiguous={"v": ((7.0, 8.0),)})[0] == 0
    assert detection_map(detections, [video], 1, [0.5], ambiguous={"w": ((7.0, 8.0),)})[0] == 100
