"""What the report says: sentences, verdicts, times."""

from __future__ import annotations

import math

import pytest
import sample_prediction as sample
from parsed_page import Page

from whyact.prediction import Evidence, LabelScore
from whyact.report import render
from whyact.sentences import describe_evidence, explain_answer, join_parts
from whyact.wording import find_deciding, format_span, format_time


def test_doubt_and_damage_are_said_in_words() -> None:
    page = Page(render([sample.frames()]))
    warnings = [" ".join(text.split()) for _, text in page.all("p", class_="warn")]
    assert warnings == [
        "Unsure. The best score, 0.31, is below the model’s own threshold of 0.40.",
        "Degraded input. 20 of 200 frames could not be decoded",
    ]
    assert "Note. Neither name was in the training set." in page.text("main")
    assert not Page(render([sample.pick(2)])).all("p", class_="callout")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("pick", "The annotation says pick: the answer is right."),
        ("place", "The annotation says place, which comes at place 2 with score 0.04: the answer is wrong."),
        ("dance", "The annotation says dance, which is not among the scored labels: the answer is wrong."),
    ],
)
def test_the_target_is_compared_in_words(target: str, told: str) -> None:
    prediction = sample.pick(2)
    prediction.target = target
    assert Page(render([prediction])).text("p", class_="verdict") == told


def test_what_is_not_stated_is_no_reason() -> None:
    prediction = sample.pick(1)
    for one in prediction.evidence:
        one.stated = False
    sentence = join_parts(explain_answer(prediction))
    assert sentence.startswith("No single moment decides this: ")
    assert "ecause" not in sentence
    assert find_deciding(prediction) is None


def test_the_first_stated_reason_is_the_reason_with_what_was_removed_and_its_control() -> None:
    prediction = sample.pick(2)
    first, second = prediction.evidence[:2]
    first.stated, second.contribution, second.control, second.removed = False, 0.5, 0.1, "the pair a – b"
    assert find_deciding(prediction) is second
    unchecked = join_parts(explain_answer(prediction))
    assert unchecked.startswith("What carries this answer, in names that were never checked: ")
    second.probability = 0.95
    sentence = join_parts(explain_answer(prediction))
    assert sentence.startswith("Because ")
    told = "; without the pair a – b the score of pick falls from 0.93 to 0.43 (as much removed at random leaves at "
    told += "least 0.83)."
    assert sentence.endswith(told)


def test_without_a_target_nothing_is_called_right_or_wrong() -> None:
    prediction = sample.pick(2)
    prediction.target = ""
    assert not Page(render([prediction])).all("p", class_="verdict")


@pytest.mark.parametrize(
    ("contribution", "told"),
    [
        (-0.05, "without it the score of pick rises from 0.93 to 0.98."),
        (0.0, "without it the score of pick stays at 0.93."),
        (2.0, "without it the score of pick falls from 0.93 to 0.00."),
    ],
)
def test_the_sentence_follows_the_sign_of_the_contribution(contribution: float, told: str) -> None:
    prediction = sample.pick(1)
    prediction.evidence[0].contribution = contribution
    sentence = Page(render([prediction])).text("p", class_="because")
    assert sentence.endswith(told)
    assert sentence.startswith("Because") == (contribution > 0)


KINDS = {
    "Because of the frame at 1.2 s;": {"kind": "frame"},
    "Because of the snippet 1.2 – 1.5 s;": {"kind": "snippet"},
    "Because of the related known action juggling balls;": {
        "kind": "neighbour",
        "label": "juggling_balls",
    },
    "Because hand_1 was holding cup_1 from 1.2 s to 1.5 s;": {
        "kind": "state",
        "subject": "hand_1",
        "object": "cup_1",
        "label": "holding",
    },
    "Because box_1 went from closed to open between 1.2 s and 1.5 s;": {
        "kind": "transition",
        "subject": "box_1",
        "object": "box_1",
        "from_state": "closed",
        "to_state": "open",
    },
    "Because head_1 went from being apart from cup_1 to contacting cup_1 between 1.2 s and 1.5 s;": {
        "kind": "transition",
        "subject": "head_1",
        "object": "cup_1",
        "from_state": "apart",
        "to_state": "contacting",
    },
    "Because the relation of hand_1 to cup_1 changed from “unsure” to “in, holding” between 1.2 s and 1.5 s;": {
        "kind": "transition",
        "subject": "hand_1",
        "object": "cup_1",
        "from_state": "unsure",
        "to_state": "in, holding",
    },
    "Because of this evidence: something else;": {"kind": "transition", "text": "something else"},
}


@pytest.mark.parametrize("told", KINDS)
def test_each_kind_of_evidence_has_its_sentence(told: str) -> None:
    prediction = sample.pick(5)
    prediction.evidence = [Evidence(**{"text": "", "start": 1.2, "end": 1.5, "contribution": 0.1, **KINDS[told]})]
    page = Page(render([prediction]))
    assert page.text("p", class_="because").startswith(told)
    assert "+0.10" in page.text("td", class_="contribution")


@pytest.mark.parametrize("kind", ["state", "transition"])
def test_what_was_seen_at_one_moment_is_at_and_not_from_to(kind: str) -> None:
    seen = {"subject": "hand_1", "object": "cup_1", "label": "holding", "from_state": "apart", "to_state": "holding"}
    evidence = Evidence(kind=kind, text="", start=0.93, end=0.93, contribution=0.1, **seen)  # type: ignore[arg-type]
    told = join_parts(describe_evidence(evidence))
    assert told.endswith(" at 0.93 s")
    assert " from 0.93" not in told
    assert "between" not in told


def test_where_nothing_was_seen_or_kept_the_reason_is_given() -> None:
    prediction = sample.pick(1)
    prediction.evidence, prediction.tokens_valid, prediction.tokens_kept = [], 0, 0
    assert "the model knows no relation of what was found" in join_parts(explain_answer(prediction))
    prediction.tokens_valid = 7
    told = "There is no evidence: the model kept none of the 7 tokens that it saw."
    assert join_parts(explain_answer(prediction)) == told
    page = Page(render([prediction]))
    assert page.text("p", class_="because") == told
    assert "No evidence is recorded" not in page.text("main")


def test_an_answer_of_nothing_is_said_in_words_in_the_headline() -> None:
    prediction = sample.pick(1)
    assert Page(render([prediction])).text("h1") == "pick"
    prediction.labels = [LabelScore(label="null", score=0.9)]
    page = Page(render([prediction]))
    assert page.text("h1") == "null (none of its actions)"
    assert "without it the score of null" in page.text("main")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0 s"), (1.2, "1.2 s"), (59.999, "60 s"), (599.0, "599 s"), (600.0, "10:00"), (4512.5, "1:15:12.5"),
     (36000.0, "10:00:00"), (-0.001, "0 s"), (-1.5, "−1.5 s"), (math.nan, "n/a")],
)  # fmt: skip
def test_a_time_is_written_as_people_read_it(seconds: float, told: str) -> None:
    assert format_time(seconds) == told


def test_the_ends_of_a_span_are_written_alike() -> None:
    assert format_span(1.2, 1.8) == "1.2 – 1.8 s"
    assert format_span(590.0, 610.5) == "9:50 – 10:10.5"
    assert format_span(3.0, 3.001) == "3 s"


def test_an_answer_without_a_finite_score_has_no_consequence() -> None:
    prediction = sample.pick(1)
    prediction.labels = [LabelScore(label="pick", score=math.nan)]
    assert "without it" not in Page(render([prediction])).text("p", class_="because")


def test_evidence_for_another_action_is_no_reason_of_the_answer() -> None:
    prediction = sample.pick(2)
    next(s for s in prediction.labels if s.label == "pour").score = 0.9
    for evidence in prediction.evidence:
        evidence.action, evidence.stated, evidence.contribution = "pour", True, 0.5
    sentence = join_parts(explain_answer(prediction))
    assert sentence.startswith("No stated evidence is about pick. What pour rests on: ")
    assert "ecause" not in sentence
    assert "the score of pour falls from 0.90" in sentence
