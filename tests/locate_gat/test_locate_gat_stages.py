"""Training, choosing and scoring on a tiny generated world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from whyact.data.zero_shot.synthetic import SyntheticSpec, generate
from whyact.data.zero_shot.types import ClassSplit, partition
from whyact.errors import UserError
from whyact.locate_gat import stages
from whyact.locate_gat.baselines import conse, ridge
from whyact.locate_gat.config import PRESETS, Config
from whyact.locate_gat.losses import prototypes
from whyact.locate_gat.model import LoCATeGAT, best_classes
from whyact.locate_gat.scores import ScoreParts, Tensors, score_parts
from whyact.locate_gat.stages import (
    Stage1,
    Stage2,
    fit_split,
    inner_split,
    rehearse,
    train_stages,
)

SPEC = SyntheticSpec(seen=6, unseen=4, auxiliary=2, train_videos=5, held_out_videos=2, unseen_videos=3)
TINY = replace(PRESETS["synthetic"], epochs=2, gat_steps=5, gat_hidden=8, mixer="none", batch=16)


@pytest.fixture(scope="module")
def world() -> tuple:
    data, split = generate("temporal", 0, SPEC)
    config = replace(TINY, mix=0.3, calibration=0.5)
    fitted, tensors = fit_split(data, split, config)
    return data, split, fitted, tensors


def test_scores_are_the_weighted_sum_of_their_parts(world: tuple) -> None:
    _, _, fitted, tensors = world
    model = fitted.model
    parts = fitted.scores(tensors)
    others = tensors.text[torch.from_numpy(fitted.unseen)]
    videos = torch.from_numpy(np.concatenate([fitted.part.seen_test, fitted.part.unseen_test]))
    for mix in (0.0, 0.3, 1.0):
        weight, bias = model.classifier(others, mix)
        score = model.embed(tensors.frames[videos]) @ weight.T + bias
        np.testing.assert_allclose(score.detach().numpy(), parts.at(mix), atol=1e-4)
    model.choice = torch.tensor([0.3, 0.5])
    np.testing.assert_allclose(model(tensors.frames[videos], others).detach().numpy(), parts.at(0.3), atol=1e-4)


def test_graph_weights_matter_if_and_only_if_the_graph_has_a_share(world: tuple) -> None:
    _, _, fitted, tensors = world
    others = tensors.text[torch.from_numpy(fitted.unseen)]
    changed = LoCATeGAT(fitted.model.config, 128, fitted.model.seen, fitted.model.auxiliary)
    changed.load_state_dict(fitted.model.state_dict())
    changed.eval()
    for layer in changed.gat.layers:
        torch.nn.init.normal_(layer.weight)
    frames = tensors.frames[:5]
    for mix in (0.0, 0.3):
        choice = torch.tensor([mix, 0.0])
        changed.choice = fitted.model.choice = choice
        same = torch.equal(changed(frames, others), fitted.model(frames, others))
        assert same == (mix == 0.0)


def test_answers_do_not_depend_on_the_batch(world: tuple) -> None:
    _, _, fitted, tensors = world
    others = tensors.text[torch.from_numpy(fitted.unseen)]
    together = fitted.model(tensors.frames, others)
    alone = torch.cat([fitted.model(frames[None], others) for frames in tensors.frames])
    assert (together - alone).abs().max() <= 1e-5 * together.abs().max()
    weight, bias = fitted.model.classifier(others)
    vectors = fitted.model.embed(tensors.frames)
    assert (vectors - torch.cat([fitted.model.embed(f[None]) for f in tensors.frames])).abs().max() <= 1e-6
    chunked = best_classes(vectors, weight, bias, 3, chunk=7)
    torch.testing.assert_close(chunked[0], (vectors @ weight.T + bias).topk(3, dim=1).values)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(world: tuple) -> None:
    data, split, fitted, _ = world
    again, _ = fit_split(data, split, fitted.model.config)
    other, _ = fit_split(data, split, fitted.model.config, seed=1)
    for name, tensor in fitted.model.encoder.state_dict().items():
        assert torch.equal(tensor, again.model.encoder.state_dict()[name]), name
    assert not torch.equal(fitted.model.encoder.attention.in_proj_weight, other.model.encoder.attention.in_proj_weight)


def test_what_is_chosen_never_sees_an_unseen_class(world: tuple) -> None:
    data, split, fitted, tensors = world
    seen, train = fitted.seen, fitted.part.train
    blind = torch.from_numpy(np.flatnonzero(~np.isin(tensors.target.numpy(), seen)))
    frames, text = tensors.frames.clone(), tensors.text.clone()
    frames[blind] = 1e3
    text[torch.from_numpy(fitted.unseen)] = -7
    blinded = Tensors(frames, tensors.target, text, tensors.auxiliary)
    config = replace(TINY, rehearsals=2)
    one, two = (rehearse(t, seen, train, config, data.classes) for t in (tensors, blinded))
    assert one == two
    assert set(one.rehearsed) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
    del split


@pytest.mark.parametrize("rehearsals", [1, 3])
def test_rehearsals_split_the_seen_classes(world: tuple, rehearsals: int) -> None:
    data, _, fitted, tensors = world
    config = replace(TINY, rehearsals=rehearsals)
    inner = inner_split(tensors, fitted.seen, fitted.part.train, config, data.classes)
    assert len(inner) == rehearsals
    for one in inner:
        assert sorted([*one.seen, *one.unseen]) == sorted(fitted.seen)
        assert set(tensors.target.numpy()[one.train]) <= set(one.seen)
        assert not set(one.train) & set(one.test)
        assert set(one.train) | set(one.test) <= set(fitted.part.train)
    if rehearsals == 3:
        assert sorted(c for one in inner for c in one.unseen) == sorted(fitted.seen)


def test_validation_classes_choose_and_unseen_ones_stay_out_of_sight(world: tuple) -> None:
    data, split, _, _ = world
    with_validation = ClassSplit("v", split.seen, split.unseen[2:], validation=split.unseen[:2])
    open_config = replace(TINY, epochs=1, rehearsals=3)
    part = partition(data, with_validation, 0.2, 0)
    tensors = Tensors.of(data, 8)
    (inner,) = inner_split(
        tensors, data.index(split.seen), part.train, open_config, data.classes, validation=part.validation
    )
    assert sorted(inner.unseen) == sorted(data.index(with_validation.validation))
    target = tensors.target.numpy()
    assert set(target[inner.test]) == {*inner.unseen, *target[np.setdiff1d(part.train, inner.train)]}
    assert not set(inner.train) & set(inner.test)
    fitted, _ = fit_split(data, with_validation, open_config)
    spoiled = replace(
        data,
        text=np.where(np.isin(np.arange(10), data.index(with_validation.unseen))[:, None], 7, data.text),
        videos=tuple(
            replace(v, features=v.features * 50) if v.target[0] in data.index(with_validation.unseen) else v
            for v in data.videos
        ),
    )
    again, _ = fit_split(spoiled, with_validation, open_config)
    assert again.choice == fitted.choice
    assert len(fitted.scores(tensors).classes) == 8, "validation classes are no candidates of the table"


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    world: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, split, _, _ = world
    config = replace(TINY, epochs=3, gat_steps=8, rehearsals=1)
    monkeypatch.setattr(stages, "STEPS_AN_EPOCH", 4)
    whole, _ = fit_split(data, split, config)
    folder = tmp_path / "state"
    for stage, after in ((Stage1, 2), (Stage2, 14)):  # in the rehearsal; in the whole model's second stage
        with monkeypatch.context() as patched:
            stop_at(patched, stage, after)
            with pytest.raises(RuntimeError, match="stopped"):
                fit_split(data, split, config, resume_dir=folder)
    with monkeypatch.context() as patched:
        steps = stop_at(patched, Stage1, after=10**9)
        resumed, _ = fit_split(data, split, config, resume_dir=folder)
    assert steps == [], "nothing of the first stage is trained again"
    assert resumed.choice == whole.choice
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    with pytest.raises(UserError, match="training"):
        fit_split(data, split, replace(config, learning_rate=1e-3), resume_dir=folder)


def test_a_training_is_not_gone_on_with_on_other_features_or_names(world: tuple, tmp_path: Path) -> None:
    data, split, _, tensors = world
    seen, train = data.index(split.seen), partition(data, split, TINY.holdout, 0).train
    train_stages(tensors, seen, train, TINY, resume_dir=tmp_path)
    train_stages(tensors, seen, train, TINY, resume_dir=tmp_path)
    for other in (replace(tensors, frames=tensors.frames + 1), replace(tensors, text=tensors.text.flip(0))):
        with pytest.raises(UserError, match="remove it to train from the start"):
            train_stages(other, seen, train, TINY, resume_dir=tmp_path)


def stop_at(monkeypatch: pytest.MonkeyPatch, stage: type, after: int) -> list[int]:
    done: list[int] = []
    training_step = stage.training_step

    def counted(self: object, batch: object, step: int) -> object:
        done.append(1)
        if len(done) > after:
            raise RuntimeError("stopped")
        return training_step(self, batch, step)

    monkeypatch.setattr(stage, "training_step", counted)
    return done


@pytest.mark.parametrize("target", ["prototype", "classifier", "random"])
def test_the_graph_learns_its_targets(world: tuple, target: str) -> None:
    _, _, fitted, tensors = world
    # with five neighbours among eight nodes all rows would be nearly one
    graph = {"gat_dropout": 0.0, "gat_steps": 60, "gat_learning_rate": 1e-2, "gat_hidden": 32, "neighbours": 2}
    config = replace(TINY, epochs=1, gat_target=target, **graph)
    model, history, _ = train_stages(tensors, fitted.seen, fitted.part.train, config)
    untrained = LoCATeGAT(config, 128, model.seen, model.auxiliary).eval()
    before, after = untrained.graph_rows(model.seen[:0])[0], model.graph_rows(model.seen[:0])[0]
    if target == "random":
        assert (before - after).abs().max() > 0.05
    else:  # apart from what all rows share, both targets point the way of their classes' videos
        video = model.embed(tensors.frames[torch.from_numpy(fitted.part.train)])
        local = torch.from_numpy(np.searchsorted(fitted.seen, tensors.target.numpy()[fitted.part.train]))
        before, after, wanted = (r - r.mean(0) for r in (before, after, prototypes(video, local, len(fitted.seen))))
        assert F.cosine_similarity(after, wanted).mean() > F.cosine_similarity(before, wanted).mean() + 0.1
    assert np.isfinite(history[-1]["loss"])


def test_reference_preset_keeps_the_quirks_and_still_runs(world: tuple) -> None:
    _, _, fitted, tensors = world
    reference = PRESETS["reference"]
    assert (reference.attention, reference.learning_rate, reference.loss) == ("batch", 2e-7, "mse")
    small = replace(
        TINY, attention="batch", loss="mse", learning_rate=2e-7, node_norm="sum", gat_final_elu=True, mix=0.0
    )
    model, _, _ = train_stages(tensors, fitted.seen, fitted.part.train, small)
    parts = score_parts(model, tensors, fitted.seen, fitted.unseen, fitted.part.unseen_test)
    assert np.isfinite(parts.text).all()


def test_ridge_solves_its_normal_equations() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(12, 30, dtype=torch.float64), torch.randn(12, 4, dtype=torch.float64)
    weight, bias = ridge(x, y, 0.3)
    a, b = x - x.mean(0), y - y.mean(0)
    penalty = 0.3 * a.square().sum() / 30
    expected = torch.linalg.solve(a.T @ a + penalty * torch.eye(30, dtype=torch.float64), a.T @ b).T
    torch.testing.assert_close(weight, expected)
    torch.testing.assert_close(x.mean(0) @ weight.T + bias, y.mean(0))


def test_ridge_of_one_video_answers_with_the_mean() -> None:
    x, y = torch.randn(1, 5), torch.randn(1, 3)
    weight, bias = ridge(x.repeat(2, 1), torch.cat([y, y + 2]), 0.1)
    assert weight.abs().max() == 0
    torch.testing.assert_close(bias[None], y + 1)


def test_conse_mixes_the_names_of_likely_classes() -> None:
    torch.manual_seed(0)
    centres = 5 * torch.eye(3, 6)
    target = torch.arange(30) % 3
    text = torch.randn(3, 5)
    vectors = conse(centres[target] + 0.1 * torch.randn(30, 6), target, centres, text, top=1)
    torch.testing.assert_close(vectors, F.normalize(text, dim=1))


def test_mixes_of_scores_keep_text_alone_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    text = rng.standard_normal((4, 3)).astype(np.float32)
    parts = ScoreParts(text, np.full((4, 3), 9, np.float32), np.zeros(4, np.int64), np.ones(3, bool), np.arange(3))
    assert parts.at(0.0) is parts.text


def test_video_and_text_of_other_widths_are_joined() -> None:
    data, split = generate("appearance", 0, SPEC)
    narrow = replace(data, videos=tuple(replace(video, features=video.features[:, :40]) for video in data.videos))
    fitted, tensors = fit_split(narrow, split, replace(TINY, mix=0.0, calibration=0.0))
    assert fitted.model.encoder.project.weight.shape == (128, 40)
    assert fitted.scores(tensors).text.shape[1] == 10
    assert isinstance(fitted.model.config, Config)
