"""The page in a real browser: nothing runs off the side, runs at all, or is asked for, whatever things are called."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sample_prediction as sample
from long_film import long_film

from whyact import wording
from whyact.prediction import Prediction, Table
from whyact.report import write_report

pytestmark = pytest.mark.browser
NAMES = ["<script>document.title='taken'</script>", "x" * 500, "فتح صندوق (إغلاق) 12", "🥪 eating a sandwich " * 12]


def answers() -> list[Prediction]:
    """Every kind of answer, plain and with names that nobody should give."""
    odd = [sample.pick(8), sample.frames(), sample.snippets()]
    for prediction in odd:
        for label, name in zip(prediction.labels, NAMES, strict=False):
            label.label = name
        prediction.id, prediction.target = NAMES[0], prediction.labels[1].label
        prediction.notes = list(NAMES)
        prediction.tables = [Table(title=NAMES[1], columns=[NAMES[1], "n"], rows=[[name, 1] for name in NAMES])]
    for segment, name in zip(odd[2].segments, NAMES, strict=False):
        segment.label = name
    odd[0].tracks[0].subject = odd[0].evidence[0].subject = NAMES[1]
    odd[0].tracks[0].object = odd[0].evidence[0].object = NAMES[2]
    odd[0].evidence[0].to_state = odd[0].tracks[0].points[5].label = NAMES[3]
    return [sample.pick(28), sample.frames(), sample.snippets(), sample.empty(), *odd]


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_runs_off_the_side_whatever_things_are_called(browser: Any, tmp_path: Path, width: int) -> None:
    path = write_report(answers(), tmp_path / "page.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() == "7 answers – whyact"
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert said == []
    cut = page.evaluate(
        "[...document.querySelectorAll('.scores .value, .score, .time')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1)"
        ".map((e) => e.textContent)"
    )
    assert cut == []
    page.close()


def test_a_long_film_is_zoomed_and_moved_along_and_its_words_come_with_it(browser: Any, tmp_path: Path) -> None:
    path = write_report([long_film()], tmp_path / "long.html")
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".zoom:not([hidden])")
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    lane = page.locator(".lanes > [data-slot] .strip").first
    ticks = page.locator(".axis").first.inner_text()
    page.click(".zoom [data-zoom=moment]")
    assert page.locator(".axis").first.inner_text() != ticks
    wide, narrow = lane.evaluate("e => [e.querySelector('.wide'), e].map((one) => one.getBoundingClientRect().width)")
    assert wide > 20 * narrow
    seen = lane.evaluate(
        """strip => {
            const box = strip.getBoundingClientRect();
            return [...strip.querySelectorAll(".run > span")].filter((word) => {
                const { left } = word.getBoundingClientRect();
                return left >= box.left - 1 && left < box.right && getComputedStyle(word).visibility === "visible";
            }).map((word) => word.textContent);
        }"""
    )
    assert seen
    assert set(seen) <= {"holding", "not holding", "contacting", "near"}
    place = lane.evaluate("e => e.querySelector('.wide').getBoundingClientRect().left")
    page.locator(".zoom input").first.fill("0.9")
    assert lane.evaluate("e => e.querySelector('.wide').getBoundingClientRect().left") < place
    lane.click(position={"x": 5, "y": 20})
    assert lane.locator(".tapped").inner_text().startswith("time 5")  # nine tenths of ten minutes
    page.click(".zoom [data-zoom=all]")
    assert page.locator(".axis").first.inner_text() == ticks
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    page.close()
    assert said == []


def test_a_word_is_explained_where_it_stands_and_the_score_stands_beside_the_word(browser: Any, tmp_path: Path) -> None:
    path = write_report([sample.pick(4)], tmp_path / "page.html")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(path.as_uri())
    bottoms = "['.score', 'h1'].map((one) => document.querySelector(one).getBoundingClientRect().bottom)"
    score, word = page.evaluate(bottoms)
    assert abs(score - word) < 30, "on a phone too"
    page.set_viewport_size({"width": 1440, "height": 900})
    for name in ("token", "Contribution", "similarity", "margin"):
        tip = page.locator(".tip", has_text=name).first
        assert not tip.locator(".bubble").is_visible()
        tip.evaluate("e => e.focus()")
        assert tip.locator(".bubble").is_visible()
    page.close()


def test_the_pages_script_writes_numbers_and_times_as_python_does(browser: Any) -> None:
    folder = Path(wording.__file__).parent / "report" / "templates"
    script = (folder / "format.js").read_text(encoding="utf-8").replace("export const", "globalThis.x = 0; var")
    numbers = [x / 997 for x in range(-1100, 1100, 7)] + [0.125, 0.375, 0.625, 0.9995, 0.995, 0.0005, 0.01, -0.004, 2.5]
    times = [0.0, 1.2, 59.999, 599.0, 599.999, 600.0, 4512.5, 36000.0, -0.001, -1.5, 12.345, 725.05]
    page = browser.new_page()
    found = page.evaluate(
        f"""([numbers, times]) => {{
            {script}
            return [
                numbers.map(formatScore), numbers.map(formatContribution), times.map((t) => formatTime(t)),
                times.slice(1).map((t, i) => formatSpan(times[i], t)), ["a_b  c", "_x_"].map(formatLabel),
            ];
        }}""",
        [numbers, times],
    )
    page.close()
    assert found[0] == [wording.format_score(x) for x in numbers]
    assert found[1] == [wording.format_contribution(x) for x in numbers]
    assert found[2] == [wording.format_time(t) for t in times]
    assert found[3] == [wording.format_span(a, b) for a, b in pairwise(times)]
    assert found[4] == [wording.format_label(x) for x in ("a_b  c", "_x_")]
