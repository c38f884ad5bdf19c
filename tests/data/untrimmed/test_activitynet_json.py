"""ActivityNet's own JSON: ground truth in, predictions out and in again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whyact.data.untrimmed import activitynet
from whyact.errors import UserError


def write(path: Path, **changes: Any) -> Path:
    video = {
        "subset": "validation",
        "duration": 9.0,
        "url": "",
        "annotations": [{"segment": [1, 2.5], "label": "jump"}],
    }
    database = {
        "v1": {"subset": "training", "duration": 5.0, "annotations": [{"segment": [0, 5], "label": "run"}]},
        "v2": video | changes,
        "v3": {"subset": "testing", "duration": 3.0, "annotations": []},
    }
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    return path


def test_ground_truth_is_read_as_written(tmp_path: Path) -> None:
    found = activitynet.read_json(write(tmp_path / "a.json"))
    assert found.classes == ("jump", "run")
    assert [video.id for video in found.train] == ["v1"]
    assert found.test[0].segments == ((1.0, 2.5, 0),)
    assert (found.test[0].labels, found.test[0].duration) == ((0,), 9.0)
    assert activitynet.read_json(tmp_path / "a.json", classes=["run", "jump"]).test[0].labels == (1,)
    test = activitynet.read_json(write(tmp_path / "b.json", subset="test"))
    assert [video.id for video in test.test] == ["v2"]


def test_testing_videos_with_annotations_are_tested_on(tmp_path: Path) -> None:
    test = activitynet.read_json(write(tmp_path / "a.json", subset="testing"))
    assert [video.id for video in test.test] == ["v2"]  # v3, without any, stays out as the benchmark has it
    assert [video.id for video in test.videos] == ["v1", "v2"]


def test_the_benchmarks_file_stands_in_for_the_arrays(tmp_path: Path) -> None:
    write(tmp_path / "activity_net.v1-3.min.json")
    found = activitynet.load(tmp_path)
    assert (found.name, len(found.train), len(found.test)) == ("activitynet-1.3", 1, 1)
    with pytest.raises(UserError, match=r"1\.2"):
        activitynet.load(tmp_path, "1.2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "spare"}, "v2.*spare"),
        ({"annotations": [{"segment": [3, 1], "label": "run"}]}, "v2.*3"),
        ({"annotations": [{"segment": [1], "label": "run"}]}, "segment"),
        ({"annotations": [{"segment": [0, 1]}]}, "label"),
    ],
)
def test_bad_ground_truth_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        activitynet.read_json(write(tmp_path / "a.json", **changes))


def test_a_class_never_seen_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jump"):
        activitynet.read_json(write(tmp_path / "a.json"), classes=["run"])
    with pytest.raises(UserError, match="No such file"):
        activitynet.read_json(tmp_path / "absent.json")


def test_predictions_come_back_best_first(tmp_path: Path) -> None:
    rows = [(0.0, 1.0, "run", 0.2), (2.0, 3.5, "jump", 0.9)]
    activitynet.write_predictions(tmp_path / "p.json", {"v1": rows, "v2": []})
    document = json.loads((tmp_path / "p.json").read_text())
    assert set(document) == {"version", "results", "external_data"}
    assert document["results"]["v1"][0] == {"label": "jump", "score": 0.9, "segment": [2.0, 3.5]}
    assert activitynet.read_predictions(tmp_path / "p.json") == {"v1": rows[::-1], "v2": []}
