"""Two runs beside each other, against counting by hand; two answers about one video."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "report"))

from sample_prediction import answered as made
from sample_prediction import pick

from whyact.ablation.compare import compare_pair, compare_runs
from whyact.errors import UserError
from whyact.prediction import LabelScore

TARGETS = ["pick", "pick", "pick", "place", "place", "open"]
A = made(["pick", "open", "open", "place", "place", "pick"], TARGETS)
B = made(["pick", "pick", "pick", "place", "open", "pick"], TARGETS)


def test_differences_by_class_are_counted() -> None:
    found = compare_runs(A, B)
    rows = {d.label: (d.clips, d.a, d.b, d.difference) for d in found.classes}
    assert rows == {
        "pick": (3, pytest.approx(1 / 3), 1.0, pytest.approx(2 / 3)),
        "place": (2, 1.0, 0.5, -0.5),
        "open": (1, 0.0, 0.0, 0.0),
    }
    assert found.overall is not None
    assert found.overall.difference == pytest.approx(1 / 6)
    assert (found.measure, found.clips, found.gained, found.lost) == ("recall", 6, 2, 1)
    assert [(c.id, c.a.label, c.b.label) for c in found.changed] == [
        ("clip 1", "open", "pick"),
        ("clip 2", "open", "pick"),
        ("clip 4", "place", "open"),
    ]
    assert found.changed[0].a.right is False
    assert found.changed[0].b.right is True
    assert "hand_1" in found.changed[0].a.because
    assert len(found.changed[0].a.evidence) >= 1


def test_intervals_hold_the_difference_and_are_the_bootstrap_of_pairs() -> None:
    random = np.random.default_rng(3)
    targets = ["pick"] * 60
    a = ["pick" if x else "place" for x in random.random(60) < 0.5]
    b = ["pick" if x else "place" for x in random.random(60) < 0.7]
    (row,) = compare_runs(made(a, targets), made(b, targets)).classes
    gaps = np.array([(y == "pick") * 1.0 - (x == "pick") for x, y in zip(a, b, strict=True)])
    means = [random.choice(gaps, 60).mean() for _ in range(4000)]
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.03)
    assert row.low <= row.difference <= row.high
    again = compare_runs(made(a, targets), made(b, targets)).classes[0]
    assert (again.low, again.high) == (row.low, row.high)


def test_the_two_sides_change_places() -> None:
    there, back = compare_runs(A, B), compare_runs(B, A)
    assert {d.label: d.difference for d in there.classes} == {d.label: -d.difference for d in back.classes}
    assert (there.gained, there.lost) == (back.lost, back.gained)


def test_without_targets_the_shares_of_answers_are_compared() -> None:
    found = compare_runs(made(["pick", "open"]), made(["pick", "pick"]))
    assert (found.measure, found.overall) == ("share", None)
    assert {d.label: d.difference for d in found.classes} == {"pick": 0.5, "open": -0.5}
    assert found.changed[0].a.right is None


def test_clips_of_one_side_are_counted_apart_and_nothing_in_common_is_refused() -> None:
    found = compare_runs(A[:4], B[2:])
    assert (found.clips, found.only_a, found.only_b) == (2, 2, 2)
    with pytest.raises(UserError, match="no clip that is in both"):
        compare_runs(A[:2], B[3:])
    with pytest.raises(UserError, match="each clip once"):
        compare_runs([*A, A[0]], B)


def test_two_answers_about_one_video_stand_side_by_side() -> None:
    a, b = pick(3), pick(1)
    a.labels = [LabelScore(label="pick", score=0.7), LabelScore(label="place", score=0.3)]
    b.labels = [LabelScore(label="take_out", score=0.9), LabelScore(label="place", score=0.1)]
    found = compare_pair(a, b)
    assert (found.agree, found.shared) == (False, 1)
    rows = [(row.label, row.a, row.b) for row in found.labels]
    assert rows == [("take out", None, 0.9), ("pick", 0.7, None), ("place", 0.3, 0.1)]
    assert (found.a.label, found.b.label) == ("pick", "take out")
    assert "hand_1" in found.a.because
    assert (len(found.a.evidence), len(found.b.evidence)) == (3, 1)
    assert compare_pair(a, a).agree
    assert [(row.b, row.a) for row in compare_pair(b, a).labels] == [(a, b) for _, a, b in rows]
    a.labels = []
    assert not compare_pair(a, a).agree


def test_what_changed_is_said_in_sentences() -> None:
    a, b = pick(3), pick(1)
    a.labels = [LabelScore(label="pick", score=0.7), LabelScore(label="place", score=0.3)]
    b.labels = [LabelScore(label="take_out", score=0.9), LabelScore(label="place", score=0.1)]
    changes = compare_pair(a, b).changes
    assert changes[:2] == ["B does not know the action pick.", "A does not know the action take out."]
    assert sum(line.startswith("Both rest on ") for line in changes) == 1
    assert sum(line.startswith("Only A rests on ") for line in changes) == 1
    b.labels = [LabelScore(label="place", score=0.6), LabelScore(label="pick", score=0.4)]
    assert compare_pair(a, b).changes[:2] == [
        "The score of pick falls from 0.70 to 0.40.",
        "The score of place rises from 0.30 to 0.60.",
    ]
    assert compare_pair(a, a).changes[0] == "The score of pick stays at 0.70."
    for e in b.evidence:
        e.stated = False
    assert not any("B" in line.split(" rest")[0] for line in compare_pair(a, b).changes[2:]), "not stated, not said"
