"""A tiny method that the verbs can be tested with: it learns nothing and answers at once."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, VideoFacts
from whyact.training.checkpoint import save_checkpoint
from whyact.verbs import methods


@dataclass(frozen=True)
class FakeModel:
    width: int = 8  # one for all # of them
    channels: tuple[int, int] = (1, 2)
    gate: Literal["mask", "multiply"] = "mask"
    note: str | None = None


@dataclass(frozen=True)
class FakeConfig:
    epochs: int = 3
    lr: float = 0.1
    shared: bool = True
    model: FakeModel = field(default_factory=FakeModel)


class FakeMethod(types.ModuleType):
    """Stands for a method's ``task`` module and remembers how it was called."""

    Config = FakeConfig
    PRESETS = {"default": FakeConfig(), "wide": replace(FakeConfig(), model=FakeModel(width=64))}  # noqa: RUF012
    OPTIONS = {"names": "comma-separated action names"}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[dict[str, Any]] = []

    def train(self, data: str, root: Path | None, out: Path, **rest: Any) -> dict[str, Any]:
        self.calls.append({"data": data, "root": root, "out": out, **rest})
        metrics = {"mAR": {"mean": 0.5, "sd": 0.1, "n": 3}, "loss": 0.25}
        card = {"method": "fake", "data": data, "split_sha256": "0" * 64, "licence": "Apache-2.0", "seed": rest["seed"]}
        save_checkpoint(out, {"w": torch.zeros(2)}, {}, {**card, "metrics": metrics})
        return {**card, "metrics": metrics}

    def evaluate(self, run: Path, data: str, root: Path | None, **rest: Any) -> dict[str, Any]:
        self.calls.append({"run": run, "data": data, "root": root, **rest})
        return {"mAR": 0.5, "per_class": {"drink": 1.0}}

    def predict(self, inputs: list[str], run: Path | None, **rest: Any) -> list[Prediction]:
        self.calls.append({"inputs": inputs, "run": run, **rest})
        evidence = Evidence(
            kind="transition", text="not holding cup, then holding cup", start=1.2, end=1.8, contribution=0.4,
            subject="person", object="cup", from_state="not_holding", to_state="holding",
        )  # fmt: skip
        return [
            Prediction(
                video=VideoFacts(path=name, degraded="the last 3 frames are broken"),
                labels=[LabelScore(label="drink", score=0.75)],
                provenance=Provenance(method="fake"),
                evidence=[evidence],
                notes=["trained on generated clips"],
            )
            for name in inputs
        ]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeMethod:
    """Put the fake method into the table under the name ``fake``, and make it answer without ``--model``."""
    module = FakeMethod("whyact_fake_method")
    module.__spec__ = types.SimpleNamespace(name=module.__name__)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(methods.METHODS, "fake", module.__name__)
    monkeypatch.setattr("whyact.verbs.predict.DEMO_METHOD", "fake")
    return module
