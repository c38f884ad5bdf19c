"""Two models over a set of films: what is asked, what is said of what changed, and that it can be stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stub_tasks
from sample_prediction import answered
from studio_samples import LIMITS, Studio
from test_studio_teach import begin, end, start

from whyact.data.relations.own_file import FILE
from whyact.studio.comparisons import Comparison, SetFilm, compare_film, summarize

pytest_plugins = ("studio_samples",)


@pytest.fixture
def two(open_studio: Callable[..., Studio], stub_run: Path, tmp_path: Path) -> Studio:
    """A studio with two models of which one says pick, the other place; uploads are kept."""
    studio = open_studio(models=["first"])
    studio.jobs.keep_uploads = True
    shutil.copytree(stub_run, tmp_path / "contrary")
    studio.jobs.models["contrary"] = tmp_path / "contrary"
    return studio


def compare(studio: Studio, films: str = "history", a: str = "first", b: str = "contrary") -> dict[str, Any]:
    reply = studio.client.post("/api/comparisons", json={"a": a, "b": b, "films": films})
    assert reply.status_code == 202, reply.text
    place = f"/api/comparisons/{reply.json()['id']}"
    for _ in range(400):
        found: dict[str, Any] = studio.client.get(place).json()
        if found["state"] in ("done", "stopped"):
            return found
        time.sleep(0.05)
    raise AssertionError("it never ends")


def bodies(count: int) -> list[bytes]:
    return [stub_tasks.GOOD + bytes([i]) for i in range(count)]


def test_films_answered_before_are_asked_of_the_other_model_alone(two: Studio) -> None:
    ids = [two.send(body, name=f"{i}.mp4") for i, body in enumerate(bodies(3))]
    two.jobs.get(ids[0]).target, two.jobs.get(ids[1]).target = "pick", "place"
    found = compare(two)
    assert (found["state"], found["total"], found["failed"]) == ("done", 3, [])
    rows = {row["name"]: row for row in found["rows"]}
    assert {name: row["direction"] for name, row in rows.items()} == {
        "0.mp4": "lost",
        "1.mp4": "gained",
        "2.mp4": "other",
    }
    for i, id_ in enumerate(ids):
        row = rows[f"{i}.mp4"]
        assert row["jobs"][0] == id_, "what was answered is not asked again"
        a, b = (two.client.get(f"/api/jobs/{job}/prediction").json()[0]["labels"] for job in row["jobs"])
        known = [{one["label"]: one["score"] for one in labels} for labels in (a, b)]
        assert (row["before"], row["after"]) == (known[0][row["label"]], known[1][row["label"]])
        assert row["label"] == (row["target"] or "pick")
        assert two.client.get(f"/jobs/{row['jobs'][0]}/against/{row['jobs'][1]}").status_code == 200
        assert row["a"]["evidence"]
    assert rows["0.mp4"]["a"]["right"] is True
    assert rows["0.mp4"]["b"]["right"] is False
    assert rows["2.mp4"]["a"]["right"] is None, "nobody said what it shows"
    said = "1 that only contrary gets right, 1 that only first gets right, 1 answered differently"
    assert found["summary"][0] == f"3 films: {said} otherwise."
    assert "first is right about 1, contrary about 1; so few say little" in found["summary"][1]
    page = two.client.get(f"/compare/{found['id']}").text
    assert "From first to contrary" in page
    again = compare(two)
    assert [row["jobs"] for row in again["rows"]] == [row["jobs"] for row in found["rows"]]


def test_clips_of_a_training_are_compared_and_what_was_learned_is_counted_apart(two: Studio) -> None:
    place = begin(two, ())
    for number, (label, body) in enumerate(zip(("pick", "pick", "place", "place"), bodies(4), strict=True)):
        two.client.post(f"{place}/clips", params={"name": f"{number}.mp4", "label": label}, content=body)
    id_ = place.rpartition("/")[2]
    found = compare(two, id_)
    assert [row["target"] for row in found["rows"]] == ["pick", "pick", "place", "place"]
    assert [row["direction"] for row in found["rows"]] == ["lost", "lost", "gained", "gained"]
    assert "Of 4 films that neither learned from, first is right about 2, contrary about 2" in found["summary"][1]
    assert start(two, place).status_code == 202
    assert end(two, place)["state"] == "done"
    taught = compare(two, id_, b="kitchen")
    assert all(row["learned"] == ["kitchen"] for row in taught["rows"])
    assert not any("neither learned" in line for line in taught["summary"])
    assert "kitchen learned from 4 of these films: what it says of them proves little." in taught["summary"]


def test_what_a_model_learned_from_before_the_studio_was_started_is_counted_apart(two: Studio, tmp_path: Path) -> None:
    """The model and its data lie in a folder, as `--teach DIR` and `whyact train laiar --videos` leave them."""
    data, model = tmp_path / "kitchen-data", {"format": "whyact-own", "version": 1, "objects": ["cup"]}
    (data / "videos").mkdir(parents=True)
    for number, body in enumerate(bodies(4)):
        (data / "videos" / f"taught {number}.mp4").write_bytes(body)
    videos = [{"id": f"{n}", "file": f"videos/taught {n}.mp4", "group": f"{n}"} for n in range(4)]
    folds = [{"train": ["0", "1", "2"], "test": ["3"]}]
    (data / FILE).write_text(json.dumps({**model, "actions": ["pick"], "videos": videos, "folds": folds}))
    two.jobs.models["kitchen"] = shutil.copytree(tmp_path / "contrary", tmp_path / "kitchen")
    for number, body in enumerate(bodies(6)):
        two.jobs.get(two.send(body, name=f"{number}.mp4")).target = "pick"
    found = compare(two, b="kitchen")
    learned = {row["name"]: row["learned"] for row in found["rows"]}
    assert learned == {f"{n}.mp4": ["kitchen"] if n < 3 else [] for n in range(6)}
    assert any(line.startswith("Of 3 films that neither learned from") for line in found["summary"])


@pytest.mark.parametrize(
    ("choice", "status", "said"),
    [
        ({"a": "first", "b": "first"}, 422, "another model than the first"),
        ({"a": "first", "b": "third"}, 404, "no model 'third'"),
        ({"a": "first", "b": "contrary", "films": "nothing"}, 404, "no such films"),
    ],
    ids=["itself", "unknown", "no-set"],
)
def test_what_cannot_be_compared_is_refused(two: Studio, choice: dict[str, str], status: int, said: str) -> None:
    two.send()
    reply = two.client.post("/api/comparisons", json={"films": "history", **choice})
    assert reply.status_code == status
    assert said in reply.json()["detail"]
    assert two.client.get("/api/comparisons/nothing").status_code == 404
    assert two.client.get("/compare/nothing").status_code == 404


def test_films_that_fail_are_named_and_cost_the_others_nothing(two: Studio) -> None:
    place = begin(two, ())
    for name, body in (("good", stub_tasks.GOOD), ("bad", stub_tasks.BROKEN), ("crash", stub_tasks.CRASH)):
        two.client.post(f"{place}/clips", params={"name": f"{name}.mp4", "label": "pick"}, content=body)
    found = compare(two, place.rpartition("/")[2])
    assert [row["name"] for row in found["rows"]] == ["good.mp4"]
    assert found["failed"][0] == "bad.mp4: found no moov atom, expected a video file", "named once"
    assert "crash.mp4" in found["failed"][1]
    assert str(two.jobs.root) not in str(found)


def test_a_comparison_is_stopped_and_deleted(two: Studio) -> None:
    place = begin(two, ())
    for name, body in (("good", stub_tasks.GOOD), ("hang", stub_tasks.HANG), ("never", stub_tasks.GOOD + b"2")):
        two.client.post(f"{place}/clips", params={"name": f"{name}.mp4", "label": "pick"}, content=body)
    choice = {"a": "first", "b": "contrary", "films": place.rpartition("/")[2]}
    id_ = two.client.post("/api/comparisons", json=choice).json()["id"]
    for _ in range(200):
        found = two.client.get(f"/api/comparisons/{id_}").json()
        if len(found["rows"]) == 1 and any(job.state == "running" for job in two.jobs.jobs.values()):
            break
        time.sleep(0.05)
    assert 0 < found["share"] < 1
    began = time.monotonic()
    two.client.post(f"/api/comparisons/{id_}/stop")
    while two.client.get(f"/api/comparisons/{id_}").json()["state"] != "stopped":
        assert time.monotonic() - began < 10
        time.sleep(0.05)
    stopped = two.client.get(f"/api/comparisons/{id_}").json()
    assert ([row["name"] for row in stopped["rows"]], stopped["failed"]) == (["good.mp4"], [])
    jobs = stopped["rows"][0]["jobs"]
    assert all(two.jobs.get(job).held == 1 for job in jobs)
    assert two.client.delete(f"/api/comparisons/{id_}").status_code == 204
    assert two.client.get(f"/api/comparisons/{id_}").status_code == 404
    assert all(two.jobs.get(job).held == 0 for job in jobs)


def test_answers_stay_as_long_as_their_comparison(
    open_studio: Callable[..., Studio], stub_run: Path, tmp_path: Path
) -> None:
    studio = open_studio(replace(LIMITS, kept=2, compared=5), models=["first"])
    shutil.copytree(stub_run, tmp_path / "contrary")
    studio.jobs.models["contrary"] = tmp_path / "contrary"
    place = begin(studio, ())
    for body in bodies(5):
        studio.client.post(f"{place}/clips", params={"label": "pick"}, content=body)
    found = compare(studio, place.rpartition("/")[2])
    assert len(found["rows"]) == 5
    assert all(studio.client.get(f"/api/jobs/{job}").status_code == 200 for row in found["rows"] for job in row["jobs"])
    studio.client.delete(f"/api/comparisons/{found['id']}")
    studio.send()
    deadline = time.monotonic() + 10  # a job is tidied up after it has ended
    while sum(job.state == "done" for job in studio.jobs.jobs.values()) > 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    studio.client.post(f"{place}/clips", params={"label": "pick"}, content=stub_tasks.GOOD + b"sixth")
    choice = {"a": "first", "b": "contrary", "films": place.rpartition("/")[2]}
    refused = studio.client.post("/api/comparisons", json=choice)
    assert refused.status_code == 422
    assert "found 6, expected at most 5" in refused.json()["detail"]


def test_a_model_that_does_not_know_an_action_or_a_film_is_named() -> None:
    a, b = answered(["pick", "place"], ["", ""])
    b.labels = [label for label in b.labels if label.label != "pick"]
    b.unfamiliar = True
    row = compare_film(SetFilm("x", "x", target="pick"), ("1", "2"), a, b)
    assert (row.direction, row.after) == ("lost", None)
    made = Comparison(id="i", a="one", b="two", title="films", films=[], rows=[row])
    assert "two does not know the action of 1 film." in summarize(made)
    assert "two merely guesses about 1 film: it does not know such videos." in summarize(made)


@pytest.mark.parametrize("target", ["pick", "Pick", "pick up", "PICK_UP"])
def test_an_action_is_known_however_a_person_writes_it(target: str) -> None:
    label = "pick" if len(target) == 4 else "pick_up"
    a, b = answered([label, "place"], ["", ""])
    b.labels[1].label = label
    row = compare_film(SetFilm("x", "x", target=target), ("1", "2"), a, b)
    assert (row.a.right, row.b.right, row.direction) == (True, False, "lost")
    assert (row.before, row.after) == (0.6, 0.4)
