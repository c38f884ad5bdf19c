"""Diagnostics that all methods share, against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whyact.training.diagnostics import (
    calibration_plots,
    confident_mistakes,
    confusion,
    figure,
    learning_curves,
    resampled_groups,
)


def test_a_figure_has_its_value_and_draws_that_pair_up() -> None:
    right = np.arange(40) % 3 == 0
    one = figure("accuracy", lambda i: float(right[i].mean()), 40, "share right", resamples=300)
    other = figure("accuracy", lambda i: float(right[i].mean()) / 2, 40, "", resamples=300)
    assert one.value == right.mean()
    low, high = one.interval or (1, 0)
    assert low < one.value < high
    np.testing.assert_allclose(other.draws, one.draws / 2)
    fewer = figure("accuracy", lambda i: 0.0, 39, "", resamples=200)
    assert one.difference(fewer) is None, "other items cannot be paired"


def test_calibration_and_risk_are_those_of_their_definitions() -> None:
    confidence = np.array([0.95, 0.91, 0.55, 0.52, 0.05])
    correct = np.array([True, False, True, False, True])
    reliability, risk = calibration_plots(confidence, correct, "clips", threshold=0.6)
    expected = [(0.05, 1.0), (0.535, 0.5), (0.93, 0.5)]
    np.testing.assert_allclose(reliability.lines[0].points, expected, atol=1e-12)
    np.testing.assert_allclose(risk.lines[0].points, [(0.2, 0), (0.4, 0.5), (0.6, 1 / 3), (0.8, 0.5), (1, 0.4)])
    assert risk.mark is not None
    assert risk.mark[:2] == (0.4, 0.5)
    assert calibration_plots(confidence, correct, "clips", threshold=0.99)[1].mark is None
    assert calibration_plots(confidence[:0], correct[:0], "clips") == []


def test_mistakes_are_the_wrong_answers_surest_first() -> None:
    confidence = np.array([0.9, 0.2, 0.8, 0.7])
    found = confident_mistakes(confidence, np.array([True, False, False, False]), list("abcd"), list("efgh"))
    assert [(m.item, m.answered, m.annotated) for m in found] == [(2, "c", "g"), (3, "d", "h"), (1, "b", "f")]
    many = confident_mistakes(np.linspace(0, 1, 50), np.zeros(50, bool), ["a"] * 50, ["b"] * 50)
    assert [m.item for m in many] == list(range(49, 37, -1))


def test_confusion_counts_rows_as_annotated() -> None:
    matrix = confusion("M", np.array([0, 0, 1]), np.array([1, 2, 1]), ["a", "b"], extra="missed")
    assert matrix.columns == ["a", "b", "missed"]
    assert matrix.counts.tolist() == [[0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("folder", ["run", "run/best"])
def test_learning_curves_are_the_columns_of_the_history_by_stage(tmp_path: Path, folder: str) -> None:
    (tmp_path / "run" / "best").mkdir(parents=True)
    rows = ["stage,epoch,step,lr,loss,val_mAR,seconds,memory_mib", "a,1,5,0.1,3.5,,2.0,100"]
    rows += ["a,2,10,0.1,2.5,0.4,4.0,100", "b,1,5,0.2,1.5,,1,1"]
    text = "".join(f"{row}\n" for row in rows)
    (tmp_path / "run" / "history.csv").write_text(text)
    found = learning_curves(tmp_path / folder)
    assert {stage: [line.name for line in lines] for stage, lines in found.items()} == {
        "a": ["val_mAR", "loss", "lr"],
        "b": ["loss", "lr"],
    }
    assert [line.points for line in found["a"]] == [[(2, 0.4)], [(1, 3.5), (2, 2.5)], [(1, 0.1), (2, 0.1)]]
    assert learning_curves(tmp_path / "elsewhere") == {}


def test_groups_are_resampled_as_wholes_where_there_are_several() -> None:
    alike = np.repeat([0.0, 1.0, 1.0, 0.0], 25)
    films, told = resampled_groups([f"film {i // 25}" for i in range(100)], "clips")
    by_film = figure("a", lambda i: float(alike[i].mean()), 100, "", groups=films).interval
    by_clip = figure("a", lambda i: float(alike[i].mean()), 100, "").interval
    assert by_film is not None
    assert by_clip is not None
    assert by_film[1] - by_film[0] > 2 * (by_clip[1] - by_clip[0])
    assert told == [
        "Intervals resample the 4 groups of test clips (of one person, place or film) as wholes, "
        "for clips of one group are alike."
    ]
    assert resampled_groups([f"clip {i}" for i in range(100)], "clips") == (None, [])
    single, told = resampled_groups(["Subject1"] * 100, "clips")
    assert single is None
    assert told == ["All 100 test clips are of one group, Subject1: no interval speaks for others."]


def test_every_method_that_knows_groups_resamples_them() -> None:
    """LoCATe-GAT's videos of one source: with alike scores the intervals are those of the sources."""
    from whyact.locate_gat.diagnostics import diagnose
    from whyact.locate_gat.scores import ScoreParts

    target = np.array([2, 3] * 40)
    right = np.repeat([True, False, True, False], 20)
    answered = np.where(right, target, 5 - target)
    scores = np.eye(4, dtype=np.float32)[answered]
    parts = ScoreParts(scores, scores, target, np.array([True, True, False, False]), np.arange(4))
    names = ["a", "b", "c", "d"]
    grouped = diagnose(parts, 0.0, 0.0, 1.0, names, [f"g{i // 20}" for i in range(80)])
    apart = diagnose(parts, 0.0, 0.0, 1.0, names, [f"v{i}" for i in range(80)])
    for whole, single in zip(grouped.figures[:1], apart.figures[:1], strict=True):
        assert whole.value == single.value == 50.0
        assert np.std(whole.draws) > 2 * np.std(single.draws)
    assert any("4 groups of test videos" in note for note in grouped.notes)
    assert list(apart.notes) == []
