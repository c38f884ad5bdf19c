"""Two models compared over a set of films, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stub_tasks
from studio_samples import LIMITS
from test_studio_browser import WIDTHS, accessible, quiet_page, served

pytest_plugins = ("studio_samples",)
pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any, studio: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page whose console speaks of refused requests alone; it is closed before its studio is."""
    with quiet_page(browser, request.param, allowed="status of 422") as opened:
        yield opened


@pytest.fixture
def studio(stub_run: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a studio with two models that answer at once, and differently."""
    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs
    from whyact.studio.trainings import Trainings

    shutil.copytree(stub_run, tmp_path / "contrary")
    models = {"first": stub_run, "contrary": tmp_path / "contrary"}
    jobs = Jobs(models, LIMITS, answering=stub_tasks.answer_tasks, asking=stub_tasks.ablation_tasks)
    trainings = Trainings(jobs.models, LIMITS, detector=str(stub_run), tasks=stub_tasks.train_tasks)
    with served(create_app(jobs, trainings)) as address:
        yield address


def send_clips(page: Any, studio: str, *clips: tuple[str, str, bytes]) -> None:
    place = page.request.post(f"{studio}api/trainings").json()["id"]
    for name, label, body in clips:
        at = f"{studio}api/trainings/{place}/clips?name={name}&label={label}"
        assert page.request.post(at, data=body, headers={"content-type": "application/octet-stream"}).status == 201


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_two_models_over_the_clips_of_a_training(page: Any, studio: str) -> None:
    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        accessible(page)

    page.goto(f"{studio}compare")
    assert "no film to ask about" in page.inner_text("main")
    fits()
    good = stub_tasks.GOOD
    clips = [
        ("monday.mp4", "pick", good),
        ("tuesday.mp4", "place", good + b"1"),
        ("dark.mp4", "pick", stub_tasks.BROKEN),
    ]
    send_clips(page, studio, *clips)
    page.goto(f"{studio}compare")
    page.select_option("#model-b", "first")
    page.click("text=Compare them")
    page.wait_for_function("() => document.getElementById('set-said').textContent.includes('another model')")
    page.select_option("#model-b", "contrary")
    fits()
    page.click("text=Compare them")
    page.wait_for_url("**/compare/*")
    page.wait_for_selector("main[data-ready=done]")
    assert page.inner_text("h1") == "From first to contrary"
    assert "1 that only contrary gets right, 1 that only first gets right" in page.inner_text("#summary")
    assert "dark.mp4" in page.inner_text("#failed")
    assert page.locator("#rows tr").count() == 2
    assert "▼ lost" in page.inner_text("#rows tr.lost")
    assert "↓" in page.inner_text("#rows tr.lost")
    assert page.locator("#clips article").count() == 2
    assert page.locator("#clips .side").count() == 4
    fits()
    page.locator("#rows a").first.click()
    page.wait_for_selector(".side")
    page.goto(f"{studio}compare")
    assert "first → contrary" in page.inner_text(".jobs")
    page.click(".jobs a")
    page.wait_for_selector("main[data-ready=done]")
    page.click("#forget")
    page.wait_for_url("**/compare")


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_a_comparison_is_stopped_and_keeps_what_it_has(page: Any, studio: str) -> None:
    send_clips(page, studio, ("a.mp4", "pick", stub_tasks.GOOD), ("b.mp4", "pick", stub_tasks.HANG))
    page.goto(f"{studio}compare")
    page.click("text=Compare them")
    page.wait_for_url("**/compare/*")
    page.wait_for_selector("#rows tr")
    page.click("#stop")
    page.wait_for_selector("main[data-ready=stopped]")
    assert "Stopped after 1 of 2 films" in page.inner_text("#said")
    assert page.locator("#rows tr").count() == 1
