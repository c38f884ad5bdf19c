"""Drawing: kept pairs in colour, dropped ones grey, boxes moving between sampled frames, the action on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from whyact.prediction import Box, Evidence, LabelScore, Prediction, Provenance, Segment, Track, TrackPoint, VideoFacts
from whyact.video.draw import GREY, draw_boxes, hue_colour, overlay, slow_span, track_colour, write_overlay
from whyact.video.lettering import spelt
from whyact.video.panel import describe_moment, end_card, reasons
from whyact.video.reader import VideoReader

FRAME = np.full((120, 200, 3), 40, np.uint8)


def point(time: float, x: float, *, kept: bool = True, label: str = "holding", there: bool = True) -> TrackPoint:
    box: Box = (x, 60, x + 30, 90) if there else (0, 0, 0, 0)
    return TrackPoint(
        time=time,
        frame=int(time * 30) + 1,
        label=label,
        similarity=0.9,
        margin=0.1,
        keep_probability=0.9 if kept else 0.1,
        kept=kept,
        subject_box=(10, 60, 40, 100),
        object_box=box,
    )


def answer(*tracks: Track, **more: object) -> Prediction:
    return Prediction(
        video=VideoFacts(path="x.mp4"),
        labels=[LabelScore(label="pick", score=0.93)],
        provenance=Provenance(method="laiar"),
        tracks=list(tracks),
        **more,  # type: ignore[arg-type]
    )


def track(*points: TrackPoint, object: str = "mug_1") -> Track:
    return Track(slot=0, subject="hand_1", object=object, points=list(points))


def drawn(prediction: Prediction, *times: float) -> list[np.ndarray]:
    return list(overlay(((t, FRAME) for t in times), prediction))


def thing_colour(index: int) -> tuple[int, int, int]:
    """Return the colour of the first, second, ... thing of an answer: the hues of the report's pages."""
    return hue_colour((255, 155, 310)[index])


def columns(frame: np.ndarray, colour: tuple[int, int, int], rows: slice = slice(0, 120)) -> list[int]:
    """Return the columns in which a colour stands somewhere in these rows."""
    return np.flatnonzero((frame[rows] == colour).all(axis=-1).any(axis=0)).tolist()


def test_boxes_have_their_colours_and_the_frame_itself_is_untouched() -> None:
    before = FRAME.copy()
    out = draw_boxes(FRAME, [(20, 20, 60, 70)], [""], [(255, 0, 0)], [1])
    assert_array_equal(FRAME, before)
    assert out.shape == FRAME.shape
    red = (out == (255, 0, 0)).all(axis=-1)
    assert_array_equal(np.flatnonzero(red.any(axis=0))[[0, -1]], [20, 60])
    assert_array_equal(np.flatnonzero(red.any(axis=1))[[0, -1]], [20, 70])
    assert not red[30:60, 30:50].any()


def test_a_caption_stands_on_its_colour_inside_the_picture() -> None:
    for box in [(20, 40, 60, 70), (180, 0, 199, 119), (-20, -20, 20, 10), (0, 100, 20, 119)]:
        without = draw_boxes(FRAME, [box], [""], [(0, 255, 0)])
        with_text = draw_boxes(FRAME, [box], ["mug 1"], [(0, 255, 0)])
        green = (with_text == (0, 255, 0)).all(axis=-1).sum()
        assert green > (without == (0, 255, 0)).all(axis=-1).sum() + 100


def test_captions_of_boxes_beside_each_other_do_not_cover_each_other() -> None:
    box = (40, 40, 80, 70)
    both = draw_boxes(FRAME, [box, box], ["mug", "mug"], [(0, 255, 0), (255, 0, 255)])
    for colour in ((0, 255, 0), (255, 0, 255)):
        assert (both == colour).all(axis=-1).sum() > 150


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 boxes, 2 captions"):
        draw_boxes(FRAME, [(1, 1, 5, 5)], ["a", "b"], [GREY])


def test_what_was_kept_is_coloured_and_what_was_dropped_grey_and_every_box_has_a_name() -> None:
    prediction = answer(track(point(1.0, 100)), track(point(1.0, 160, kept=False, label="apart"), object="pear_1"))
    (frame,) = drawn(prediction, 1.0)
    hand, mug, pear = (thing_colour(i) for i in range(3))
    assert columns(frame, hand, slice(75, 120))
    assert columns(frame, mug, slice(75, 120))
    assert not columns(frame, pear)
    assert min(columns(frame, GREY, slice(75, 120))) >= 159
    caption_rows = (frame == mug).all(axis=-1).any(axis=1)
    assert caption_rows[:58].sum() > 10  # the caption stands above the box
    outline = 2 * (30 + 30)
    assert (frame[:120] == GREY).all(axis=-1).sum() > outline + 200  # and the grey one has its own


def test_between_two_sampled_frames_a_box_moves_in_a_straight_line() -> None:
    prediction = answer(track(point(1.0, 100), point(1.5, 150)))
    mug = thing_colour(1)
    lefts = [min(columns(frame, mug, slice(62, 89))) for frame in drawn(prediction, 1.0, 1.1, 1.25, 1.5)]
    assert_array_equal(lefts, [100, 110, 125, 150])


def test_a_label_is_that_of_the_nearer_frame() -> None:
    prediction = answer(track(point(1.0, 100, kept=False), point(2.0, 100, kept=True)))
    early, late = drawn(prediction, 1.4, 1.6)
    assert not columns(early, thing_colour(1))
    assert columns(late, thing_colour(1))


def test_nothing_is_drawn_far_from_any_sampled_frame_or_where_there_is_no_box() -> None:
    plain, far = drawn(answer(), 0.0)[0], drawn(answer(track(point(1.0, 100))), 9.0)[0]
    assert_array_equal(plain[:120], far[:120])
    hidden = drawn(answer(track(point(1.0, 100, there=False))), 1.0)[0]
    assert columns(hidden, thing_colour(0), slice(75, 120))  # the hand
    assert not columns(hidden, thing_colour(1))


def test_the_panel_says_the_action_of_the_moment() -> None:
    prediction = answer(
        segments=[
            Segment(start=0, end=3, label="pick", score=0.9),
            Segment(start=3, end=6, label="place", score=0.8),
        ],
    )
    assert describe_moment(prediction, 1.5) == "pick 0.90"
    assert describe_moment(prediction, 3.0) == "place 0.80"
    assert describe_moment(prediction, 6.0) == ""  # a stretch in which nothing happens
    assert describe_moment(answer(unsure=True), 1.0) == "unsure, perhaps pick, score 0.93"
    certain = answer()
    certain.labels[0].score = 0.9999
    assert describe_moment(certain, 1.0) == "pick 0.999+"


def reason(slot: int, worth: float, start: float = 1.0, end: float = 2.0) -> Evidence:
    return Evidence(
        kind="transition", text="", start=start, end=end, contribution=worth, track=slot, subject="hand_1",
        object="mug_1", from_state="not_holding", to_state="holding",
    )  # fmt: skip


def test_reasons_are_the_best_of_each_pair_and_worth_something() -> None:
    evidence = [reason(0, 0.2), reason(1, 0.5), reason(1, 0.4), reason(2, 0.0), reason(3, 0.3)]
    assert [(e.track, e.contribution) for e in reasons(answer(evidence=evidence), 1.0)] == [
        (1, 0.5),
        (3, 0.3),
        (0, 0.2),
    ]
    assert [e.track for e in reasons(answer(evidence=[reason(2, 0.0)]), 1.0)] == [2]  # the first one always


def test_reasons_are_those_of_the_segment_that_is_shown() -> None:
    prediction = answer(
        segments=[Segment(start=0, end=3, label="pick", score=0.9), Segment(start=3, end=6, label="pick", score=0.8)],
        evidence=[reason(0, 0.5), reason(1, 0.9, 4.0, 5.0)],
    )
    assert [e.track for e in reasons(prediction, 1.0)] == [0]
    assert [e.track for e in reasons(prediction, 4.0)] == [1]
    assert reasons(prediction, 7.0) == []


def test_the_panel_stands_under_the_picture_and_marks_what_decides_while_it_happens() -> None:
    prediction = answer(track(point(0.0, 100), point(3.0, 100)), evidence=[reason(0, 0.5)])
    before, now, after = drawn(prediction, 0.5, 1.5, 2.5)
    assert before.shape[0] > FRAME.shape[0]
    assert before.shape == now.shape == after.shape
    words = slice(120, before.shape[0] - 12)  # without the line of time
    reds = [frame[words].astype(int) for frame in (before, now, after)]
    accent = [int((red[..., 0] > 1.4 * red[..., 2] + 30).sum()) for red in reds]
    assert accent[1] > accent[0] + 20
    assert accent[0] == accent[2]  # the hand's own colour


def test_things_of_a_reason_are_named_and_others_are_not() -> None:
    tracks = [track(point(1.0, 100)), Track(slot=1, subject="hand_1", object="cup_1", points=[point(1.0, 150)])]
    (frame,) = drawn(answer(*tracks, evidence=[reason(0, 0.5)]), 1.0)
    above = slice(0, 58)  # where names stand
    assert columns(frame, thing_colour(1), above)
    assert not columns(frame, thing_colour(2), above)


def test_what_the_font_does_not_have_is_spelt() -> None:
    assert spelt("mug_1 – “holding”…") == 'mug_1 - "holding"...'


def test_a_panel_narrower_than_its_words_cuts_them() -> None:
    narrow = np.full((64, 40, 3), 200, np.uint8)
    words = answer(evidence=[reason(0, 0.5)])
    words.labels[0].label = "a very long action name " * 5
    (out,) = overlay([(1.0, narrow)], words)
    assert out.shape[1:] == narrow.shape[1:]
    assert not (out[64:, -2:] > 220).any()  # no letter runs into the edge


def test_a_thing_in_many_pairs_is_drawn_once_with_what_is_said_of_it() -> None:
    @dataclass
    class Pair:
        subject: str
        label: str

    pairs = [Pair("hand_1", "holding"), Pair("head_1", "contacting")]
    tracks = [
        Track(slot=i, subject=p.subject, object="mug_1", points=[point(1.0, 100, label=p.label)])
        for i, p in enumerate(pairs)
    ]
    one, two = drawn(answer(tracks[0]), 1.0)[0], drawn(answer(*tracks), 1.0)[0]
    mug = thing_colour(1)
    heights = [int((frame == mug).all(axis=-1).any(axis=1)[:58].sum()) for frame in (one, two)]
    assert heights[1] > heights[0] + 5  # one caption, a line more


def test_a_video_of_odd_size_is_written_with_all_its_frames(tmp_path: Path) -> None:
    odd = np.full((121, 201, 3), 40, np.uint8)
    prediction = answer(track(point(0.0, 100), point(1.0, 150)))
    path = write_overlay(tmp_path / "out.mp4", ((i / 10, odd) for i in range(11)), prediction, 10)
    with VideoReader(path) as reader:
        frames = [shown.image for shown in reader.frames_at([0.0, 0.9])]
    assert [frame.shape[1] for frame in frames] == [640] * 2  # enlarged, so that names can be read
    assert frames[0].shape[0] > 384
    scale = 640 / 201
    rows = slice(round(72 * scale), round(88 * scale))
    green = np.array(thing_colour(1), int)
    near = [(np.abs(frame[rows, 200:].astype(int) - green).max(axis=-1) < 60).any(axis=0) for frame in frames]
    lefts = [int(np.flatnonzero(found)[0]) for found in near]
    assert lefts[1] - lefts[0] == pytest.approx(45 * scale, abs=4)


def test_the_moment_that_decided_plays_slowly_and_a_card_with_both_scores_comes_last(tmp_path: Path) -> None:
    prediction = answer(track(point(0.0, 100), point(3.0, 150)), evidence=[reason(0, 0.5, 1.0, 1.5)])
    assert slow_span(prediction) == pytest.approx((0.7, 1.8))
    path = write_overlay(tmp_path / "out.mp4", ((i / 10, FRAME) for i in range(30)), prediction, 10)
    with VideoReader(path) as reader:
        total, (last,) = round(reader.length * 10), list(reader.frames_at([reader.length - 0.1]))
    slow = sum(0.7 <= i / 10 <= 1.8 for i in range(30))
    assert total == 30 + 2 * slow + 25
    card = end_card(prediction, last.image.shape[1], last.image.shape[0])
    assert card is not None
    assert np.abs(card.astype(int) - last.image.astype(int)).mean() < 4  # as far as the codec keeps it
    without = answer(evidence=[reason(0, 0.1, 1.0, 1.5)])
    assert (card != end_card(without, *last.image.shape[1::-1])).any()
    assert end_card(answer(), 320, 240) is None
    assert slow_span(answer(evidence=[reason(0, 0.5, 1.0, 9.0)])) is None


def test_what_a_reason_is_about_leaves_a_trail() -> None:
    still, moved = (
        drawn(answer(track(point(0.0, 60), point(1.0, x)), evidence=[reason(0, 0.5, 0.0, 1.0)]), 1.0)[0]
        for x in (60, 130)
    )
    between = slice(98, 125)  # where the mug came along, right of its start and left of its box
    assert set(columns(moved, thing_colour(1), slice(70, 80))) & set(range(between.start, between.stop))
    assert not set(columns(still, thing_colour(1), slice(70, 80))) & set(range(between.start, between.stop))


def test_colours_are_told_apart() -> None:
    colours = [np.array(track_colour(i), float) for i in range(8)]
    gaps = [np.abs(a - b).max() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(gaps) > 40
    hues = [np.array(hue_colour(hue), float) for hue in (255, 155, 310, 75)]
    assert min(np.abs(a - b).max() for i, a in enumerate(hues) for b in hues[:i]) > 40
    assert all(0.3 * r + 0.59 * g + 0.11 * b > 110 for r, g, b in map(hue_colour, range(360)))  # to be written on


def test_captions_of_many_things_in_one_place_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from whyact.video import draw

    areas: list[tuple[float, ...]] = []
    original = draw._caption

    def spy(*given: Any) -> None:
        original(*given)
        areas.append(given[-1][-1])

    monkeypatch.setattr(draw, "_caption", spy)
    frame = np.full((480, 640, 3), 40, np.uint8)
    boxes = [(200.0 + 3 * i, 200.0, 300.0, 260.0) for i in range(6)]
    draw_boxes(frame, boxes, [f"cup {i}\nhand 1: holding" for i in range(6)], [track_colour(i) for i in range(6)])
    assert len(areas) == 6
    for i, a in enumerate(areas):
        assert 0 <= a[1] < a[3] <= 480
        assert not draw._hits(a, areas[:i])


def test_a_thing_that_has_gone_is_not_drawn_for_long() -> None:
    """By the usual distance of a track's points: a tenth of a second here, a whole one there."""
    often = [point(t / 10, 100) for t in range(11)]
    seldom = [point(float(t), 100) for t in range(2)]
    for points, shown in ((often, 1.15), (seldom, 1.9)):
        scene_of = answer(Track(slot=0, subject="mug_1", object="mug_1", points=points))
        late, gone = overlay([(shown, FRAME), (2.2, FRAME)], scene_of)
        bare = answer()
        assert (late != next(overlay([(shown, FRAME)], bare))).any()
        assert_array_equal(gone, next(overlay([(2.2, FRAME)], bare)))
    (middle,) = overlay([(1.5, FRAME)], answer(Track(slot=0, subject="m", object="m", points=often)))
    assert_array_equal(middle, next(overlay([(1.5, FRAME)], answer())))
