"""A training leaves its history, is measured on the way without a trace in its bits, and keeps best and last apart."""

from __future__ import annotations

import csv
import math
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_fit import Shuffled, Tiny, options, same

from whyact.errors import UserError
from whyact.training.checkpoint import load_checkpoint, save_checkpoint
from whyact.training.experiment import experiment, open_loggers
from whyact.training.fit import Validation, fit
from whyact.training.log import MEASURED, History, read_history
from whyact.training.options import TrainOptions

CARD = {"method": "fake", "data": "toy", "split_sha256": "", "licence": "", "seed": 0}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in read_history(path)]


def test_the_history_has_every_term_the_rate_the_time_and_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    result = fit(Tiny("step"), Shuffled(), **options(history=History(path), stage="first"))
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["stage"], row["epoch"], row["step"]) for row in rows] == [
        ("first", str(i), str(5 * i)) for i in (1, 2, 3, 4)
    ]
    for row, other in zip(rows, result.history, strict=True):
        assert {name: float(row[name]) for name in ("loss", "noise", "lr")} == {
            k: other[k] for k in ("loss", "noise", "lr")
        }
        assert float(row["memory_mib"]) > 10
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0


@pytest.mark.parametrize("stop_at", [3, 7, 12])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_the_history_of_a_resumed_training_is_that_of_one_without_a_stop(
    tmp_path: Path, stop_at: int, seconds: float
) -> None:
    whole, path = tmp_path / "whole.csv", tmp_path / "history.csv"
    fit(Tiny(), Shuffled(), **options(history=History(whole)))
    resume = {"resume_dir": tmp_path / "state", "save_seconds": seconds}
    with pytest.raises(RuntimeError, match="power"):
        fit(Tiny(stop_at=stop_at), Shuffled(), **options(history=History(path), **resume))
    with path.open("a") as stream:
        stream.write("train,3,15,0.0")  # a line that a kill cut short
    fit(Tiny(), Shuffled(), **options(history=History(path), **resume))
    assert rows_of(path) == rows_of(whole)


def test_stages_share_a_file_and_columns_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = History(path)
    history.append("one", {"epoch": 1, "step": 5, "loss": 0.5})
    history.append("one", {"epoch": 2, "step": 10, "loss": 0.25, "late": 1.5})
    history.start("two", [])
    history.append("two", {"epoch": 1, "step": 5, "loss": 0.125})
    expected = "stage,epoch,step,loss,late\none,1,5,0.5,\none,2,10,0.25,1.5\ntwo,1,5,0.125,\n"
    assert path.read_text() == history.text() == expected
    again = History(path)
    again.start("one", [{"epoch": 1, "step": 5, "loss": 0.5}])
    assert [(row["stage"], row["epoch"]) for row in again.rows] == [("two", 1), ("one", 1)]


def measured(module: Tiny, seen: list[bool] | None = None) -> Validation:
    """Return a validation on fixed data that also draws random numbers, as a careless one would."""
    data = Shuffled()

    def measure() -> dict[str, float]:
        torch.rand(7)
        if seen is not None:
            seen.append(module.training)
        loss = float((module.net(data.x) - data.y).square().mean())
        return {"loss": loss, "score": -loss}

    return Validation(2, measure, "score")


def test_validation_leaves_no_trace_in_the_training() -> None:
    plain, watched, modes = Tiny(), Tiny(), list[bool]()
    frozen = watched.net[1].eval()  # a part that stays in evaluation mode
    plain.net[1].eval()
    expected = fit(plain, Shuffled(), **options(epochs=5))
    result = fit(watched, Shuffled(), **options(epochs=5, validation=measured(watched, modes)))
    assert same(plain, watched)
    assert modes == [False] * 3  # after epochs 2 and 4, and after the last
    assert watched.training
    assert not frozen.training
    assert [("val_score" in row) for row in result.history] == [False, True, False, True, True]
    for row, other in zip(result.history, expected.history, strict=True):
        assert {name: value for name, value in row.items() if not name.startswith("val_")} == other


@pytest.mark.parametrize("stop_at", [None, 13, 17])
def test_the_best_weights_are_those_after_the_best_epoch_whatever_stopped_the_training(
    tmp_path: Path, stop_at: int | None
) -> None:
    more = {"epochs": 4, "resume_dir": tmp_path, "save_seconds": 0.0}
    if stop_at is not None:
        broken = Tiny(stop_at=stop_at)
        with pytest.raises(RuntimeError, match="power"):
            fit(broken, Shuffled(), **options(**more, validation=worse_and_worse()))
    module = Tiny()
    result = fit(module, Shuffled(), **options(**more, validation=worse_and_worse()))
    after_two = Tiny()
    fit(after_two, Shuffled(), **options(epochs=2))
    assert result.best is not None
    assert (result.best.epoch, result.best.score) == (2, -5.0)
    assert all(torch.equal(result.best.weights[name], value) for name, value in after_two.state_dict().items())
    assert not same(module, after_two)


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    scores = iter([math.nan, -7.0, math.nan])
    result = fit(Tiny(), Shuffled(), **options(epochs=3, validation=Validation(1, lambda: {"s": next(scores)}, "s")))
    assert result.best is not None
    assert (result.best.epoch, result.best.score) == (2, -7.0)


def worse_and_worse() -> Validation:
    scores = iter([-5.0, -7.0])
    return Validation(2, lambda: {"score": next(scores, -7.0)}, "score")


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda g: len(set(g)) > 1))
def test_groups_are_held_out_whole(groups: list[int]) -> None:
    items = list(enumerate(groups))
    train, held = TrainOptions(eval_every=1).hold_out(items, lambda item: str(item[1]), [(-1, -1)])
    assert sorted(train + held) == items
    assert train
    assert held
    assert not {group for _, group in train} & {group for _, group in held}
    assert train == [item for item in items if item in train], "the order stays"


def test_the_test_part_is_watched_only_when_that_is_asked_for() -> None:
    assert TrainOptions().hold_out([1, 2], str, [3]) == ([1, 2], [])
    assert TrainOptions(eval_every=2, watch_test=True).hold_out([1, 2], str, [3]) == ([1, 2], [3])
    assert TrainOptions(eval_every=2, watch_test=True).about == {"watched_test": True}
    assert TrainOptions(eval_every=2).about == {}
    with pytest.raises(UserError, match="two groups"):
        TrainOptions(eval_every=1).hold_out([1, 2], lambda item: "one", [3])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"device": "gpu"}, "device"),
        ({"eval_every": -1}, "eval_every"),
        ({"watch_test": True}, "watch_test.*eval_every"),
        ({"logger": "tensorboard,neptune"}, "'neptune'.*tensorboard, wandb, mlflow"),
    ],
)
def test_options_are_checked_before_anything_else(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        TrainOptions(**options)


class Recorder:
    """A logger of lightning's kind."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.settings: dict[str, Any] = {}
        self.status = ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append((step, metrics))

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.settings = params

    def finalize(self, status: str) -> None:
        self.status = status


@pytest.mark.parametrize("fails", [False, True])
def test_loggers_get_what_the_file_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    recorder = Recorder()
    monkeypatch.setattr("whyact.training.experiment.open_loggers", lambda names, out: [recorder] * len(names))
    watched = experiment(tmp_path, TrainOptions(device="cpu", logger="wandb"), config={"lr": 1})
    with pytest.raises(RuntimeError, match="power") if fails else nullcontext(), watched as fit_options:
        fit(Tiny(stop_at=12 if fails else None), Shuffled(), epochs=4, seed=5, **fit_options)
    assert recorder.status == ("failed" if fails else "success")
    assert recorder.settings == {"lr": 1}
    rows = read_history(tmp_path / "state" / "history.csv")
    assert [step for step, _ in recorder.metrics] == [row["step"] for row in rows]
    assert [metrics["train/loss"] for _, metrics in recorder.metrics] == [row["loss"] for row in rows]


@pytest.mark.parametrize(("name", "missing"), [("tensorboard", "tensorboard"), ("mlflow", "lightning")])
def test_a_missing_package_is_named_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    monkeypatch.setattr(
        "whyact.training.experiment.find_spec", lambda package: None if package == missing else SimpleNamespace()
    )
    with pytest.raises(UserError, match=rf"pip install 'whyact\[logs\]' {name}"):
        open_loggers([name], tmp_path)


def test_lightnings_loggers_take_what_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    def maker(name: str) -> Any:
        def make(*args: Any, **kwargs: Any) -> Recorder:
            made.append((name, kwargs))
            return Recorder()

        return make

    names = ("TensorBoardLogger", "WandbLogger", "MLFlowLogger")
    monkeypatch.setitem(sys.modules, "lightning.pytorch.loggers", SimpleNamespace(**{n: maker(n) for n in names}))
    monkeypatch.setattr("whyact.training.experiment.find_spec", lambda package: SimpleNamespace())
    assert len(open_loggers(["tensorboard", "wandb", "mlflow"], tmp_path / "run")) == 3
    assert [name for name, _ in made] == list(names)
    assert all("run" in kwargs.values() for _, kwargs in made)


def test_tensorboard_reads_what_a_training_logged(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="needs the extra: pip install 'whyact[logs]'")
    pytest.importorskip("tensorboard", reason="needs the extra: pip install 'whyact[logs]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = TrainOptions(device="cpu", logger="tensorboard")
    with experiment(
        tmp_path / "run", options, config={"lr": 0.05, "deep": {"er": None}}, progress=False
    ) as fit_options:
        result = fit(Tiny(), Shuffled(), epochs=3, seed=5, **fit_options)
    (events,) = (tmp_path / "tensorboard").rglob("events.out.tfevents.*")
    board = EventAccumulator(str(events.parent)).Reload()
    logged = board.Scalars("train/loss")
    assert [event.step for event in logged] == [row["step"] for row in result.history]
    assert [event.value for event in logged] == pytest.approx([row["loss"] for row in result.history])


def test_best_and_last_are_two_run_folders_and_a_new_training_replaces_both(tmp_path: Path) -> None:
    from whyact.training.checkpoint import BestWeights

    run = tmp_path / "run"
    best = BestWeights({"w": torch.ones(2)}, {**CARD, "extra": {"best": {"epoch": 3}}})
    save_checkpoint(run, {"w": torch.zeros(2)}, {"a": 1}, CARD, history="stage,epoch\n", best=best)
    assert load_checkpoint(run).tensors["w"].tolist() == [0, 0]
    assert load_checkpoint(run / "best").tensors["w"].tolist() == [1, 1]
    assert load_checkpoint(run / "best").card["extra"]["best"] == {"epoch": 3}
    assert (run / "history.csv").read_text() == "stage,epoch\n"
    (run / "notes.txt").write_text("mine")
    save_checkpoint(run, {"w": torch.zeros(2)}, {"a": 1}, CARD)
    assert sorted(path.name for path in run.iterdir()) == ["card.json", "config.yaml", "model.safetensors", "notes.txt"]
