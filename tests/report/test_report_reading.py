"""What a page says to somebody who has never seen one: whose score moves, how each part is read, any name at all."""

from __future__ import annotations

import msgspec
import pytest
import sample_prediction as sample
from parsed_page import Page

from whyact import sentences, wording
from whyact.prediction import Curve, LabelScore, Prediction
from whyact.report import render
from whyact.report.charts import chart
from whyact.report.reading import judge_answer
from whyact.report.timeline import Axis, timeline

ODD = {
    "script": "<script>alert(1)</script>",
    "quotes": "quote \"double\" & 'single' {{ 7*7 }}",
    "emoji": "🥪 eating 👩‍👩‍👧 a sandwich",
    "right-to-left": "فتح صندوق (إغلاق) 12",
    "override": "a\u202eb",
    "500-letters": "x" * 500,
}


def other_first() -> Prediction:
    """The first evidence in rank is about the second label."""
    prediction = sample.snippets()
    prediction.evidence = prediction.evidence[:3]
    for e, label, rank in zip(prediction.evidence, ("LongJump", "HighJump", "HighJump"), (1, 2, 2), strict=True):
        e.label = e.action = label
        e.rank = rank
    return prediction


def reading(prediction: Prediction) -> str:
    return " ".join(text for _, text in Page(render([prediction])).all("p", class_="small"))


def test_the_sentence_is_about_the_answer_and_not_about_another_action() -> None:
    prediction = other_first()
    chosen = wording.find_deciding(prediction)
    assert chosen is prediction.evidence[1]
    assert "the score of HighJump falls from 0.88 to 0.78" in sentences.join_parts(sentences.explain_answer(prediction))
    lanes = timeline(prediction)
    assert lanes is not None
    assert [m.rank for m in lanes.loose if m.deciding] == [1]  # what the sentence is about is listed first
    page = Page(render([prediction]))
    assert [text.split()[0] for attrs, text in page.all("tr", class_="first")] == ["1"]
    assert "or of the other action that a row names" in reading(prediction)


def test_where_all_evidence_is_about_others_the_sentence_names_theirs() -> None:
    prediction = other_first()
    prediction.evidence = prediction.evidence[:1]
    assert "the score of LongJump falls from 0.64 to 0.44" in sentences.join_parts(sentences.explain_answer(prediction))


def test_a_row_says_which_other_action_it_is_about() -> None:
    prediction = sample.pick(8)
    assert "about the action" not in Page(render([prediction])).text("table", class_="evidence")
    prediction.evidence[1].action = "take_food"
    assert "about the action take food" in Page(render([prediction])).text("table", class_="evidence")


def test_a_state_that_holds_has_no_arrow() -> None:
    prediction = sample.pick(8)
    held = prediction.evidence[0]
    held.kind, held.text = "state", "holding cup_1"
    held.label = held.from_state = held.to_state = "holding"
    assert "→" not in Page(render([prediction])).all("tr", class_="first")[0][1]


def test_things_that_are_only_in_view_together_read_as_such() -> None:
    prediction = sample.pick(8)
    held = prediction.evidence[0]
    held.kind, held.label = "state", "in_view"
    assert sentences.join_parts(sentences.explain_answer(prediction)).startswith(
        "Because hand_1 was in view with cup_1 from 1.2 s"
    )


def test_only_what_is_on_the_page_is_explained() -> None:
    lanes, film, bare = (reading(p) for p in (sample.pick(8), sample.snippets(), sample.empty()))
    assert "is a token" in lanes
    assert "A bar is a segment" not in lanes
    assert "A bar is a segment" in film
    assert "how far off that end may be" in film
    assert "grey band" in film
    assert "token" not in film
    assert not bare


@pytest.mark.parametrize(("scores", "told"), [((0.7, 0.3), True), ((0.9, 0.8), False)], ids=["shares", "apart"])
def test_scores_that_share_one_are_told_from_scores_that_do_not(scores: tuple[float, float], told: bool) -> None:
    prediction = sample.snippets()
    prediction.labels = [LabelScore(label=f"a{i}", score=s) for i, s in enumerate(scores)]
    assert ("They add up to 1 (an even share is 0.50)" in reading(prediction)) == told
    assert ("several of these actions may happen" in reading(prediction)) != told


def test_the_label_for_nothing_is_explained() -> None:
    assert "The label null stands for none of the other actions." in reading(sample.pick(8))
    assert "none of the other actions" not in reading(sample.snippets())


@pytest.mark.parametrize(
    ("target", "verdict", "told"),
    [
        ("place; pick", "right", "says place and pick: the answer is one of them"),
        ("drink; place", "wrong", "of which the best comes at place 2"),
        ("fly; swim", "wrong", "of which none is among"),
    ],
)
def test_several_annotated_actions_are_judged_together(target: str, verdict: str, told: str) -> None:
    prediction = sample.pick(8)
    prediction.target = target
    assert judge_answer(prediction)[0] == verdict
    assert told in judge_answer(prediction)[1]
    known = [label for label in target.split("; ") if label in sample.ACTIONS]
    rows = [text for _, text in Page(render([prediction])).all("li") if "annotated" in text]
    assert sorted(row.split()[0] for row in rows) == sorted(known)


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
def test_any_label_and_any_thing_is_only_text(name: str) -> None:
    prediction = sample.pick(8)
    prediction.labels[0].label = prediction.labels[1].label = prediction.target = name
    prediction.tracks[0].object = prediction.evidence[0].object = name
    page = Page(render([prediction, msgspec.structs.replace(sample.snippets(), id=name)]))
    assert len(page.all("script")) == 1
    assert page.all("h2")[0][1] == wording.format_label(name)
    isolated = [text for _, text in page.all("bdi")]
    assert wording.format_label(name) in isolated  # else a right-to-left name would turn the words around it
    assert sum(text == wording.format_label(name) for text in isolated) >= 3


def test_a_very_long_label_is_whole_in_headline_and_list_and_cut_in_sentences() -> None:
    prediction = sample.pick(8)
    prediction.labels[0].label = "x" * 500
    page = Page(render([prediction]))
    assert page.text("h1") == "x" * 500
    assert page.all("li", class_="long")
    assert "x" * 81 not in page.text("p", class_="because")
    assert "x" * 81 not in reading(prediction)


def test_numbers_of_evidence_do_not_run_into_each_other() -> None:
    prediction = sample.snippets()
    first = prediction.evidence[0]
    prediction.evidence = [
        msgspec.structs.replace(first, start=100.0 + i, end=101.0 + i, rank=1 + i // 2) for i in range(12)
    ]
    lanes = timeline(prediction)
    assert lanes is not None
    numbered = [m for m in lanes.loose if m.numbered]
    assert [m.rank for m in numbered] == [1]
    assert len(lanes.loose) == 12


def test_a_curve_below_zero_has_its_zero_line_in_place_and_a_flat_one_stays_flat() -> None:
    drawn = chart(Curve(name="c", times=[0.0, 1.0], values=[-0.25, 0.75]), Axis(0.0, 1.0))
    assert drawn.zero == 75
    flat = chart(Curve(name="c", times=[0.0, 1.0], values=[0.0, 0.0001]), Axis(0.0, 1.0))
    assert flat.line.endswith("1000.0 99.0")


def test_many_label_texts_and_long_tables_are_folded() -> None:
    prediction = sample.frames()
    prediction.provenance.prompts = {str(i): f"a video of {i}" for i in range(40)}
    assert "; and 35 more" in Page(render([prediction])).text("dl", class_="facts")
