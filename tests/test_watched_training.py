"""Every method leaves the same things behind: a history, and the best epoch beside the last one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from whyact.training.checkpoint import load_checkpoint
from whyact.training.log import read_history
from whyact.training.options import TrainOptions


def laiar(tmp_path: Path) -> tuple[Any, dict[str, Any], Path | None]:
    from whyact.homeworld.write import write_world
    from whyact.laiar import task

    config = task.PRESETS["default"]
    config = replace(
        config,
        optim=replace(config.optim, epochs=3, calibrate=False),
        data=replace(config.data, frames=5, slots=6),
        model=replace(config.model, width=16, layers=2, heads=2),
    )
    root = tmp_path / "world"
    return task, {"data": "homeworld", "config": config}, write_world(root, seed=3, subjects=3, videos_per_subject=1)


def pvlr(tmp_path: Path) -> tuple[Any, dict[str, Any], Path | None]:
    from whyact.pvlr import task

    config = task.PRESETS["default"]
    config = replace(config, train=replace(config.train, pairs=4, iterations=150, snippets=16))
    return task, {"data": "synthetic", "config": config}, None


def locate_gat(tmp_path: Path) -> tuple[Any, dict[str, Any], Path | None]:
    from whyact.locate_gat import task

    config = replace(task.PRESETS["synthetic"], epochs=3, gat_steps=4, gat_hidden=8, mixer="none")
    return task, {"data": "synthetic", "config": replace(config, mix=0.4, calibration=0.2)}, None


METRIC = {laiar: "val_mAR", pvlr: "val_classification_mAP", locate_gat: "val_top1"}


@pytest.mark.parametrize("method", METRIC)
def test_a_run_has_a_history_and_its_best_epoch(method: Any, tmp_path: Path) -> None:
    task, settings, root = method(tmp_path)
    out = tmp_path / "run"
    options = TrainOptions(device="cpu", eval_every=1)
    card = task.train(settings["data"], root, out, config=settings["config"], progress=False, options=options)
    rows = [row for row in read_history(out / "history.csv") if row["stage"] in ("train", "stage1")]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert {"step", "lr", "seconds", "memory_mib", "loss", METRIC[method]} <= set(rows[0])
    last, best = load_checkpoint(out), load_checkpoint(out / "best")
    told = best.card["extra"]["best"]
    scores = [row[METRIC[method]] for row in rows]
    assert (told["epoch"], told["score"]) == (1 + scores.index(max(scores)), max(scores))
    assert told["chosen_on"] == "held-out training groups"
    assert "watched_test" not in card["extra"]
    assert "history" not in card["extra"]
    assert best.card["metrics"] == {}, "nothing measured on the test part chose it or stands beside it"
    assert set(best.tensors) == set(last.tensors)
    if told["epoch"] < 3:
        assert any(not torch.equal(best.tensors[name], tensor) for name, tensor in last.tensors.items())
    metrics = task.evaluate(out / "best", settings["data"], root, progress=False)
    assert metrics
    assert not (out / "state").exists()


@pytest.mark.parametrize("method", [pvlr, locate_gat])
def test_a_run_that_watched_the_test_part_says_so(method: Any, tmp_path: Path) -> None:
    task, settings, root = method(tmp_path)
    out = tmp_path / "run"
    options = TrainOptions(device="cpu", eval_every=2, watch_test=True)
    card = task.train(settings["data"], root, out, config=settings["config"], progress=False, options=options)
    assert card["extra"]["watched_test"] is True
    best = load_checkpoint(out / "best").card["extra"]
    assert best["watched_test"] is True
    assert best["best"]["chosen_on"] == "the test part"
