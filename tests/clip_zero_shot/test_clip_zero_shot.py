"""Plain CLIP about labels, with an encoder that knows three colours: what is answered, when, why, and when nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import whyact
from made_encoders import Colours
from whyact.api import BUNDLED
from whyact.cli import main
from whyact.clip_zero_shot import scores, task, texts
from whyact.clip_zero_shot.config import NONE, PredictOptions
from whyact.errors import UserError
from whyact.report import write_report
from whyact.sentences import format_answer
from whyact.video.write import write_video

COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220), "grey": (120, 120, 120)}
FPS = 10


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task.Clip, "load", lambda self, options: Colours())


def film(*parts: tuple[str, float]) -> NDArray[np.uint8]:
    """Return frames of one colour after the other, each for so many seconds."""
    frames = [np.full((round(seconds * FPS), 32, 32, 3), COLOURS[name], np.uint8) for name, seconds in parts]
    return np.concatenate(frames)


def ask(*parts: tuple[str, float], labels: str = "red, green", **options: object) -> whyact.Prediction:
    return whyact.load(labels=labels, **options).predict(film(*parts), fps=FPS)[0]


def test_the_label_that_fits_is_the_answer_and_says_what_read_it() -> None:
    answer = ask(("green", 3))
    assert answer.label == "green"
    assert answer.score > 0.9
    assert not answer.unsure
    assert {one.label for one in answer.labels} == {"red", "green", NONE}
    assert sum(one.score for one in answer.labels) == pytest.approx(1)
    assert answer.provenance.method == "clip-zero-shot"
    assert "a video of green" in answer.provenance.prompts["green"]
    assert any("CLIP made for tests" in note for note in answer.notes)


def test_none_of_these_is_the_answer_where_no_label_fits() -> None:
    answer = ask(("grey", 3))
    assert answer.label == NONE
    assert answer.score > 0.5
    assert "“an empty room” fits these frames better than any of the labels." in answer.notes
    assert ask(("blue", 3)).label != "red", "no label is taken for want of a better one"


def test_one_label_alone_can_be_refused() -> None:
    assert ask(("red", 2), labels="red").label == "red"
    assert ask(("grey", 2), labels="red").label == NONE


def test_what_fits_two_labels_alike_is_unsure() -> None:
    answer = ask(("red", 1), ("green", 1))
    assert answer.unsure
    assert "unsure, perhaps" in format_answer(answer)


def test_a_long_video_has_spans_that_do_not_overlap_and_evidence_for_each() -> None:
    answer = ask(("grey", 10), ("red", 10), ("grey", 10), ("green", 6))
    assert [s.label for s in answer.segments] == ["red", "green"]
    red, green = answer.segments
    assert red.start == pytest.approx(10, abs=2)
    assert red.end == pytest.approx(20, abs=2)
    assert green.start == pytest.approx(30, abs=2)
    assert green.end == pytest.approx(36, abs=0.2)
    assert answer.label in ("red", "green")
    for segment in answer.segments:
        own = [e for e in answer.evidence if e.label == segment.label]
        assert all(segment.start - 2 <= e.start <= segment.end + 2 for e in own)
        whole = next(e for e in own if e.kind == "snippet")
        assert (whole.start, whole.end) == (segment.start, segment.end)
        assert whole.contribution > 0.3, "without the stretch there is less of it in the video"
    assert "Because of the stretch" in format_answer(answer)


def test_a_window_asked_for_is_kept_to(tmp_path: Path) -> None:
    answer = ask(("red", 2), ("grey", 2), ("red", 2), window=1.0, stride=0.5)
    assert [s.label for s in answer.segments] == ["red", "red"]
    assert answer.provenance.sampler == "8 frames a second, windows of 1 s every 0.5 s"


def test_a_page_shows_the_answer(tmp_path: Path) -> None:
    answers = [ask(("red", 3)), ask(("grey", 10), ("red", 10)), ask(("grey", 3))]
    page = write_report(answers, tmp_path / "why.html").read_text()
    assert NONE in page
    assert "What fits the frames" in page


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_a_contribution_is_what_leaving_that_frame_out_costs(seed: int, frames: int, window: int, labels: int) -> None:
    """The reference removes the frame from the input and scores the video anew."""
    rng = np.random.default_rng(seed)
    draw = lambda n: texts.unit(rng.normal(size=(n, 5)))  # noqa: E731
    bank = texts.TextBank(tuple("abc"[:labels]), draw(labels), ("x", "y"), draw(2))
    vectors = draw(frames)
    windows = [np.arange(i, min(i + window, frames)) for i in range(max(1, frames - window + 1))]
    found = scores.VideoScores(bank, 3.0, vectors, windows)
    merged = found.merged[0]
    for label in range(labels + 1):
        cost = found.contributions(label)
        for frame in range(frames):
            left = [members[members != frame] for members in windows]
            left = [members for members in left if len(members)]
            if not left:
                assert np.isnan(cost[frame])
                continue
            again = scores.VideoScores(bank, 3.0, vectors, left).merged[0]
            assert cost[frame] == pytest.approx(merged[label] - again[label], abs=1e-9)


def test_a_description_that_may_mean_the_same_as_a_label_does_not_compete_with_it() -> None:
    bank = texts.build_bank(["an empty room", "red"], Colours().encode_texts)
    assert "an empty room" not in bank.other_names
    assert len(bank.other_names) >= (len(texts.EVERYDAY) + len(texts.SCENES)) / 2
    np.testing.assert_allclose(np.linalg.norm(bank.labels, axis=1), 1, atol=1e-6)


def test_a_label_is_the_mean_of_its_sentences_directions() -> None:
    encode = Colours().encode_texts
    bank = texts.build_bank(["red_wine pouring"], encode)
    rows = [encode([template.format("red wine pouring")]).numpy()[0] for template in texts.TEMPLATES]
    mean = np.mean([row / np.linalg.norm(row) for row in rows], axis=0)
    np.testing.assert_allclose(bank.labels[0], mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"labels": "red, none of these"}, "always among the answers"),
        ({"labels": "red, Red"}, "one spelling"),
        ({"labels": " , "}, "at least one label"),
        ({"labels": "labels.txt"}, "a file that exists"),
        ({"labels": "red", "window": 0.1}, "at least 0.5"),
        ({"labels": "red", "window": 2.0, "stride": 3.0}, "at most the window"),
        ({"labels": "red", "clip_weights": "nowhere.pt"}, "a file that exists"),
        ({"labels": "red", "evidence": -1}, "whole number"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_the_work(options: dict[str, object], match: str) -> None:
    with pytest.raises(UserError, match=match):
        whyact.load(**options).predict(film(("red", 1)), fps=FPS)


def test_labels_come_from_a_list_and_a_file_alike(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("red\ngreen, of a kind\n")
    frames = film(("red", 1))
    by_file = whyact.load(labels=str(tmp_path / "labels.txt")).predict(frames, fps=FPS)[0]
    by_list = whyact.load(labels=["red", "green, of a kind"]).predict(frames, fps=FPS)[0]
    assert by_file.labels == by_list.labels


def test_labels_belong_to_what_can_choose_among_them() -> None:
    with pytest.raises(TypeError, match="no option 'labels' for laiar"):
        whyact.load(str(BUNDLED), labels=["red"])
    with pytest.raises(TypeError, match="no option 'detector'"):
        whyact.load(labels=["red"], detector="small")


def test_the_command_answers_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "red.mp4"
    write_video(video, film(("red", 2)), FPS)
    page = tmp_path / "why.html"
    assert main(["predict", str(video), "--labels", 'red, "green, or so"', "--report", str(page), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    assert answer["labels"][0]["label"] == "red"
    assert {one["label"] for one in answer["labels"]} == {"red", "green, or so", NONE}
    assert page.read_text().count("data:image/jpeg") >= 1, "the frames that decided are shown"
    assert main(["predict", str(video), str(tmp_path / "no.mp4"), "--labels", "red"]) == 2
    captured = capsys.readouterr()
    assert "red.mp4: red" in captured.out
    assert "no such file" in captured.err
    assert main(["predict", str(video), "--labels", "red", "--data", "cad120"]) == 2
    assert "plain CLIP reads pixels" in capsys.readouterr().err


def test_help_of_labels_shows_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--labels", "red", "--help"]) == 0
    assert "--clip-weights" in capsys.readouterr().out
    assert PredictOptions().clip_weights == "openai"
