"""What the report draws: lanes, frames, segments, curves and bars."""

from __future__ import annotations

import base64
import math
import re

import msgspec
import pytest
import sample_prediction as sample
from hypothesis import example, given, settings
from hypothesis import strategies as st
from long_film import long_film
from parsed_page import Page

from whyact.prediction import Box, Curve, Segment, Table, Track, TrackPoint
from whyact.report import render
from whyact.report.charts import chart, diverging, stack_rows
from whyact.report.timeline import Axis, timeline

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(40))


def cells(page: Page, kind: str, lane: int) -> list[tuple[float, float]]:
    """Return left and width of the bars of a lane's tokens, in thousandths of the axis."""
    found = [attrs["d"] for tag, attrs, _, _ in page.elements if tag == "path" and attrs.get("class") == kind]
    return [(float(left), float(width)) for left, width in re.findall(r"M([\d.]+) [\d.]+h([\d.]+)", found[lane])]


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
    assert sum(len(cells(page, "k", lane)) for lane in range(lanes)) == prediction.tokens_kept
    dropped = prediction.tokens_valid - prediction.tokens_kept
    assert sum(len(cells(page, "d", lane)) for lane in range(lanes)) == dropped


@given(st.lists(st.booleans(), min_size=61, max_size=400))
@settings(max_examples=10, deadline=None)
def test_many_tokens_are_drawn_as_few_bars_that_cover_as_much_time(kept: list[bool]) -> None:
    """Beyond sixty tokens, neighbours of one kind are one bar: the share of the axis stays that of the tokens."""
    prediction = sample.pick(1)
    point = prediction.tracks[0].points[0]
    prediction.tracks[0].points = [
        msgspec.structs.replace(point, time=i + 0.5, kept=keep) for i, keep in enumerate(kept)
    ]
    prediction.evidence, prediction.video.duration = [], float(len(kept))
    page = Page(render([prediction]))
    drawn = [width for _, width in cells(page, "k", 0)]
    assert len(drawn) == sum(a and not b for a, b in zip(kept, [False, *kept], strict=False))
    assert sum(drawn) == pytest.approx(1000 * sum(kept) / len(kept), rel=0.02, abs=3)


def test_runs_name_relations_and_join_equal_neighbours() -> None:
    page = Page(render([sample.pick(1)]))
    runs = [" ".join(text.split()) for _, text in page.all("li", class_="run")]
    assert runs == ["not holding, 0 – 1.2 s, 2 of 5 kept", "holding, 1.5 – 2.7 s, 3 of 5 kept"]


def test_a_sampled_time_without_a_token_stays_blank() -> None:
    prediction = sample.pick(2)
    del prediction.tracks[1].points[4]
    page = Page(render([prediction]))
    first, second = (sorted(cells(page, "k", lane) + cells(page, "d", lane)) for lane in (0, 1))
    assert len(first) == 10
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


def test_one_token_makes_one_lane_with_one_cell() -> None:
    prediction = sample.pick(1)
    prediction.tracks[0].points = prediction.tracks[0].points[3:4]
    prediction.evidence = []
    for duration in (0.0, 3.0, 7200.0):
        prediction.video.duration = duration
        page = Page(render([prediction]))
        assert len(cells(page, "k", 0)) == 1


def test_frame_evidence_shows_the_nearest_still_and_no_far_one() -> None:
    stills = {("ball", 127): JPEG + b"near", ("ball", 1): JPEG + b"far", ("other", 128): JPEG}
    page = Page(render([sample.frames()], stills=stills))
    shown = {attrs["href"].partition(",")[2] for attrs, _ in page.all("image")}
    assert shown == {base64.b64encode(JPEG + b"near").decode()}
    assert not Page(render([sample.frames()])).all("figure")


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
    top = max(top, bottom + 0.01) if top > bottom else bottom + 1  # hardly any change is drawn as hardly any
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


def test_a_short_span_of_a_long_video_is_drawn_large_and_said() -> None:
    prediction = sample.pick(2)
    prediction.video.duration = 7200.0
    assert "of a video of 2:00:00" in Page(render([prediction])).text("main")
    assert "of a video of" not in Page(render([sample.pick(2)])).text("main")


def test_annotated_segments_stand_above_the_predicted_ones_and_missed_ones_are_shown() -> None:
    prediction = sample.snippets(duration=400.0)
    known = [
        Segment(start=10.0, end=40.0, label="HighJump", score=1.0),
        Segment(start=1.0, end=5.0, label="Vault", score=1.0),
    ]
    prediction.annotated = known
    lanes = timeline(prediction)
    assert lanes is not None
    assert [lane.label for lane in lanes.segments] == ["HighJump", "LongJump", "Vault"]
    high, _, vault = lanes.segments
    assert [(bar.row, bar.text) for bar in high.bars if bar.annotated] == [(0, "annotated")]
    assert all(bar.row > 0 for bar in high.bars if not bar.annotated)
    assert (vault.found, len(vault.bars)) == (0, 1)
    page = Page(render([prediction]))
    assert len(page.all("span", class_="known")) == 2
    assert "An outlined bar is a segment of the annotation." in page.text("main")
    assert "outlined" not in Page(render([sample.snippets()])).text("main")


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20))
@example([(0.0, 2.2250738585e-313)])
@settings(max_examples=40, deadline=None)
def test_the_parts_of_a_score_lie_end_to_end_and_end_at_their_sum(parts: list[tuple[float, float]]) -> None:
    rows: list[list[str | int | float]] = [[f"label {i}", a, b, a + b] for i, (a, b) in enumerate(parts)]
    table = Table(title="t", columns=["label", "text", "graph", "score"], rows=rows)
    drawn = stack_rows(table)
    assert len(drawn) == len(rows)
    for row, (a, b) in zip(drawn, parts, strict=True):
        (_, _, left, width), (_, _, second, second_width) = row.parts
        at = left + width if a >= 0 else left
        assert left == pytest.approx(row.zero if a >= 0 else row.zero - width, abs=0.05)
        assert (second if b >= 0 else second + second_width) == pytest.approx(at, abs=0.05)
        assert row.end == pytest.approx(at + (second_width if b >= 0 else -second_width), abs=0.05)
        assert min(left, second, row.end) >= -0.05
        assert max(left + width, second + second_width, row.end) <= 100.05


def test_a_table_whose_columns_do_not_add_up_is_a_table() -> None:
    wrong = Table(title="t", columns=["label", "text", "graph", "score"], rows=[["a", 0.1, 0.2, 0.9]])
    other = Table(title="t", columns=["label", "rank", "share"], rows=[["a", 1, 0.5]])
    assert stack_rows(wrong) == stack_rows(other) == []


def test_ten_minutes_with_34_things_and_100_segments_stay_small() -> None:
    page = Page(render([long_film()]))
    assert len(page.elements) < 5000
    shown = [around for _, attrs, _, around in page.elements if "data-slot" in attrs and "details" not in around]
    assert 1 <= len(shown) <= 8
    lines = [text.count("\n") for attrs, text in page.all("pre") if attrs.get("id", "").startswith("p1-t")]
    assert lines == [1200] * 60  # and every token can still be read


def test_every_box_that_is_drawn_has_a_name() -> None:
    prediction = sample.pick(28)
    box = prediction.tracks[0].points[0].object_box
    for track in prediction.tracks:  # all in one place: there is no room for all names
        for p in track.points:
            p.subject_box = p.object_box = box
    page = Page(render([prediction]))
    scenes = [text for attrs, text in page.all("svg", class_="scene")]
    boxes = [1 for tag, attrs, _, around in page.elements if tag == "rect"]
    names = [text for tag, attrs, text, around in page.elements if tag == "text"]
    assert len(scenes) == 2
    assert len(boxes) == len(names) > 2
    assert all("".join(text) for text in names)
