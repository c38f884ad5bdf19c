"""Questions to an answer: frames left out and known classes cut off, beside the evidence's own numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import whyact
import zero_shot_trees as trees
from method_runs import locate_run, patch
from whyact.ablation.flips import smallest_flip
from whyact.ablation.protocol import Removal, RemovalCount, removal_of
from whyact.data.types import FeatureSequence
from whyact.data.zero_shot.types import at_rate
from whyact.errors import UserError
from whyact.locate_gat import answers, task
from whyact.locate_gat import evidence as why
from whyact.locate_gat.config import PRESETS
from whyact.locate_gat.questions import Ablation, Session
from whyact.prediction import Prediction, VideoFacts

TINY = replace(PRESETS["synthetic"], epochs=1, gat_steps=3, gat_hidden=8, mixer="none", mix=0.4, calibration=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "synthetic"
    task.train("synthetic", None, made, config=TINY, progress=False)
    return made


@pytest.fixture(scope="module")
def asked(folder: Path) -> tuple[Ablation, Prediction]:
    return made(folder, 6)  # eight places, so that two frames are seen twice


def made(folder: Path, length: int) -> tuple[Ablation, Prediction]:
    """Answer a video of random frames, half a second apart, and keep it to be asked."""
    opened = Session(folder)
    rows = np.random.default_rng(length).normal(size=(length, opened.known.video_width)).astype(np.float32)
    video = FeatureSequence(id="x", features=rows, times=np.arange(length) / 2, rate=2.0)
    facts = VideoFacts(path="x.mp4", duration=length / 2)
    prediction = answers.answer(
        video, facts, "", opened.known, opened.model, opened.candidates, opened.provenance, answers.SHOWN
    )
    frames, source = at_rate(rows, opened.known.settings.frames)
    near = [e.label for e in prediction.evidence if e.kind == "neighbour"]
    tensor = torch.from_numpy(frames)[None]
    times = video.times[source]
    return Ablation(opened.model, opened.known.seen, opened.candidates, tensor, source, times, near), prediction


def test_nothing_taken_away_is_the_answer_itself(asked: tuple[Ablation, Prediction]) -> None:
    questions, prediction = asked
    scores, best = questions.scores([()])
    assert questions.labels[best[0]] == prediction.label
    assert {label.label: pytest.approx(label.score, abs=1e-6) for label in prediction.labels} == dict(
        zip(questions.labels, scores[0].tolist(), strict=True)
    )
    assert questions.count_removed([]) == [RemovalCount("frame", 0, 6)]


def test_without_a_piece_of_evidence_the_score_falls_as_the_evidence_says(
    asked: tuple[Ablation, Prediction],
) -> None:
    questions, prediction = asked
    best = questions.labels.index(prediction.label)
    assert {e.kind for e in prediction.evidence} == {"frame", "neighbour"}
    for e in prediction.evidence:
        without, _ = questions.scores([[removal_of(e)]])
        assert prediction.score - without[0, best] == pytest.approx(e.contribution, abs=1e-6)
        gone = questions.count_removed([removal_of(e)])
        wanted = [RemovalCount("frame", 0, 6), RemovalCount("known action", 1, 30)]
        assert gone == ([RemovalCount("frame", 1, 6)] if e.kind == "frame" else wanted)
    assert max(abs(e.contribution) for e in prediction.evidence) > 1e-3


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.4, 2.6), (1.0, 1.0)])
def test_a_span_is_a_video_without_its_frames(asked: tuple[Ablation, Prediction], start: float, end: float) -> None:
    """The block written out over the frames that are left, each at its own position."""
    questions, _ = asked
    left = torch.from_numpy((questions.times < start) | (questions.times > end))
    assert 0 < left.sum() < len(left)
    scores, _ = questions.scores([[Removal("span", start=start, end=end)]])
    model, block = questions.model, questions.model.encoder
    with torch.no_grad():
        x = block.project(questions.frames[:, left]) + block.positions[:, left]
        y = block.norm1(x)
        video = torch.nn.functional.normalize((x + block.attention(y, y, y, need_weights=False)[0]).mean(1), dim=1)
    np.testing.assert_allclose(scores[0], why.probabilities(model, video, questions.candidates)[0], atol=1e-5)


def test_removals_add_up_in_any_order_and_reach_both_inputs(asked: tuple[Ablation, Prediction]) -> None:
    questions, prediction = asked
    frame = next(removal_of(e) for e in prediction.evidence if e.kind == "frame")
    near = [removal_of(e) for e in prediction.evidence if e.kind == "neighbour"]
    scores, _ = questions.scores([[frame, *near], [*near[::-1], frame], [frame], near])
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert abs(scores[0] - scores[2]).max() > 1e-5
    assert abs(scores[0] - scores[3]).max() > 1e-5
    nodes = questions.nodes(near)
    assert nodes == tuple(sorted(questions.node[r.label] for r in near))
    reach = questions.model.graph_rows(questions.candidates.others, nodes)[1].detach()
    others = [i for i in range(len(reach)) if i not in nodes]
    assert reach[others][:, list(nodes)].abs().max() == 0


def test_with_no_frame_left_no_candidate_leads(asked: tuple[Ablation, Prediction]) -> None:
    questions, _ = asked
    scores, _ = questions.scores([[Removal("span")], ()])
    assert np.ptp(scores[0]) == 0
    assert scores[0].sum() == pytest.approx(1)
    assert np.ptp(scores[1]) > 0.01


def test_what_is_not_of_this_answer_is_refused_by_name(asked: tuple[Ablation, Prediction]) -> None:
    questions, _ = asked
    for removal, said in (
        (Removal("frame", start=0.25), "at 0.25 s"),
        (Removal("neighbour", label="nonsense"), "nonsense"),
        (Removal("pair", "a", "b"), "a span, frame or neighbour"),
    ):
        with pytest.raises(UserError, match=said):
            questions.scores([[removal]])
    mix = questions.model.choice.clone()
    questions.model.choice = torch.tensor([0.0, 0.2])
    with pytest.raises(UserError, match="a share in the score"):
        questions.scores([[Removal("neighbour", label=next(iter(questions.node)))]])
    questions.model.choice = mix


def test_the_fewest_frames_or_known_classes_are_found(asked: tuple[Ablation, Prediction]) -> None:
    questions, _ = asked
    pieces = list(questions.list_removals())
    assert sum(r.kind == "frame" for r in pieces) == 6
    _, answer = questions.scores([()])
    flipped = 0
    for target in range(len(questions.labels)):
        if target != answer[0]:
            found = smallest_flip(questions, target, candidates=len(pieces), exact=2)
            sets = (s for n in (1, 2) for s in itertools.combinations(pieces, n))
            fewest = next((len(s) for s in sets if questions.scores([s])[1][0] == target), None)
            assert found.proven == (fewest is not None)
            if fewest is not None:
                flipped += 1
                assert len(found.removals) == fewest
    assert flipped


def test_a_video_of_one_frame_has_no_frame_to_search(folder: Path) -> None:
    questions, prediction = made(folder, 1)
    assert {r.kind for r in questions.list_removals()} <= {"neighbour"}
    assert questions.count_removed([]) == [RemovalCount("frame", 0, 1)]
    assert questions.scores([()])[0].max() == pytest.approx(prediction.score, abs=1e-6)


def test_a_video_file_is_answered_kept_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    patch(monkeypatch)
    run = locate_run(tmp_path / "made")
    film = trees.write_video(tmp_path / "film.mp4", frames=9, level=140)
    opened = Session(run)
    prediction = opened.answer(film, tmp_path / "kept", lambda stage, share: None)
    assert prediction == whyact.load(run).predict(str(film))[0]
    assert str(tmp_path) not in prediction.provenance.checkpoint
    questions = Session(run).load_ablation(tmp_path / "kept")
    scores, best = questions.scores([(), *([removal_of(e)] for e in prediction.evidence)])
    assert prediction.evidence
    for e, row in zip(prediction.evidence, scores[1:], strict=True):
        assert scores[0, best[0]] - row[best[0]] == pytest.approx(e.contribution, abs=1e-6)
    with pytest.raises(FileNotFoundError):
        opened.load_ablation(tmp_path / "gone")
