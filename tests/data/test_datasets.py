"""The registry of data sets: every name has a reader or a check, loads for PyTorch, and shows its layout when wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from whyact.cli import main
from whyact.data import DATASETS, FeatureSequence, RelationClip, load_dataset
from whyact.data.datasets import find_dataset, names_for
from whyact.errors import UserError
from whyact.homeworld.write import write_world

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
