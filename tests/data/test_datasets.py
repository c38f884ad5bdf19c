"""The registry of data sets: every name has a reader or a check, loads for PyTorch, and shows its layout when wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from whyact.cli import main
from whyact.data import FeatureSequence, RelationClip, load_dataset
from whyact.data.datasets import DATASETS, find_dataset, load_features, names_for
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.pvlr.config import PRESETS
from whyact.pvlr.sets import resolve

METHODS = ("laiar", "pvlr", "locate-gat")


def test_every_data_set_says_who_can_use_it_and_how_it_lies_on_disk() -> None:
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.methods or dataset.check, name
        assert dataset.generated or dataset.layout.endswith("\n"), name
        assert dataset.generated or dataset.check is not None, name
        assert set(dataset.methods) <= set(METHODS)
    assert all(names_for(method) for method in METHODS)


def test_the_registry_costs_no_slow_import() -> None:
    code = "import sys, whyact.data.datasets; print([m for m in ('torch', 'av', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("method", METHODS)
def test_a_name_that_a_method_cannot_use_is_refused_with_those_it_can(method: str) -> None:
    for name in [*DATASETS, "nonsense"]:
        if name in names_for(method):
            continue
        with pytest.raises(UserError, match=re.escape(f"found '{name}'")) as caught:
            find_dataset(name, method, Path())
        assert names_for(method)[0] in str(caught.value)
        if name != "nonsense":
            assert all(user in str(caught.value) for user in DATASETS[name].methods)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("data") / "world", seed=3, subjects=2, videos_per_subject=1)


def _length(clips: list[Any]) -> list[int]:
    return [len(clip.times) for clip in clips]


def test_clips_load_with_workers(world: Path) -> None:
    clips = load_dataset("cad120", world, fold=1, part="test", slots=4)
    assert all(isinstance(clip, RelationClip) and clip.valid.shape[1] <= 4 for clip in clips)  # type: ignore[attr-defined]
    here = [length for batch in DataLoader(clips, 3, collate_fn=_length) for length in batch]
    there = [length for batch in DataLoader(clips, 3, collate_fn=_length, num_workers=2) for length in batch]
    assert here == there == [len(clips[i].times) for i in range(len(clips))]  # type: ignore[arg-type]
    other = load_dataset("cad120", world, fold=1, part="train")
    assert not {clip.id for clip in clips} & {clip.id for clip in other}  # type: ignore[attr-defined]


def test_sequences_and_zero_shot_videos_load() -> None:
    train, test = (load_dataset("synthetic", fold=2, part=part) for part in ("train", "test"))  # type: ignore[arg-type]
    assert isinstance(train[0], FeatureSequence)
    assert (len(train), len(test)) == (60, 30)  # type: ignore[arg-type]
    seen, unseen = (load_dataset("synthetic-appearance", part=part) for part in ("train", "test"))  # type: ignore[arg-type]
    targets = [{seq.target[0] for seq in side} for side in (seen, unseen)]  # type: ignore[attr-defined]
    assert targets[0]
    assert targets[1]
    assert not targets[0] & targets[1]


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("cad12", {}, "Did you mean 'cad120'"),
        ("own", {}, "^root: expected the folder"),
        ("synthetic", {"part": "val"}, "^part"),
        ("synthetic", {"slots": 3}, "^options: found 'slots'"),
        ("synthetic-appearance", {"slot": 3}, "one of backbone"),
        ("charades", {}, "^name"),
    ],
)
def test_mistakes_are_named_by_the_python_argument(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_dataset(name, **options)


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if dataset.check is not None])
def test_a_wrong_root_shows_the_expected_layout_beside_the_one_on_disk(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "somewhere" / "else").mkdir(parents=True)
    assert main(["data", "check", name, "--root", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for line in DATASETS[name].layout.splitlines():
        assert line.rstrip() in err, line
    assert "somewhere/" in err
    assert "├── else/" in err
    assert err.splitlines()[-1].startswith("whyact: ")


def test_the_layout_is_not_shown_for_what_is_wrong_inside_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "a.npy", np.ones((2, 3), np.float32))
    (tmp_path / "labels.csv").write_text("name,labels\na,run,jump\n")
    assert main(["data", "check", "folder", "--root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "labels.csv:2" in err
    assert "expected for folder" not in err


def feature_folder(root: Path, labels: str, **arrays: np.ndarray) -> Path:
    (root / "features").mkdir(parents=True)
    for name, array in arrays.items():
        np.save(root / "features" / f"{name}.npy", array)
    (root / "labels.csv").write_text(f"name,labels,subset\n{labels}")
    return root


GOOD = np.ones((4, 6), np.float32)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": GOOD, "b": np.full((4, 6), np.nan, np.float32)}, "NaN"),
        ({"a": GOOD, "b": np.ones((0, 6), np.float32)}, "at least one snippet"),
        ({"a": GOOD, "b": np.ones((4, 5), np.float32), "c": GOOD}, "width 5; expected 6"),
        ({"a": GOOD}, "b.npy"),
    ],
)
def test_check_reads_the_features_that_training_reads_and_lists_what_is_wrong(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = "a,run,train\nb,jump,train\n" + ("c,run,train\n" if "c" in arrays else "")
    root = feature_folder(tmp_path / "own", labels, **arrays)
    assert main(["data", "check", "folder", "--root", str(root), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found["broken"]) == ["b"]
    assert said in found["broken"]["b"]
    assert found["usable"] is False


def test_check_warns_of_classes_that_nothing_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = feature_folder(tmp_path / "own", "a,run,train\nb,jump,train\nc,run,test\n", a=GOOD, b=GOOD, c=GOOD)
    assert main(["data", "check", "folder", "--root", str(root)]) == 0
    assert "warning: classes without a video to test on: jump\n" in capsys.readouterr().out
    (root / "clip").mkdir()  # CLIP features of some videos only
    np.save(root / "clip" / "a.npy", GOOD)
    assert main(["data", "check", "folder", "--root", str(root), "--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["broken"]) == {"b", "c"}


@pytest.mark.parametrize("labels", ["", "a,run,test\n"])
def test_a_set_without_a_video_to_train_on_is_no_set(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = feature_folder(tmp_path / "own", labels, a=GOOD)
    assert main(["data", "check", "folder", "--root", str(root)]) == (1 if labels else 2)
    out, err = capsys.readouterr()
    assert "no training video" in out if labels else "at least one video" in err


def thumos(root: Path, rows: list[np.ndarray]) -> Path:
    """Write the published layout of THUMOS'14 with as many videos as rows, one class."""
    folder = root / "Thumos14reduced-Annotations"
    folder.mkdir(parents=True)
    count = len(rows)

    def save(name: str, values: list[Any]) -> None:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        np.save(folder / f"{name}.npy", array)

    save("classlist", ["Diving"])
    save("videoname", [f"video_{i}" for i in range(count)])
    save("subset", ["validation", *["test"] * (count - 1)])
    save("segments", [[[0.0, 1.0]]] * count)
    save("labels", [["Diving"]] * count)
    save("labels_all", [["Diving"]] * count)
    save("duration", [10.0] * count)
    (folder / "Ambiguous_test.txt").write_text("")
    joint = np.empty(count, dtype=object)
    joint[:] = rows
    np.save(root / "Thumos14reduced-I3D-JOINTFeatures.npy", joint)
    return root


ROW = np.ones((5, 2048), np.float32)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.full((5, 2048), np.nan, np.float32), "NaN"),
        (np.ones((5, 1024), np.float32), "(5, 1024)"),
        (np.ones((0, 2048), np.float32), "(0, 2048)"),
    ],
)
def test_check_reads_every_row_of_a_joint_array(
    bad: np.ndarray, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = thumos(tmp_path / "good", [ROW, ROW, ROW])
    assert main(["data", "check", "thumos14", "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["snippets"], found["clip_features"]) == (15, False)
    with pytest.raises(UserError, match="clip none"):  # what training then says
        resolve(PRESETS["default"], load_features("thumos14", root))
    root = thumos(tmp_path / "bad", [ROW, ROW, bad])
    assert main(["data", "check", "thumos14", "--root", str(root)]) == 2
    err = capsys.readouterr().err
    assert "row 2 (video_2)" in err
    assert said in err


def test_annotations_alone_are_summarised_but_not_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = thumos(tmp_path, [ROW, ROW])
    (root / "Thumos14reduced-I3D-JOINTFeatures.npy").unlink()
    assert main(["data", "check", "thumos14", "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "warning: no features to train on" in out
    assert "split_sha256" in out
