"""The evaluation page: what it says, that it stands alone, and that it fits a phone, whatever things are called."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_prediction as sample

from whyact.prediction import Table
from whyact.report.diagnostics import Confusion, Diagnostics, EvaluatedRun, Figure, Line, Mistake, Plot, Shares
from whyact.report.evaluation_page import _classes, render_evaluation, write_evaluation
from whyact.report.plots import matrix_view, plot_view, shares_view, table_view

NAMES = ["<script>document.title='taken'</script>", "x" * 200, "فتح صندوق (إغلاق) 12", "drink"]


def evaluated(name: str = "kitchen", *, shift: float = 0.0, watched: bool = False, classes: int = 4) -> EvaluatedRun:
    """Return a run with everything that a page can show."""
    names = (NAMES * classes)[:classes] if classes == 4 else [f"class {i}" for i in range(classes)]
    draws = np.random.default_rng(0).normal(0.5 + shift, 0.1, 300)
    counts = np.random.default_rng(1).integers(0, 9, (classes, classes))
    diagnostics = Diagnostics(
        [Figure("mAR", 0.5 + shift, draws, text="mean recall"), Figure("mAP", 41.25, scale="percent")],
        Table("Actions", ["action", "clips", "recall"], [[n, i + 1, i / classes + shift] for i, n in enumerate(names)]),
        [Plot("Calibration", "confidence", "share right", [Line("bins", [(0.2, 0.1), (0.9, 0.8)], dots=True)],
              "Text.", (0, 1), (0, 1), diagonal=True, mark=(0.5, 0.5, "here"))],
        [Shares("Errors", ["true", "false"], [("best G", [0.75, 0.25])])],
        [Table("Lengths", ["length", "recall"], [["short", 0.5], ["long", float("nan")]], text="By length.")],
        Confusion("Confusion matrix", names, names, counts),
        [Mistake(0, names[0], names[1], 0.97, "bad extent", [("predicted", [(0.1, 0.2)]), ("annotated", [])])],
        ["A note."],
    )  # fmt: skip
    history = {
        "train": [
            Line("val_mAR", [(1, 0.2), (2, 0.4)]),
            Line("loss", [(1, 3.0), (2, 2.5)]),
            *(Line(f"term {i}", [(1, 1.0)]) for i in range(4)),
        ]
    }
    metrics = {"mAR": 0.5, "recall": {names[0]: None}, "curve": [(0, 1), (1, 2)], "watched_test": watched}
    return EvaluatedRun(name, [("Seed", "0")], history, diagnostics, metrics, [sample.pick(4)], watched)


def test_a_page_says_what_was_measured_with_intervals() -> None:
    text = render_evaluation([evaluated()])
    low, high = evaluated().diagnostics.figures[0].interval or (0, 0)
    assert f"{low:.2f} to {high:.2f}" in text
    assert "41.2" in text
    assert "val_mAR" in text
    assert "not measured: this data has nothing" in text
    assert "Test part watched" not in text
    assert "B − A" not in text
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text), "no other file is needed"


def test_a_watched_run_is_marked_beside_its_figures_too() -> None:
    text = render_evaluation([evaluated(), evaluated("other", watched=True)])
    assert "B (other) was measured on the test part" in text
    assert re.search(r"<th scope=\"col\">B, test part watched</th>", text)
    assert re.search(r"<th scope=\"col\">A</th>", text)


def test_two_runs_stand_side_by_side_with_paired_differences() -> None:
    text = render_evaluation([evaluated(), evaluated("other", shift=0.25)])
    assert "+0.25" in text
    assert "+0.25 to +0.25" in text, "both were drawn on the same items, so the difference does not vary"
    assert "recall, A" in text
    assert "recall, B − A" in text


def test_figures_that_measure_different_things_are_not_subtracted() -> None:
    """Each text stands beside its own run's letter; what a share is taken of is no part of what it measures."""
    draws = np.random.default_rng(0).normal(20, 1, 200)
    ranges, of = ("mean over 7 tIoU from 0.1 to 0.7", "mean over 10 tIoU from 0.5 to 0.95"), ("120 stated", "3 stated")
    runs = []
    for i, (span, count) in enumerate(zip(ranges, of, strict=True)):
        figures = [
            Figure("average mAP", 40.0 - 15 * i, draws + 20 - 15 * i, "percent", span),
            Figure("precision of reasons", 0.9 + 0.1 * i, text="share of the stated reasons", of=count),
        ]
        table = Table("Actions", ["action", "segments", "average AP"], [["drink", 3, 40.0 - 15 * i]], text=span)
        runs.append(EvaluatedRun(f"r{i}", [], {}, Diagnostics(figures, table), {}))
    text = render_evaluation(runs)
    assert f"A: {ranges[0]}; B: {ranges[1]}" in text
    assert "−15.0" not in text
    assert "average AP, B − A" not in text
    assert "+0.10" in text, "shares of the same kind are compared"
    assert all(f"of {count}" in text for count in of)
    same = render_evaluation([runs[0], runs[0]])
    assert ranges[0] in same
    assert "A: mean" not in same
    assert "average AP, B − A" in same


def test_a_figure_that_no_resampling_changes_has_no_interval() -> None:
    right = Figure("accuracy", 1.0, np.full(200, 1.0))
    rounded = Figure("mAP", 41.0, 41.0 + 1e-14 * np.arange(200), "percent")
    assert right.interval is None
    assert rounded.interval is None
    assert right.difference(Figure("accuracy", 1.0, np.full(200, 1.0))) is None
    other = Figure("accuracy", 0.5, np.linspace(0.25, 0.75, 200))
    assert other.interval is not None
    assert right.difference(other) is not None, "one of both varies, and so does the difference"
    assert Figure("accuracy", 1.0, np.array([1.0, np.nan])).interval is None


def test_a_class_that_only_one_run_has_is_shown_without_the_other() -> None:
    one, other = evaluated(), evaluated("other")
    other.diagnostics.classes.rows.pop()
    assert "–" in render_evaluation([one, other])


def test_mistakes_get_pages_of_their_own_and_old_ones_go(tmp_path: Path) -> None:
    folder = tmp_path / "eval-mistakes"
    folder.mkdir()
    for name in ("mistake-b-07.html", "notes.html"):
        (folder / name).write_text("old")
    page = write_evaluation([evaluated()], tmp_path / "eval.html")
    assert sorted(p.name for p in folder.iterdir()) == ["mistake-a-01.html", "notes.html"]
    assert 'href="eval-mistakes/mistake-a-01.html"' in page.read_text()
    assert "<h1" in (folder / "mistake-a-01.html").read_text()


def test_drawings_are_in_percent_of_their_field() -> None:
    plot = plot_view(Plot("P", "x", "y", [Line("a", [(0, 0), (5, 1), (float("nan"), 2), (10, 4)])], mark=(5, 2, "m")))
    assert plot.lines == [("a", "M0.0 100.0L50.0 75.0L100.0 0.0", False)]
    assert plot.mark == (50.0, 50.0, "m")
    assert (plot.x_ticks[0], plot.x_ticks[-1]) == ((0.0, "0"), (100.0, "10"))
    assert [text for _, text in plot.y_ticks] == ["0", "1", "2", "3", "4"]
    assert plot_view(Plot("P", "x", "y", [])).lines == []
    assert plot_view(Plot("P", "x", "y", [Line("one", [(3, 2)])])).lines[0][2], "one point is a dot"
    shares = shares_view(Shares("S", ["a", "b"], [("row", [0.25, 0.5])]))
    assert shares.rows == [("row", [("a", "25 %", 0.0, 25.0), ("b", "50 %", 25.0, 50.0)])]


def test_many_classes_are_squares_and_a_list() -> None:
    names = [f"c{i}" for i in range(40)]
    counts = np.diag(np.arange(40))
    counts[5, 6] = 30
    view = matrix_view(Confusion("M", names, names, counts))
    assert view.cells == []
    assert len(view.rows) == 39, "a class without an item has no row"
    assert view.pairs.rows == [[("c5", ""), ("c6", ""), ("30", "30")]]
    assert len(view.squares) == 40
    few = matrix_view(
        Confusion("M", names[:3], [*names[:3], "missed"], np.array([[1, 1, 0, 2], [0, 2, 0, 0], [0] * 4]))
    )
    assert few.columns == ["c0", "c1", "missed"]
    assert few.cells == [[(1, 0.25), (1, 0.25), (2, 0.5)], [(0, 0.0), (2, 1.0), (0, 0.0)]]


def test_numbers_of_a_column_are_written_alike() -> None:
    view = table_view(Table("T", ["n", "share", "percent"], [["a", 0.5, 0.0], ["b", float("nan"), -12.34]]))
    assert [[text for text, _ in row] for row in view.rows] == [["a", "0.50", "0.0"], ["b", "–", "−12.3"]]
    assert view.rows[1][1][1] == "nan"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("classes", [4, 60])
def test_a_page_fits_asks_for_nothing_and_is_accessible(browser: Any, tmp_path: Path, width: int, classes: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    runs = [evaluated(NAMES[0], watched=True, classes=classes), evaluated("other", shift=0.1, classes=classes)]
    for run in runs:  # as wide as they come
        draws = np.linspace(0.8, 0.9, 200)
        figure = Figure("precision of reasons", 0.85, draws, text="share of the stated reasons", of="1,234 stated")
        run.diagnostics.figures.append(figure)  # type: ignore[attr-defined]
    path = write_evaluation(runs, tmp_path / "eval.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    narrowest = "Math.min(...[...document.querySelectorAll('.figures tbody th')].map((name) => name.clientWidth))"
    assert page.evaluate(narrowest) > 300, "a figure's name is no column of single letters"
    assert asked == [path.as_uri()]
    assert said == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response["violations"]
        assert [f"{v['id']}: {n['target']} {n['failureSummary']}" for v in found for n in v["nodes"]] == []
    page.close()


@pytest.mark.browser
def test_a_column_sorts_by_its_numbers_from_the_keyboard(browser: Any, tmp_path: Path) -> None:
    run = evaluated(classes=4)
    run.diagnostics.classes.rows[:] = [["b", 2, 0.5], ["a", 10, float("nan")], ["c", 9, -0.25]]
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(write_evaluation([run], tmp_path / "eval.html").as_uri())

    def column(number: int) -> list[str]:
        rows = "[...document.querySelectorAll('table[data-sort] tbody tr')]"
        found: list[str] = page.evaluate(f"{rows}.map((row) => row.cells[{number}].textContent)")
        return found

    assert column(0) == ["b", "a", "c"]
    page.locator("th button", has_text="clips").focus()
    page.keyboard.press("Enter")
    assert column(1) == ["10", "9", "2"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("clips")
    page.keyboard.press("Enter")
    assert column(1) == ["2", "9", "10"]
    for expected in (["0.50", "−0.25", "–"], ["−0.25", "0.50", "–"]):
        page.locator("th button", has_text="recall").click()
        assert column(2) == expected, "what was not measured stays at the end"
    page.locator("th button", has_text="action").click()
    assert column(0) == ["a", "b", "c"] or column(0) == ["c", "b", "a"]
    page.close()


def test_classes_that_only_the_second_run_has_keep_their_rows() -> None:
    ours = Table("Actions", ["action", "clips", "recall", "mostly taken for"], [["drink", 3, 0.5, "eat"]], text="x")
    theirs = Table("Actions", ours.columns, [["drink", 3, 0.75, "eat"], ["pour", 2, 0.25, "drink"]], text="x")
    rows = _classes([ours, theirs]).rows
    assert [row[0] for row in rows] == ["drink", "pour"]
    assert rows[0][2:] == [0.5, 0.75, 0.25, "eat"]
    assert math.isnan(rows[1][2])
    assert rows[1][3] == 0.25
    assert rows[1][-1] == "drink"
