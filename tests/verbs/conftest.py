"""A tiny method that the verbs can be tested with: it learns nothing and answers at once."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from whyact import methods
from whyact.errors import UserError
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, VideoFacts
from whyact.settings import setting
from whyact.training.checkpoint import save_checkpoint


@dataclass(frozen=True)
class FakeModel:
    width: int = setting(8, "one for all # of them")
    channels: tuple[int, int] = (1, 2)
    gate: Literal["mask", "multiply"] = "mask"
    note: str | None = None


@dataclass(frozen=True)
class FakeConfig:
    epochs: int = 3
    lr: float = 0.1
    shared: bool = True
    model: FakeModel = field(default_factory=FakeModel)


@dataclass(frozen=True)
class FakeOptions:
    names: str | None = setting(None, "comma-separated action names", metavar="NAMES")
    draw: Path | None = setting(None, "a video", metavar="FILE")

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        if self.names == "bad":
            raise UserError("--names", self.names, "good names")


class FakeMethod(types.ModuleType):
    """Stands for a method's package and remembers how it was called."""

    Config = FakeConfig
    PRESETS = {"default": FakeConfig(), "wide": replace(FakeConfig(), model=FakeModel(width=64))}  # noqa: RUF012
    PredictOptions = FakeOptions
    ABOUT = "answers at once"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[dict[str, Any]] = []

    def train(self, data: str, root: Path | None, out: Path, **rest: Any) -> dict[str, Any]:
        self.calls.append({"data": data, "root": root, "out": out, **rest})
        metrics = {"mAR": {"mean": 0.5, "sd": 0.1, "n": 3}, "loss": 0.25}
        card = {"method": "fake", "data": data, "split_sha256": "0" * 64, "licence": "Apache-2.0", "seed": rest["seed"]}
        save_checkpoint(out, {"w": torch.zeros(2)}, {}, {**card, "metrics": metrics})
        return {**card, "metrics": metrics}

    def load(self, folder: Path) -> Any:
        return types.SimpleNamespace(model=torch.nn.Identity(), folder=folder)

    def open_evaluation(
        self, settings: tuple[Path, str, Path | None, int | None], *, progress: bool = False, device: str = "cpu"
    ) -> Any:
        run, data, root, fold = settings
        self.calls.append({"run": run, "data": data, "root": root, "fold": fold, "progress": progress})
        return FakeEvaluation()

    def predict(self, run: Any, inputs: list[str], *, options: FakeOptions, **rest: Any) -> list[Prediction]:
        given = {item.name: getattr(options, item.name) for item in fields(options)}
        given = {name: value for name, value in given.items() if value is not None}
        self.calls.append({"inputs": inputs, "run": run.folder, "options": given, **rest})
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


class FakeEvaluation:
    """Answers nothing and has a score all the same."""

    identity: dict[str, Any] = {}  # noqa: RUF012
    names: tuple[str, ...] = ()
    chunk = 1

    def answer(self, first: int, last: int) -> list[Any]:
        return []

    def score(self, records: Any) -> dict[str, Any]:
        return {"mAR": 0.5, "per_class": {"drink": 1.0}}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> FakeMethod:
    """Put the fake method into the table under the name ``fake``, and make it answer without ``--model``."""
    module = FakeMethod("whyact_fake_method")
    monkeypatch.setitem(methods.METHODS, "fake", module)
    bundled = tmp_path_factory.mktemp("bundled") / "fake"
    card = {"method": "fake", "data": "toy", "split_sha256": "0" * 64, "licence": "Apache-2.0", "seed": 0}
    save_checkpoint(bundled, {"w": torch.zeros(2)}, {}, card)
    monkeypatch.setattr("whyact.api.BUNDLED", bundled)
    monkeypatch.setattr("whyact.api.refuse_unreadable", lambda files: None)  # it answers about films that are not there
    return module
