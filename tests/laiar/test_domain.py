"""Familiar and strange frames: the distance by its definition, and what the limit lets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from whyact.data.types import RelationClip
from whyact.laiar.domain import (
    LEAST,
    QUANTILE,
    BoxPart,
    Domain,
    box_stats,
    fit_box_domain,
    fit_domain,
    frame_stats,
    plain_maps,
)


def looks(groups: int = 4, each: int = 60, width: int = 5) -> tuple[torch.Tensor, list[str]]:
    g = torch.Generator().manual_seed(0)
    centre = torch.randn(groups, 1, width, generator=g) * 0.3
    return (centre + torch.randn(groups, each, width, generator=g)).flatten(0, 1), [
        f"g{i}" for i in range(groups) for _ in range(each)
    ]


def test_distance_is_the_root_mean_square_of_z_scores() -> None:
    domain = Domain(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.5]), limit=2.0)
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0, 4.0]])
    np.testing.assert_allclose(domain.distance(x), [0, np.sqrt(1 / 2), np.sqrt(16 / 2)])
    assert domain.is_out_of_distribution(x).tolist() == [False, False, True]


def test_the_limit_is_met_by_frames_that_the_fit_did_not_see() -> None:
    x, groups = looks()
    domain = fit_domain(x, groups)
    own, held = np.array(groups), []
    for name in sorted(set(groups)):
        rest = x[own != name].double()
        z = (x[own == name].double() - rest.mean(0)) / rest.std(0)
        held += (z**2).mean(1).sqrt().tolist()
    assert domain.limit == pytest.approx(np.quantile(held, QUANTILE), rel=1e-5)
    torch.testing.assert_close(domain.mean, x.mean(0))
    assert domain.is_out_of_distribution(x).mean() < 0.03
    assert domain.is_out_of_distribution(x + 6).all()


def test_scaling_a_feature_changes_nothing() -> None:
    x, groups = looks()
    scale = torch.tensor([1.0, 10, 0.1, 5, 1])
    one, other = fit_domain(x, groups), fit_domain(x * scale, groups)
    np.testing.assert_allclose(one.distance(x + 1), other.distance((x + 1) * scale), rtol=1e-4)
    assert one.limit == pytest.approx(other.limit, rel=1e-4)


def test_one_group_sets_no_limit() -> None:
    with pytest.raises(ValueError, match="two groups"):
        fit_domain(torch.randn(5, 2), ["a"] * 5)


def test_a_frame_stats_like_the_mean_and_spread_of_its_channels() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    found = frame_stats(maps)
    for n in range(2):
        for c in range(3):
            values = maps[n, c].flatten().numpy()
            assert found[n, c] == pytest.approx(values.mean(), abs=1e-5)
            assert found[n, 3 + c] == pytest.approx(values.std(ddof=1), abs=1e-5)


def boxes(seed: int, shift: float = 0.0, scale: float = 1.0, shake: float = 0.0, cup: int = 1) -> RelationClip:
    """Return a clip of a person (class 0) and a thing, who lie about where the seed puts them."""
    rng = np.random.default_rng(seed)
    size, frames = (320, 240), 12
    place = np.array([0.3, 0.5, 0.6, 0.6]) + rng.normal(0, 0.03, 4) + shift
    sides = np.array([0.2, 0.5, 0.1, 0.1]) * np.exp(rng.normal(0, 0.1, 4)) * scale
    walk = np.linspace(0, rng.normal(0.1, 0.02), frames)[:, None] * [1, 0]
    walk = walk + shake * np.sin(2 * np.arange(frames))[:, None] * [1, 0]
    made = []
    for centre, side in ((place[:2] + walk, sides[:2]), (place[2:] + 0 * walk, sides[2:])):
        made.append(np.concatenate([centre - side / 2, centre + side / 2], 1) * (size * 2))
    subject, thing = (np.asarray(x, np.float32)[:, None] for x in made)
    return RelationClip(
        id=str(seed),
        subject_boxes=subject,
        object_boxes=thing,
        subject_class=np.array([0]),
        object_class=np.array([cup]),
        valid=np.ones((frames, 1), bool),
        times=np.arange(frames) / 10,
        frames=np.arange(1, frames + 1),
        slots=(("person", "thing"),),
        image_size=size,
        group=f"film {seed % 10}",
    )


STRANGE = {
    "layout": {"shift": 0.3},
    "layout, size": {"scale": 0.2},
    "things": {"cup": 2},
    "motion": {"shake": 0.2},
}


def test_familiar_boxes_pass_and_strange_ones_are_told_by_what_differs() -> None:
    domain = fit_box_domain([boxes(seed) for seed in range(60)], 3)
    assert domain is not None
    familiar = [bool(domain.unfamiliar_parts(boxes(seed))) for seed in range(1000, 1200)]
    assert np.mean(familiar) <= 0.05
    for name, change in STRANGE.items():
        found = [domain.unfamiliar_parts(boxes(seed, **change)) for seed in range(1000, 1100)]  # type: ignore[arg-type]
        assert np.mean([name.partition(",")[0] in parts for parts in found]) >= 0.95, name


def test_few_clips_have_wide_limits_and_fewer_none() -> None:
    few = fit_box_domain([boxes(seed) for seed in range(LEAST)], 3)
    assert few is not None
    assert np.mean([bool(few.unfamiliar_parts(boxes(seed))) for seed in range(1000, 1100)]) <= 0.1
    assert fit_box_domain([boxes(seed) for seed in range(LEAST - 1)], 3) is None
    assert fit_box_domain([boxes(10 * seed) for seed in range(20)], 3) is None, "one film"


def test_the_distance_of_boxes_is_mahalanobis_over_the_root_of_the_width() -> None:
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) @ torch.randn(4, 4)
    x = torch.randn(5, 4)
    inverse = np.linalg.inv(np.cov(rows.double().numpy().T) + 0.1**2 * np.eye(4))
    z = (x - rows.mean(0)).double().numpy()
    expected = np.sqrt(np.einsum("ni,ij,nj->n", z, inverse, z) / 4)
    np.testing.assert_allclose(BoxPart.fit(rows, 0.1).distance(x), expected, rtol=1e-4)


def test_neither_the_size_of_the_image_nor_the_rate_of_frames_matters() -> None:
    clip = boxes(3)
    twice = replace(
        clip,
        subject_boxes=2 * clip.subject_boxes,
        object_boxes=2 * clip.object_boxes,
        image_size=(2 * clip.image_size[0], 2 * clip.image_size[1]),
    )
    doubled = clip.at(np.repeat(np.arange(12), 2))
    one = box_stats(clip, 3)
    assert one is not None
    for other in (box_stats(twice, 3), box_stats(doubled, 3)):
        assert other is not None
        for name, values in one.items():
            torch.testing.assert_close(other[name], values, rtol=1e-5, atol=1e-6)


def test_a_clip_in_which_nothing_is_seen_is_unfamiliar_unless_training_clips_are_so_too() -> None:
    seen = [boxes(seed) for seed in range(38)]
    nothing = [replace(clip, valid=np.zeros_like(clip.valid)) for clip in seen[:2]]
    for clips, expected in ((seen, ("things",)), (seen + nothing[:1], ("things",)), (seen[:20] + nothing, ())):
        domain = fit_box_domain(clips, 3)
        assert domain is not None
        assert domain.unfamiliar_parts(nothing[0]) == expected
    old = replace(fit_box_domain(seen, 3), empty=True)  # type: ignore[type-var]  # a run that does not say
    assert old.unfamiliar_parts(nothing[0]) == ()


def pictures(seed: int, colour: int = 120, rough: float = 10.0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.kron(rng.normal(colour, rough, (12, 16, 3)), np.ones((size[0] // 12, size[1] // 16, 1)))
    return np.clip(rows, 0, 255).astype(np.uint8)[None]


def test_plain_pictures_of_another_colour_or_roughness_are_unfamiliar() -> None:
    stats = torch.cat([frame_stats(plain_maps(pictures(seed, 120 + seed % 5))) for seed in range(60)])
    domain = fit_domain(stats, [str(seed % 12) for seed in range(60)])

    def odd(**how: float) -> float:
        found = [domain.is_out_of_distribution(frame_stats(plain_maps(pictures(s, **how)))) for s in range(500, 540)]  # type: ignore[arg-type]
        return float(np.mean(found))

    assert odd() <= 0.05
    assert odd(colour=200) >= 0.95
    assert odd(rough=60.0) >= 0.95


def test_plain_statistics_are_those_of_the_picture_whatever_its_size() -> None:
    small, large = (frame_stats(plain_maps(pictures(3, size=size))) for size in ((96, 128), (384, 512)))
    assert small.shape == (1, 18)
    torch.testing.assert_close(small, large, atol=0.01, rtol=0.05)
    even = plain_maps(np.full((2, 40, 70, 3), 90, np.uint8))
    torch.testing.assert_close(even[:, 0], torch.full_like(even[:, 0], 90 / 255))
    assert float(even[:, 1:].abs().max()) < 1e-5, "one grey has no colour and no edge"
    assert plain_maps(np.zeros((1, 9, 300, 3), np.uint8)).shape[:2] == (1, 9)
