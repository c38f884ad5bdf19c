"""From a folder of long videos with labels to a run that says when: generated films, class folders or a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import whyact
from made_encoders import MeanColour
from whyact.cli import main
from whyact.errors import UserError
from whyact.pvlr import own_videos
from whyact.video.write import write_video

FPS = 8
COLOURS = {"wave": (220, 40, 40), "jump": (40, 40, 220)}
QUICK = {"train.iterations": 100, "text": "stand-in"}


def film(path: Path, label: str, seed: int, seconds: float = 14.0, start: float = 5.0, lasts: float = 4.0) -> Path:
    """Film a grey room in which one colour shows for a while: the action."""
    random = np.random.default_rng(seed)
    room = np.kron(random.integers(90, 160, (4, 4, 1)), np.ones((8, 8, 3))).astype(np.uint8)
    images = []
    for i in range(round(seconds * FPS)):
        image = room.copy()
        if start <= i / FPS < start + lasts:
            image[4:28, 4:28] = COLOURS[label]
        images.append(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, images, FPS)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films") / "videos"
    for i in range(12):
        label = ("wave", "jump")[i % 2]
        film(root / label / f"{i}.mp4", label, i, start=2 + i % 5)
    return root


@pytest.fixture(autouse=True)
def no_network_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    files = "whyact.data.untrimmed.snippet_files"
    monkeypatch.setattr(f"{files}.LiteSnippets", lambda network, device: MeanColour())
    for name in ("build_network", "load_torch"):
        monkeypatch.setattr(f"{files}.{name}", lambda given: None)
    monkeypatch.setattr(f"{files}.weights_file", lambda: None)
    monkeypatch.setattr(own_videos, "find_spec", lambda name: name)


def test_one_command_leads_to_a_run_that_says_when(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "when"
    settings = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]
    assert main(["train", "pvlr", "--videos", str(videos), "--out", str(out), *settings]) == 0
    said = capsys.readouterr()
    assert f"pvlr trained on {videos}" in said.out
    assert "classification_mAP" in said.out
    with open(tmp_path / "runs" / "when-data" / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"]: row["labels"] for row in rows} == {
        f"{label}/{i}": label for i in range(12) for label in ["wave" if i % 2 == 0 else "jump"]
    }
    tested = {row["name"] for row in rows if row["subset"] == "test"}
    assert {name.split("/")[0] for name in tested} == {"wave", "jump"}
    new = film(tmp_path / "new.mp4", "jump", 99, start=7)
    assert main(["predict", str(new), "--model", str(out), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["labels"][0]["label"] == "jump"
    assert answer["provenance"]["trained_on"] == "videos"
    best = max((s for s in answer["segments"] if s["label"] == "jump"), key=lambda s: s["score"])
    assert min(best["end"], 11) - max(best["start"], 7) > 2, "the segment is where the colour is"


def test_times_in_a_table_serve_the_evaluation_alone(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "films.csv"
    lines = [
        f"{path},{path.parent.name},{2 + int(path.stem) % 5},{6 + int(path.stem) % 5}"
        for path in sorted(videos.rglob("*.mp4"))
    ]
    lines += [lines[0], f"{videos / 'wave' / '0.mp4'},wave,9,99", f"{videos / 'wave' / '0.mp4'},jump,50,60"]
    table.write_text("\n".join(["file,label,start,end", *lines]) + "\n")
    model = whyact.train("pvlr", videos=table, out=tmp_path / "run", config=QUICK, fold=2)
    said = capsys.readouterr().err
    assert "1 rows are there twice and count once: line 14" in said
    assert "1 clips name times at which their video shows nothing; dropped: 0.mp4 50 s to 60 s" in said
    assert "1 clips end after their video, and are cut there: 0.mp4 9 s to 99 s" in said
    written = json.loads((tmp_path / "run-data" / "annotations.json").read_text())["database"]
    spans = [{"segment": [2.0, 6.0], "label": "wave"}, {"segment": [9.0, 14.0], "label": "wave"}]
    assert written["wave/0"]["annotations"] == spans
    assert {one["subset"] for one in written.values()} == {"training", "test"}
    assert model.evaluate()["classification_mAP"] >= 0  # finds the data beside the run


def test_a_video_with_several_labels_has_several_rows(videos: Path, tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    lines = [f"{path},{path.parent.name},{path.stem}" for path in sorted(videos.rglob("*.mp4"))]
    lines.append(f"{videos / 'wave' / '0.mp4'},jump,0")
    table.write_text("\n".join(["file,label,group", *lines]) + "\n")
    config = own_videos.Config()
    made = own_videos.prepare_clips(table, tmp_path / "run", config, progress=False)
    text = (made.root / "labels.csv").read_text()
    assert "wave/0,wave;jump," in text
    assert made.data == "folder"
    again = own_videos.prepare_clips(table, tmp_path / "run", config, progress=False)
    assert again.root == made.root, "what was stopped goes on"
    with pytest.raises(UserError, match="--data folder --root"):
        own_videos.prepare_clips(table, tmp_path / "run", config, fold=2, progress=False)
    own_videos.prepare_clips(table, tmp_path / "run", config, fold=2, replace_data=True, progress=False)
    assert (made.root / "labels.csv").read_text() != text


def test_films_of_one_group_are_on_one_side(videos: Path, tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    lines = [f"{path},{path.parent.name},film{int(path.stem) // 4}" for path in sorted(videos.rglob("*.mp4"))]
    table.write_text("\n".join(["file,label,group", *lines]) + "\n")
    for fold in (1, 2, 3):
        made = own_videos.prepare_clips(table, tmp_path / f"run{fold}", own_videos.Config(), fold=fold, progress=False)
        with open(made.root / "labels.csv", newline="") as file:
            sides = {(int(row["name"].split("/")[1]) // 4, row["subset"]) for row in csv.DictReader(file)}
        assert len(sides) == 3, "each group is on one side"
    with pytest.raises(UserError, match="1 to 3"):
        own_videos.prepare_clips(table, tmp_path / "run4", own_videos.Config(), fold=4, progress=False)


def test_what_must_end_in_nothing_ends_before_the_work(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(place: Path, **options: object) -> None:
        own_videos.prepare_clips(place, tmp_path / "run", own_videos.Config(), progress=False, **options)

    monkeypatch.setattr(own_videos, "extract", lambda *given: pytest.fail("videos were encoded"))
    for i in range(4):
        label = ("wave", "jump")[i % 2]
        film(tmp_path / "short" / label / f"{i}.mp4", label, i, seconds=2)
        film(tmp_path / "one" / "wave" / f"{i}.mp4", "wave", i)
    with pytest.raises(UserError, match=r"untrimmed videos.*train laiar"):
        ask(tmp_path / "short")
    with pytest.raises(UserError, match="two classes"):
        ask(tmp_path / "one")
    with pytest.raises(UserError, match="whole frames"):
        ask(videos, things=tmp_path / "things.json")
    monkeypatch.setattr(own_videos, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'whyact\[lite\]'"):
        ask(videos)
    assert not (tmp_path / "run-data").exists()
