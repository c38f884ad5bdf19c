"""Familiar and strange frames: the distance by its definition, and what the limit lets through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from whyact.laiar.domain import QUANTILE, Domain, fit_domain, frame_stats


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
