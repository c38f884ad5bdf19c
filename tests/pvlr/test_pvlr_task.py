"""Train, evaluate and predict: what a user gets and what a user's mistake gets."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import whyact
from whyact.cli import main
from whyact.data.datasets import load_features, names_for
from whyact.data.untrimmed import gym
from whyact.data.untrimmed.activitynet import read_predictions
from whyact.errors import PartialFailure, UserError
from whyact.prediction import from_json, to_json
from whyact.pvlr import task
from whyact.pvlr.config import PRESETS, of_run
from whyact.pvlr.evidence import Removed
from whyact.pvlr.inference import curves, softmax, suppressed, video_logits
from whyact.report.webvtt import to_webvtt
from whyact.wording import sort_evidence

CONFIG = replace(task.PRESETS["default"], train=replace(task.PRESETS["default"].train, iterations=25))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pvlr") / "run"
    card = task.train("synthetic", None, folder, config=CONFIG, fold=7, seed=3, progress=False)
    return folder, card


def test_training_writes_a_run_that_evaluates_as_its_card_says(run):
    folder, card = run
    found = task.evaluate(folder, "synthetic", None, progress=False)
    assert found["avg_mAP"] == pytest.approx(card["metrics"]["avg_mAP"])
    assert found["videos"] == 30
    assert set(found["mAP"]) == {"0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"}
    assert card["extra"]["note"].startswith("generated")
    assert not any("tower" in name for name in task.load_checkpoint(folder).tensors)


def test_a_prediction_says_when_how_sure_and_why(run):
    folder, _ = run
    prediction = whyact.load(folder).predict("test_0001", data="synthetic")[0]
    assert from_json(to_json([prediction])) == [prediction]
    assert prediction.label in load_features("synthetic", None, 7).classes
    assert sum(label.score for label in prediction.labels) < 1
    assert prediction.segments
    for segment in prediction.segments:
        assert 0 <= segment.start < segment.end <= prediction.video.duration + 1e-9
        assert 0 < segment.score <= 1
        assert min(segment.interval) > 0
    assert {curve.name for curve in prediction.curves} >= {"attention", prediction.segments[0].label}
    band = prediction.curves[1]
    assert all(low <= value <= high for low, value, high in zip(band.lower, band.values, band.upper, strict=True))


def test_the_evidence_of_the_best_segment_comes_first_and_names_its_class(run):
    folder, _ = run
    prediction = whyact.load(folder).predict("test_0001", data="synthetic")[0]
    first = sort_evidence(prediction)[0]
    best = prediction.segments[0]
    assert best.score == max(segment.score for segment in prediction.segments)
    assert (first.rank, first.action) == (1, best.label)
    assert best.start - 1e-6 <= first.start < first.end <= best.end + 1e-6


def test_a_contribution_is_what_removing_the_snippets_costs(run):
    folder, _ = run
    prediction = whyact.load(folder).predict("test_0001", data="synthetic")[0]
    loaded = task.load(folder)
    video = next(v for v in load_features("synthetic", None, 7).test if v.id == "test_0001")
    scores = {label.label: label.score for label in prediction.labels}
    cfg = loaded.config.inference
    for evidence in prediction.evidence[:6]:
        left = Removed(video.features, round(evidence.start * video.rate), round(evidence.end * video.rate))
        if not len(left):
            continue
        again = softmax(video_logits(suppressed(curves(loaded.model, left, loaded.text), cfg), cfg))
        without = again[loaded.classes.index(evidence.label)]
        assert evidence.contribution == pytest.approx(scores[evidence.label] - without, abs=1e-6)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return str(path)


def test_a_feature_file_is_an_input_and_one_snippet_is_enough(run, tmp_path):
    folder, _ = run
    (tmp_path / "features.json").write_text('{"snippet_seconds": 0.5}')
    name = save(tmp_path / "features" / "one.npy", np.random.default_rng(0).normal(size=(1, 128)).astype(np.float32))
    prediction = whyact.load(folder).predict(name)[0]
    assert prediction.video.duration == 0.5
    assert len(prediction.video.sha256) == 64


def test_subtitles_are_written_and_escaped(run, tmp_path):
    folder, _ = run
    prediction = whyact.load(folder).predict("test_0000", data="synthetic", vtt=str(tmp_path / "new"))[0]
    text = (tmp_path / "new" / "test_0000.vtt").read_text()
    assert text == to_webvtt(prediction)
    cues = text.split("\n\n")
    assert cues[0] == "WEBVTT"
    assert len(cues) == 1 + len(prediction.segments)
    prediction.segments[0].label = "a<b> --> & c"
    assert "a&lt;b&gt; –&gt; &amp; c" in to_webvtt(prediction)


@pytest.mark.parametrize("name", ["vtt", "activitynet"])
def test_a_place_closed_to_us_is_refused_before_the_work(run, tmp_path, monkeypatch, name):
    folder, _ = run
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "locked")
    monkeypatch.setattr("whyact.pvlr.load", None)
    options = {"data": "synthetic", name: str(tmp_path / "locked" / "new")}
    with pytest.raises(UserError, match=f"{name}: .*a place that can be written to"):
        whyact.load(folder).predict("test_0000", **options)


def test_subtitle_times_carry_over_minutes(run):
    folder, _ = run
    prediction = whyact.load(folder).predict("test_0000", data="synthetic")[0]
    segment = prediction.segments[0]
    segment.start, segment.end = 59.9996, 3661.25
    assert "00:01:00.000 --> 01:01:01.250" in to_webvtt(prediction)


def test_mistakes_are_named(run, tmp_path):
    folder, _ = run
    wide = save(tmp_path / "wide.npy", np.zeros((3, 9), np.float32))
    broken = save(tmp_path / "nan.npy", np.full((3, 128), np.nan, np.float32))
    for name, message in ((wide, "width 9"), (broken, "snippet 0"), ("film.mp4", "no such file"), ("who", "data")):
        with pytest.raises(UserError, match=message):
            whyact.load(folder).predict(name)
    with pytest.raises(UserError, match=r"one of thumos14.*synthetic"):
        task.train("nonsense", None, tmp_path / "x", config=CONFIG, progress=False)
    with pytest.raises(UserError, match="root"):
        task.train("gym", None, tmp_path / "x", config=CONFIG, progress=False)
    assert not (tmp_path / "x").exists()


def test_a_bad_input_does_not_cost_the_answers_about_the_others(run, tmp_path):
    folder, _ = run
    good = save(tmp_path / "good.npy", np.zeros((3, 128), np.float32))
    out = {"activitynet": str(tmp_path / "found.json")}
    with pytest.raises(PartialFailure) as caught:
        whyact.load(folder).predict(good, str(tmp_path / "absent.npy"), **out)
    assert [prediction.id for prediction in caught.value.done] == ["good"]
    assert (tmp_path / "found.json").is_file()


def test_inputs_of_one_stem_are_two_answers(run, tmp_path):
    folder, _ = run
    rng = np.random.default_rng(5)
    paths = [save(tmp_path / name / "clip.npy", rng.normal(size=(30, 128)).astype(np.float32)) for name in ("d1", "d2")]
    out, file = tmp_path / "out", tmp_path / "an.json"
    assert main(["predict", *paths, "--model", str(folder), "--vtt", str(out), "--activitynet", str(file)]) == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.vtt")) == ["d1/clip.vtt", "d2/clip.vtt"]
    assert list(read_predictions(file)) == ["d1/clip", "d2/clip"]
    answers = whyact.load(folder).predict(*paths)
    assert [answer.id for answer in answers] == ["d1/clip", "d2/clip"]
    assert [answer.video.path for answer in answers] == paths
    assert whyact.load(folder).predict(paths[0])[0].id == "clip"


def test_training_starts_from_another_run(run, tmp_path):
    folder, _ = run
    none = replace(CONFIG, start=str(folder), train=replace(CONFIG.train, iterations=0))
    task.train("synthetic", None, tmp_path / "again", config=none, fold=7, seed=9, progress=False)
    one, two = task.load_checkpoint(folder).tensors, task.load_checkpoint(tmp_path / "again").tensors
    assert all(torch.equal(one[name], two[name]) for name in one)
    wide = replace(none, model=replace(none.model, hidden=16))
    with pytest.raises(UserError, match="same sizes"):
        task.train("synthetic", None, tmp_path / "wide", config=wide, fold=7, progress=False)
    assert not (tmp_path / "wide").exists()


def test_evidence_of_a_long_video_is_bounded_and_said(run, monkeypatch):
    folder, _ = run
    monkeypatch.setattr(task, "EXPLAINED", (10, 10))
    prediction = whyact.load(folder).predict("test_0001", data="synthetic")[0]
    assert {evidence.rank for evidence in prediction.evidence} == {1}
    assert any("video is long" in note for note in prediction.notes) == (len(prediction.segments) > 1)


def own_data(tmp_path, labels="a,run\nb,jump\nc,run\nd,jump;run\n", widths=(6,)):
    names = ("features",) if len(widths) == 1 else ("rgb", "flow")
    rng = np.random.default_rng(0)
    for video in "abcd":
        for name, width in zip(names, widths, strict=True):
            save(tmp_path / name / f"{video}.npy", rng.normal(size=(15, width)).astype(np.float32))
    (tmp_path / "labels.csv").write_text("name,labels\n" + labels)
    return tmp_path


@pytest.mark.parametrize("widths", [(6,), (6, 4)])
def test_own_features_train_and_predict(tmp_path, widths):
    root = own_data(tmp_path / "data", widths=widths)
    config = replace(CONFIG, text="stand-in", clip="none", train=replace(CONFIG.train, iterations=2))
    card = task.train("folder", root, tmp_path / "run", config=config, progress=False)
    assert card["extra"]["classes"] == ["jump", "run"]
    assert card["metrics"] == {}
    prediction = whyact.load(tmp_path / "run").predict("a", data="folder", root=str(root))[0]
    assert prediction.target == "run"
    with pytest.raises(UserError, match="segments"):
        task.evaluate(tmp_path / "run", "folder", root)


def test_another_class_list_is_refused(tmp_path):
    config = replace(CONFIG, text="stand-in", clip="none", train=replace(CONFIG.train, iterations=1))
    task.train("folder", own_data(tmp_path / "one"), tmp_path / "run", config=config, progress=False)
    other = own_data(tmp_path / "two", labels="a,run\nb,swim\n")
    with pytest.raises(UserError, match="swim"):
        task.evaluate(tmp_path / "run", "folder", other)


def test_a_composition_with_snippets_that_the_run_was_trained_on_is_refused(tmp_path):
    """Every composition splits the clips anew, so another one tests on clips of this one's training part."""
    rng = np.random.default_rng(0)
    labels = [name for name in ("squat", "plank", *gym.BACKGROUND) for _ in range(4)]
    rows, lengths = rng.normal(size=(6 * len(labels), 16)), [6] * len(labels)
    names = [f"c{i}" for i in range(len(labels))]
    np.savez(tmp_path / gym.FILE, features=rows, lengths=lengths, clip=names, label=labels)
    config = replace(CONFIG, text="stand-in", clip="none", train=replace(CONFIG.train, iterations=1))
    card = task.train("gym", tmp_path, tmp_path / "run", config=config, fold=1, progress=False)
    own = task.evaluate(tmp_path / "run", "gym", tmp_path)
    assert own["avg_mAP"] == pytest.approx(card["metrics"]["avg_mAP"])
    with pytest.raises(UserError, match=r"gym, fold 2: found 30 of 30 test videos .* --fold 1"):
        task.evaluate(tmp_path / "run", "gym", tmp_path, fold=2)


def test_another_world_has_nothing_that_the_run_was_trained_on(run):
    folder, _ = run
    assert task.evaluate(folder, "synthetic", None, fold=8)["videos"] == 30


def test_a_video_that_was_moved_to_the_test_part_after_the_training_is_refused(tmp_path):
    """By its features, whatever it is called now; more test videos, which the run never saw, are welcome."""
    rng = np.random.default_rng(0)
    (tmp_path / "features").mkdir()
    database = {}

    def write(name, subset, features):
        np.save(tmp_path / "features" / f"{name}.npy", features)
        spans = [{"segment": [0.5, 3.0], "label": ("run", "jump")[len(database) % 2]}]
        database[name] = {"subset": subset, "duration": 7.0, "annotations": spans}
        (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))

    trained = [rng.normal(size=(11, 8)).astype(np.float32) for _ in range(4)]
    for i, features in enumerate(trained):
        write(f"v{i}", "training", features)
    write("t0", "validation", rng.normal(size=(11, 8)).astype(np.float32))
    config = replace(CONFIG, text="stand-in", clip="none", train=replace(CONFIG.train, iterations=1))
    task.train("folder", tmp_path, tmp_path / "run", config=config, progress=False)
    write("t1", "validation", rng.normal(size=(11, 8)).astype(np.float32))
    assert task.evaluate(tmp_path / "run", "folder", tmp_path)["videos"] == 2
    write("renamed", "validation", trained[2])
    with pytest.raises(UserError, match=r"1 of 3 test videos that the run was trained on.*renamed"):
        task.evaluate(tmp_path / "run", "folder", tmp_path)


def test_every_data_name_has_a_reader():
    assert set(names_for("pvlr")) == {"synthetic", "gym", "thumos14", "activitynet-1.2", "activitynet-1.3", "folder"}


def test_a_run_from_before_products_keeps_the_sums_its_level_was_chosen_with():
    saved = msgspec.to_builtins(PRESETS["default"])
    assert of_run(saved) == PRESETS["default"]
    del saved["inference"]["scoring"]
    assert of_run(saved).inference.scoring == "sum"
    del saved["inference"]
    assert of_run(saved).inference.scoring == "sum"


def test_presets_differ_in_every_repair():
    default, official = task.PRESETS["default"], task.PRESETS["official"]
    assert official.loss.inner > official.loss.outer
    assert official.model.variance == "relu"
    assert (official.train.learning_rate, official.train.snippets, official.model.samples) == (5e-5, 320, 20)
    assert (official.loss.distillation, official.loss.intra_action, official.model.noise) == (200, 0.005, 0.005)
    assert default.loss.valid_rings
    scoring = {name: preset.inference.scoring for name, preset in task.PRESETS.items()}
    assert scoring == {name: "sum" if name.startswith("official") else "product" for name in scoring}
    assert task.PRESETS["official-activitynet"].loss.inter == 0


def test_missing_clip_features_never_switch_the_distillation_off_silently(tmp_path):
    root = own_data(tmp_path / "data")
    config = replace(CONFIG, text="stand-in", train=replace(CONFIG.train, iterations=1))
    with pytest.raises(UserError, match=r"clip: found no CLIP features for 4 of 4 training.*clip none"):
        task.train("folder", root, tmp_path / "run", config=config, progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="text clip reads the class names"):
        task.train("folder", root, tmp_path / "run", config=replace(config, text="clip", clip="none"), progress=False)
    task.train("folder", root, tmp_path / "run", config=replace(config, clip="none"), progress=False)
    assert task.load(tmp_path / "run").config.loss.distillation == 0
    (root / "clip").mkdir()
    for name in "abc":  # the fourth is missing
        rows = len(np.load(root / "features" / f"{name}.npy"))
        np.save(root / "clip" / f"{name}.npy", np.ones((rows + 3, 64), np.float32))  # some at the end are cut off
    with pytest.raises(UserError, match=r"clip/d\.npy"):
        task.train("folder", root, tmp_path / "other", config=config, progress=False)
