"""A video in windows: one answer a stretch, evidence and tracks joined, and each window answered as if alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from watch_samples import FRAMES, RATE, SIZE, film, known_tracks, saved, untrained

from whyact.data.types import Rule, Vocabulary
from whyact.errors import UserError
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.clips import clip_from_tracks, even_times, frames_for
from whyact.laiar.domain import fit_domain, frame_stats
from whyact.laiar.geometry import mask_side
from whyact.laiar.questions import Ablation
from whyact.laiar.runs import Run
from whyact.laiar.windows import REASONS, WindowMerger, Windows, answer_video, bare_tracks, null_action
from whyact.perception.centre import CentreNet
from whyact.perception.open import DetectorEncoder
from whyact.perception.perception import Perception
from whyact.perception.small import SmallDetector
from whyact.prediction import (
    Evidence,
    LabelScore,
    Prediction,
    Provenance,
    Track,
    TrackPoint,
    VideoFacts,
    from_json,
    to_json,
)
from whyact.sentences import describe_answer, explain_answer, find_state, join_parts
from whyact.video.sampling import merge_scores

FACTS = VideoFacts(path="a.mp4", fps=RATE, width=SIZE[0], height=SIZE[1], duration=FRAMES / RATE)
SAME = Perception(class_map={name: name for name in VOCABULARY.objects})


def said(label: str, score: float, start: float, *, reasons: int = 1, thing: str = "mug_1") -> Prediction:
    """Return the answer of a window that starts here and lasts a second."""
    others = [x for x in ("null", "pick", "place") if x != label]
    scores = {label: score} | dict.fromkeys(others, (1 - score) / 2)
    box = (0.0, 0.0, 1.0, 1.0)
    points = [
        TrackPoint(
            time=t, frame=int(t * 10), label="holding", similarity=score, margin=0, keep_probability=1, kept=True,
            subject_box=box, object_box=box,
        )
        for t in (start, start + 0.5, start + 1)
    ]  # fmt: skip
    evidence = [
        Evidence(kind="state", text=f"{label} {i}", start=start, end=start + 1, contribution=0, track=0, rank=i + 1)
        for i in range(reasons)
    ]
    return Prediction(
        video=FACTS,
        labels=[LabelScore(label=x, score=s) for x, s in sorted(scores.items(), key=lambda p: -p[1])],
        provenance=Provenance(method="laiar"),
        evidence=evidence,
        tracks=[Track(slot=0, subject="hand_1", object=thing, points=points)],
        tokens_valid=3,
        tokens_kept=2,
    )


def merged(*answers: tuple[str, float, float], **options: Any) -> Prediction:
    merger = WindowMerger("null")
    for label, score, start in answers:
        merger.add((start, start + 1), said(label, score, start, **options))
    return merger.result()


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_scores_of_windows_are_merged_by_the_definition(seed: int, has_null: bool) -> None:
    """The null action's lowest score, the others' highest; the answer of the surest window that is not null."""
    p = np.random.default_rng(seed).dirichlet(np.full(4, 0.3), (2, 5))
    merged, answer, window = merge_scores(p, 0 if has_null else -1)
    for m in range(2):
        for c in range(4):
            rows = [float(p[m, w, c]) for w in range(5)]
            assert merged[m, c] == (min(rows) if has_null and c == 0 else max(rows))
        tops = [(float(p[m, w].max()), w) for w in range(5) if not (has_null and p[m, w].argmax() == 0)]
        tops = tops or [(float(p[m, w].max()), w) for w in range(5)]
        assert window[m] == max(tops)[1]
        assert answer[m] == p[m, window[m]].argmax()


def stretches(prediction: Prediction) -> list[tuple[str, float, float, float]]:
    return [(s.label, s.start, s.end, s.score) for s in prediction.segments]


class TestMerging:
    def test_neighbours_with_one_answer_are_one_stretch(self) -> None:
        found = merged(("pick", 0.5, 0), ("pick", 0.9, 0.5), ("pick", 0.7, 1.0), ("place", 0.6, 1.5))
        assert stretches(found) == [("pick", 0, 2.0, 0.9), ("place", 1.5, 2.5, 0.6)]
        assert (found.label, found.score) == ("pick", 0.9)
        assert found.tokens_valid == 12
        assert found.tokens_kept == 8

    def test_evidence_from_a_window_with_another_answer_says_whose_score_it_moves(self) -> None:
        found = merged(("pick", 0.9, 0), ("place", 0.6, 1.5), ("pick", 0.7, 3.0))
        assert [(e.text, e.action) for e in found.evidence] == [("pick 0", ""), ("pick 0", ""), ("place 0", "place")]

    def test_where_nothing_happens_a_stretch_ends(self) -> None:
        found = merged(("pick", 0.5, 0), ("null", 0.9, 0.5), ("pick", 0.7, 1.0))
        assert stretches(found) == [("pick", 0, 1, 0.5), ("pick", 1.0, 2.0, 0.7)]

    def test_windows_with_a_gap_between_them_are_two_stretches(self) -> None:
        assert len(merged(("pick", 0.5, 0), ("pick", 0.7, 5.0)).segments) == 2

    def test_nothing_at_all(self) -> None:
        found = merged(("null", 0.6, 0), ("null", 0.9, 0.5))
        assert found.segments == []
        assert found.label == "null"
        assert found.evidence[0].start == 0.5  # of the window that is surest

    def test_each_label_has_its_best_score_and_null_its_worst(self) -> None:
        found = merged(("null", 0.8, 0), ("pick", 0.6, 0.5))
        scores = {x.label: x.score for x in found.labels}
        assert scores == pytest.approx({"pick": 0.6, "null": 0.2, "place": 0.2})

    def test_only_one_answer_a_stretch_is_held(self) -> None:
        merger = WindowMerger("null")
        for i in range(50):
            merger.add((i * 0.5, i * 0.5 + 1), said("pick", 0.5 + i / 100, i * 0.5))
        assert len(merger.found) == 1
        found = merger.result()
        assert sum(len(track.points) for track in found.tracks) == 3
        assert found.tracks[0].points[0].time == 24.5
        assert found.tokens_valid == 150

    def test_evidence_of_all_stretches_is_joined_best_stretch_first(self) -> None:
        found = merged(("pick", 0.5, 0), ("place", 0.9, 1.0), reasons=REASONS + 2)
        texts = [e.text for e in found.evidence]
        assert texts == [f"place {i}" for i in range(REASONS)] + [f"pick {i}" for i in range(REASONS)]
        assert [e.rank for e in found.evidence] == list(range(1, 2 * REASONS + 1))
        assert {e.track for e in found.evidence} == {0}

    def test_tracks_of_one_pair_are_one_lane_in_order_of_time(self) -> None:
        merger = WindowMerger("null")
        merger.add((1, 2), said("place", 0.5, 1.0))
        merger.add((2, 3), said("pick", 0.9, 2.0))
        merger.add((3, 4), said("place", 0.4, 3.0, thing="jar_1"))
        found = merger.result()
        assert [(t.slot, t.object) for t in found.tracks] == [(0, "mug_1"), (1, "jar_1")]
        assert [p.time for p in found.tracks[0].points] == [1.0, 1.5, 2.0, 2.5, 3.0]
        assert next(p.similarity for p in found.tracks[0].points if p.time == 2.0) == 0.5  # one point a moment
        assert [e.track for e in found.evidence] == [0, 0, 1]

    def test_a_window_in_which_nothing_was_seen_says_nothing_of_the_video(self) -> None:
        """It has the same scores in every video: it wins nothing, joins nothing, and counts only where all are such."""
        merger = WindowMerger("null")
        for label, score, start in (("pick", 0.5, 0), ("place", 0.99, 1), ("pick", 0.6, 2)):
            merger.add((start, start + 1.5), said(label, score, start), has_input=label == "pick")
        found = merger.result()
        assert stretches(found) == [("pick", 0, 1.5, 0.5), ("pick", 2, 3.5, 0.6)]
        assert scores(found)["place"] == pytest.approx(0.25)
        merger = WindowMerger("null")
        merger.add((0, 1), said("place", 0.99, 0), has_input=False)
        merger.add((1, 2), said("place", 0.99, 1), has_input=False)
        assert (merger.result().label, merger.result().segments) == ("place", [])


class TestScoresOfWindows:
    """A contribution was taken from its own window's score, and nothing else may be said of it."""

    @staticmethod
    def window(label: str, score: float, start: float, *, stated: bool = True) -> Prediction:
        found = said(label, score, start)
        reason = Evidence(
            kind="transition", text="t", start=start, end=start + 1, contribution=0.3, control=0.1, probability=0.95,
            subject="hand_1", object="mug_1", from_state="apart", to_state="holding", track=0, rank=1, stated=stated,
            removed="the pair",
        )  # fmt: skip
        return msgspec.structs.replace(found, evidence=[reason], threshold=0.6, unsure=score < 0.6)

    @staticmethod
    def merged(*windows: Prediction) -> Prediction:
        merger = WindowMerger("null")
        for i, window in enumerate(windows):
            merger.add((3.0 * i, 3.0 * i + 1), window)
        return merger.result()

    def test_the_sentence_takes_away_from_the_score_of_the_reason_s_own_window(self) -> None:
        found = self.merged(self.window("pick", 0.95, 0, stated=False), self.window("pick", 0.65, 3))
        sentence = join_parts(explain_answer(found))
        assert "the score of pick in its window falls from 0.65 to 0.35" in sentence
        assert "leaves at least 0.55" in sentence
        assert (found.label, found.score) == ("pick", 0.95)

    def test_of_another_action_too(self) -> None:
        found = self.merged(
            self.window("pick", 0.95, 0, stated=False), self.window("place", 0.9, 3, stated=False),
            self.window("null", 0.9, 6), self.window("place", 0.65, 9),
        )  # fmt: skip
        assert "the score of place in its window falls from 0.65 to 0.35" in join_parts(explain_answer(found))

    def test_the_score_that_the_answer_shows_needs_no_such_word(self) -> None:
        found = self.merged(self.window("pick", 0.95, 0), self.window("pick", 0.65, 3))
        assert "the score of pick falls from 0.95 to 0.65" in join_parts(explain_answer(found))

    @pytest.mark.parametrize(("scores", "unsure"), [((0.9, 0.45), True), ((0.9, 0.7), False)])
    def test_an_answer_of_nothing_is_unsure_by_the_score_that_it_shows(
        self, scores: tuple[float, float], unsure: bool
    ) -> None:
        found = self.merged(*(self.window("null", score, 3 * i) for i, score in enumerate(scores)))
        assert found.score == scores[1]
        assert found.unsure is unsure
        assert find_state(found) == ("unsure" if unsure else "sure")
        assert "the score of null in its window falls from 0.90 to 0.60" in join_parts(explain_answer(found))

    def test_answers_written_before_keep_their_sentence(self) -> None:
        found = self.window("pick", 0.65, 0)
        (old,) = from_json(to_json([found]).replace('"score": null,', ""))
        assert join_parts(explain_answer(old)) == join_parts(explain_answer(found))
        assert "falls from 0.65 to 0.35" in join_parts(explain_answer(old))


class TestWindows:
    def test_a_short_video_is_one_window(self) -> None:
        assert Windows().spans(0, 5, usual=2.0) == [(0, 5)]
        assert Windows().spans(0, 100, usual=0.0) == [(0, 100)]

    def test_a_long_one_is_cut_by_the_training_clips(self) -> None:
        assert Windows().spans(0, 7, usual=2.0) == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)]

    def test_as_asked(self) -> None:
        assert Windows(2.0, 1.5).spans(0, 5, usual=9.0) == [(0, 2), (1.5, 3.5), (3, 5)]
        assert Windows(2.0).spans(0, 4, usual=9.0) == [(0, 2), (1, 3), (2, 4)]


@pytest.mark.parametrize(
    ("actions", "ruled", "expected"),
    [
        (("null", "pick"), ("pick",), "null"),
        (("rest", "pick"), ("pick",), "rest"),
        (("a", "b", "pick"), ("pick",), ""),
        (("a", "None", "pick"), (), "None"),
        (("a", "b"), (), ""),
    ],
)
def test_the_action_that_stands_for_none(actions: tuple[str, ...], ruled: tuple[str, ...], expected: str) -> None:
    rules = tuple(Rule(a, "x", "y", "hand", ()) for a in ruled)
    assert null_action(Vocabulary(("hand",), ("x", "y"), actions, rules=rules)) == expected


def scores(prediction: Prediction) -> dict[str, float]:
    return {x.label: x.score for x in prediction.labels}


class TestAnswers:
    def test_a_window_is_answered_as_if_it_were_the_video(self) -> None:
        run, tracks = untrained(), known_tracks()
        whole = answer_video(run, "a.mp4", tracks, FACTS, perception=SAME, windows=Windows(1.0, 0.5))
        alone = [
            answer_video(run, "a.mp4", tracks.at(even_times(a, b, 4)), FACTS, perception=SAME)
            for a, b in Windows(1.0, 0.5).spans(0.0, 2.9, 1.0)
        ]
        null = null_action(VOCABULARY)
        for label, score in scores(whole).items():
            every = [scores(p)[label] for p in alone]
            assert score == pytest.approx(min(every) if label == null else max(every), abs=1e-5)
        assert whole.tokens_valid == sum(p.tokens_valid for p in alone)
        assert any("windows of 1.0 s, one every 0.5 s" in note for note in whole.notes)

    def test_clips_answer_the_same_in_any_order_and_company(self) -> None:
        run, tracks = untrained(), known_tracks()
        clips = [
            clip_from_tracks(
                tracks.at(even_times(a, a + 1, 4)), VOCABULARY, slots=6, class_map=SAME.class_map, id=str(a)
            )
            for a in (0.0, 0.7, 1.9)
        ]
        together = {a.clip.id: a.logits for a in answer_clips(run, clips[::-1])}
        for clip in clips:
            (alone,) = answer_clips(run, [clip])
            np.testing.assert_allclose(alone.logits, together[clip.id], atol=1e-5)

    def test_one_window_has_no_segments_and_says_where_boxes_come_from(self) -> None:
        answer = answer_video(
            untrained(), "a.mp4", known_tracks(), FACTS, perception=replace(SAME, notes=("look out",))
        )
        assert answer.segments == []
        assert answer.notes[0] == "look out"
        assert "boxes by by hand" in answer.provenance.sampler
        assert (answer.id, answer.video) == ("a.mp4", FACTS)

    def test_what_is_in_no_pair_is_shown_without_a_word(self) -> None:
        tracks = replace(known_tracks(), names=("hand_1", "dog_1"), classes=("hand", "dog"))
        answer = answer_video(untrained(), "a.mp4", tracks, FACTS, perception=SAME)
        assert answer.tokens_valid == 0
        assert "does not depend on the video" in " ".join(answer.notes)
        assert [(t.slot, t.subject, t.object) for t in answer.tracks] == [
            (0, "hand_1", "hand_1"),
            (1, "dog_1", "dog_1"),
        ]
        assert {p.label for t in answer.tracks for p in t.points} == {""}
        assert len(bare_tracks(tracks, without={"dog_1"})) == 1

    def test_a_part_without_a_pair_changes_no_answer_and_by_itself_is_unsure(self) -> None:
        run, film = replace(untrained(), threshold=1e-6), known_tracks(60)
        gone = film.times >= 2.0
        film = replace(
            film,
            boxes=np.where(gone[:, None, None], np.float32(0), film.boxes),
            seen=film.seen & ~gone[:, None],
            scores=film.scores * ~gone[:, None],
        )
        windows: list[Answer] = []
        whole = answer_video(
            run, "a.mp4", film, FACTS, perception=SAME, windows=Windows(1.0, 1.0), on_window=windows.append
        )
        seen = [answer.probabilities for answer in windows if answer.valid.any()]
        assert 0 < len(seen) < len(windows)
        null = null_action(VOCABULARY)
        expected, _, _ = merge_scores(np.stack(seen), VOCABULARY.actions.index(null))
        by_name = dict(zip(VOCABULARY.actions, expected, strict=True))
        assert scores(whole) == pytest.approx(by_name, abs=1e-6)
        asked, _ = Ablation.of(run, windows, null).scores([[]])
        np.testing.assert_allclose(asked[0], expected, atol=1e-5)
        assert all(s.start < 2 for s in whole.segments)
        assert find_state(whole) == "sure"
        tail = answer_video(run, "a.mp4", film.at(film.times[gone]), FACTS, perception=SAME)
        assert tail.tokens_valid == 0
        assert find_state(tail) == "unsure"
        assert "does not depend on the video" in " ".join(tail.notes)
        assert "below" not in describe_answer(tail).doubt

    def test_a_model_of_boxes_alone_says_that_it_cannot_tell(self, tmp_path: Path) -> None:
        run = saved(untrained(), tmp_path / "run", data="made films")
        notes = answer_video(run, "a.mp4", known_tracks(), FACTS, perception=SAME).notes
        assert any("trained on made films" in n and "cannot tell" in n for n in notes)


@pytest.fixture(scope="module")
def encoder() -> DetectorEncoder:
    torch.manual_seed(0)
    return DetectorEncoder(SmallDetector(CentreNet(2), ("hand", "mug"), long_side=64))


@pytest.fixture(scope="module")
def seeing() -> Run:
    side = mask_side(untrained().config.model.mask_size)
    return untrained(roi=(64, 64, side))


class TestPixels:
    def test_pixels_are_read_and_strange_frames_are_said(
        self, seeing: Run, encoder: DetectorEncoder, tmp_path: Path
    ) -> None:
        path = film(tmp_path / "a.mp4")
        (frames,) = frames_for(path, [np.arange(20) / 10])
        looks = frame_stats(encoder.maps(np.stack(frames)).values)
        near = fit_domain(looks, ["a", "b"] * 10)
        far = replace(near, mean=near.mean + 100 * near.spread)
        told: list[float] = []
        answers = [
            answer_video(
                replace(seeing, domain=domain, card={"data": "made films"}), path, known_tracks(), FACTS,
                perception=replace(SAME, encoder=encoder), windows=Windows(1.0, 1.0), on_progress=told.append,
            )
            for domain in (replace(near, limit=1e9), far)
        ]  # fmt: skip
        assert scores(answers[0]) == scores(answers[1])  # where a video comes from changes no score
        assert answers[1].notes[0].startswith("This video is outside of what the model knows: 12 of 12 frames")
        assert "made films" in answers[1].notes[0]
        assert not any("outside" in note for note in answers[0].notes)
        assert any("12 of 12 frames look like that" in note for note in answers[0].notes)
        assert told[:3] == pytest.approx([1 / 3, 2 / 3, 1])
        assert "features by backbone" in answers[0].provenance.sampler

    def test_boxes_of_another_image_size_are_refused(
        self, seeing: Run, encoder: DetectorEncoder, tmp_path: Path
    ) -> None:
        tracks = replace(known_tracks(), image_size=(640, 480))
        with pytest.raises(UserError, match="same size"):
            answer_video(seeing, film(tmp_path / "a.mp4"), tracks, FACTS, perception=replace(SAME, encoder=encoder))
