"""Questions to an answer: exact removal beside the evidence's own numbers and beside a video without the snippets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from method_runs import Waves, pvlr_run
from whyact.ablation.flips import smallest_flip
from whyact.ablation.protocol import Removal, RemovalCount, removal_of
from whyact.data.datasets import load_features
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed import snippet_files
from whyact.errors import UserError
from whyact.prediction import Prediction, VideoFacts
from whyact.pvlr import task
from whyact.pvlr.inference import curves, softmax, suppressed, video_logits
from whyact.pvlr.questions import Ablation, Session
from whyact.sentences import is_segment

CONFIG = replace(task.PRESETS["default"], train=replace(task.PRESETS["default"].train, iterations=25))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("pvlr") / "run"
    task.train("synthetic", None, made, config=CONFIG, fold=7, seed=3, progress=False)
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> task.Run:
    return task.load(folder)


@pytest.fixture(scope="module")
def video() -> FeatureSequence:
    return next(v for v in load_features("synthetic", None, 7).test if v.id == "test_0001")


@pytest.fixture(scope="module")
def prediction(run: task.Run, video: FeatureSequence) -> Prediction:
    return task.predict_sequence(run, video)


@pytest.fixture(scope="module")
def questions(run: task.Run, video: FeatureSequence, prediction: Prediction) -> Ablation:
    return Ablation.of(run, video.features, video.rate, prediction)


def from_the_definition(run: task.Run, features: np.ndarray) -> np.ndarray:
    """Score what is left as a video of its own."""
    cfg = run.config.inference
    return softmax(video_logits(suppressed(curves(run.model, features, run.text), cfg), cfg))[:-1]


def test_nothing_taken_away_is_the_answer_itself(questions: Ablation, prediction: Prediction) -> None:
    scores, best = questions.scores([()])
    assert questions.labels[best[0]] == prediction.label
    assert {label.label: pytest.approx(label.score, abs=1e-6) for label in prediction.labels} == dict(
        zip(questions.labels, scores[0].tolist(), strict=True)
    )
    assert questions.count_removed([]) == [RemovalCount("snippet", 0, len(questions.features))]


def test_without_a_piece_of_evidence_the_score_falls_as_the_evidence_says(
    questions: Ablation, prediction: Prediction
) -> None:
    before = {label.label: label.score for label in prediction.labels}
    assert len(prediction.evidence) > 4
    for e in prediction.evidence:
        without, _ = questions.scores([[removal_of(e)]])
        assert before[e.label] - without[0, questions.labels.index(e.label)] == pytest.approx(e.contribution, abs=1e-6)
        (gone,) = questions.count_removed([removal_of(e)])
        assert gone.count == round((e.end - e.start) * questions.rate)
    assert max(abs(e.contribution) for e in prediction.evidence) > 0.005, "or the comparison above says little"


@pytest.mark.parametrize("filled", [0.05, 0.3, 0.6, 1.0])
def test_a_segment_to_the_end_of_a_video_has_all_of_its_snippets_removed(run: task.Run, filled: float) -> None:
    """Also where the last snippet is filled in part only: its frames belong to the segment, and it ends with them."""
    length, rate = 40, 1 / 0.64
    rng, reached = np.random.default_rng(0), 0
    for _ in range(8):
        rows = rng.normal(size=(length, 128)).astype(np.float32)
        rows[30:] += 3 * rng.normal(size=128)
        video = FeatureSequence("v", rows, np.arange(length) / rate, rate)
        duration = (length - 1 + filled) / rate
        answer = task.predict_sequence(run, video, VideoFacts(path="v", duration=duration))
        before = {label.label: label.score for label in answer.labels}
        assert max(span.end for span in (*answer.segments, *answer.evidence)) <= duration + 1e-9
        questions = Ablation.of(run, rows, rate, answer)
        for segment in (s for s in answer.segments if s.end > (length - 1) / rate):
            whole = next(e for e in answer.evidence if e.label == segment.label and e.start == segment.start)
            start = round(segment.start * rate)
            left = before[segment.label] - from_the_definition(run, rows[:start])[run.classes.index(segment.label)]
            assert (whole.end, whole.contribution) == (segment.end, pytest.approx(left, abs=1e-6))
            assert is_segment(answer, whole)
            assert questions.listed[removal_of(whole)].startswith("all of" if start < length - 1 else "one snippet of")
            reached += start < length - 1
    assert reached > 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=3))
def test_spans_together_are_a_video_without_their_snippets(
    run: task.Run, video: FeatureSequence, questions: Ablation, spans: list[tuple[int, int]]
) -> None:
    gone = {t for start, length in spans for t in range(start, start + length) if t < len(video.features)}
    left = video.features[[t for t in range(len(video.features)) if t not in gone]]
    removals = [Removal("span", start=a / video.rate, end=(a + n) / video.rate) for a, n in spans]
    scores, _ = questions.scores([removals, removals[::-1], removals * 2])
    wanted = from_the_definition(run, left) if len(left) else np.full(len(run.classes), 1 / len(run.text))
    np.testing.assert_allclose(scores, np.stack([wanted] * 3), atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (0.0, 1.0, {0, 1}),
        (0.1, 0.2, {0}),
        (0.4, 0.6, {0, 1}),
        (0.5, 1.0, {1}),
        (0.5, 0.5, {1}),
        (0.5 + 1e-9, 1.0 - 1e-9, {1}),
        (4.5, 99.0, {9}),
        (99.0, 100.0, set()),
        (-np.inf, np.inf, set(range(10))),
    ],
)
def test_a_span_takes_every_snippet_that_saw_some_of_it(run: task.Run, start: float, end: float, wanted: set) -> None:
    questions = Ablation(run, np.zeros((10, 128), np.float32), 2.0, {})
    assert set(np.flatnonzero(questions.mask([Removal("span", start=start, end=end)]))) == wanted


def test_with_nothing_left_to_see_no_class_leads(questions: Ablation) -> None:
    scores, _ = questions.scores([[Removal("span")]])
    assert np.ptp(scores[0]) == 0
    assert questions.count_removed([Removal("span")])[0].count == len(questions.features)


def test_what_pvlr_does_not_know_is_refused_by_name(questions: Ablation) -> None:
    with pytest.raises(UserError, match="a span or a snippet"):
        questions.scores([[Removal("thing", object="cup")]])


def test_the_fewest_pieces_are_found(questions: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    """As few as by asking about every set of the listed pieces, up to three."""
    monkeypatch.setattr(questions, "max_evaluations", 10**6)
    pieces = list(questions.list_removals())
    assert all(questions.list_removals().values())
    _, answer = questions.scores([()])
    flipped = 0
    for target in range(len(questions.labels)):
        if target == answer[0]:
            continue
        found = smallest_flip(questions, target, candidates=len(pieces), exact=2)
        sizes = (n for n in (1, 2) for s in itertools.combinations(pieces, n) if questions.scores([s])[1][0] == target)
        fewest = next(sizes, None)
        assert found.proven == (fewest is not None)
        if fewest is not None:
            flipped += 1
            assert len(found.removals) == fewest
    assert flipped


def test_a_video_file_is_answered_kept_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snippet_files, "load_encoder", lambda name, *_, **__: Waves(name))
    run, film = pvlr_run(tmp_path, iterations=40), tmp_path / "films" / "1.mp4"
    opened = Session(run)
    stages: list[str] = []
    prediction = opened.answer(film, tmp_path / "kept", lambda stage, share: stages.append(stage))
    assert stages == ["Reading snippet after snippet", "Asking the model"]
    (again,) = task.predict(task.load(run), [str(film)])
    assert prediction == again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "films", "kept", "pvlr"], "nothing else is left"
    questions = Session(run).load_ablation(tmp_path / "kept")
    assert questions.count_removed([Removal("span")])[0].of == 8
    assert set(questions.list_removals()) == {removal_of(e) for e in prediction.evidence}
    for e in prediction.evidence:
        scores, _ = questions.scores([(), [removal_of(e)]])
        fall = scores[0] - scores[1]
        assert fall[questions.labels.index(e.label)] == pytest.approx(e.contribution, abs=1e-6)
    with pytest.raises(FileNotFoundError):
        opened.load_ablation(tmp_path / "gone")
