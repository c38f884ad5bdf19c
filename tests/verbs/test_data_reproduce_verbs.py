"""``whyact data check`` and ``whyact reproduce``."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import msgspec
import pytest

from whyact.cli import main
from whyact.data.datasets import DATASETS
from whyact.data.definition import Dataset
from whyact.data.relations.own_file import Fold
from whyact.data.relations.own_write import from_cad120, write_own
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.reproduce.study import Study
from whyact.verbs import data, lazy, reproduce


def test_check_prints_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Dataset("toy", check=lambda root: {"clips": 3, "actions": {"drink": 2}, "where": root.name})
    monkeypatch.setitem(DATASETS, "toy", toy)
    assert main(["data", "check", "toy", "--root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"clips": 3, "actions": {"drink": 2}, "where": tmp_path.name}
    assert main(["data", "check", "toy", "--root", str(tmp_path)]) == 0
    assert "  drink  2" in capsys.readouterr().out


def test_data_lists_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name}" in listed for name in data.ACTIONS)
    assert main(["data"]) == 2  # nothing was asked for
    for name in data.ACTIONS:
        with pytest.raises(SystemExit) as stop:
            lazy.load(data.ACTIONS[name][0])(["--help"])
        assert stop.value.code == 0
        assert f"usage: whyact data {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["check", "cad12", "--root", "."], "Did you mean 'cad120'"),
        (["chekc", "cad120", "--root", "."], "one of check"),
        (["check", "cad120"], "--root"),
        (["check", "cad12"], "Did you mean 'cad120'"),  # before it asks for a --root
        (["make", "homeworl"], "Did you mean 'homeworld'"),
        (["convert", "cad120", "owm"], "Did you mean 'own'"),
        (["check", "cad120", "--root", "/no/such/folder"], "a folder that exists"),
    ],
)
def test_wrong_usage_of_data(typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *typed]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err


def test_check_warns_of_folds_that_a_training_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1)
    file = from_cad120(root)
    nobody, good = Fold(file.folds[0].train, []), file.folds[1]
    write_own(root, msgspec.structs.replace(file, folds=[nobody, good]))
    splits = root / "annotations" / "splits"
    (splits / "testlist01.txt").write_text("")
    for layout in ("cad120", "own"):
        check = ["data", "check", layout, "--root", str(root)]
        assert main(check) == 0
        assert "fold 1: no clip to train or to test on; take --fold 2\n" in capsys.readouterr().out
        assert main([*check, "--json"]) == 0
        first, second = json.loads(capsys.readouterr().out)["folds"].values()
        assert (first["test"], min(second["train"], second["test"]) > 0) == (0, True)

    write_own(root, msgspec.structs.replace(file, folds=[nobody]), replace=True)
    (splits / "trainlist02.txt").write_text("")
    for layout in ("cad120", "own"):  # nothing that can be trained
        assert main(["data", "check", layout, "--root", str(root)]) == 1
        assert "no clip to train or to test on\n" in capsys.readouterr().out


def test_check_of_own_data_may_cut_off_what_boxes_have_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1)
    file = from_cad120(root)
    file.videos[0].tracks[0].boxes[0] = (-9.0, -9.0, 30.0, 30.0)
    write_own(root, file)
    check = ["data", "check", "own", "--root", str(root)]
    assert main(check) == 2
    assert "--clip-boxes" in capsys.readouterr().err
    assert main([*check, "--clip-boxes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] > 0
    assert main(["data", "check", "cad120", "--root", str(root), "--clip-boxes"]) == 2
    assert "own" in capsys.readouterr().err


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> list[Study]:
    calls: list[Study] = []
    module = types.ModuleType("whyact_fake_study")
    module.__spec__ = types.SimpleNamespace(name=module.__name__)  # type: ignore[assignment]
    module.run = calls.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("toy", "pvlr"):
        monkeypatch.setitem(reproduce.STUDIES, name, f"{module.__name__}:run")
    return calls


def test_reproduce_hands_over_its_options(study: list[Study], tmp_path: Path) -> None:
    assert main(["reproduce", "toy"]) == 0
    assert main(["reproduce", "toy", "--quick", "--json"]) == 0
    assert main(["reproduce", "toy", "--root", str(tmp_path), "--seeds", "4", "--jobs", "2", "--out", "x"]) == 0
    assert main(["reproduce", "pvlr", "--stored", "--device", "auto"]) == 0
    assert study == [
        Study(out=Path("reproduced")),
        Study(quick=True, as_json=True),  # quick writes nothing
        Study(root=tmp_path, seeds=4, jobs=2, out=Path("x")),
        Study(out=Path("reproduced"), stored=True, device="auto"),
    ]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["toi"], "Did you mean 'toy'"),
        (["toy", "--seeds", "0"], "at least 1"),
        (["toy", "--jobs", "many"], "whole number"),
        (["toy", "--device", "tpu"], "auto, cpu, cuda"),
        (["toy", "--stored"], "one of laiar-cad120"),
        (["toy", "--root", "/no/such/folder"], "a folder that exists"),
    ],
)
def test_wrong_usage_of_reproduce(
    study: list[Study], typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *typed]) == 2
    assert expected in capsys.readouterr().err
    assert study == []


def test_only_what_is_installed_is_offered() -> None:
    table = {"here": "whyact.errors:UserError", "gone": "whyact.errors_of_tomorrow:run"}
    assert lazy.present(table) == {"here": table["here"]}
    assert lazy.load(table["here"]) is UserError
