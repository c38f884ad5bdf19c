"""``train locate-gat --videos``: what must end in nothing is refused before the work; the rest is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import zero_shot_trees as trees
from whyact.cli import main
from whyact.errors import UserError
from whyact.locate_gat.config import Config
from whyact.locate_gat.own_clips import prepare_clips


def write_clips(root: Path, classes: int) -> Path:
    for i in range(classes):
        for k in range(2):
            trees.write_video(root / f"action {'abcdef'[i]}" / f"{k}.mp4", level=30 * i + 10 * k)
    return root


def test_what_must_end_in_nothing_is_refused_before_the_work(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("file,label\n")
    for place, options, match in (
        (write_clips(tmp_path / "three", 3), {}, "at least four: two to train on, two unseen"),
        (table, {}, "a folder of class folders"),
        (tmp_path / "nowhere", {}, "a folder of class folders"),
        (write_clips(tmp_path / "clips", 4), {"fold": 99}, "1 to"),
        (tmp_path / "clips", {"things": table}, "whole frames"),
    ):
        with pytest.raises(UserError, match=match):
            prepare_clips(place, tmp_path / "run", Config(), progress=False, **options)


def test_without_the_package_of_clip_the_way_to_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"pip install 'whyact\[clip\]'"):
        prepare_clips(write_clips(tmp_path / "clips", 4), tmp_path / "run", Config(), progress=False)


def test_one_folder_under_two_names_is_not_seen_and_unseen(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 4)
    (clips / "alias").symlink_to(clips / "action b")
    with pytest.raises(UserError, match="action b and alias, which are one folder"):
        prepare_clips(clips, tmp_path / "run", Config(), progress=False)


def test_class_folders_are_trained_on_and_new_names_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    trees.add_tiny_clip(tmp_path)
    clips, run = write_clips(tmp_path / "clips", 4), tmp_path / "run"
    quick = {
        "backbone": trees.CLIP, "backbone_weights": "random", "epochs": 1, "frames": 4, "mix": 0.0, "calibration": 0.0,
        "graph": "false", "width": 24, "heads": 4, "grid": "[6,2,2]", "mixer": "none",
    }  # fmt: skip
    settings = [word for name, value in quick.items() for word in (f"--{name}", str(value))]
    assert main(["train", "locate-gat", "--videos", str(clips), "--out", str(run), *settings]) == 0
    captured = capsys.readouterr()
    assert f"locate-gat trained on {clips}" in captured.out
    assert "fold 1 learns from 2 classes" in captured.err
    video = trees.write_video(tmp_path / "new.mp4", frames=9)
    assert main(["predict", str(video), "--model", str(run), "--labels", "pouring coffee, action a"]) == 0
    assert "new.mp4" in capsys.readouterr().out
