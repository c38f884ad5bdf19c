"""``whyact data check|prepare|convert`` on Action Genome, Charades and own data."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from whyact.cli import main

sys.path.append(str(Path(__file__).parents[1] / "data"))
from action_genome_layout import write_root
from cad120_layout import annotation_files, write_folder


def answered(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_check_and_prepare_action_genome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(write_root(tmp_path))
    assert main(["data", "check", "action-genome", "--root", root, "--json"]) == 0
    before = answered(capsys)
    assert (before["usable"], before["converted"], before["train"], before["frames"]) == (True, False, 2, 5)
    assert main(["data", "prepare", "action-genome", "--root", root, "--json"]) == 0
    done = answered(capsys)
    assert (done["missing"], done["written"]) == (2, 0)
    assert main(["data", "check", "action-genome", "--root", root, "--json"]) == 0
    assert answered(capsys) == {**before, "converted": True}
    assert main(["data", "check", "charades", "--root", root]) == 0
    assert "intervals" in capsys.readouterr().out


def test_what_training_cannot_use_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_root(tmp_path)
    (root / "annotations" / "person_bbox.pkl").write_bytes(b"\x80\x04.")
    assert main(["data", "check", "action-genome", "--root", str(root), "--json"]) == 1
    assert not answered(capsys)["usable"]
    assert main(["data", "prepare", "action-genome", "--root", str(root)]) == 2
    assert "person_bbox.pkl" in capsys.readouterr().err


def test_convert_and_check_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_folder(tmp_path / "cad", annotation_files()), tmp_path / "own"
    typed = ["data", "convert", "cad120", "own", "--root", str(source), "--out", str(out)]
    assert main([*typed, "--json"]) == 0
    assert answered(capsys) == {"file": str(out / "whyact.json"), "videos": 2, "clips": 3, "folds": 2}
    assert main(["data", "check", "own", "--root", str(out), "--json"]) == 0
    found = answered(capsys)
    assert (found["clips"], found["actions"]) == (
        3,
        {"null": 1, "pick": 1, "place": 0, "open": 1, "close": 0, "drink": 0},
    )
    assert main(typed) == 2  # never over what is there
    assert "whyact.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["prepare", "charades", "--root", "."], "action-genome"),
        (["prepare", "action-genome", "--root", "/no/such/folder"], "a folder that exists"),
        (["convert", "cad120", "coco", "--root", ".", "--out", "x"], "own"),
        (["convert", "cad120", "own", "--root", "."], "--out"),
    ],
)
def test_wrong_usage(typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *typed]) == 2
    assert expected in capsys.readouterr().err
