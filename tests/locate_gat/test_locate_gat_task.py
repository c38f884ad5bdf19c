"""The task as the verbs call it, and its evidence checked by doing the removals again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import whyact
from made_videos import write_clip
from whyact.data.datasets import load_zero_shot
from whyact.data.types import ZeroShotOptions
from whyact.data.zero_shot.types import ZeroShotData
from whyact.errors import UserError
from whyact.locate_gat import evidence as why
from whyact.locate_gat import task
from whyact.locate_gat.config import PRESETS
from whyact.prediction import from_json, to_json
from whyact.training.checkpoint import load_checkpoint, save_checkpoint

TINY = replace(PRESETS["synthetic"], epochs=1, gat_steps=3, gat_hidden=8, mixer="none", mix=0.4, calibration=0.2)
CLIP = "temporal-31-02"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "synthetic"
    task.train("synthetic", None, folder, config=TINY, progress=False)
    return folder


def predict(run: Path, **options: str) -> list:
    return whyact.load(run).predict(CLIP, **{"data": "synthetic", **options})


def test_the_card_says_what_the_run_is(run: Path) -> None:
    loaded = task.load(run)
    model, others, card = loaded.model, loaded.others, loaded.card
    assert (card["method"], card["data"], card["seed"]) == ("locate-gat", "synthetic", 0)
    assert card["extra"]["parameters"] == task.parameters(model)
    assert others.shape == (10, 128)
    assert model.mix == pytest.approx(0.4)


def test_evaluation_repeats_what_training_measured(run: Path) -> None:
    measured = task.evaluate(run, "synthetic", None, progress=False)
    card = task.load(run).card
    for name in ("zsl_top1", "gzsl_h", "gzsl_seen"):
        assert measured[name] == pytest.approx(card["metrics"][name])
    assert measured["unseen_videos"] == 120
    with pytest.raises(UserError, match="the split it was trained on"):
        task.evaluate(run, "synthetic-appearance", None, fold=2, progress=False)


def test_answers_are_probabilities_over_the_labels_and_travel_as_json(run: Path) -> None:
    answers = predict(run)
    assert from_json(to_json(answers)) == answers
    assert sorted(score.label for score in answers[0].labels) == [f"temporal action 0.{c}" for c in range(30, 40)]
    assert sum(score.score for score in answers[0].labels) == pytest.approx(1, abs=1e-5)
    assert answers[0].target == "temporal action 0.31"
    assert answers[0].provenance.prompt == "{}"


def test_an_answer_says_what_stood_for_each_label_and_what_the_graph_changed(run: Path) -> None:
    answer = predict(run)[0]
    assert answer.provenance.prompts == {name.label: name.label for name in answer.labels}
    shares, moved = answer.tables
    best = shares.rows[0]
    assert best[0] == answer.label
    for _, text, graph, score in shares.rows:
        assert text + graph == pytest.approx(score, abs=2e-3)
    assert [row[2] for row in moved.rows] == sorted(row[2] for row in moved.rows)
    order = [score.label for score in answer.labels]
    for name, before, after in moved.rows:
        assert before != after
        assert order[after - 1] == name
    neighbours = [e for e in answer.evidence if e.kind == "neighbour"]
    assert neighbours
    assert {e.label for e in neighbours} <= {f"temporal action 0.{c:02d}" for c in range(30)}


def test_a_killed_training_leaves_its_state_and_a_finished_one_does_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(task, "measures", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            task.train("synthetic", None, out, config=TINY, progress=False)
    assert sorted(path.name for path in (out / "state").iterdir()) == ["history.csv", "stage1", "stage2"]
    task.train("synthetic", None, out, config=TINY, progress=False)
    assert not (out / "state").exists()
    first, second = task.load(run), task.load(out)
    assert first.sha256 == second.sha256, "the resumed run has the bits of the one that was never interrupted"


def test_labels_restrict_the_answer_whatever_their_order(run: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("temporal action 0.33\ntemporal action 0.02\n\ntemporal action 0.31\n")
    from_file = predict(run, labels=str(tmp_path / "labels.txt"))[0]
    from_words = predict(run, labels="temporal action 0.31, temporal action 0.33, temporal action 0.02")[0]
    assert {s.label for s in from_file.labels} == {
        "temporal action 0.31",
        "temporal action 0.33",
        "temporal action 0.02",
    }
    scores = [{s.label: s.score for s in answer.labels} for answer in (from_file, from_words)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"labels": "temporal action 0.31, Temporal Action 0.31"}, "one spelling"),
        ({"labels": " , "}, "at least one"),
        ({"labels": "juggling knives"}, "juggling knives"),
        ({"evidence": "many"}, "evidence"),
        ({"data": "gymnastics"}, "data"),
    ],
)
def test_bad_options_are_named(run: Path, options: dict[str, str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        predict(run, **options)


def test_bad_inputs_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a clip's name"):
        whyact.load(run).predict("nobody", data="synthetic")
    np.save(tmp_path / "narrow.npy", np.ones((4, 7), np.float32))
    with pytest.raises(UserError, match="width 7"):
        whyact.load(run).predict(str(tmp_path / "narrow.npy"))
    np.save(tmp_path / "empty.npy", np.ones((0, 128), np.float32))
    with pytest.raises(UserError, match="finite features"):
        whyact.load(run).predict(str(tmp_path / "empty.npy"))
    write_clip(tmp_path / "video.mp4", 10)
    with pytest.raises(UserError, match="trained on features"):
        whyact.load(run).predict(str(tmp_path / "video.mp4"))
    with pytest.raises(UserError, match="preset synthetic"):
        task.train("synthetic", None, tmp_path / "out", config=PRESETS["default"], progress=False)
    assert not (tmp_path / "out").exists()


def test_feature_files_are_answered(run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones((1, 128), np.float32))
    answer = whyact.load(run).predict(str(tmp_path / "one.npy"))[0]
    assert not [e for e in answer.evidence if e.kind == "frame"]
    assert any("none to leave out" in note for note in answer.notes)


def test_times_of_a_feature_file_are_seconds_where_anybody_says_how_far_apart_its_rows_are(
    run: Path, tmp_path: Path
) -> None:
    """Its own features.json says it, else the run, trained on features as far apart; else a note says so."""
    loaded = whyact.load(run)
    clip = load_zero_shot("synthetic", None, 1, ZeroShotOptions())[0].videos[0]
    folder = tmp_path / "mine" / "features"
    folder.mkdir(parents=True)
    np.save(folder / "clip.npy", clip.features)
    name, note = str(folder / "clip.npy"), "Times are row numbers"

    def answered(model: whyact.Model) -> tuple[list[float], float, bool]:
        (answer,) = model.predict(name)
        times = sorted({e.start for e in answer.evidence if e.kind == "frame"} | set(answer.curves[0].times))
        return times, answer.video.duration, any(note in line for line in answer.notes)

    own = sorted(loaded.predict(clip.id, data="synthetic")[0].curves[0].times)
    length = len(clip.features)
    assert answered(loaded) == (pytest.approx(own), pytest.approx(length / clip.rate), False)
    old = shutil.copytree(run, tmp_path / "old")
    card = json.loads((old / "card.json").read_text())
    assert card["extra"].pop("frame_seconds") == pytest.approx(1 / clip.rate)
    save_checkpoint(old, load_checkpoint(run).tensors, load_checkpoint(run).config, card)
    rows = [round(time * clip.rate) for time in own]
    assert answered(whyact.load(old)) == (rows, 0.0, True)
    (tmp_path / "mine" / "features.json").write_text('{"snippet_seconds": 2.5}')
    for model in (loaded, whyact.load(old)):
        assert answered(model) == (pytest.approx([2.5 * row for row in rows]), 2.5 * length, False)


@pytest.mark.parametrize("seed", [0, 3])
def test_videos_that_came_or_went_since_the_training_move_none_that_it_saw_to_the_test(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is held out was drawn among the videos of that day; the run remembers it."""
    whole, split = load_zero_shot("synthetic", None, 1, ZeroShotOptions())
    seen = [i for i, v in enumerate(whole.videos) if whole.classes[v.target[0]] in split.seen]
    rest = [v for i, v in enumerate(whole.videos) if i not in seen]
    few = replace(whole, videos=tuple([whole.videos[i] for i in seen if i % 3] + rest))
    gone = replace(whole, videos=tuple([whole.videos[i] for i in seen if i % 3 != 1] + rest))
    trained: list[str] = []
    fit = task.fit_split

    def spied(data: ZeroShotData, *args: object, **options: object) -> object:
        fitted = fit(data, *args, **options)  # type: ignore[arg-type]
        trained.extend(data.videos[int(i)].id for i in fitted[0].part.train)
        held.extend(data.videos[int(i)].id for i in fitted[0].part.seen_test)
        return fitted

    held: list[str] = []
    monkeypatch.setattr(task, "fit_split", spied)
    monkeypatch.setattr(task, "load_zero_shot", lambda *args: (few, split))
    task.train("synthetic", None, tmp_path / "run", config=TINY, seed=seed, progress=False)
    for data in (few, whole, gone):
        monkeypatch.setattr(task, "load_zero_shot", lambda *args, data=data: (data, split))
        evaluation = task.open_evaluation((tmp_path / "run", "synthetic", None, None))
        assert not set(evaluation.names) & set(trained)
        here = {video.id for video in data.videos} & set(held)
        assert set(evaluation.names) & set(held) == here
        assert len(evaluation.names) == len(here) + sum(whole.classes[v.target[0]] in split.unseen for v in rest)
        assert evaluation.facts.get("held_out_missing", 0) == len(held) - len(here)
    saved = load_checkpoint(tmp_path / "run")
    saved.card["extra"].pop("held_out_sums")
    save_checkpoint(tmp_path / "old", saved.tensors, saved.config, saved.card)
    for data, told in ((few, False), (whole, True)):
        monkeypatch.setattr(task, "load_zero_shot", lambda *args, data=data: (data, split))
        facts = task.open_evaluation((tmp_path / "old", "synthetic", None, None)).facts
        assert ("may have been trained on" in facts.get("warning", "")) == told, "a run from before that list"


@pytest.fixture(scope="module")
def found(run: Path) -> tuple:
    loaded = task.load(run)
    known, model, others = loaded.known, loaded.model, loaded.others
    names = (*known.unseen, known.seen[0])
    rows = torch.tensor([*range(30, 40), 0])
    frames = torch.randn(1, 8, 128, generator=torch.Generator().manual_seed(0))
    source = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    candidates = why.Candidates(names, rows, others)
    return known, model, why.answer(model, frames[:, source * 2], source, candidates)


def test_frame_contributions_are_exact_removals(found: tuple) -> None:
    _, model, answer = found
    contributions = why.frame_contributions(model, answer)
    assert set(contributions) == {0, 1, 2, 3}
    for row, value in contributions.items():
        keep = torch.from_numpy(answer.source != row)
        # the frames left, at their own positions, in a block that never had the others
        block = model.encoder
        x = block.project(answer.frames[:, keep]) + block.positions[:, keep]
        y = block.norm1(x)
        video = torch.nn.functional.normalize((x + block.attention(y, y, y, need_weights=False)[0]).mean(1), dim=1)
        left = why.probabilities(model, video, answer.candidates)[0, answer.best]
        assert value == pytest.approx(float(answer.probabilities[answer.best] - left), abs=1e-5)


def test_neighbours_are_known_classes_and_move_what_they_say(found: tuple) -> None:
    known, model, answer = found
    near = why.neighbour_evidence(model, answer, tuple(known.seen), 5)
    assert near
    assert {e.label for e in near} <= set(known.seen)
    node = known.seen.index(near[0].label)
    video = model.embed(answer.frames)
    without = why.probabilities(model, video, answer.candidates, without=[node])[0, answer.best]
    assert near[0].contribution == pytest.approx(float(answer.probabilities[answer.best] - without), abs=1e-6)
    mix = model.choice.clone()
    model.choice = torch.tensor([0.0, 0.2])
    assert why.neighbour_evidence(model, answer, tuple(known.seen), 5) == []
    model.choice = mix


def test_a_cut_off_node_reaches_nobody(found: tuple) -> None:
    _, model, answer = found
    reach = model.graph_rows(answer.candidates.others, without=[3])[1].detach()
    others = [i for i in range(len(reach)) if i != 3]
    assert reach[others, 3].abs().max() == 0
    assert reach[3, 3] == pytest.approx(1)


def test_shares_add_up_to_the_lead(found: tuple) -> None:
    _, model, answer = found
    split = why.shares(model, answer)
    weight, bias = model.classifier(answer.candidates.others)
    score = (model.embed(answer.frames) @ weight.T + bias)[0][answer.candidates.rows].detach()
    second = answer.candidates.names.index(split.runner_up)
    assert split.text + split.graph == pytest.approx(float(score[answer.best] - score[second]), abs=1e-4)


def test_at_mix_zero_probabilities_are_the_softmax_of_cosines(found: tuple) -> None:
    _, model, answer = found
    unseen = why.Candidates(answer.candidates.names[:10], answer.candidates.rows[:10], answer.candidates.others)
    video = model.embed(answer.frames)
    cosine = torch.nn.functional.cosine_similarity(video, unseen.others)
    expected = (cosine / model.config.temperature).softmax(0)
    torch.testing.assert_close(why.probabilities(model, video, unseen, mix=0.0)[0], expected, atol=1e-5, rtol=1e-4)


def test_rank_changes_list_names_whose_rank_moves() -> None:
    text = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    mixed = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    changes = why.rank_changes(text, mixed, np.array([0, 1]), ("a", "b", "c"))
    assert [(c.name, c.text, c.graph, c.videos, c.moved) for c in changes] == [("b", 2.0, 1.0, 1, 1)]
    swapped = why.rank_changes(text, text[:, [1, 0, 2]], np.array([0, 0]), ("a", "b", "c"))
    assert [(c.name, c.graph, c.moved) for c in swapped] == [("a", 2.0, 2)]
    both = why.rank_changes(text * [[1], [-1]], text * [[-1], [1]], np.array([0, 0]), ("a", "b", "c"))
    assert [(c.name, c.text, c.graph, c.moved) for c in both] == [("a", 2.0, 2.0, 2)], "ups and downs must not cancel"
