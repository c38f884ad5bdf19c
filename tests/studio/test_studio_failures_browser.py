"""What a person sees where something fails or somebody else deletes it: no old message, no endless wait, no loss."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stub_tasks
from studio_samples import LIMITS
from test_studio_browser import WAIT, served

from whyact.wording import format_span

pytest_plugins = ("studio_samples",)
pytestmark = pytest.mark.browser
BYTES = {"content-type": "application/octet-stream"}


@dataclass
class Served:
    """A page, the address of a studio with workers that answer at once, and its folder of corrections."""

    page: Any
    address: str
    corrections: Path

    def send(self, body: bytes = stub_tasks.GOOD) -> str:
        """Send a video; return its job's id."""
        reply = self.page.request.post(f"{self.address}api/jobs?name=kitchen.mp4", data=body, headers=BYTES)
        id_: str = reply.json()["id"]
        return id_

    def await_answer(self, id_: str) -> None:
        end = time.monotonic() + WAIT / 1000
        while (job := self.page.request.get(f"{self.address}api/jobs/{id_}").json())["state"] != "done":
            assert time.monotonic() < end, job
            self.page.wait_for_timeout(50)


@pytest.fixture
def studio(browser: Any, stub_run: Path, tmp_path: Path) -> Iterator[Served]:
    """A studio of two models, and a page on which requests may fail, and no script does."""
    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs
    from whyact.studio.trainings import Trainings

    models: dict[str, Path | None] = {"first": stub_run, "second": stub_run}
    jobs = Jobs(models, LIMITS, answering=stub_tasks.answer_tasks, asking=stub_tasks.ablation_tasks, keep_uploads=True)
    trainings = Trainings(jobs.models, LIMITS, detector=str(stub_run), tasks=stub_tasks.train_tasks)
    with served(create_app(jobs, trainings, corrections=tmp_path / "corrections")) as address:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        yield Served(page, address, tmp_path / "corrections")
        page.close()
    assert wrong == []


def test_several_dropped_videos_are_refused_and_not_the_first_taken_alone(studio: Served) -> None:
    page = studio.page
    held = page.evaluate_handle(
        """(data) => {
            const held = new DataTransfer();
            for (const name of ["a.mp4", "b.mp4"]) held.items.add(new File([atob(data)], name, { type: "video/mp4" }));
            return held;
        }""",
        base64.b64encode(stub_tasks.GOOD).decode(),
    )
    page.wait_for_load_state("networkidle")
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})
    page.locator("#said", has_text="of 2 files none was sent").wait_for()
    assert page.url == studio.address


def test_who_watches_what_somebody_else_deletes_is_told(studio: Served) -> None:
    page, address = studio.page, studio.address
    training = page.request.post(f"{address}api/trainings").json()["id"]
    for number, label in enumerate(("drink", "drink", "open", "open")):
        at = f"{address}api/trainings/{training}/clips?name={number}.mp4&label={label}"
        assert page.request.post(at, data=stub_tasks.HANG, headers=BYTES).status == 201
    assert page.request.post(f"{address}api/trainings/{training}/start", data={"model": "kitchen"}).status == 202
    page.goto(f"{address}teach/{training}")
    page.wait_for_selector("#work:not([hidden])")
    page.request.delete(f"{address}api/trainings/{training}")
    page.get_by_text("This no longer exists").wait_for()

    studio.await_answer(studio.send())
    page.request.post(f"{address}api/jobs?name=hang.mp4", data=stub_tasks.HANG, headers=BYTES)  # the queue stands
    comparison = page.request.post(
        f"{address}api/comparisons", data={"a": "first", "b": "second", "films": "history"}
    ).json()["id"]
    page.goto(f"{address}compare/{comparison}")
    page.wait_for_selector("#working:not([hidden])")
    page.request.delete(f"{address}api/comparisons/{comparison}")
    page.get_by_text("This no longer exists").wait_for()


def test_marks_that_could_not_be_opened_are_not_replaced(studio: Served) -> None:
    """The stub's upload is no film, so that its frames cannot be read; what was marked before lies in the folder."""
    page, address = studio.page, studio.address
    id_ = studio.send()
    studio.await_answer(id_)
    entry = dict.fromkeys(("name", "time", "model", "model_sha256", "answered"), "x")
    marked = {"video": f"kitchen-{'9f2c' * 3}", "action": "open", "marked": []}
    segments = [{"action": "open", "start": 1, "end": 3}]
    studio.corrections.mkdir()
    log = studio.corrections / "corrections.json"
    log.write_text(json.dumps([{**entry, **marked, "segments": segments}]))
    page.goto(f"{address}jobs/{id_}")
    page.wait_for_selector("main[data-ready]")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("text=Save the correction")
    page.locator("#saved.wrong", has_text="Not saved").wait_for()
    assert not any("/corrections" in url for url in asked)

    training = page.request.post(f"{address}api/trainings").json()["id"]
    clips = f"{address}api/trainings/{training}/clips"
    clip = page.request.post(f"{clips}?name=a.mp4", data=stub_tasks.GOOD, headers=BYTES).json()["id"]
    page.goto(f"{address}teach/{training}/clips/{clip}")
    page.wait_for_selector("main[data-ready]")
    assert page.is_disabled("#mark-save")


def test_a_correction_that_does_not_arrive_is_not_called_saved(studio: Served) -> None:
    page = studio.page
    id_ = studio.send()
    studio.await_answer(id_)
    page.goto(f"{studio.address}jobs/{id_}")
    page.wait_for_selector("main[data-ready]")
    page.evaluate("document.getElementById('saved').textContent = 'Saved: 1 video'")  # what the last one said
    page.route("**/corrections", lambda route: route.fulfill(status=502, body="bad gateway"))
    page.click("text=Save the correction")
    page.locator("#saved.wrong", has_text="could not be saved").wait_for()


def test_a_relation_to_correct_never_spans_frames_of_which_nothing_was_said(studio: Served) -> None:
    page = studio.page
    id_ = studio.send()
    studio.await_answer(id_)
    at = f"{studio.address}api/jobs/{id_}/prediction"
    (prediction,) = page.request.get(at).json()
    (track,) = prediction["tracks"] = prediction["tracks"][:1]
    for place, point in enumerate(track["points"]):
        point["label"] = "" if 3 <= place < 6 else "holding"
    page.route(at, lambda route: route.fulfill(json=[prediction]))
    page.goto(f"{studio.address}jobs/{id_}")
    page.wait_for_selector("main[data-ready]")
    page.click("text=Correct relations too")
    page.locator("#runs button").first.wait_for()
    spans = [text.rpartition(", ")[2] for text in page.locator("#runs button").all_inner_texts()]
    times = [point["time"] for point in track["points"]]
    assert spans == [format_span(times[0], times[2]), format_span(times[6], times[-1])]
