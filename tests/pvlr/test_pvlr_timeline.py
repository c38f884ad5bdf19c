"""The timeline: clean by construction, its level chosen by labels alone, the ranked list behind --all."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import whyact
from whyact.cli import main
from whyact.data.types import FeatureSequence
from whyact.errors import UserError
from whyact.pvlr import task
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.inference import Curves, Detections, localise
from whyact.pvlr.timeline import SHARE, SHOWN, choose_level, scaled_scores, segments_of, timeline

CFG = InferenceConfig()


def detections(rows, classes=3):
    """Rows of label, start, end, score in 0..1."""
    label, start, end, score = (np.array(column) for column in zip(*rows, strict=True))
    return Detections(label.astype(np.intp), start.astype(float), end.astype(float), score, np.ones(classes) / 4)


rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1, 12), st.floats(0, 1)), min_size=1, max_size=40
)


@settings(deadline=None)
@given(rows, st.floats(0, 0.9))
def test_no_two_segments_of_a_class_overlap_and_all_reach_the_level(made, level):
    found = detections([(c, s, s + n, score) for c, s, n, score in made])
    scores, kept = scaled_scores(found, CFG), timeline(found, CFG, level)
    for place, i in enumerate(kept):
        assert scores[i] >= level
        for j in kept[:place]:
            assert scores[j] >= scores[i]
            if found.label[i] == found.label[j]:
                assert found.end[i] <= found.start[j] or found.start[i] >= found.end[j]
    for c in range(3):  # and nothing that could stand there is missing
        own = [i for i in kept if found.label[i] == c]
        best = max((scores[i] for i in range(len(scores)) if found.label[i] == c), default=0)
        assert bool(own) == (best > 0 and best >= level)
        for i in range(len(scores)):
            if found.label[i] == c and own and scores[i] >= max(level, SHARE * best) and scores[i] > 0:
                assert any(found.start[j] < found.end[i] and found.end[j] > found.start[i] for j in own)


def test_a_clear_video_reads_as_its_annotation():
    """Two stretches of one class on a quiet background, drawn through the proposals and soft-NMS of the method."""
    cas = np.full((200, 3), -5.0)
    cas[:, 2] = 5.0
    for start, end in ((40, 60), (120, 150)):
        cas[start:end, 0], cas[start:end, 2] = 20.0, -5.0
    cas += np.random.default_rng(0).normal(0, 0.3, cas.shape)
    attention = np.where(cas[:, 0] > 0, 0.9, 0.05)
    found = Curves(cas, np.full_like(cas, 0.1), attention)
    proposals = localise(found, CFG)
    kept = timeline(proposals, CFG)
    spans = sorted((proposals.start[i], proposals.end[i]) for i in kept if proposals.label[i] == 0)
    assert spans == [(40, 60), (120, 150)]
    assert len(proposals) > 10, "the ranked list has many more"
    segments = segments_of(found, proposals, kept, ("a", "b"), 2.0, CFG)
    assert {(s.start, s.end) for s in segments if s.label == "a"} == {(20.0, 30.0), (60.0, 75.0)}


def test_the_level_is_the_one_with_the_best_f1_on_labels():
    rng = np.random.default_rng(1)
    labels = (rng.random((30, 3)) < 0.4).astype(np.float32)
    best = np.clip(0.4 + 0.3 * labels + rng.normal(0, 0.15, labels.shape), 0.01, 0.99)
    found = [detections([(c, 0, 5, v) for c, v in enumerate(row)] + [(0, 7, 9, row[0] / 2)]) for row in best]
    level = choose_level(found, labels, CFG)

    def f1(threshold):
        said = best >= threshold
        return 2 * (said & (labels > 0)).sum() / (said.sum() + (labels > 0).sum())

    assert f1(level) == pytest.approx(max(f1(t) for t in best.flatten()))


def test_a_level_without_any_right_segment_is_none():
    assert choose_level([detections([(0, 0, 5, 0.5)])], np.array([[0, 1, 0]], np.float32), CFG) == 0.0


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, 120])
def test_segments_that_an_answer_does_not_list_are_counted(run, count, monkeypatch):
    """A video of many equal repetitions: the timeline has them all, and the answer says how many it leaves out."""
    start = np.arange(count) * 4.0
    loaded = task.load(run)
    probability = np.full(len(loaded.classes), 0.1)
    many = Detections(np.zeros(count, np.intp), start, start + 2, np.full(count, 0.9), probability)
    assert timeline(many, CFG) == list(range(count))
    monkeypatch.setattr(task, "localise", lambda found, cfg: many)
    video = FeatureSequence("v", np.ones((4 * count, 128), np.float32), np.arange(4.0 * count), 1.0)
    answer = task.predict_sequence(loaded, video)
    assert len(answer.segments) == SHOWN
    notes = [note for note in answer.notes if "with the highest scores are listed" in note]
    assert notes == (
        [f"Of {count} such segments the {SHOWN} with the highest scores are listed."] if count > SHOWN else []
    )


CONFIG = replace(task.PRESETS["default"], train=replace(task.PRESETS["default"].train, iterations=25))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pvlr") / "run"
    task.train("synthetic", None, folder, config=CONFIG, fold=7, seed=3, progress=False)
    return folder


def test_predict_gives_a_timeline_and_all_gives_the_ranked_list(run, capsys):
    model = whyact.load(run)
    clean = model.predict("test_0001", data="synthetic")[0]
    everything = model.predict("test_0001", data="synthetic", all=True)[0]
    assert 0 < model.card["extra"]["segment_level"] < 1
    for i, one in enumerate(clean.segments):
        for other in clean.segments[:i]:
            assert one.label != other.label or one.end <= other.start or one.start >= other.end
    scores = [segment.score for segment in everything.segments]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > len(clean.segments)
    assert any(f"All {len(scores)} proposals" in note for note in clean.notes)
    assert not any("--all" in note for note in everything.notes)
    words = ["predict", "test_0001", "--model", str(run), "--data", "synthetic"]
    assert main([*words, "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["segments"]) == len(scores)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("test_0001: ")
    times = [float(re.match(r"  ([\d.]+)", line)[1]) for line in lines[1 : 1 + len(clean.segments)]]
    assert times == sorted(s.start for s in clean.segments)


def test_a_run_of_an_older_version_has_the_stated_default(run):
    loaded = task.load(run)
    loaded.card["extra"].pop("segment_level")
    prediction = task.predict(loaded, ["test_0001"], data="synthetic")[0]
    assert prediction.segments
    assert any("half of the best of that action." in note for note in prediction.notes)


def test_naming_a_video_reads_its_files_alone(run, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "features").mkdir()
    (tmp_path / "labels.csv").write_text("name,labels\na,run\nb,jump\nc,run;jump\n")
    for name in "ac":
        np.save(tmp_path / "features" / f"{name}.npy", rng.normal(size=(20, 128)).astype(np.float32))
    (tmp_path / "features" / "b.npy").write_bytes(b"no array: whoever opens it fails")
    model = whyact.load(run)
    answers = model.predict("c", "a", data="folder", root=str(tmp_path))
    assert [answer.id for answer in answers] == ["c", "a"]
    assert answers[0].video.path == "c"
    with pytest.raises(UserError, match=r"b\.npy"):
        model.predict("b", data="folder", root=str(tmp_path))
    with pytest.raises(UserError, match="nobody"):
        model.predict("nobody", data="folder", root=str(tmp_path))
