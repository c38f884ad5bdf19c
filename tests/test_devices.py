"""A device is spelt, found and used: nothing is created on another one, on a pretended GPU and on a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pretended_gpu import MixedDevices, pretended_gpu
from whyact.devices import (
    autocast,
    check_device,
    check_precision,
    device_of,
    map_tensors,
    on_own_device,
    resolve_device,
)
from whyact.errors import UserError
from whyact.training.fit import fit
from whyact.training.trainable import Trainable

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices_are_spelt_as_torch_spells_them(name: str) -> None:
    assert check_device(name) == name


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "CUDA", "cuda:-1", "cpu:0", "tpu"])
def test_other_spellings_are_a_mistake_that_names_the_setting(name: str) -> None:
    with pytest.raises(UserError, match=r"device.*auto, cpu, cuda, cuda:N or mps"):
        check_device(name, "--device")


def test_a_device_is_checked_without_importing_torch() -> None:
    code = "import sys, whyact.devices as d; d.check_device('cuda:3'); sys.exit('torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


@pytest.mark.parametrize(("gpus", "auto"), [(0, "cpu"), (1, "cuda:0"), (2, "cuda:0")])
def test_auto_is_the_first_gpu_or_the_cpu(monkeypatch: pytest.MonkeyPatch, gpus: int, auto: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert resolve_device() == torch.device(auto)
    assert resolve_device("cpu") == CPU
    for index in range(gpus):
        assert resolve_device(f"cuda:{index}") == torch.device("cuda", index)
    with pytest.raises(UserError, match=rf"cuda:{gpus}.*of this machine \(cpu{', cuda:0' if gpus else ''}"):
        resolve_device(f"cuda:{gpus}")


def test_a_mac_is_asked_for_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="Apple"):
        resolve_device("mps")


def test_precision() -> None:
    gpu, layer, x = torch.device("cuda:0"), nn.Linear(4, 4), torch.randn(2, 4)
    assert [check_precision(p, gpu) for p in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        check_precision("fp16", CPU)
    with pytest.raises(UserError, match="fp32, bf16, fp16"):
        check_precision("fp8", gpu)
    with autocast(CPU, "bf16"):
        assert layer(x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert layer(x).dtype == torch.float32


@dataclass(frozen=True)
class Pair:
    tensor: Tensor
    other: int | None = None


class Named(NamedTuple):
    tensor: Tensor
    text: str = "kept"


def test_every_tensor_is_mapped_and_nothing_else() -> None:
    one = torch.tensor(1)
    value = {"a": [one, None], "b": (Pair(one, 3), Named(one)), "c": "text", "d": Pair}
    doubled = map_tensors(value, lambda tensor: tensor * 2)
    assert doubled == {"a": [2, None], "b": (Pair(torch.tensor(2), 3), Named(torch.tensor(2))), "c": "text", "d": Pair}
    assert isinstance(doubled["b"][1], Named)


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(2))

    @on_own_device
    def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"y": (x + self.bias) * scale}


def test_a_module_computes_where_it_is_and_answers_where_it_is_asked() -> None:
    assert torch.equal(Adds()(torch.zeros(2), scale=2.0)["y"], torch.full((2,), 2.0))
    assert device_of(Adds()) == CPU
    assert device_of(nn.ReLU()) == CPU
    assert device_of(Adds().to("meta")) == torch.device("meta")
    with pretended_gpu() as gpu:
        module = Adds().to(gpu)
        assert torch.equal(module(torch.zeros(2), scale=2.0)["y"], torch.full((2,), 2.0))
        assert module(torch.zeros(2, device=gpu))["y"].device == gpu
        with pytest.raises(MixedDevices, match="add"):
            Adds.forward.__wrapped__(module.requires_grad_(False), torch.zeros(2))  # type: ignore[attr-defined]


# Below, a pretended GPU: it refuses mixed devices as a real one does, and gives the numbers of the CPU.


def laiar(**select: Any) -> tuple[Trainable, list[Any]]:
    from laiar_samples import random_batch, small_model
    from whyact.laiar.config import Config, SelectConfig
    from whyact.laiar.learner import Learner

    chosen = replace(SelectConfig(), **select)
    model = small_model(0, select=chosen).train()
    learner = Learner(model, replace(Config(), model=model.config, select=chosen), torch.ones(4), 10)
    return learner, [random_batch(4), random_batch(4)]


def pvlr(preset: str = "default") -> tuple[Trainable, list[Any]]:
    from whyact.pvlr.config import PRESETS
    from whyact.pvlr.learner import Learner
    from whyact.pvlr.model import PVLR, FixedText

    sizes = replace(PRESETS[preset].model, rgb_width=8, flow_width=8, fused=8, width=16)
    config = replace(PRESETS[preset], model=sizes)
    torch.manual_seed(0)
    model = PVLR(sizes, FixedText(torch.randn(4, 16)))
    labels = torch.eye(3)[torch.tensor([0, 0, 1, 1, 2])]
    return Learner(model, config, 2), [(torch.randn(5, 24, 16), labels, torch.randn(5, 24, 16))] * 2


def locate() -> tuple[Trainable, list[Any]]:
    from whyact.locate_gat.learner import Stage1

    model = locate_gat()
    return Stage1(model, 3), [(torch.randn(4, model.config.frames, 20), torch.tensor([0, 1, 2, 5]))] * 2


def locate_gat() -> Any:
    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.model import LoCATeGAT

    torch.manual_seed(0)
    config = replace(PRESETS["synthetic"], gat_hidden=8)
    return LoCATeGAT(config, 20, torch.randn(6, config.width), torch.randn(2, config.width))


@pytest.mark.parametrize(
    "made",
    [laiar, lambda: laiar(rule="threshold", guided=False), pvlr, lambda: pvlr("official"), locate],
    ids=["laiar", "laiar-threshold", "pvlr", "pvlr-official", "locate"],
)
def test_a_training_on_a_gpu_is_the_training_on_the_cpu(
    made: Callable[[], tuple[Trainable, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    learner, batches = made()
    expected = fit(learner, batches, epochs=2, seed=3, device="cpu", progress=False)
    torch.manual_seed(1)
    again, batches = made()
    with pretended_gpu() as gpu:
        monkeypatch.setattr("whyact.training.fit.resolve_device", lambda name: gpu)
        result = fit(again, batches, epochs=2, seed=3, device="cuda", progress=False)
        assert device_of(again) == CPU, "it comes back"
    for row, other in zip(result.history, expected.history, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
    for name, tensor in learner.state_dict().items():  # Adam turns rounding of tiny gradients into small steps
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=2e-3, rtol=1e-2)


def test_both_stages_of_locate_gat_train_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.scores import Tensors, score_parts
    from whyact.locate_gat.stages import train_stages

    torch.manual_seed(0)
    config = replace(PRESETS["synthetic"], epochs=1, gat_steps=2, gat_hidden=8, mixer="none")
    target = torch.arange(24) % 6
    tensors = Tensors(
        torch.randn(24, config.frames, 20), target, torch.randn(8, config.width), torch.zeros(0, config.width)
    )
    seen, unseen, videos = np.arange(6), np.arange(6, 8), np.arange(24)
    model, history, _ = train_stages(tensors, seen, videos, config, device="cpu")
    expected = score_parts(model, tensors, seen, unseen, videos)
    with pretended_gpu() as gpu:
        for module in ("fit", "stages"):
            place = "whyact.training.fit" if module == "fit" else "whyact.locate_gat.stages"
            monkeypatch.setattr(f"{place}.resolve_device", lambda name: gpu)
        model, again, _ = train_stages(tensors, seen, videos, config, device="cuda")
        assert device_of(model) == gpu
        scores = score_parts(model, tensors, seen, unseen, videos)
    assert [row["loss"] for row in again] == pytest.approx([row["loss"] for row in history], rel=1e-4)
    np.testing.assert_allclose(scores.text, expected.text, atol=1e-3)
    np.testing.assert_allclose(scores.graph, expected.graph, atol=1e-3)


def test_an_answer_of_laiar_on_a_gpu_is_that_of_the_cpu() -> None:
    from hand_clips import VOCABULARY, clip
    from laiar_samples import SMALL
    from whyact.laiar.answers import answer_clips
    from whyact.laiar.config import Config, DataConfig, OptimConfig
    from whyact.laiar.explain import explain
    from whyact.laiar.task import train_run

    clips = [clip("fffhhh", "aaaaaa", action="pick"), clip("hhhfff", "ssssss", action="place")]
    optim = OptimConfig(lr=5e-3, batch=2, epochs=2, calibrate=False)
    config = Config(data=DataConfig(frames=6, slots=4), model=SMALL, optim=optim)
    run = train_run(clips, VOCABULARY, config, seed=0, device="cpu")
    expected = [explain(run, answer, source="x", data="y") for answer in answer_clips(run, clips)]
    with pretended_gpu() as gpu:
        run.model.to(gpu)
        found = [explain(run, answer, source="x", data="y") for answer in answer_clips(run, clips)]
    for a, b in zip(found, expected, strict=True):
        assert [label.label for label in a.labels] == [label.label for label in b.labels]
        assert [label.score for label in a.labels] == pytest.approx([label.score for label in b.labels], abs=1e-4)
        assert [e.text for e in a.evidence] == [e.text for e in b.evidence]
        contributions = [[e.contribution for e in prediction.evidence] for prediction in (a, b)]
        assert contributions[0] == pytest.approx(contributions[1], abs=1e-4)


def test_curves_of_pvlr_on_a_gpu_are_those_of_the_cpu() -> None:
    from whyact.pvlr.inference import curves

    learner, _ = pvlr()
    model: Any = learner.model.eval()
    features, text = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32), model.text()
    expected = curves(model, features, text, chunk=20)
    with pretended_gpu() as gpu:
        found = curves(model.to(gpu), features, text, chunk=20)
    for name in ("cas", "std", "attention"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)


def test_an_answer_of_locate_gat_on_a_gpu_is_that_of_the_cpu() -> None:
    from whyact.locate_gat import evidence as why

    model = locate_gat().eval()
    model.choice = torch.tensor([0.4, 0.2])
    names = tuple("abcdefgh")
    torch.manual_seed(2)
    candidates = why.Candidates(names, torch.arange(8), torch.randn(2, model.config.width))
    frames = torch.randn(1, model.config.frames, 20)

    def told() -> list[Any]:
        answer = why.answer(model, frames, np.arange(model.config.frames), candidates)
        return [
            answer.probabilities.tolist(),
            [float(value) for value in why.frame_contributions(model, answer).values()],
            [e.contribution for e in why.neighbour_evidence(model, answer, names[:6], 3)],
            list(why.part_scores(model, answer)[0]),
            list(why.part_scores(model, answer)[1]),
            [getattr(why.shares(model, answer), side) for side in ("text", "graph")],
        ]

    expected = told()
    with pretended_gpu() as gpu:
        model.to(gpu)
        found = told()
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_boxes_and_maps_on_a_gpu_are_those_of_the_cpu() -> None:
    from whyact.perception.centre import CentreNet
    from whyact.perception.open import DetectorEncoder
    from whyact.perception.perception import Perception
    from whyact.perception.small import SmallDetector

    torch.manual_seed(0)
    detector = SmallDetector(CentreNet(2), ("a", "b"), score=0.01)
    perception = Perception(detector, encoder=DetectorEncoder(detector))
    frames = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3)).astype(np.uint8)
    expected, before = detector(frames), detector.feature_map(frames)[0]
    with pretended_gpu() as gpu:
        perception.to(gpu)
        found, after = detector(frames), detector.feature_map(frames)[0]
        assert after.device == gpu
        torch.testing.assert_close(after.cpu(), before, atol=1e-4, rtol=1e-3)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
        assert a.classes.tolist() == b.classes.tolist()


def test_encoders_of_pictures_and_words_compute_on_a_gpu_and_answer_on_the_cpu(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    import zero_shot_trees as trees
    from whyact.features.clip import load_clip
    from whyact.features.patches import encode_with_patches

    trees.add_tiny_clip(tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3)).astype(np.uint8)
    clip = load_clip(trees.CLIP, "random")
    expected = clip.encode_frames(frames), clip.encode_texts(["wave", "pour"]), encode_with_patches(clip, frames, 1)
    with pretended_gpu() as gpu:
        clip = load_clip(trees.CLIP, "random", gpu)
        found = clip.encode_frames(frames), clip.encode_texts(["wave", "pour"]), encode_with_patches(clip, frames, 1)
        load_clip(trees.CLIP, "random", "cpu")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_video_network_computes_on_a_gpu_and_answers_on_the_cpu() -> None:
    from whyact.features.kinetics import FRAMES, load_encoder

    encoder = load_encoder("s3d", "random")
    snippet = np.random.default_rng(0).integers(0, 255, (FRAMES, 32, 32, 3)).astype(np.uint8)
    prepared = torch.stack([encoder.prepare(snippet)])
    expected = encoder.encode(prepared)
    with pretended_gpu() as gpu:
        found = load_encoder("s3d", "random", device=gpu).encode(prepared)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
