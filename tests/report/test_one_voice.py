"""Forty answers of all methods on four surfaces: report, studio, overlay video and terminal say the same."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import sample_prediction as sample
from parsed_page import Page

from whyact import sentences, wording
from whyact.prediction import Evidence, LabelScore, Prediction, Segment
from whyact.report import render
from whyact.video import panel
from whyact.video.draw import overlay


def made(seed: int) -> Prediction:
    """Return an answer of any method, familiar or not, sure or not, with evidence for and against it."""
    rng = random.Random(seed)
    kind = ("pick", "frames", "snippets", "windows", "empty")[seed % 5]
    if kind == "empty":
        return sample.empty() if seed % 2 else msgspec.structs.replace(sample.pick(2), evidence=[], tokens_kept=0)
    if kind == "frames":
        p = sample.frames()
    elif kind == "snippets":
        p = sample.snippets(rng.choice((90.0, 5400.0)))
    else:
        p = sample.pick(rng.choice((1, 4, 12)))
    p.target = ""
    scores = sorted((rng.choice((rng.random(), 0.4785, 0.9999, 0.005)) for _ in p.labels), reverse=True)
    p.labels = [LabelScore(label=s.label, score=x) for s, x in zip(p.labels, scores, strict=True)]
    for e in p.evidence:
        e.contribution = rng.choice((rng.uniform(-0.4, 0.9), 0.0, 0.001, -0.002))
        e.rank = rng.choice((0, 1, 2, 3))
        e.stated = rng.random() < 0.7
        e.control = rng.choice((None, 0.05))
        e.probability = None if e.control is None else 0.95
        e.removed = rng.choice(("", "the pair"))
    if kind == "windows":
        p.segments = [
            Segment(start=float(i), end=i + 1.5, label=rng.choice(p.labels[:3]).label, score=rng.random())
            for i in range(3)
        ]
        for e in p.evidence:
            e.action = rng.choice(("", *(s.label for s in p.segments)))
    p.threshold = rng.choice((None, 0.4821, 0.3, 0.9))
    p.unsure = p.threshold is not None and p.score < p.threshold
    if seed % 4 == 3:  # unlike what the model knows, whatever the score
        p.unsure = True
        p.unfamiliar = rng.random() < 0.7  # older answers say it with an unsure score above the threshold alone
        if not p.unfamiliar and (p.threshold is None or p.score < p.threshold):
            p.unfamiliar = True
    return p


ANSWERS = [made(seed) for seed in range(40)]


class Surface:
    """What a reader is told: the head of the answer, its doubt, its sentence and the order of the evidence."""

    def __init__(self, head: str, doubt: str, sentence: str, evidence: list[str], everything: str) -> None:
        self.head, self.doubt, self.sentence = head, doubt, sentence
        self.evidence, self.everything = evidence, everything


def words(text: str) -> str:
    return " ".join(text.split())


def page(html: str, rows: Callable[[Page], list[str]]) -> Surface:
    found = Page(html)
    score = [words(text) for _, text in found.all("p", class_="score")]
    guess = [words(text) for _, text in found.all("p", class_="guess")]
    head = " ".join([found.text("h1"), *(s.split()[0] for s in score), *guess])
    doubt = " ".join(words(text) for _, text in found.all("p", class_="warn") if text.startswith("Unsure."))
    return Surface(head, doubt, found.text("p", class_="because"), rows(found), found.text("main"))


def report(p: Prediction) -> Surface:
    def rows(found: Page) -> list[str]:
        cells = [words(text) for attrs, text in found.all("td", role="cell", class_="contribution")]
        return cells + [
            part
            for attrs, text in found.all("ol", class_="lines")
            for line in text.strip().splitlines()
            for part in line.split(" · ")
            if re.fullmatch(r"[+−]?[\d.]+\+?", part)
        ]

    return page(render([p]), rows)


def studio(p: Prediction) -> Surface:
    pytest.importorskip("fastapi", reason="needs whyact[web]")
    from whyact.studio.forms import JobInfo, ModelInfo
    from whyact.studio.pages import render_answer

    job = JobInfo(
        id="x", name="film.mp4", model="m", state="done", stage="", share=1, error="", label=p.label, score=p.score,
        against="", playable=True, left=None, thumbnail=False, cells=0,
    )  # fmt: skip
    html = render_answer(p, job, ModelInfo(name="m", about="", actions=[], relations=[]), [], False)
    return page(html, lambda found: [words(text) for _, text in found.all("span", class_="contribution")])


def terminal(p: Prediction) -> Surface:
    lines = sentences.format_answer(p).splitlines()
    # Segments stand between the headline and the sentence: a line each, and a line for those left out; of an
    # unfamiliar video one line in all.
    shown = min(len(p.segments), sentences.LINES) + (len(p.segments) > sentences.LINES)
    first = 1 + (min(shown, 1) if sentences.find_state(p) == "unfamiliar" else shown)
    doubt = " ".join(line.strip() for line in lines[first + 1 :] if "threshold" in line or "unsure" in line)
    return Surface(lines[0].partition(": ")[2], doubt, lines[first].strip(), [], "\n".join(lines))


def video(p: Prediction, monkeypatch: pytest.MonkeyPatch) -> Surface:
    """What is written into the overlay video at the moment of the best segment, and on its last card."""
    written: list[str] = []
    monkeypatch.setattr(panel, "draw_text", lambda draw, where, text, *_: written.append(text))
    moment = max(p.segments, key=lambda s: (s.label == p.label, s.score)).start if p.segments else 0.0
    list(overlay([(moment, np.zeros((480, 4000, 3), np.uint8))], p))
    head = written[0] if written else ""
    written.clear()
    card = panel.end_card(p, 4000, 4000)
    return Surface(head, "", " ".join(written), [], "" if card is None else " ".join(written))


@pytest.mark.parametrize("seed", range(40))
def test_all_surfaces_say_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p = ANSWERS[seed]
    state = sentences.find_state(p)
    on_page, in_studio, in_terminal = report(p), studio(p), terminal(p)
    in_video = video(p, monkeypatch)
    assert on_page.head == in_studio.head
    assert on_page.doubt == in_studio.doubt
    assert on_page.sentence == in_studio.sentence == words(in_terminal.sentence)
    assert on_page.evidence == in_studio.evidence
    assert on_page.evidence == [wording.format_contribution(e.contribution) for e in wording.sort_evidence(p)]
    score = wording.format_score(p.score)
    if state == "none":
        assert on_page.head == "No answer"
        assert in_terminal.head == "no answer"
        return
    label = wording.format_headline(p.label)
    expected = {
        "sure": (f"{label} {score}", f"{label} {score}"),
        "unsure": (f"{label} ", f"unsure, perhaps {label}, score "),
        "unfamiliar": (f"{sentences.UNFAMILIAR} Its guess is {label}, score {score}.",) * 2,
    }[state]
    assert on_page.head.startswith(expected[0])
    assert in_terminal.head.replace(f"{sentences.UNFAMILIAR}.", sentences.UNFAMILIAR).startswith(expected[1])
    if state != "sure":
        assert in_video.head == spelt(in_terminal.head)
    elif not p.segments:
        assert in_video.head == spelt(on_page.head)
    if in_video.sentence:
        assert spelt(in_terminal.head) in in_video.sentence
        assert spelt(on_page.sentence) in in_video.sentence
    for surface in (on_page, in_studio, in_terminal, in_video):
        check_truth(p, surface, state)


def spelt(text: str) -> str:
    return panel.spelt(text)


def check_truth(p: Prediction, surface: Surface, state: str) -> None:
    """No sentence contradicts the answer's own numbers."""
    said = surface.everything
    for low, high in re.findall(r"best score, ([\d.]+), is below the model[’']s own threshold of ([\d.]+)\.", said):
        assert float(low) < float(high)
    assert ("is below the model" in said) <= (state == "unsure")
    assert (sentences.UNFAMILIAR in said) <= (state == "unfamiliar")
    assert ("unsure" not in surface.head) or state == "unsure"
    if "Because" in surface.sentence:
        first = wording.find_deciding(p)
        assert first is not None
        assert first.stated
        assert state != "unfamiliar"
        assert first.contribution > 0 or "; without" not in surface.sentence
    assert ("No single moment decides this" in surface.sentence) <= (not any(e.stated for e in p.evidence))
    if "No listed evidence" in surface.sentence:
        first = wording.find_deciding(p)
        assert first is not None
        own = [e for e in p.evidence if e.action == first.action and e.stated]
        assert not any(wording.format_score(e.contribution) != "0.00" and e.contribution > 0 for e in own)
    for verb, now, then in re.findall(r"(falls|rises) from (\d\.\d+)\+? to (\d\.\d+)", surface.sentence):
        assert (float(now) >= float(then)) if verb == "falls" else (float(now) <= float(then))


def test_the_forty_are_of_every_kind() -> None:
    states = [sentences.find_state(p) for p in ANSWERS]
    assert {states.count(s) > 1 for s in ("none", "unfamiliar", "unsure", "sure")} == {True}
    assert {p.provenance.method for p in ANSWERS} >= {"laiar", "pvlr", "locate_gat"}
    assert sum("Because" in terminal(p).sentence for p in ANSWERS) > 5


def test_an_unsure_score_above_the_threshold_is_an_unfamiliar_film() -> None:
    """What the studio once said: place 0.99, under the model's own threshold of 0.48."""
    p = sample.pick(4)
    p.labels[0] = LabelScore(label="place", score=0.99)
    p.unsure, p.threshold = True, 0.48
    for html in (report(p), studio(p)):
        assert html.head == "Not a video that this model knows Its guess is place, score 0.99."
        assert "threshold of 0.48" not in html.everything
        assert "Because" not in html.sentence


@pytest.mark.parametrize(("score", "threshold"), [(0.478, 0.482), (0.4785, 0.4789), (0.0, 0.3), (0.9995, 0.9999)])
def test_a_score_under_the_threshold_is_written_so_that_it_reads_lower(score: float, threshold: float) -> None:
    low, high = (float(text.rstrip("+")) for text in wording.format_apart(score, threshold))
    assert low < high


def test_evidence_about_the_answer_is_listed_before_that_about_other_actions() -> None:
    p = sample.pick(4)
    p.evidence[0].action = "place"
    order = wording.number_evidence(p)
    assert [place for place, _ in order] == [1, 2, 3]
    assert [e.action for _, e in order] == ["", "", "place"]
    assert wording.find_deciding(p) is order[0][1]


def test_where_another_piece_raises_the_score_it_is_not_said_that_none_does() -> None:
    p = sample.pick(4)
    p.evidence = [
        Evidence(kind="state", text="", start=0, end=1, contribution=c, subject="a", object="a", label="open", rank=r)
        for r, c in ((1, -0.2), (2, 0.3))
    ]
    said = sentences.join_parts(sentences.explain_answer(p))
    assert said.startswith("First in rank: a was open")
    p.evidence[1].contribution = -0.3
    assert sentences.join_parts(sentences.explain_answer(p)).startswith("No listed evidence raises this score.")


def test_windows_of_an_unfamiliar_film_are_guesses_without_scores() -> None:
    """Four windows once said four actions, each with 0.9 and more."""
    p = sample.pick(4)
    p.segments = [
        Segment(start=t, end=t + 2.0, label=label, score=0.97) for t, label in enumerate(("drink", "close", "drink"))
    ]
    p.unfamiliar = True
    said = sentences.format_answer(p)
    assert "Its guesses for parts of the video: drink, close." in said
    assert "0.97" not in said
    p.unfamiliar, p.unsure = False, False
    assert sentences.format_answer(p).count("0.97") == 3
