"""The page in a real browser: nothing runs off the side, runs at all, or is asked for, whatever things are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sample_prediction as sample

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
