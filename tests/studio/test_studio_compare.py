"""Two runs, or two models' answers about one video, beside each other in the studio."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import stub_tasks
from sample_prediction import answered as made
from studio_samples import LIMITS, Studio

from whyact.ablation.compare import compare_runs, read_runs
from whyact.errors import UserError
from whyact.prediction import to_json
from whyact.studio.uploads import submit

pytest_plugins = ("studio_samples",)

TARGETS = ["pick", "pick", "pick", "place", "place", "open"]
A = made(["pick", "open", "open", "place", "place", "pick"], TARGETS)
B = made(["pick", "pick", "pick", "place", "open", "pick"], TARGETS)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"a": []}', b'{"a": [], "b": [{"x": 1}]}', b"[" * 5000, b"\xff"])
def test_other_json_is_refused_in_words(body: bytes, studio: Studio) -> None:
    with pytest.raises(UserError):
        read_runs(body)
    reply = studio.client.post("/api/compare", content=body)
    assert reply.status_code == 422
    assert "whyact predict --json" in reply.json()["detail"]


def test_the_route(studio: Studio) -> None:
    body = f'{{"a": {to_json(A)}, "b": {to_json(B)}}}'
    found = studio.client.post("/api/compare", content=body).json()
    assert found == json.loads(json.dumps(asdict(compare_runs(A, B))))


@pytest.fixture
def two(open_studio: Callable[..., Studio]) -> Studio:
    """A studio with two models."""
    return open_studio(models=["first", "second"])


def ended(studio: Studio, id_: str) -> None:
    assert studio.jobs.get(id_).ended.wait(30)


def test_one_video_is_sent_once_and_asked_of_two_models(two: Studio) -> None:
    a = two.send(name="kitchen.mp4", against="second")
    job = two.client.get(f"/api/jobs/{a}").json()
    b = job["against"]
    ended(two, b)
    other = two.client.get(f"/api/jobs/{b}").json()
    assert [(j["model"], j["state"], j["name"]) for j in (job, other)] == [
        ("first", "done", "kitchen.mp4"),
        ("second", "done", "kitchen.mp4"),
    ]
    for id_ in (a, b):
        assert not two.jobs.get(id_).upload.exists(), "each job deletes its own upload"
    found = two.client.get(f"/api/jobs/{a}/against/{b}").json()
    assert found["agree"]
    assert found["a"]["label"] == found["b"]["label"] == "pick"
    page = two.client.get(f"/jobs/{a}/against/{b}").text
    assert "Both say pick." in page
    assert f"/jobs/{b}/against/{a}" in two.client.get(f"/jobs/{b}").text
    assert two.client.delete(f"/api/jobs/{a}").status_code == 204
    assert two.client.get(f"/api/jobs/{b}").json()["state"] == "done", "the other answer stays"
    assert two.client.get(f"/jobs/{a}/against/{b}").status_code == 404


def test_the_same_video_sent_again_is_found_by_its_bytes(two: Studio) -> None:
    a, other = two.send(), two.send(stub_tasks.GOOD + b"another")
    b = two.send(model="second", name="renamed.mp4")
    assert f"/jobs/{b}/against/{a}" in two.client.get(f"/jobs/{b}").text
    assert two.client.get(f"/api/jobs/{a}/against/{b}").status_code == 200
    for wrong in (other, a, "nothing"):
        assert two.client.get(f"/api/jobs/{a}/against/{wrong}").status_code == 404
        assert two.client.get(f"/jobs/{a}/against/{wrong}").status_code == 404


def test_a_model_is_never_compared_with_itself_and_each_other_model_is_offered_once(two: Studio) -> None:
    a, again = two.send(), two.send()
    assert "/against/" not in two.client.get(f"/jobs/{a}").text
    seconds = [two.send(model="second") for _ in range(2)]
    page = two.client.get(f"/jobs/{a}").text
    assert page.count("/against/") == 1
    assert any(f"/jobs/{a}/against/{b}" in page for b in seconds)
    assert f"/against/{again}" not in page
    for path in (f"/jobs/{a}/against/{again}", f"/api/jobs/{a}/against/{again}"):
        assert two.client.get(path).status_code == 404


def test_a_demo_clip_is_asked_of_two_models(two: Studio) -> None:
    order = {"action": "pick", "seed": 4, "against": "second"}
    a = two.client.post("/api/demo", json=order).json()
    for id_ in (a["id"], a["against"]):
        ended(two, id_)
    assert "Both say" in two.client.get(f"/jobs/{a['id']}/against/{a['against']}").text


def test_a_second_model_that_fails_is_told_beside_the_answer_of_the_first(two: Studio) -> None:
    a = two.send(stub_tasks.BROKEN, against="second")
    b = two.jobs.get(a).against
    ended(two, b)
    page = two.client.get(f"/jobs/{a}/against/{b}").text
    assert "There is no answer." in page
    assert two.client.get(f"/api/jobs/{a}/against/{b}").status_code == 404


@pytest.mark.parametrize(("against", "status"), [("third", 404), ("first", 422)])
def test_a_second_model_must_be_another_one(two: Studio, against: str, status: int) -> None:
    for reply in (
        two.client.post("/api/jobs", params={"against": against}, content=stub_tasks.GOOD),
        two.client.post("/api/demo", json={"action": "pick", "against": against}),
    ):
        assert reply.status_code == status
        assert against in reply.json()["detail"]
    assert two.jobs.jobs == {}


def test_without_room_for_both_neither_is_taken(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, waiting=1, work=3.0), models=["first", "second"])
    first = studio.client.post("/api/jobs", content=stub_tasks.HANG).json()["id"]
    reply = studio.client.post("/api/jobs", params={"against": "second"}, content=stub_tasks.GOOD)
    assert reply.status_code == 503
    assert list(studio.jobs.jobs) == [first]


def test_a_film_that_cannot_be_kept_for_the_second_model_leaves_no_job_behind(
    two: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = two.jobs.open("a.mp4", "first")
    job.upload.write_bytes(stub_tasks.GOOD)
    monkeypatch.setattr("whyact.studio.jobs.os.link", full)
    monkeypatch.setattr("whyact.studio.jobs.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        submit(two.jobs, job, next(name for name in two.jobs.models if name != "first"))
    assert two.jobs.jobs == {}
    assert list(two.jobs.root.iterdir()) == []
