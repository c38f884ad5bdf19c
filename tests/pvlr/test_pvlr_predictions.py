"""Scoring predictions that lie in a file, ours or anybody's, and ActivityNet's JSON on the way."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import whyact
from whyact.cli import main
from whyact.data.datasets import load_features
from whyact.data.untrimmed import activitynet, thumos14
from whyact.data.untrimmed.sets import UntrimmedSet
from whyact.errors import UserError
from whyact.pvlr import task
from whyact.pvlr.predictions import evaluate_predictions

REAL = Path(os.environ.get("WHYACT_DATA", "/nonexistent")) / "thumos14"


def truth_as_predictions(found: UntrimmedSet) -> dict[str, list[activitynet.Scored]]:
    return {v.id: [(s, e, found.classes[c], 0.5) for s, e, c in v.segments] for v in found.test}


def own(root: Path) -> Path:
    """Write part of a generated world as one's own data with ActivityNet's JSON."""
    split = load_features("synthetic", None, 3)
    database = {}
    (root / "features").mkdir(parents=True)
    for subset, videos in (("training", split.train[:12]), ("validation", split.test[:6])):
        for video in videos:
            np.save(root / "features" / f"{video.id}.npy", video.features)
            # Off the grid of snippets: a tIoU of just a threshold would hang on the last bit of the unit.
            rows = [{"segment": [s + 0.0131, e + 0.0077], "label": split.classes[c]} for s, e, c in video.segments]
            database[video.id] = {"subset": subset, "duration": len(video.features) / video.rate, "annotations": rows}
    database["unseen"] = {"subset": "testing", "duration": 1.0}
    (root / "annotations.json").write_text(json.dumps({"version": "x", "database": database}))
    (root / "features.json").write_text('{"widths": [64, 64]}')
    return root


def test_a_run_and_its_file_of_segments_score_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = own(tmp_path / "own")
    config = task.PRESETS["default"]
    config = replace(config, text="stand-in", clip="none", train=replace(config.train, iterations=20))
    task.train("folder", root, tmp_path / "run", config=config, progress=False)
    measured = task.evaluate(tmp_path / "run", "folder", root)
    names = [video.id for video in load_features("folder", root).test]
    options = {"data": "folder", "root": str(root), "activitynet": str(tmp_path / "found.json")}
    whyact.load(tmp_path / "run").predict(*names, **options)
    words = ["eval", str(tmp_path / "found.json"), "--data", "folder", "--root", str(root), "--json"]
    assert main(words) == 0
    scored = json.loads(capsys.readouterr().out)
    for name in ("mAP", "mAP_pvlr_grid"):
        assert scored[name] == pytest.approx(measured[name])
    assert (scored["videos"], scored["predictions"] > 0) == (6, True)
    assert main(["eval", str(tmp_path / "found.json")]) == 2
    assert "--data" in capsys.readouterr().err


def test_the_truth_scores_100_and_what_nobody_predicted_is_missed(tmp_path: Path) -> None:
    root = own(tmp_path / "own")
    found = truth_as_predictions(activitynet.read_json(root / "annotations.json"))
    activitynet.write_predictions(tmp_path / "all.json", found)
    assert evaluate_predictions(tmp_path / "all.json", "folder", root)["avg_mAP"] == 100
    found.pop(next(iter(found)))
    activitynet.write_predictions(tmp_path / "less.json", found)
    assert evaluate_predictions(tmp_path / "less.json", "folder", root)["avg_mAP"] < 100


def test_unknown_videos_and_classes_are_named(tmp_path: Path) -> None:
    root = own(tmp_path / "own")
    some = activitynet.read_json(root / "annotations.json").test[0].id
    for found, words in (({"who": [(0, 1, "x", 1.0)]}, "who"), ({some: [(0.0, 1.0, "swim", 1.0)]}, "swim")):
        activitynet.write_predictions(tmp_path / "x.json", found)
        with pytest.raises(UserError, match=words):
            evaluate_predictions(tmp_path / "x.json", "folder", root)
    with pytest.raises(UserError, match="one of thumos14"):
        evaluate_predictions(tmp_path / "x.json", "gym", root)


@pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the THUMOS'14 arrays: set WHYACT_DATA to the folder above thumos14/"
)
def test_the_truth_of_thumos_scores_100_but_for_ambiguous_spans_and_the_grid(tmp_path: Path) -> None:
    found = thumos14.load(REAL)
    activitynet.write_predictions(tmp_path / "all.json", truth_as_predictions(replace(found)))
    scored = evaluate_predictions(tmp_path / "all.json", "thumos14", REAL)
    assert scored["predictions"] == 3358
    assert 95 < scored["avg_mAP"] <= 100
    assert scored["avg_mAP_pvlr_grid"] < scored["avg_mAP"]
