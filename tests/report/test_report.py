"""The report as its reader gets it: the HTML is parsed and asked what it says."""

from __future__ import annotations

import ast
import base64
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import sample_prediction as sample
from hypothesis import given, settings
from hypothesis import strategies as st

import whyact.report
from whyact.errors import UserError
from whyact.prediction import Box, Curve, Evidence, LabelScore, Prediction, Track, TrackPoint
from whyact.report import render, write_report
from whyact.report.charts import chart, diverging
from whyact.report.timeline import Axis
from whyact.report.words import moment, span

VOID = {"meta", "br", "image", "link", "img", "input", "hr"}
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(40))


class Page(HTMLParser):
    """Every element as (tag, attributes, text, tags around it); texts are kept as written."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str], tuple[str, ...]]] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        assert not self._open, "an element is left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        around = tuple(self.elements[i][0] for i in self._open)
        self.elements.append((tag, {k: v or "" for k, v in attrs}, [], around))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, [], ()))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open[-1]][0] == tag, f"{tag} closes {self.elements[self._open[-1]][0]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for i in self._open:
            self.elements[i][2].append(data)

    def all(self, tag: str = "", **attrs: str) -> list[tuple[dict[str, str], str]]:
        """Return (attributes, text) of the elements of a tag that carry these attribute words."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attrs.items()}
        return [
            (found, "".join(text))
            for name, found, text, _ in self.elements
            if (not tag or name == tag) and all(value in found.get(key, "").split() for key, value in wanted.items())
        ]

    def text(self, tag: str = "", **attrs: str) -> str:
        return " ".join(self.all(tag, **attrs)[0][1].split())


def everything() -> list[Prediction]:
    return [sample.pick(8), sample.frames(), sample.snippets(), sample.empty()]


def test_the_page_needs_nothing_from_outside() -> None:
    html = render(everything(), stills={("kitchen-07/pick-3", 37): JPEG})
    for _, attrs, _, _ in Page(html).elements:
        for key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert key not in attrs or attrs[key].startswith(("#", "data:"))
    assert "//" not in re.sub(r"data:image/jpeg;base64,[\w+/=]*", "", html)
    assert "@import" not in html
    assert "url(" not in html


def test_the_answer_and_its_reason_stand_first() -> None:
    page = Page(render([sample.pick(8)]))
    assert page.text("h1") == "pick"
    assert page.text("p", class_="score").startswith("0.93")
    assert page.text("p", class_="because") == (
        "Because hand_1 went from not holding cup_1 to holding cup_1 between 1.2 s and 1.5 s; "
        "without it the score of pick falls from 0.93 to 0.21."
    )


def test_every_lane_is_there_and_lanes_without_kept_tokens_are_folded() -> None:
    prediction = sample.pick(28)
    page = Page(render([prediction]))
    lanes = [(attrs["data-slot"], around) for _, attrs, _, around in page.elements if "data-slot" in attrs]
    assert sorted(int(slot) for slot, _ in lanes) == sorted(t.slot for t in prediction.tracks)
    folded = {int(slot) for slot, around in lanes if "details" in around}
    assert folded == {t.slot for t in prediction.tracks if not any(p.kept for p in t.points)}
    assert [int(slot) for slot, _ in lanes][:4] == [0, 2, 1, 4]  # by falling contribution: 0.72, 0.06, -0.03, none


@pytest.mark.parametrize("lanes", [1, 5, 28])
def test_kept_and_dropped_tokens_are_counted_as_the_prediction_counts_them(lanes: int) -> None:
    prediction = sample.pick(lanes)
    page = Page(render([prediction]))
    cells = [attrs["class"] for tag, attrs, _, around in page.elements if tag == "i" and around[-2:-1] == ("div",)]
    assert cells.count("k") == prediction.tokens_kept
    assert cells.count("d") == prediction.tokens_valid - prediction.tokens_kept


def test_runs_name_relations_and_join_equal_neighbours() -> None:
    page = Page(render([sample.pick(1)]))
    runs = [" ".join(text.split()) for _, text in page.all("li", class_="run")]
    assert runs == ["not holding, 0 – 1.2 s, 2 of 5 kept", "holding, 1.5 – 2.7 s, 3 of 5 kept"]


def test_a_sampled_time_without_a_token_stays_blank() -> None:
    prediction = sample.pick(2)
    del prediction.tracks[1].points[4]
    cells = [
        a["style"] for a, _ in Page(render([prediction])).all("i") if "style" in a and a.get("class") in ("k", "d")
    ]
    places = [tuple(map(float, re.findall(r"[\d.]+", style))) for style in cells]
    first, second = places[:10], places[10:]
    assert len(second) == 9
    assert set(second) < set(first)
    assert first[4] not in second


def test_drawings_show_the_frame_before_and_after_with_their_stills() -> None:
    after = JPEG + b"after"
    html = render([sample.pick(8)], stills={("kitchen-07/pick-3", 37): JPEG, ("kitchen-07/pick-3", 46): after})
    page = Page(html)
    captions = [" ".join(text.split()) for _, text in page.all("figcaption")]
    assert captions == ["Before hand_1 not holding cup_1 1.2 s, frame 37", "After hand_1 holding cup_1 1.5 s, frame 46"]
    shown = [attrs["href"].partition(",")[2] for attrs, _ in page.all("image")]
    assert shown == [base64.b64encode(image).decode() for image in (JPEG, after)]
    assert [attrs["viewbox"] for attrs, _ in page.all("svg", class_="scene")] == ["0 0 640.0 480.0"] * 2


def test_one_thing_has_one_colour_everywhere() -> None:
    page = Page(render([sample.pick(28)]))
    hues: dict[str, set[str]] = {}
    for attrs, text in page.all("span", class_="name"):
        hues.setdefault(text, set()).add(attrs["style"])
    assert all(len(found) == 1 for found in hues.values())
    assert len({min(found) for found in hues.values()}) == len(hues)


BOXES = st.tuples(
    st.floats(-50, 650), st.floats(-50, 490), st.floats(0.1, 300), st.floats(0.1, 300), st.text("abc_1", min_size=1)
)


@given(st.lists(BOXES, min_size=1, max_size=25))
@settings(max_examples=15, deadline=None)
def test_labels_in_a_drawing_never_cover_each_other(boxes: list[tuple[float, float, float, float, str]]) -> None:
    def point(box: Box) -> TrackPoint:
        return TrackPoint(
            time=1.0, frame=1, label="near", similarity=0.5, margin=0.1, keep_probability=1.0, kept=True,
            subject_box=box, object_box=box,
        )  # fmt: skip

    prediction = sample.pick(1)
    prediction.tracks = [
        Track(slot=i, subject=name, object=name, points=[point((x, y, x + w, y + h))])
        for i, (x, y, w, h, name) in enumerate(boxes)
    ]
    page = Page(render([prediction]))
    scene, _ = page.all("svg", class_="scene")[0]
    font = float(scene["font-size"])
    labels = [(float(a["x"]), float(a["y"]), len(text) * font * 0.55) for a, text in page.all("text")]
    assert labels
    for i, (x, y, width) in enumerate(labels):
        assert x >= 0
        assert x + width <= 640
        assert font * 0.9 <= y <= 480
        for other_x, other_y, other_width in labels[:i]:
            beside = x >= other_x + other_width or other_x >= x + width
            assert beside or abs(y - other_y) >= font * 1.2


def test_a_box_that_is_not_there_is_said_and_not_drawn() -> None:
    prediction = sample.pick(1)
    prediction.tracks[0].points[4].subject_box = (0.0, 0.0, 0.0, 0.0)
    page = Page(render([prediction]))
    assert "hand_1 has no box here" in page.text("figcaption")
    assert [text for _, text in page.all("text")].count("hand_1") == 1


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=12, deadline=None)
def test_any_name_is_shown_as_text(label: str, subject: str, note: str) -> None:
    prediction = sample.pick(2)
    prediction.labels[0].label = label
    prediction.tracks[0].subject = prediction.evidence[0].subject = f"<script>{subject}"
    prediction.notes = [note]
    page = Page(render([prediction]))
    assert len(page.all("script")) == 1
    assert page.text("h1") == (" ".join(label.replace("_", " ").split()) or "No answer")
    assert " ".join(f"<script>{subject}".split()) in page.text("p", class_="because")
    assert " ".join(note.split()) in page.text("p", class_="callout")


def test_attributes_cannot_be_broken_out_of() -> None:
    prediction = sample.snippets()
    prediction.segments[0].label = '"><script>alert(1)</script>'
    prediction.curves[0].name = "</title></svg><script>alert(1)</script>"
    prediction.provenance.versions = {"<img src=x onerror=alert(1)>": "1"}
    html = render([prediction])
    assert len(Page(html).all("script")) == 1
    assert not Page(html).all("img")
    assert "alert(1)</script>" not in html


def test_the_least_prediction_and_no_prediction_still_make_a_page() -> None:
    page = Page(render([sample.empty()]))
    assert page.text("h1") == "No answer"
    assert page.text("p", class_="because") == "No evidence is recorded for this answer."
    assert "There is no prediction to report." in Page(render([])).text("main")


def test_one_token_makes_one_lane_with_one_cell() -> None:
    prediction = sample.pick(1)
    prediction.tracks[0].points = prediction.tracks[0].points[3:4]
    prediction.evidence = []
    for duration in (0.0, 3.0, 7200.0):
        prediction.video.duration = duration
        page = Page(render([prediction]))
        assert (
            len([1 for a, _ in page.all("i") if a.get("style", "").startswith("left") and a.get("class") == "k"]) == 1
        )


def test_many_lanes_stay_small() -> None:
    assert len(render([sample.pick(28)]).encode()) < 400_000


@pytest.mark.parametrize("predictions", [[sample.pick(8)], everything()], ids=["one", "several"])
def test_headings_ids_and_drawings_are_in_order(predictions: list[Prediction]) -> None:
    page = Page(render(predictions))
    levels = [int(tag[1]) for tag, _, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [attrs["id"] for _, attrs, _, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    titles = {attrs["id"]: text for attrs, text in page.all("title") if "id" in attrs}
    for attrs, _ in page.all("svg"):
        assert attrs["role"] == "img"
        assert titles[attrs["aria-labelledby"]].strip()
    for attrs, _ in page.all("a"):
        assert attrs["href"].removeprefix("#") in ids
    for attrs, _ in page.all("div", class_="strip"):
        assert attrs.get("data-tokens", ids[0]) in ids


def test_several_predictions_have_an_index() -> None:
    page = Page(render(everything()))
    rows = [" ".join(text.split()) for _, text in page.all("a")]
    assert len(rows) == 4
    assert "pick" in rows[0]
    assert "hand_1 – cup_1: not holding → holding, 1.2 – 1.5 s" in rows[0]
    assert "unsure, wrong" in rows[1]


def test_doubt_and_damage_are_said_in_words() -> None:
    page = Page(render([sample.frames()]))
    warnings = [" ".join(text.split()) for _, text in page.all("p", class_="warn")]
    assert warnings == [
        "Unsure. The best score, 0.31, lies under the model’s own threshold of 0.40.",
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
    "Because the video lies close to the known action juggling balls;": {
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


def test_frame_evidence_shows_the_nearest_still_and_no_far_one() -> None:
    stills = {("ball", 127): JPEG + b"near", ("ball", 1): JPEG + b"far", ("other", 128): JPEG}
    page = Page(render([sample.frames()], stills=stills))
    shown = {attrs["href"].partition(",")[2] for attrs, _ in page.all("image")}
    assert shown == {base64.b64encode(JPEG + b"near").decode()}
    assert not Page(render([sample.frames()])).all("figure")


def test_numbers_that_are_not_finite_never_reach_the_page() -> None:
    prediction = sample.pick(4)
    prediction.labels[1].score = math.nan
    prediction.evidence[1].contribution = math.nan
    prediction.evidence[2].similarity = math.inf
    prediction.tracks[0].points[2].similarity = math.nan
    prediction.tracks[0].points[4].subject_box = (math.nan, 0.0, 1.0, 1.0)
    prediction.tracks[1].points[0].time = math.nan
    prediction.curves = [Curve(name="c", times=[0.0, 1.0, 2.0], values=[0.1, math.nan, math.inf])]
    page = Page(render([prediction]))
    words = re.findall(r"\b(?:nan|inf)\b", page.text("main").lower())
    words += [v for _, attrs, _, _ in page.elements for v in attrs.values() if re.search(r"\b(nan|inf)\b", v.lower())]
    assert not words


def test_scores_list_the_ten_best_and_the_target_after_them() -> None:
    prediction = sample.pick(1)
    prediction.target = "pour"
    rows = [" ".join(text.split()) for attrs, text in Page(render([prediction])).all("ol", class_="scores")]
    assert re.findall(r"[a-z]+ annotated place 11", rows[0]) == ["pour annotated place 11"]
    assert "microwave food" in rows[0]
    prediction.target = "pick"
    assert "pour" not in Page(render([prediction])).text("ol", class_="scores")


def test_the_evidence_table_has_every_row_in_rank_order() -> None:
    prediction = sample.pick(4)
    template = prediction.evidence[0]
    prediction.evidence = [
        Evidence(**{**{f: getattr(template, f) for f in template.__struct_fields__}, "rank": r, "contribution": 1 / r})
        for r in range(40, 0, -1)
    ]
    page = Page(render([prediction]))
    tables = [text.split() for _, text in page.all("table", class_="evidence")]
    ranks = [int(text) for attrs, text in page.all("td", role="cell") if text.strip().isdigit()]
    assert ranks == list(range(1, 41))
    assert len(tables) == 2  # the long tail is folded away


def test_naming_is_left_out_where_nothing_was_named() -> None:
    assert "Naming" in Page(render([sample.pick(1)])).text("main")
    assert "Naming" not in Page(render([sample.snippets()])).text("main")


def test_segments_lie_on_the_axis_and_overlapping_ones_in_rows() -> None:
    prediction = sample.snippets(duration=400.0)
    page = Page(render([prediction]))
    bars = [attrs for attrs, _ in page.all("span") if "--s" in attrs.get("style", "")]
    assert len(bars) == len(prediction.segments)
    found = re.findall(r"left:([\d.]+)%;width:([\d.]+)%;top:([\d.]+)", bars[0]["style"])
    left, width, top = map(float, found[0])
    assert left == pytest.approx(100 * prediction.segments[0].start / 400, abs=0.02)
    assert width == pytest.approx(100 * (prediction.segments[0].end - prediction.segments[0].start) / 400, abs=0.02)
    tops = [re.findall(r"top:([\d.]+)", a["style"])[0] for a in bars[:3]]
    assert top == 0
    assert tops[1] != tops[2]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=3000))
@settings(max_examples=40, deadline=None)
def test_a_thinned_curve_keeps_its_highest_and_lowest_value(values: list[float]) -> None:
    drawn = chart(Curve(name="c", times=[float(i) for i in range(len(values))], values=values), Axis(0.0, 3000.0))
    heights = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", drawn.line)]
    bottom, top = min(0.0, *values, 0.0), max(values)
    top = top if top > bottom else bottom + 1
    assert len(heights) <= 1000
    assert min(heights) == pytest.approx(100 * (1 - (max(values) - bottom) / (top - bottom)), abs=0.06)
    assert max(heights) == pytest.approx(100 * (1 - (min(values) - bottom) / (top - bottom)), abs=0.06)


def test_a_curve_breaks_at_a_missing_value() -> None:
    curve = Curve(name="c", times=[0.0, 1.0, 2.0, 3.0, 4.0], values=[0.0, 1.0, math.nan, 1.0, 0.0])
    assert chart(curve, Axis(0.0, 4.0)).line.count("M") == 2


@given(st.lists(st.floats(-1, 1), min_size=1))
def test_contribution_bars_share_one_zero_and_one_scale(values: list[float]) -> None:
    bars = diverging(values)
    scale = max(0.0, *values, 0.0) - min(0.0, *values, 0.0) or 1.0
    for value, bar in zip(values, bars, strict=True):
        assert bar.zero == bars[0].zero
        assert bar.width == pytest.approx(100 * abs(value) / scale, abs=0.02)
        assert bar.left == pytest.approx(bar.zero - bar.width if value < 0 else bar.zero, abs=0.02)


@given(st.floats(0, 1e5), st.floats(0.02, 1e6))
def test_an_axis_has_few_round_and_different_ticks(start: float, length: float) -> None:
    ticks = Axis(start, start + length).ticks
    assert 1 <= len(ticks) <= 8
    assert all(0 <= place <= 100 for place, _ in ticks)
    assert [place for place, _ in ticks] == sorted(place for place, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0 s"), (1.2, "1.2 s"), (59.999, "60 s"), (599.0, "599 s"), (600.0, "10:00"), (4512.5, "1:15:12.5"),
     (36000.0, "10:00:00"), (-0.001, "0 s"), (-1.5, "−1.5 s"), (math.nan, "n/a")],
)  # fmt: skip
def test_a_time_is_written_as_people_read_it(seconds: float, told: str) -> None:
    assert moment(seconds) == told


def test_the_ends_of_a_span_are_written_alike() -> None:
    assert span(1.2, 1.8) == "1.2 – 1.8 s"
    assert span(590.0, 610.5) == "9:50 – 10:10.5"
    assert span(3.0, 3.001) == "3 s"


def test_a_short_span_of_a_long_video_is_drawn_large_and_said() -> None:
    prediction = sample.pick(2)
    prediction.video.duration = 7200.0
    assert "of a video of 2:00:00" in Page(render([prediction])).text("main")
    assert "of a video of" not in Page(render([sample.pick(2)])).text("main")


def test_the_file_is_written_whole_and_folders_are_made(tmp_path: Path) -> None:
    path = write_report([sample.pick(2)], tmp_path / "a" / "b" / "report.html")
    assert path.read_text(encoding="utf-8") == render([sample.pick(2)])
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("whyact.report.page.os.replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_report([sample.pick(2)], path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder"):
        write_report([sample.empty()], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_report([sample.empty()], tmp_path / "file" / "report.html")


def test_a_still_that_is_not_a_jpeg_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    stills = {("kitchen-07/pick-3", 37): b"\x89PNG"}
    with pytest.raises(UserError, match=r"frame 37.*JPEG"):
        write_report([sample.pick(2)], tmp_path / "report.html", stills=stills)
    assert not list(tmp_path.iterdir())


def test_rendering_changes_nothing_and_repeats_itself() -> None:
    first, second = sample.pick(8), sample.pick(8)
    assert render([first]) == render([second]) == render([first])
    assert first == second


def test_an_answer_without_a_finite_score_has_no_consequence() -> None:
    prediction = sample.pick(1)
    prediction.labels = [LabelScore(label="pick", score=math.nan)]
    assert "without it" not in Page(render([prediction])).text("p", class_="because")


def test_the_report_knows_only_predictions_and_errors() -> None:
    folder = Path(whyact.report.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            own = [name for name in names if name.startswith("whyact")]
            assert all(name.startswith(("whyact.prediction", "whyact.errors", "whyact.report")) for name in own), file


def test_every_token_can_be_read_in_numbers_without_a_script() -> None:
    prediction = sample.pick(5)
    page = Page(render([prediction]))
    for track in prediction.tracks:
        table = next(text for attrs, text in page.all("table") if attrs.get("id") == f"p1-t{track.slot}")
        for p in track.points:
            told = f"{p.time:g} s{p.frame}{p.label.replace('_', ' ')}{'yes' if p.kept else 'no'}"
            assert told + f"{p.keep_probability:.2f}{p.similarity:.2f}{p.margin:.2f}" in table
