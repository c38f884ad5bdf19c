"""Marking films in a real browser: segments, boxes that are interpolated, relations; by mouse and by keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import teach_tasks
from test_studio_browser import (
    WIDTHS,
    accessible,
    address,
    answered,
    corrections,
    quiet_page,
    ready,
    served,
    shot,
    video,
)

from square_films import film
from whyact.data.relations.own import read
from whyact.data.relations.own_file import OwnVideo, read_file
from whyact.files import SHIPPED

__all__ = ["address", "answered", "corrections", "video"]  # fixtures
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (SHIPPED / "laiar").is_dir(), reason="no shipped model"),
]


@pytest.fixture
def page(browser: Any, teaching: tuple[str, Path], request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page whose console speaks of refused requests alone; it is closed before its studio is."""
    with quiet_page(browser, getattr(request, "param", "desktop"), allowed="status of 422") as opened:
        yield opened


@pytest.fixture
def teaching(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a studio that teaches, and the folder in which it keeps what is taught."""
    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs
    from whyact.studio.trainings import Trainings

    jobs = Jobs({"household": None}, answering=teach_tasks.answer_tasks, asking=teach_tasks.ablation_tasks)
    trainings = Trainings(jobs.models, folder=tmp_path / "models", detector="squares", tasks=teach_tasks.train_tasks)
    with served(create_app(jobs, trainings)) as at:
        yield at, trainings.root


def fits(page: Any) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    accessible(page)


def drag(page: Any, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over an element, from one place in it to another, as shares of its width and height."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def pictured(page: Any) -> None:
    """Wait until the frame is shown."""
    page.wait_for_function(
        "() => { const i = document.getElementById('mark-frame'); return i.complete && i.naturalWidth > 0; }"
    )


def saved(root: Path) -> OwnVideo:
    (path,) = root.glob("*/whyact.json")
    assert read(path.parent, slots=8).clips, "what is saved can be read"
    (found,) = read_file(path).videos
    assert (path.parent / found.file).is_file(), "the film is where the file says"
    return found


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_a_clip_is_marked_by_mouse(page: Any, teaching: tuple[str, Path], tmp_path: Path) -> None:
    at, root = teaching
    clip = film(tmp_path / "take.mp4", "take", 1, frames=40)
    page.goto(f"{at}teach")
    page.wait_for_selector("main[data-ready]")
    page.set_input_files("#files", clip)
    page.fill("#clips input", "take")
    page.click("#clips a")
    page.wait_for_url("**/clips/*")
    page.wait_for_selector("main[data-ready]")
    pictured(page)
    assert page.inner_text("#mark-clock") == "frame 1 of 40, 0 s"
    fits(page)
    # A segment, and another.
    drag(page, "#mark-lanes", (0.005, 0.4), (0.5, 0.4))
    page.fill("#mark-name", "come near")
    page.click("#mark-action")
    drag(page, "#mark-lanes", (0.55, 0.4), (0.9, 0.4))
    page.fill("#mark-name", "hold")
    page.keyboard.press("Enter")
    assert page.locator("#mark-list li").count() == 2
    # A box without a name, then its name; then the same thing on a later frame.
    page.fill("#mark-seek", "5")
    drag(page, "#mark-stage", (0.1, 0.1), (0.3, 0.4))
    assert "Name the thing" in page.inner_text("#mark-said")
    page.keyboard.type("kettle")
    page.keyboard.press("Enter")
    page.fill("#mark-seek", "25")
    drag(page, "#mark-stage", (0.5, 0.1), (0.7, 0.4))
    assert "kettle_1: drawn on 2 frames, 19 between them interpolated" in page.inner_text("#mark-list")
    page.fill("#mark-seek", "15")
    middle = page.locator("#mark-boxes .between rect")
    assert float(middle.get_attribute("x")) == pytest.approx(0.3 * 96, abs=1.5)
    assert "kettle_1, interpolated" in page.locator("#mark-boxes").text_content()
    fits(page)
    # A box that went wrong is removed from its frame alone.
    drag(page, "#mark-stage", (0.3, 0.5), (0.6, 0.9))
    assert "drawn on 3 frames" in page.inner_text("#mark-list")
    page.click("#mark-unbox")
    assert "drawn on 2 frames" in page.inner_text("#mark-list")
    assert page.is_hidden("#mark-unbox")
    # Undo takes back one thing at a time.
    page.fill("#mark-name", "again")
    page.click("#mark-action")
    assert "an action already" in page.inner_text("#mark-said")
    page.locator("#mark-list >> text=remove").first.click()
    assert "come near" not in page.inner_text("#mark-list")
    page.click("#mark-undo")
    assert "come near" in page.inner_text("#mark-list")
    page.click("#mark-save")
    page.wait_for_url("**/teach/*")
    page.wait_for_function("() => document.getElementById('clips')?.textContent.includes('2 segments, 1 drawn thing')")
    fits(page)
    found = saved(root)
    assert [action.action for action in found.actions] == ["come near", "hold"]
    (track,) = found.tracks
    assert (track.name, track.kind) == ("kettle_1", "kettle")
    drawn = [frame for frame, seen in zip(found.frames, track.seen, strict=True) if seen]
    assert drawn == [5, 25]
    assert [box is not None for box in track.boxes] == [5 <= frame <= 25 for frame in found.frames]
    # It is all there again.
    page.click("#clips a")
    page.wait_for_url("**/clips/*")
    page.wait_for_selector("main[data-ready]")
    assert page.locator("#mark-list li").count() == 3
    with page.expect_download() as download:
        page.click("#own-data")
    assert json.loads(Path(download.value.path()).read_text())["videos"][0]["file"] == found.file


def test_a_clip_is_marked_by_keyboard(page: Any, teaching: tuple[str, Path], tmp_path: Path) -> None:
    at, root = teaching

    def tab_to(selector: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    page.goto(f"{at}teach")
    page.wait_for_selector("main[data-ready]")
    page.set_input_files("#files", film(tmp_path / "take.mp4", "take", 1, frames=40))
    page.wait_for_selector("#clips li")
    page.bring_to_front()
    tab_to("#clips a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/clips/*")
    page.wait_for_selector("main[data-ready]")
    tab_to("#mark-seek")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("[")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    assert page.inner_text("#mark-span").endswith("frames 2 to 11")
    tab_to("#mark-name")
    page.keyboard.type("reach")
    page.keyboard.press("Enter")
    tab_to("#mark-thing")
    page.keyboard.type("kite")
    tab_to("#mark-box")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+Tab")
    assert "kite_1: drawn on 1 frame" in page.inner_text("#mark-list")
    tab_to("#mark-save")
    page.keyboard.press("Enter")
    page.wait_for_url("**/teach/*")
    found = saved(root)
    assert [(a.action, a.start, a.end) for a in found.actions] == [("reach", 2, 11)]
    (track,) = found.tracks
    (box,) = [box for box in track.boxes if box is not None]
    assert box == pytest.approx((0.4 * 96 + 1, 0.4 * 72, 0.6 * 96 + 1, 0.6 * 72 + 1), abs=0.2)


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_an_answer_is_corrected_on_its_film(page: Any, address: str, answered: str, corrections: Path) -> None:
    page.goto(answered)
    ready(page)
    page.fill("#action", "drink")
    if not page.locator("#mark-it[open]").count():  # open where something was marked before
        page.click("text=Mark it on the film")
    pictured(page)
    while page.locator("#mark-list >> text=remove").count():
        page.locator("#mark-list >> text=remove").first.click()
    frames = int(page.get_attribute("#mark-seek", "max"))
    drag(page, "#mark-lanes", (0.3, 0.4), (0.7, 0.4))
    page.fill("#mark-name", "lift the bottle")
    page.keyboard.press("Enter")
    page.fill("#mark-thing", "clock")
    page.fill("#mark-seek", str(frames // 4))
    drag(page, "#mark-stage", (0.57, 0.01), (0.69, 0.15))
    page.fill("#mark-seek", str(3 * frames // 4))
    drag(page, "#mark-stage", (0.57, 0.01), (0.69, 0.15))
    assert page.input_value("#mark-thing") == "clock_1"
    # Only what the pair can carry is offered: a hand holds; two clocks are no pair.
    page.select_option("#mark-subject", "hand_1")
    page.select_option("#mark-object", "clock_1")
    page.wait_for_function(
        "() => [...document.getElementById('mark-relation').options].some((o) => o.value === 'holding')"
    )
    offered = page.locator("#mark-relation option").all_inner_texts()
    assert {"holding", "not holding"} <= set(offered)
    assert "open" not in offered, "a state of a thing"
    page.select_option("#mark-subject", "clock_1")
    page.wait_for_function(
        "() => document.getElementById('mark-relation').textContent === 'these two carry no relation'"
    )
    assert page.is_disabled("#mark-relate")
    page.select_option("#mark-subject", "hand_1")
    page.select_option("#mark-relation", "not_holding")
    page.click("#mark-relate")
    assert "hand_1 – clock_1: not holding" in page.inner_text("#mark-list")
    page.fill("#mark-seek", str(frames // 2))
    pictured(page)
    fits(page)
    page.evaluate("scrollTo(0, scrollY + document.getElementById('mark-it').getBoundingClientRect().top)")
    shot(page, f"studio-mark-{page.viewport_size['width']}")
    page.click("text=Save the correction")
    page.locator("#saved", has_text="Saved").wait_for()
    found = read_file(corrections / "whyact.json").videos[0]
    assert [action.action for action in found.actions] == ["lift the bottle"]
    assert "clock_1" in [track.name for track in found.tracks]
    assert any(r.pair == ("hand_1", "clock_1") and r.relation == "not_holding" for r in found.relations)
    assert (corrections / found.file).is_file()
    assert json.loads((corrections / "corrections.json").read_text())[0]["drawn"][0]["name"] == "clock_1"
