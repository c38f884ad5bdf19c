"""The studio in a real browser, with the model that travels with whyact: what a person does, from drop to report.

Set WHYACT_SCREENSHOTS to a folder to have the pictures of the documentation taken there.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import method_tasks
import pytest

from made_videos import write_clip
from whyact import wording
from whyact.files import SHIPPED

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (SHIPPED / "laiar").is_dir(), reason="no shipped model"),
]
WIDTHS = {"phone": (390, 844), "desktop": (1440, 900)}
WAIT = 120_000  # milliseconds: a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A household clip of somebody who drinks."""
    from whyact.homeworld.film_set import film_fresh

    path = tmp_path_factory.mktemp("film") / "drink.mp4"
    film_fresh(path, seed=2, action="drink")
    return path


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def address(corrections: Path) -> Iterator[str]:
    """The address of a studio in a process of its own; when it ends, nothing of it is left."""
    command = [sys.executable, "-m", "whyact", "serve", "--port", "0", "--corrections", str(corrections)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+/", server.stdout.readline())
    assert found
    deadline = time.monotonic() + WAIT / 1000
    while True:
        try:
            urllib.request.urlopen(found[0] + "api/models", timeout=WAIT / 1000).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "the studio does not answer"
            time.sleep(0.1)
    yield found[0]
    server.terminate()
    assert server.wait(WAIT / 1000) in (0, -15, 130)


def given_up(request: Any) -> bool:
    """Tell whether the browser dropped a request itself: a player's video, or what it left by going on or closing."""
    # A server that stopped, refuses or breaks off fails otherwise: ERR_CONNECTION_REFUSED, ERR_EMPTY_RESPONSE.
    return "/video" in request.url or request.failure == "net::ERR_ABORTED"


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that may not say a word on its console."""
    with quiet_page(browser, getattr(request, "param", "desktop")) as opened:
        yield opened


@contextmanager
def quiet_page(browser: Any, width: str, allowed: str = "never") -> Iterator[Any]:
    """Open a page that may say nothing on its console but what ``allowed`` is in."""
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    context = browser.new_context(viewport=size, accept_downloads=True)
    context.set_default_timeout(WAIT)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: said.append(f"error: {error}"))
    opened.on("requestfailed", lambda one: None if given_up(one) else said.append(f"failed: {one.url}"))
    yield opened
    context.close()
    assert [text for text in said if allowed not in text] == []


@pytest.fixture(scope="module")
def answered(address: str, video: Path) -> str:
    """The page of a job that has its answer."""
    import json

    request = urllib.request.Request(f"{address}api/jobs?name=drink.mp4", data=video.read_bytes(), method="POST")
    id_ = json.load(urllib.request.urlopen(request))["id"]
    for _ in range(1200):
        job = json.load(urllib.request.urlopen(f"{address}api/jobs/{id_}"))
        if job["state"] in ("done", "failed"):
            assert job["state"] == "done", job["error"]
            return f"{address}jobs/{id_}"
        time.sleep(0.2)
    raise AssertionError("no answer")


def ready(page: Any) -> None:
    page.wait_for_selector("main[data-ready]")
    page.wait_for_function(
        "() => !document.getElementById('video') || document.getElementById('video').readyState >= 2"
    )


def drop(page: Any, file: Path) -> None:
    """Drop a file onto the page as a person does."""
    held = page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File([bytes], name, { type: "video/mp4" }));
            return held;
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})


def choose_file(page: Any) -> Any:
    """Press Space on a file field until its chooser opens: a busy browser drops a key that comes too early."""
    from playwright.sync_api import TimeoutError

    tries = 6
    for left in reversed(range(tries)):
        try:
            with page.expect_file_chooser(timeout=WAIT / tries) as chooser:
                page.keyboard.press("Space")
            return chooser.value
        except TimeoutError:
            if not left:
                raise


def shot(page: Any, name: str, **options: Any) -> None:
    """Take a picture for the documentation, where that is wanted."""
    if folder := os.environ.get("WHYACT_SCREENSHOTS"):
        page.wait_for_timeout(500)
        page.screenshot(path=f"{folder}/{name}.png", **options)


def accessible(page: Any) -> None:
    """Check contrast, labels and the like with axe-core, once everything has stopped moving."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page.wait_for_timeout(400)
    found = axe.Axe().run(page).response["violations"]
    said = [f"{v['id']}: {n['target']} {n['failureSummary']}" for v in found for n in v["nodes"]]
    assert said == [], f"{page.url}: " + "\n".join(said)


def score(page: Any, label: str = "drink") -> float:
    return float(page.inner_text(f"#scores [data-label={label}] .value").strip("↓↑ ").replace("+", ""))


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_from_a_dropped_video_to_a_report_on_disk(page: Any, address: str, video: Path, tmp_path: Path) -> None:
    width = page.viewport_size["width"]
    page.goto(address)
    drop(page, video)
    page.wait_for_url("**/jobs/*")
    ready(page)
    assert page.inner_text("h1") == "drink"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"

    first = page.locator("#reasons > li").first
    start, end = (float(first.get_attribute(f"data-{name}")) for name in ("start", "end"))
    page.locator("#timeline .strip").first.click(position={"x": 3, "y": 5})
    assert page.evaluate("document.getElementById('video').currentTime") < start
    first.locator(".go").click()
    page.wait_for_function(
        "([a, b]) => { const t = document.getElementById('video').currentTime; return a <= t && t <= b; }",
        arg=[start, end],
    )
    assert page.locator("#boxes rect").count() >= 2
    assert "bottle" in page.locator("#boxes").text_content()

    before = score(page)
    first.locator(".switch").click()
    page.wait_for_selector("#chips li")
    page.wait_for_selector("#scores .fell[data-label=drink]")
    assert score(page) < before
    assert "falls from" in page.inner_text("#verdict")
    if width < 500:
        page.evaluate("() => document.querySelector('.taken').scrollIntoView()")
    shot(page, f"studio-answer-{width}")
    page.click("#flip button")
    page.wait_for_selector("#flipped button, #flipped p:only-child")
    if page.locator("#flipped button").count():
        page.click("#flipped button")
        page.wait_for_selector("#verdict.changed")
    page.click("#restore")
    page.wait_for_function(
        "(before) => parseFloat(document.querySelector('#scores [data-label=drink] .value').textContent) >= before",
        arg=before,
    )

    with page.expect_download() as download:
        page.click("text=Report (HTML)")
    report = tmp_path / download.value.suggested_filename
    download.value.save_as(report)
    assert report.name == "drink.html"
    page.goto(report.as_uri())
    assert page.inner_text("h1") == "drink"
    assert page.locator("image").count() >= 1


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_with_the_keyboard_alone(page: Any, address: str, answered: str, video: Path) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    page.goto(address)
    page.bring_to_front()
    page.wait_for_function("() => document.readyState === 'complete' && document.hasFocus()")
    tab_to("#file")
    assert not choose_file(page).is_multiple()
    page.goto(answered)
    ready(page)
    tab_to(".skip")
    tab_to("#play")
    tab_to("#reasons .go")
    page.keyboard.press("Enter")
    seen = page.evaluate("document.getElementById('video').currentTime")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_selector("#scores .fell[data-label=drink]")
    tab_to("#things button")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#chips li').length === 2")
    tab_to("#timeline [role=slider]")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.getElementById('video').currentTime") != seen
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    tab_to(".exports a")


@pytest.mark.parametrize("page", WIDTHS, indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_labels(page: Any, scheme: str, address: str, answered: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for place in (address, answered, f"{address}compare"):
        page.goto(place)
        if place == answered:
            ready(page)
            page.locator("#reasons .switch").first.click()
            page.wait_for_selector("#chips li")
            page.click("text=Correct relations too")
        accessible(page)


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a studio with tiny runs of the other two methods, in a thread of this process."""
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    import method_runs
    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs

    folder = tmp_path_factory.mktemp("methods")
    with pytest.MonkeyPatch.context() as patched:
        method_runs.patch(patched)
        models: dict[str, Path | None] = {
            "snippets": method_runs.pvlr_run(folder / "pvlr", iterations=60),
            "names": method_runs.locate_run(folder / "locate"),
        }
    jobs = Jobs(models, answering=method_tasks.answer_tasks, asking=method_tasks.ablation_tasks)
    with served(create_app(jobs)) as address:
        yield address


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve a studio in a thread of this process; yield its address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def brightening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that grow brighter: snippets of the one run, frames of the other."""
    return write_clip(tmp_path_factory.mktemp("film") / "brighter.mp4", 50)


@pytest.mark.parametrize(("page", "scheme"), [("phone", "dark"), ("desktop", "light")], indirect=["page"])
def test_two_models_are_asked_compared_and_questioned(page: Any, scheme: str, methods: str, brightening: Path) -> None:
    page.emulate_media(color_scheme=scheme)
    width = page.viewport_size["width"]

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
        accessible(page)

    page.goto(methods)
    page.select_option("#against", "names")
    fits()
    drop(page, brightening)
    page.wait_for_url("**/jobs/*/against/*")
    page.wait_for_selector(".side")
    assert page.locator(".side").count() == 2
    assert "have no action in common" in page.inner_text("main")
    fits()
    both = page.url
    for place, unit in ((0, "snippet"), (1, "frame")):
        page.goto(both)
        page.locator(".side .button").nth(place).click()
        ready(page)
        switches = page.locator(".reasons .switch")
        assert switches.count() >= 2
        page.locator("#reasons > li").first.locator(".switch").click()
        page.wait_for_function("unit => document.getElementById('verdict').textContent.includes(unit)", arg=unit)
        stated = page.locator("#reasons > li").first.locator(".contribution").inner_text()
        label = page.locator("#reasons > li").first.get_attribute("data-label")
        job = page.get_attribute("main", "data-job")
        removal = {
            "kind": unit,
            **{k: float(page.locator("#reasons > li").first.get_attribute(f"data-{k}")) for k in ("start", "end")},
        }
        said = page.request.post(f"{methods}api/jobs/{job}/without", data={"removals": [removal]}).json()
        row = next(one for one in said["scores"] if one["label"] == label)
        assert wording.format_contribution(row["before"] - row["score"]) == stated, "the fall that the evidence states"
        assert said["milliseconds"] < 300
        page.fill("#from", "0")
        page.fill("#to", page.get_attribute("#to", "max"))
        page.click("#span button")
        page.wait_for_function(
            "() => document.getElementById('verdict').textContent.includes('Nothing is left of the input')"
        )
        page.click("#restore")
        page.click("#flip button")
        page.wait_for_function("() => /answer/.test(document.getElementById('flipped').textContent)")
        fits()
        page.click("text=compare with")
        page.wait_for_selector(".side")


def test_a_correction_is_saved(page: Any, answered: str, corrections: Path) -> None:
    page.goto(answered)
    ready(page)
    page.fill("#action", "eat")
    assert page.is_checked("[name=right][value=no]")
    page.click("text=Correct relations too")
    page.select_option("#run-0", index=1)
    page.click("text=Save the correction")
    page.locator("#saved", has_text="1 marked relation").wait_for(state="attached")
    assert (corrections / "whyact.json").exists()


def test_two_runs_are_compared(page: Any, address: str, tmp_path: Path) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "report"))
    from sample_prediction import pick

    from whyact.prediction import LabelScore, to_json

    for name, wrong in (("a", 2), ("b", 0)):
        made = []
        for i in range(4):
            p = pick(3)
            p.id, p.target = f"clip {i}", "pick"
            if i < wrong:
                p.labels = [LabelScore(label="place", score=0.6), LabelScore(label="pick", score=0.4)]
            made.append(p)
        (tmp_path / f"{name}.json").write_text(to_json(made), encoding="utf-8")
    page.goto(f"{address}compare")
    page.set_input_files("#a", tmp_path / "a.json")
    page.set_input_files("#b", tmp_path / "b.json")
    page.click("text=Compare >> nth=-1")
    page.wait_for_selector(".clip")
    assert page.locator(".clip").count() == 2
    assert "2 gained, 0 lost" in page.inner_text("#said")
    assert "+0.50" in page.inner_text(".diff .overall")
    shot(page, "studio-compare-1440")


def test_the_player_loops_steps_by_frame_and_goes_from_evidence_to_evidence(page: Any, answered: str) -> None:
    now = "document.getElementById('video').currentTime"
    page.goto(answered)
    ready(page)
    rows = [
        tuple(float(row.get_attribute(f"data-{end}")) for end in ("start", "end"))
        for row in page.locator("#reasons > li").all()
    ]
    page.locator("h1").click()
    page.keyboard.press("]")
    start, end = rows[1]
    page.wait_for_function(f"([a, b]) => a <= {now} && {now} <= b + 0.02", arg=[start, end])
    before = page.evaluate(now)
    page.keyboard.press(".")
    page.wait_for_function(f"(t) => {now} > t + 0.01", arg=before)
    step = page.evaluate(now) - before
    assert step == pytest.approx(1 / float(page.get_attribute("#video", "data-rate")), abs=0.005)  # one real frame
    page.keyboard.press(",")
    page.wait_for_function(f"(t) => {now} < t - 0.01", arg=before + step)
    page.keyboard.press("[")
    page.keyboard.press("l")
    assert page.get_attribute("#loop", "aria-pressed") == "true"
    low, high = max(0.0, rows[0][0] - 0.4), rows[0][1] + 0.4
    page.wait_for_function(  # it comes back to the start of the moment, again and again, and never leaves it
        f"""([a, b]) => {{
            const t = {now};
            window.rounds = (window.rounds ?? 0) + (t < (window.last ?? 0) ? 1 : 0);
            window.last = t;
            if (t > b + 0.3 || t < a - 0.3) throw new Error(`at ${{t}}`);
            return window.rounds >= 2;
        }}""",
        arg=[low, high],
    )
    page.keyboard.press(" ")
    page.wait_for_function("document.getElementById('video').paused")


def test_what_is_switched_off_is_in_the_address_and_can_be_undone(page: Any, answered: str) -> None:
    page.goto(answered)
    ready(page)
    before = score(page)
    page.locator("#reasons .switch").first.click()
    page.wait_for_selector("#scores .fell[data-label=drink]")
    fallen, address = score(page), page.evaluate("location.href")
    assert fallen < before
    assert "#without=" in address
    page.goto("about:blank")
    page.goto(address)
    ready(page)
    page.wait_for_selector("#scores .fell[data-label=drink]")
    assert score(page) == fallen
    assert page.locator("#chips li").count() == 1
    page.locator("#reasons .switch").nth(1).click()
    page.wait_for_function("document.querySelectorAll('#chips li').length === 2")
    page.locator("h1").click()
    page.keyboard.press("z")
    page.wait_for_function("document.querySelectorAll('#chips li').length === 1")
    page.click("#restore")
    page.wait_for_function("document.querySelectorAll('#chips li').length === 0")
    page.click("#undo")
    page.wait_for_function("document.querySelectorAll('#chips li').length === 1")


def test_pointing_at_evidence_marks_its_lane_and_its_things(page: Any, answered: str) -> None:
    page.goto(answered)
    ready(page)
    first = page.locator("#reasons > li").first
    first.hover()
    assert "linked" in (first.get_attribute("class") or "")
    assert page.locator("#timeline [data-slot].linked").count() == 1
    names = set(page.locator("#boxes g.linked").evaluate_all("all => all.map((one) => one.dataset.name)"))
    assert names <= {first.get_attribute("data-subject"), first.get_attribute("data-object")}
    assert names
