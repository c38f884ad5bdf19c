"""``whyact data make``: writes a world, or says what is wrong and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whyact.cli import main


def test_make_writes_either_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ag = ["--layout", "action-genome", "--subjects", "2", "--videos", "4", "--every", "10", "--pixels", "64x48"]
    assert main(["data", "make", "homeworld", "--root", str(tmp_path / "ag"), *ag, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == 4
    assert (tmp_path / "ag" / "annotations" / "person_bbox.pkl").is_file()
    boxes = ["--subjects", "2", "--videos", "1", "--pixels", "none"]
    assert main(["data", "make", "homeworld", "--root", str(tmp_path / "cad"), *boxes]) == 0
    assert (tmp_path / "cad" / "annotations" / "video_clips.txt").is_file()
    assert not (tmp_path / "cad" / "videos").exists()


@pytest.mark.parametrize("more", [[], ["--subjects", "2"], ["--single", "--seed", "3"]], ids=" ".join)
def test_as_few_videos_as_both_parts_need(tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path / "ag")]
    make = ["data", "make", "homeworld", "--layout", "action-genome", "--pixels", "none", "--every", "6", *root, *more]
    assert main([*make, "--videos", "3"]) == 2
    assert list(tmp_path.iterdir()) == []
    least = capsys.readouterr().err.rpartition(" ")[2].strip()
    assert main([*make, "--videos", str(int(least) - 1)]) == 2
    assert main([*make, "--videos", least]) == 0
    assert main(["data", "check", "action-genome", *root]) == 0


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["homewrld"], "Did you mean 'homeworld'"),
        (["homeworld", "--layout", "cad12"], "Did you mean 'cad120'"),
        (["homeworld", "--pixels", "320"], "320x240"),
        (["homeworld", "--pixels", "320x320"], "4:3"),
        (["homeworld", "--frames"], "--layout action-genome"),
        (["homeworld", "--rho", "2"], "rho"),
    ],
    ids=["name", "layout", "pixels", "shape", "frames", "rho"],
)
def test_wrong_usage_of_make(
    tmp_path: Path, typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "make", *typed, "--root", str(tmp_path / "w")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert list(tmp_path.iterdir()) == []
