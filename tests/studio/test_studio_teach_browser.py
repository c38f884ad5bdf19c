"""From an empty studio to a model taught on clips and its first answer, in a real browser: by mouse, by keyboard.

The films are drawn and a detector that needs no weights finds their things, so that a training takes seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import teach_tasks
from test_studio_browser import (
    WIDTHS,
    accessible,
    address,
    choose_file,
    corrections,
    drop,
    quiet_page,
    ready,
    served,
    shot,
)

from square_films import film
from whyact.files import SHIPPED

__all__ = ["address", "corrections"]  # fixtures
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (SHIPPED / "laiar").is_dir(), reason="no shipped model"),
]
ACTIONS = ("take", "leave")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four films in a folder for each action, and one more."""
    root = tmp_path_factory.mktemp("films") / "clips"
    for i in range(24):
        film(root / ACTIONS[i % 2] / f"film {i}.mp4", ACTIONS[i % 2], i)
    film(root.parent / "new.mp4", "take", 77)
    return root


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a studio that has answered nothing and taught nothing."""
    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs
    from whyact.studio.trainings import Trainings

    jobs = Jobs({"household": None}, answering=teach_tasks.answer_tasks, asking=teach_tasks.ablation_tasks)
    trainings = Trainings(jobs.models, detector="squares", tasks=teach_tasks.train_tasks)
    with served(create_app(jobs, trainings)) as address:
        yield address


@pytest.fixture
def page(browser: Any, empty: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page whose console speaks of refused requests alone; it is closed before its studio is."""
    with quiet_page(browser, request.param, allowed="status of 422") as opened:
        yield opened


def fits(page: Any) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    accessible(page)


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_from_an_empty_studio_to_a_taught_model_by_mouse(page: Any, empty: str, films: Path) -> None:
    page.goto(empty)
    page.click("text=Teach your own actions")
    page.wait_for_selector("main[data-ready]")
    fits(page)
    two = sorted(films.glob("*/*.mp4"))[:2]
    page.set_input_files("#files", two)
    page.wait_for_function("() => document.querySelectorAll('#clips li').length === 2")
    page.click("#train")
    page.wait_for_function("() => document.getElementById('said').textContent.includes('too few: 2 clips')")
    for _ in two:
        page.locator("#clips .link").first.click()
        page.wait_for_timeout(100)
    page.wait_for_function("() => document.querySelectorAll('#clips li').length === 0")
    page.set_input_files("#folder", films)
    page.wait_for_function("() => document.querySelectorAll('#clips li').length === 24")
    assert "leave 12, take 12" in page.inner_text("#count")
    fits(page)
    page.click("#look")
    page.wait_for_selector("#found li")
    assert page.locator("#found img").count() >= 2
    fits(page)
    page.fill("[aria-label='Name of cup']", "mug")
    page.fill("#name", "cups")
    page.fill("#epochs", "25")
    page.click("#train")
    page.wait_for_selector("#curve:not([hidden])")
    drawn, caption = (page.locator(f"#curve {part}").bounding_box() for part in ("svg", "figcaption"))
    assert caption["y"] >= drawn["y"] + drawn["height"], "the words stand below the curve, not on it"
    fits(page)
    page.wait_for_selector("#ask")
    assert page.inner_text("h1") == "cups is taught."
    assert "2 actions: leave, take" in page.inner_text(".card")
    assert "mug" in page.inner_text(".card")
    assert "that it did not learn from" in page.inner_text(".card")
    assert page.locator(".sample img").evaluate("image => image.naturalWidth") == 96
    fits(page)
    page.click("#ask")
    page.wait_for_selector("#drop")
    page.wait_for_function("() => document.getElementById('model').value === 'cups'")
    assert page.locator(".card:visible").get_attribute("data-card") == "cups"
    fits(page)
    drop(page, films.parent / "new.mp4")
    page.wait_for_url("**/jobs/*")
    ready(page)
    assert page.inner_text("h1") == "take"
    assert "cups" in page.inner_text(".kicker")
    fits(page)


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_from_an_empty_studio_to_a_taught_model_by_keyboard(page: Any, empty: str, films: Path) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(160):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    page.goto(empty)
    page.bring_to_front()
    page.wait_for_function("() => document.readyState === 'complete' && document.hasFocus()")
    tab_to("a.button[href='/teach']")
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-ready]")
    fits(page)
    for number, action in enumerate(ACTIONS):
        if number:  # the first action's clips are named below, these before they are sent
            tab_to("#next")
            page.keyboard.type(action)
        tab_to("#files")
        choose_file(page).set_files(sorted((films / action).glob("*.mp4")))
        page.wait_for_function(f"() => document.querySelectorAll('#clips li').length === {12 * (number + 1)}")
        page.wait_for_function("() => document.getElementById('said').textContent.includes('arrived')")
    fits(page)
    tab_to("#every")
    page.keyboard.type(ACTIONS[0])
    tab_to("#fill")
    page.keyboard.press("Enter")
    tab_to("#name")
    page.keyboard.press("Control+a")
    page.keyboard.type("cups")
    tab_to("#epochs")
    page.keyboard.type("25")
    tab_to("#train")
    page.keyboard.press("Enter")
    page.wait_for_selector("#curve:not([hidden])")
    fits(page)
    page.wait_for_selector("#ask")
    fits(page)
    tab_to("#ask")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drop")
    fits(page)
    tab_to("#file")
    choose_file(page).set_files(films.parent / "new.mp4")
    page.wait_for_url("**/jobs/*")
    ready(page)
    fits(page)
    assert page.inner_text("h1") == "take"
    found = json.loads(page.request.get(f"{empty}api/models").text())
    assert [model["name"] for model in found] == ["household", "cups"]


@pytest.mark.skipif(not os.environ.get("WHYACT_SCREENSHOTS"), reason="takes pictures for the documentation")
@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_pictures_of_a_model_taught_on_household_clips(page: Any, address: str, tmp_path: Path) -> None:
    """The same with filmed scenes and the bundled detector, which takes minutes."""
    from whyact.verbs.demo import film_demo

    root = tmp_path / "clips"
    for seed in range(24):
        action = ("drink", "open")[seed % 2]
        (root / action).mkdir(parents=True, exist_ok=True)
        film_demo(root / action / f"{action} {seed}.mp4", seed=seed, action=action, size=(320, 240))
    film_demo(tmp_path / "new.mp4", seed=99, action="open", size=(480, 360))

    def both_widths(name: str) -> None:
        for width, height in WIDTHS.values():
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("() => window.scrollTo(0, 0)")
            fits(page)
            shot(page, f"{name}-{width}")

    page.goto(f"{address}teach")
    page.wait_for_selector("main[data-ready]")
    page.set_input_files("#folder", root)
    page.wait_for_function("() => document.querySelectorAll('#clips li').length === 24")
    page.wait_for_function("() => document.getElementById('said').textContent.includes('arrived')")
    both_widths("studio-teach")
    page.fill("#name", "kitchen")
    page.fill("#epochs", "60")
    page.click("#train")
    page.set_default_timeout(600_000)
    page.wait_for_function("() => document.getElementById('line')?.points.length > 25")
    both_widths("studio-training")
    page.wait_for_selector("#ask")
    both_widths("studio-taught")
    page.click("text=side by side")
    page.wait_for_selector("#drop")
    drop(page, tmp_path / "new.mp4")
    page.wait_for_url("**/jobs/*/against/*")
    page.wait_for_selector(".side")
    both_widths("studio-beside")
    page.goto(f"{address}compare")
    page.select_option("#model-a", "household")
    page.select_option("#model-b", "kitchen")
    page.select_option("#films", label="24 clips of kitchen")
    page.click("text=Compare them")
    page.wait_for_selector("main[data-ready=done]")
    both_widths("studio-set")
