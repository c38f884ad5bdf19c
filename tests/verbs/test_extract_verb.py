"""``whyact extract``, and what comes after it: train on the folder, predict from a video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import made_encoders
from made_videos import write_clip
from whyact.cli import main
from whyact.prediction import from_json


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyact.data.untrimmed.snippet_files.load_encoder", made_encoders.load)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for name, frames in (("a", 60), ("b", 40), ("c", 60)):
        write_clip(folder / f"{name}.mp4", frames)
    (folder / "bad.mp4").write_text("no video")
    return folder


def test_videos_become_a_folder_that_trains_and_predicts(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "features", tmp_path / "run"
    words = [
        "extract",
        str(films),
        "--out",
        str(out),
        "--weights",
        "random",
        "--clip",
        "none",
        "--snippet-seconds",
        "0.4",
    ]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["videos"], said["new"], list(said["broken"])) == (3, 3, ["bad"])
    assert said["encoders"] == {"s3d": "random"}
    assert "random weights" in said["note"]
    assert main(words) == 0
    assert "new       0" in capsys.readouterr().out

    (out / "labels.csv").write_text("name,labels\na,run\nb,jump\nc,run;jump\nbad,run\n")
    assert main(["data", "check", "folder", "--root", str(out), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["left_out"]) == ["bad"]
    train = ["train", "pvlr", "--data", "folder", "--root", str(out), "--out", str(run), "--text", "stand-in"]
    assert main([*train, "--train.iterations", "2", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["extra"]["recipe"]["encoders"] == [{"name": "s3d", "weights": "random", "sha256": ""}]
    assert "bad" in card["extra"]["note"]

    # After two iterations nothing stands out from what is beside it: the timeline may be empty, the proposals are not.
    extra = ["--all", "--vtt", str(tmp_path / "vtt"), "--activitynet", str(tmp_path / "an.json")]
    report = ["--report", str(tmp_path / "why.html")]
    assert main(["predict", str(films / "a.mp4"), "--model", str(run), *extra, *report, "--json"]) == 0
    (film,) = from_json(capsys.readouterr().out)
    assert main(["predict", str(out / "features" / "a.npy"), "--model", str(run), "--all", "--json"]) == 0
    (file,) = from_json(capsys.readouterr().out)
    assert (film.labels, film.curves, film.evidence) == (file.labels, file.curves, file.evidence)
    assert (film.video.frames_declared, film.video.duration, film.video.width) == (60, 2.4, 64)
    assert film.segments
    assert all(segment.end <= film.video.duration for segment in film.segments)
    assert (tmp_path / "vtt" / "a.vtt").read_text().startswith("WEBVTT")
    page = (tmp_path / "why.html").read_text()
    assert film.label in page
    assert "attention" in page
    found = json.loads((tmp_path / "an.json").read_text())["results"]["a"]
    assert found[0]["score"] == max(row["score"] for row in found)


def test_a_run_on_other_features_says_why_it_cannot_take_a_video(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "features").mkdir(parents=True)
    for name in "ab":
        np.save(tmp_path / "own" / "features" / f"{name}.npy", np.ones((5, 4), np.float32))
    (tmp_path / "own" / "labels.csv").write_text("name,labels\na,run\nb,jump\n")
    train = ["train", "pvlr", "--data", "folder", "--root", str(tmp_path / "own"), "--out", str(tmp_path / "run")]
    assert main([*train, "--text", "stand-in", "--clip", "none", "--train.iterations", "1"]) == 0
    capsys.readouterr()
    assert main(["predict", str(films / "a.mp4"), "--model", str(tmp_path / "run")]) == 2
    assert "whyact extract" in capsys.readouterr().err
    assert main(["predict", str(films / "absent.mp4"), "--model", str(tmp_path / "run")]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["{films}"], "--out"),
        (["{films}/none", "--out", "x"], "no such file"),
        (["{films}", "--out", "{films}/a.mp4"], "a folder"),
        (["{films}", "--out", "x", "--snippet-seconds", "0"], "0.04"),
        (["{films}", "--out", "x", "--encoder", "s3d,s3d,s3d"], "one encoder or two"),
        (["{films}", "--out", "x", "--encodr", "s3d"], "Did you mean --encoder"),
        (["{films}/bad.mp4", "--out", "{films}/x", "--clip", "none"], "at least one video that decodes"),
    ],
)
def test_mistakes_end_in_one_line(
    films: Path, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", *(word.format(films=films) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1
