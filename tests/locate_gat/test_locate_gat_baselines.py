"""Every zero-shot baseline against its formula written out, and what they cannot know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_sylvester

from whyact.data.zero_shot.synthetic import SyntheticSpec, generate
from whyact.data.zero_shot.types import partition
from whyact.errors import UserError
from whyact.locate_gat.baselines import BASELINES, Seen, class_prototypes, clip_zero_shot, eszsl, ridge, sae, scores
from whyact.locate_gat.scores import Tensors
from whyact.metrics.zero_shot import mean_per_class

SPEC = SyntheticSpec(seen=20, unseen=5, auxiliary=2, train_videos=8, held_out_videos=2, unseen_videos=6)


def made(width: int = 9, text: int = 6, videos: int = 14, classes: int = 4) -> tuple[Seen, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    texts = torch.randn(classes + 3, text, generator=g, dtype=torch.float64)
    target = torch.arange(videos) % classes
    seen = Seen(torch.randn(videos, width, generator=g, dtype=torch.float64), target, texts[:classes])
    return seen, torch.randn(5, width, generator=g, dtype=torch.float64), texts


def unit(x: torch.Tensor) -> np.ndarray:
    return (x / x.norm(dim=-1, keepdim=True)).numpy()


@pytest.mark.parametrize("width", [9, 40])
def test_eszsl_is_its_closed_form(width: int) -> None:
    seen, test, text = made(width)
    x, s = unit(seen.video), unit(seen.text)
    y = np.where(np.arange(4) == seen.target.numpy()[:, None], 1.0, -1.0)
    v = np.linalg.inv(x.T @ x + 0.7 * np.eye(width)) @ x.T @ y @ s @ np.linalg.inv(s.T @ s + 0.3 * np.eye(6))
    np.testing.assert_allclose(eszsl(seen, test, text, 0.7, 0.3).numpy(), unit(test) @ v @ unit(text).T, atol=1e-8)


@pytest.mark.parametrize("width", [9, 40])
def test_sae_solves_its_sylvester_equation(width: int) -> None:
    seen, test, text = made(width)
    x, s = unit(seen.video).T, unit(seen.text)[seen.target.numpy()].T
    a, b = s @ s.T + 1e-9 * np.eye(6), 0.2 * x @ x.T + 1e-9 * np.eye(width)
    weight = solve_sylvester(a, b, 1.2 * s @ x.T)
    mapped = torch.from_numpy(weight @ unit(test).T).T
    np.testing.assert_allclose(sae(seen, test, text).numpy(), unit(mapped) @ unit(text).T, atol=1e-5)


def test_prototypes_are_class_means_and_mixtures_of_near_names() -> None:
    seen, test, text = made()
    centre = seen.video.mean(0)
    rows = []
    for c in range(4):
        own = torch.from_numpy(unit(seen.video - centre))[seen.target == c].mean(0)
        rows.append(own / own.norm())
    for c in range(4, 7):
        near = unit(text[c]) @ unit(seen.text).T
        best = np.argsort(-near)[:2]
        share = np.exp(near[best] / 0.1) / np.exp(near[best] / 0.1).sum()
        rows.append(sum(w * rows[i] for w, i in zip(share, best, strict=True)))
    expected = unit(test - centre) @ unit(torch.stack(rows)).T
    np.testing.assert_allclose(class_prototypes(seen, test, text, nearest=2).numpy(), expected, atol=1e-8)


def test_clip_alone_compares_cosines_and_wants_one_space() -> None:
    seen, _, text = made(width=6)
    video = torch.cat([3 * text[2:3], text[5:6]])
    assert clip_zero_shot(seen, video, text).argmax(1).tolist() == [2, 5]
    with pytest.raises(UserError, match="clip-zero-shot"):
        clip_zero_shot(seen, torch.ones(2, 9), text)


def test_every_baseline_names_unseen_classes_of_a_world_that_means_can_tell_apart() -> None:
    data, split = generate("appearance", 0, SPEC)
    tensors, part = Tensors.of(data, 8), partition(data, split, 0.2, 0)
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    for name, baseline in BASELINES.items():
        found = scores(baseline, tensors, seen, unseen, part.train, part.unseen_test)
        own = found.text[:, ~found.seen]
        accuracy = mean_per_class(own.argmax(1), found.target - len(seen), len(unseen))
        assert accuracy > 35, f"{name}: {accuracy}, chance is 20"
        assert np.isfinite(found.text).all()


def test_no_baseline_reads_videos_of_unseen_classes_or_another_test_video() -> None:
    data, split = generate("appearance", 0, SPEC)
    tensors, part = Tensors.of(data, 8), partition(data, split, 0.2, 0)
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    for name, baseline in BASELINES.items():
        whole = scores(baseline, tensors, seen, unseen, part.train, part.unseen_test)
        alone = scores(baseline, tensors, seen, unseen, part.train, part.unseen_test[:1])
        np.testing.assert_allclose(whole.text[:1], alone.text, atol=1e-5, err_msg=name)


def test_ridge_is_the_one_that_the_model_starts_from() -> None:
    seen, test, text = made()
    weight, bias = ridge(seen.video, seen.text[seen.target], 1.0)
    expected = unit(test @ weight.T + bias) @ unit(text).T
    np.testing.assert_allclose(BASELINES["ridge"](seen, test, text).numpy(), expected, atol=1e-8)
