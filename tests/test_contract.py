"""What all three methods promise alike: two steps of training, then the same answers however they are asked.

A method brings an adapter; every test below runs on each.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from whyact.data.types import FeatureSequence
from whyact.errors import UserError
from whyact.prediction import Prediction, from_json, json_schema, to_json
from whyact.training.checkpoint import load_checkpoint
from whyact.training.log import read_history

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


class Method(ABC):
    """One method as the contract sees it: inputs are made here, ``folder`` is a run that :meth:`train` wrote."""

    @abstractmethod
    def train(self, folder: Path, seed: int) -> list[float]:
        """Train two steps, write a run, return the losses."""

    @abstractmethod
    def open(self, folder: Path) -> Any: ...

    @abstractmethod
    def item(self, length: int, seed: int = 0) -> Any:
        """Return an input of so many frames or snippets."""

    @abstractmethod
    def scores(self, run: Any, items: Sequence[Any]) -> list[np.ndarray]:
        """Return the class scores of items of one length, computed in one batch."""

    @abstractmethod
    def padded(self, run: Any, item: Any) -> np.ndarray:
        """Return the scores of an item with more room in the batch than it needs, filled with garbage."""

    @abstractmethod
    def answer(self, run: Any, item: Any) -> Prediction: ...

    @abstractmethod
    def removals(self, run: Any, item: Any) -> Iterator[tuple[float, float]]:
        """Yield of each piece of evidence its contribution, and what its removal at the input costs."""


class Laiar(Method):
    CLIPS = (
        clip("fffhhh", "aaaaaa", action="pick"),
        clip("hhhfff", "ssssss", action="place"),
        clip("fffffhh", action="pick"),
        clip("aaaann", "hhhhhh", action="drink"),
        clip("ffffff", "ssssss", "aaaaaa", action="null"),
    )

    @cached_property
    def config(self) -> Any:
        from whyact.laiar.config import Config, DataConfig, ModelConfig, OptimConfig, SelectConfig

        model = ModelConfig(width=16, layers=2, heads=2, dropout=0.0, class_width=4, box_width=6, mask_size=8)
        return Config(
            data=DataConfig(frames=6, slots=4),
            model=replace(model, mask_channels=(3, 4)),
            select=SelectConfig(temporal=False, spatial=False),
            optim=OptimConfig(epochs=1, batch=3),
        )

    def train(self, folder: Path, seed: int) -> list[float]:
        from whyact.laiar.runs import save_run
        from whyact.laiar.task import train_run

        run = train_run(self.CLIPS, VOCABULARY, self.config, seed=seed)
        card = {"data": "by hand", "split_sha256": "", "licence": "Apache-2.0", "seed": seed}
        save_run(run, folder, card)
        return [value for epoch in run.history for value in epoch.values()]

    def open(self, folder: Path) -> Any:
        from whyact.laiar.runs import load_run

        return load_run(folder)

    def item(self, length: int, seed: int = 0) -> Any:
        words = [("ffhhhf", "aaannn"), ("hhffff", "ssssso"), ("ffffhh", "nnaaaa")][seed % 3]
        return clip(*(word[:length] for word in words))

    def scores(self, run: Any, items: Sequence[Any]) -> list[np.ndarray]:
        from whyact.laiar.answers import answer_clips

        return [answer.probabilities for answer in answer_clips(run, items, explain=False)]

    def padded(self, run: Any, item: Any) -> np.ndarray:
        from whyact.data.relations.packed import PackedClips
        from whyact.laiar.batches import evaluation_batches

        larger = clip("ffffff", "ssssss", "aaaaaa", "hhhhhh")  # whose four slots the batch then has
        packed = PackedClips([item, larger], slots=4, window=run.config.data.window)
        ((_, batch),) = evaluation_batches(packed, run.config.data.frames)
        empty = ~batch.valid
        boxes = torch.where(empty[..., None, None], torch.rand_like(batch.boxes), batch.boxes)
        with torch.no_grad():
            logits = run.model.video(replace(batch, boxes=boxes, seen=batch.seen | empty[..., None])).logits
        return logits.softmax(-1)[0].numpy()

    def answer(self, run: Any, item: Any) -> Prediction:
        from whyact.laiar.answers import answer_clips
        from whyact.laiar.explain import explain

        (answer,) = answer_clips(run, [item])
        return explain(run, answer, source=item.id, data="by hand")

    def removals(self, run: Any, item: Any) -> Iterator[tuple[float, float]]:
        from whyact.laiar.answers import answer_clips

        (answer,) = answer_clips(run, [item])
        for change, contribution in zip(answer.changes, answer.contribution, strict=True):
            valid = item.valid.copy()
            valid[answer.positions[list(change.tokens)], change.slot] = False
            (without,) = self.scores(run, [replace(item, valid=valid)])
            yield contribution, float(answer.probabilities[answer.predicted] - without[answer.predicted])


def sequence(length: int, width: int, seed: int) -> FeatureSequence:
    features = np.random.default_rng(seed).normal(size=(length, width)).astype(np.float32)
    return FeatureSequence(f"made-{seed}", features, np.arange(length) / 2, 2.0)


class Pvlr(Method):
    def train(self, folder: Path, seed: int) -> list[float]:
        from whyact.pvlr import task

        default = task.PRESETS["default"]
        config = replace(default, train=replace(default.train, iterations=2))
        losses: list[float] = []

        def noted(*args: Any, **options: Any) -> Any:
            result = learn(*args, **options)
            losses.extend(value for epoch in result.history for value in epoch.values())
            return result

        learn = task.learn
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task, "learn", noted)
            task.train("synthetic", None, folder, config=config, fold=7, seed=seed, progress=False)
        return losses

    def open(self, folder: Path) -> Any:
        from whyact.pvlr import task

        return task.load(folder)

    def item(self, length: int, seed: int = 0) -> FeatureSequence:
        from whyact.data.datasets import load_features

        width = load_features("synthetic", None, 7).train[0].features.shape[1]
        return sequence(length, width, seed)

    def scores(self, run: Any, items: Sequence[FeatureSequence]) -> list[np.ndarray]:
        with torch.no_grad():
            return list(run.model(torch.from_numpy(np.stack([item.features for item in items]))).cas.numpy())

    def padded(self, run: Any, item: FeatureSequence) -> np.ndarray:
        """Cut the video into pieces, which see past their ends: room that is not theirs."""
        from whyact.pvlr.inference import curves

        return curves(run.model, item.features, run.text, chunk=3).cas

    def answer(self, run: Any, item: FeatureSequence) -> Prediction:
        from whyact.pvlr import task

        return task.predict_sequence(run, item)

    def removals(self, run: Any, item: FeatureSequence) -> Iterator[tuple[float, float]]:
        from whyact.pvlr.inference import curves, softmax, suppressed, video_logits

        def scores(features: np.ndarray) -> np.ndarray:
            cfg = run.config.inference
            return softmax(video_logits(suppressed(curves(run.model, features, run.text), cfg), cfg))

        whole = scores(item.features)
        for one in self.answer(run, item).evidence:
            low, high = round(one.start * item.rate), round(one.end * item.rate)
            left = np.delete(item.features, slice(low, high), axis=0)
            if len(left):
                label = run.classes.index(one.label)
                yield one.contribution, float(whole[label] - scores(left)[label])


class LoCATeGAT(Method):
    def train(self, folder: Path, seed: int) -> list[float]:
        from whyact.locate_gat import task

        config = replace(task.PRESETS["synthetic"], epochs=2, batch=10**6, gat_steps=2, gat_hidden=8, mix=0.4)
        task.train("synthetic", None, folder, config=replace(config, calibration=0.1), seed=seed, progress=False)
        return [float(row["loss"]) for row in read_history(folder / "history.csv")]

    def open(self, folder: Path) -> Any:
        from whyact.locate_gat import answers, load

        run = load(folder)
        return run.known, run.model, answers.candidates_of(run.known, run.model, run.others, None), run.card

    def item(self, length: int, seed: int = 0) -> FeatureSequence:
        return sequence(length, 128, seed)

    def _frames(self, run: Any, items: Sequence[FeatureSequence]) -> torch.Tensor:
        from whyact.data.zero_shot.types import at_rate

        return torch.from_numpy(np.stack([at_rate(item.features, run[0].settings.frames)[0] for item in items]))

    def scores(self, run: Any, items: Sequence[FeatureSequence]) -> list[np.ndarray]:
        from whyact.locate_gat.evidence import probabilities

        _, model, candidates, _ = run
        with torch.no_grad():
            video = model.embed(self._frames(run, items))
            return [p.numpy() for p in probabilities(model, video, candidates)]

    def padded(self, run: Any, item: FeatureSequence) -> np.ndarray:
        from whyact.locate_gat.evidence import probabilities

        _, model, candidates, _ = run
        frames = self._frames(run, [item]).clone()
        valid = torch.ones(frames.shape[:2], dtype=torch.bool)
        valid[:, -2:] = False
        with torch.no_grad():
            expected = probabilities(model, model.embed(frames, valid), candidates)[0]
            frames[:, -2:] = 7.0
            found = probabilities(model, model.embed(frames, valid), candidates)[0]
        torch.testing.assert_close(found, expected)  # what is no frame is not looked at
        return self.scores(run, [item])[0]

    def answer(self, run: Any, item: FeatureSequence) -> Prediction:
        from whyact.locate_gat import answers
        from whyact.prediction import Provenance, VideoFacts

        known, model, candidates, _ = run
        facts = VideoFacts(path=item.id)
        return answers.answer(item, facts, "", known, model, candidates, Provenance(method="locate-gat"), 5)

    def removals(self, run: Any, item: FeatureSequence) -> Iterator[tuple[float, float]]:
        from whyact.data.zero_shot.types import at_rate
        from whyact.locate_gat.evidence import probabilities

        known, model, candidates, _ = run
        frames, source = at_rate(item.features, known.settings.frames)
        prediction = self.answer(run, item)
        best = candidates.names.index(prediction.label)
        for one in prediction.evidence:
            if one.kind != "frame":
                continue
            valid = torch.from_numpy(source != round(one.start * item.rate))[None]
            with torch.no_grad():
                left = probabilities(model, model.embed(torch.from_numpy(frames)[None], valid), candidates)[0]
            yield one.contribution, prediction.score - float(left[best])


METHODS: dict[str, Method] = {"laiar": Laiar(), "pvlr": Pvlr(), "locate-gat": LoCATeGAT()}


@pytest.fixture(scope="module", params=METHODS)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Method, Path, list[float]]:
    """Return a method, a run of it, and the losses of its training."""
    torch.set_num_threads(1)
    method, folder = METHODS[request.param], tmp_path_factory.mktemp(request.param) / "run"
    return method, folder, method.train(folder, seed=3)


@pytest.fixture(scope="module")
def opened(trained: tuple[Method, Path, list[float]]) -> tuple[Method, Any]:
    return trained[0], trained[0].open(trained[1])


def test_two_steps_of_training_have_a_finite_loss(trained: tuple[Method, Path, list[float]]) -> None:
    losses = trained[2]
    assert losses
    assert np.isfinite(losses).all()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    trained: tuple[Method, Path, list[float]], tmp_path: Path
) -> None:
    method, folder, _ = trained
    method.train(tmp_path / "again", seed=3)
    method.train(tmp_path / "other", seed=4)
    digests = [load_checkpoint(path).sha256 for path in (folder, tmp_path / "again", tmp_path / "other")]
    assert digests[0] == digests[1] != digests[2]


def test_a_run_read_twice_answers_alike_to_the_bit(trained: tuple[Method, Path, list[float]]) -> None:
    method, folder, _ = trained
    item = method.item(6)
    first, second = (method.answer(method.open(folder), item) for _ in range(2))
    assert to_json([first]) == to_json([second])


def test_a_flipped_bit_in_any_file_of_a_run_is_refused(
    trained: tuple[Method, Path, list[float]], tmp_path: Path
) -> None:
    method, folder, _ = trained
    for name in ("model.safetensors", "config.yaml", "card.json"):
        copy = tmp_path / name.partition(".")[0]
        copy.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            method.open(copy)


def test_an_item_scores_the_same_alone_and_in_company(opened: tuple[Method, Any]) -> None:
    method, run = opened
    items = [method.item(6, seed) for seed in range(3)]
    for alone, among in zip((method.scores(run, [item])[0] for item in items), method.scores(run, items), strict=True):
        np.testing.assert_allclose(alone, among, **CLOSE)
    assert not np.allclose(*method.scores(run, items[:2]), atol=1e-7)  # else this could not fail


def test_padding_changes_nothing(opened: tuple[Method, Any]) -> None:
    method, run = opened
    item = method.item(6)
    np.testing.assert_allclose(method.padded(run, item), method.scores(run, [item])[0], **CLOSE)


def test_one_frame_is_answered(opened: tuple[Method, Any]) -> None:
    method, run = opened
    one = method.answer(run, method.item(1))
    assert one.label
    assert all(np.isfinite(label.score) for label in one.labels)


def test_no_frame_at_all_is_refused_in_words(opened: tuple[Method, Any]) -> None:
    method, run = opened
    with pytest.raises(UserError, match=r"at least one (frame|snippet)"):
        method.answer(run, method.item(0))


def test_evidence_is_worth_what_its_removal_costs(opened: tuple[Method, Any]) -> None:
    method, run = opened
    found = [pair for seed in range(3) for pair in method.removals(run, method.item(6, seed))]
    assert found
    contributions, costs = np.array(found).T
    np.testing.assert_allclose(contributions, costs, atol=1e-5)
    assert np.abs(contributions).max() > 0


def test_an_answer_is_valid_json_and_survives_the_journey(opened: tuple[Method, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the dev extra")
    method, run = opened
    prediction = method.answer(run, method.item(6))
    text = to_json([prediction])
    jsonschema.validate(json.loads(text), json_schema())
    assert from_json(text) == [prediction]
    assert prediction.labels == sorted(prediction.labels, key=lambda label: -label.score)
    assert all(0 <= label.score <= 1 for label in prediction.labels)
