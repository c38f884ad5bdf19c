"""Every route of the studio: what it answers, and what it says when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import xml.etree.ElementTree as Xml
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import stub_tasks
from studio_samples import LIMITS, Studio

from whyact.prediction import from_json, json_schema, to_json
from whyact.studio.jobs import Progress, clean_name

pytest_plugins = ("studio_samples",)


def test_a_video_becomes_an_answer_and_the_upload_is_gone(studio: Studio) -> None:
    id_ = studio.send()
    job = studio.client.get(f"/api/jobs/{id_}").json()
    assert (job["state"], job["label"], job["name"]) == ("done", "pick", "kitchen.mp4")
    assert sorted(p.name for p in studio.jobs.get(id_).folder.iterdir()) == [
        "prediction.json",
        "preview.mp4",
        "report.html",
    ]
    (prediction,) = from_json(studio.client.get(f"/api/jobs/{id_}/prediction").content)
    assert (prediction.id, prediction.video.path, prediction.label) == ("kitchen.mp4", "kitchen.mp4", "pick")
    page = studio.client.get(f"/jobs/{id_}").text
    assert "hand_1" in page
    assert f"/api/jobs/{id_}/video" in page
    assert "kitchen.mp4" in studio.client.get("/").text


def test_predict_answers_at_once_and_keeps_nothing(studio: Studio) -> None:
    reply = studio.client.post("/api/predict", params={"name": "a.mp4"}, content=stub_tasks.GOOD)
    assert reply.status_code == 200
    (prediction,) = from_json(reply.content)
    assert prediction.id == "a.mp4"
    assert studio.jobs.jobs == {}
    assert list(studio.jobs.root.iterdir()) == []


def test_a_demo_clip_is_answered_without_an_upload(studio: Studio) -> None:
    reply = studio.client.post("/api/demo", json={"action": "pick", "seed": 4})
    assert reply.status_code == 202
    job = studio.jobs.get(reply.json()["id"])
    assert job.ended.wait(20)
    assert (job.state, job.demo) == ("done", {"action": "pick", "seed": 4})
    refused = studio.client.post("/api/demo", json={"action": "fly"})
    assert refused.status_code == 422
    assert "'fly'; expected one of null, pick" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "an empty file"),
        (stub_tasks.BROKEN, 422, "no moov atom"),
        (stub_tasks.CRASH, 422, "nothing else was harmed"),
        (stub_tasks.GREEDY, 422, "more memory than one job may use"),
        (stub_tasks.WRONG, 422, "the model failed on this video"),
        (stub_tasks.FULL, 422, "the model failed on this video (memory)"),
        (bytes(100_001), 413, "larger than"),
    ],
    ids=["empty", "broken", "crash", "greedy", "wrong", "full", "oversize"],
)
def test_a_bad_file_is_refused_in_words_and_costs_nothing_else(
    studio: Studio, body: bytes, status: int, said: str
) -> None:
    reply = studio.client.post("/api/predict", params={"name": "bad.mp4"}, content=body)
    assert reply.status_code == status
    assert said in reply.json()["detail"]
    assert str(studio.jobs.root) not in reply.text
    assert list(studio.jobs.root.iterdir()) == []
    assert studio.client.post("/api/predict", content=stub_tasks.GOOD).status_code == 200


def test_a_stream_without_a_length_is_cut_off_at_the_limit(studio: Studio) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        for _ in range(1000):
            taken += 1000
            yield bytes(1000)

    reply = studio.client.post("/api/jobs", content=endless())
    assert reply.status_code == 413
    assert list(studio.jobs.root.iterdir()) == []


def test_a_job_that_hangs_is_stopped_and_the_next_one_runs(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, work=2.0))
    started = time.monotonic()
    hung = studio.send(stub_tasks.HANG)
    assert time.monotonic() - started < 15
    assert "longer than 2 seconds" in studio.client.get(f"/api/jobs/{hung}").json()["error"]
    assert "There is no answer" in studio.client.get(f"/jobs/{hung}").text
    assert studio.jobs.get(studio.send()).state == "done"


def test_too_many_waiting_videos_are_refused_for_now(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, waiting=2, work=3.0))
    replies = [studio.client.post("/api/jobs", content=stub_tasks.HANG) for _ in range(5)]
    assert [r.status_code for r in replies] == [202, 202, 202, 503, 503]
    assert replies[-1].headers["retry-after"] == "10"


@pytest.mark.parametrize("path", ["", "/prediction", "/video", "/export/csv"])
def test_unknown_jobs_are_404(studio: Studio, path: str) -> None:
    reply = studio.client.get(f"/api/jobs/nothing{path}")
    assert reply.status_code == 404
    assert "no such job" in reply.json()["detail"]


@pytest.mark.parametrize("task", ["without", "flip", "corrections"])
def test_unknown_jobs_cannot_be_asked(studio: Studio, task: str) -> None:
    body = {"without": {"removals": []}, "flip": {}, "corrections": {"action": "pick"}}[task]
    assert studio.client.post(f"/api/jobs/nothing/{task}", json=body).status_code == 404
    assert studio.client.get("/jobs/nothing").status_code == 404


def test_an_unknown_model_and_an_unknown_format_are_named(studio: Studio) -> None:
    reply = studio.client.post("/api/jobs", params={"model": "huge"}, content=stub_tasks.GOOD)
    assert reply.status_code == 404
    assert "no model 'huge'; there are tiny" in reply.json()["detail"]
    id_ = studio.send()
    assert "html, json, csv, vtt, eaf, fiftyone" in studio.client.get(f"/api/jobs/{id_}/export/doc").json()["detail"]
    assert studio.client.get("/static/../app.py").status_code == 404
    assert studio.client.get("/static/%2e%2e%2fapp.py").status_code == 404


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\win.ini", "/abs/x.mp4", "a\0b.mp4", "x" * 399, ".mp4", ""]
)
def test_a_name_is_never_a_path(studio: Studio, name: str) -> None:
    before = {p for p in studio.jobs.root.parent.iterdir() if "whyact" not in p.name}
    id_ = studio.send(name=name)
    job = studio.jobs.get(id_)
    assert job.folder.parent == studio.jobs.root
    assert "/" not in job.name
    assert "\\" not in job.name
    assert 0 < len(job.name) <= 120
    after = {p for p in studio.jobs.root.parent.iterdir() if "whyact" not in p.name}
    assert not {p for p in after - before if p.name in ("passwd", "win.ini", "x.mp4")}
    disposition = studio.client.get(f"/api/jobs/{id_}/export/csv").headers["content-disposition"]
    assert ".." not in disposition.replace("..csv", "")
    assert "/" not in disposition


@pytest.mark.parametrize(
    ("name", "shown"),
    [("C:\\Users\\me\\café.mp4", "café.mp4"), ("a\nb\r.mp4", "ab.mp4"), ("../..", "video"), ("<b>x</b>.mov", "b.mov")],
)
def test_clean_name(name: str, shown: str) -> None:
    assert clean_name(name) == shown


def test_questions_reach_the_worker(studio: Studio) -> None:
    id_ = studio.send()
    removals = [{"kind": "thing", "object": "cup_1"}, {"kind": "span", "start": 0, "end": 1}]
    found = studio.client.post(f"/api/jobs/{id_}/without", json={"removals": removals}).json()
    assert (found["label"], found["removed"]) == ("pick", [{"what": "token", "count": 6, "of": 30}])
    assert found["scores"][0] == {"label": "pick", "score": pytest.approx(0.7), "before": 0.9}
    assert found["milliseconds"] >= 0
    flipped = studio.client.post(f"/api/jobs/{id_}/flip", json={}).json()
    assert (flipped["target"], len(flipped["removals"]), flipped["proven"]) == ("place", 1, True)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"removals": [{"kind": "all"}]}',
        '{"removals": [{"kind": "span", "start": -1}]}',
        '{"removals": [{"kind": "span", "start": NaN}]}',
        '{"removals": [{"kind": "span", "end": 1e400}]}',
        '{"removals": [{"kind": "span", "path": "x"}]}',
        "[]",
        "{",
    ],
)
def test_a_malformed_question_is_422(studio: Studio, body: str) -> None:
    id_ = studio.send()
    reply = studio.client.post(f"/api/jobs/{id_}/without", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 422


def test_a_question_that_is_wrong_or_crashes_leaves_the_answer(studio: Studio) -> None:
    id_ = studio.send()
    wrong = {"removals": [{"kind": "transition", "subject": "a", "object": "b", "start": 99, "end": 100}]}
    reply = studio.client.post(f"/api/jobs/{id_}/without", json=wrong)
    assert reply.status_code == 422
    assert "at 99 s" in reply.json()["detail"]
    crash = {"removals": [{"kind": "thing", "object": "crash"}]}
    assert studio.client.post(f"/api/jobs/{id_}/without", json=crash).status_code == 500
    assert studio.client.post(f"/api/jobs/{id_}/without", json={"removals": []}).status_code == 200


def test_exports_are_what_their_formats_say(studio: Studio) -> None:
    id_ = studio.send()
    texts = {}
    for kind in ("html", "json", "csv", "vtt", "eaf", "fiftyone"):
        reply = studio.client.get(f"/api/jobs/{id_}/export/{kind}")
        assert reply.status_code == 200
        assert reply.headers["content-disposition"].startswith('attachment; filename="kitchen.')
        assert str(studio.jobs.root) not in reply.text
        texts[kind] = reply.text
    assert texts["html"].startswith("<!doctype html>")
    assert from_json(texts["json"])[0].label == "pick"
    assert next(csv.DictReader(io.StringIO(texts["csv"])))["label"] == "pick"
    assert texts["vtt"].startswith("WEBVTT\n")
    assert Xml.fromstring(texts["eaf"]).tag == "ANNOTATION_DOCUMENT"
    assert "kitchen" in json.loads(texts["fiftyone"])["labels"]


def test_a_part_of_the_copy_can_be_asked_for(studio: Studio) -> None:
    """Players jump by ranges."""
    id_ = studio.send()
    reply = studio.client.get(f"/api/jobs/{id_}/video", headers={"range": "bytes=4-7"})
    assert (reply.status_code, reply.content) == (206, b"ftyp")


def test_deleting_a_job_deletes_its_files(studio: Studio) -> None:
    id_ = studio.send()
    folder = studio.jobs.get(id_).folder
    assert studio.client.delete(f"/api/jobs/{id_}").status_code == 204
    assert not folder.exists()
    assert studio.client.get(f"/api/jobs/{id_}").status_code == 404


def test_a_job_that_runs_is_stopped_at_once_and_the_next_one_runs(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, work=60.0))
    hung = studio.client.post("/api/jobs", content=stub_tasks.HANG).json()["id"]
    job = studio.jobs.get(hung)
    while job.stage != "Finding and following things":
        time.sleep(0.05)
    began = time.monotonic()
    assert studio.client.delete(f"/api/jobs/{hung}").status_code == 204
    assert job.ended.wait(20)
    assert time.monotonic() - began < 10
    assert not job.folder.exists()
    assert studio.jobs.get(studio.send()).state == "done"


def test_who_waits_for_an_answer_is_told_when_somebody_else_deletes_it(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, work=60.0))
    hung = studio.client.post("/api/jobs", content=stub_tasks.HANG).json()["id"]
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(studio.client.post, "/api/predict", content=stub_tasks.GOOD)
        while not (waiting := [job for job in studio.jobs.jobs.values() if job.awaited and job.state == "waiting"]):
            time.sleep(0.05)
        for id_ in (waiting[0].id, hung):  # as the button that deletes all answers does
            assert studio.client.delete(f"/api/jobs/{id_}").status_code == 204
        refused = reply.result(20)
    assert refused.status_code == 422
    assert "deleted" in refused.json()["detail"]


def test_what_is_too_old_is_deleted_though_nobody_asks_for_anything(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, keep=0.4))
    studio.send()
    studio.trainings.open()
    deadline = time.monotonic() + 10
    while (studio.jobs.jobs or studio.trainings.trainings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not studio.jobs.jobs
    assert not studio.trainings.trainings
    assert list(studio.jobs.root.iterdir()) == []


def test_the_time_that_is_left_is_told_once_it_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("whyact.studio.jobs.time.monotonic", lambda: now)
    work = Progress()
    assert work.left is None
    work.advance("Training", 0.0)
    now = 101.0
    work.advance("Training", 0.5)
    assert work.left is None, "a second says nothing"
    now = 110.0
    assert work.left == 10.0
    work.advance("Measuring", 0.5)
    assert work.left is None, "another stage has a time of its own"


def test_a_video_has_a_picture_and_small_ones_along_it(studio: Studio) -> None:
    id_ = studio.send()
    assert not studio.client.get(f"/api/jobs/{id_}").json()["thumbnail"]
    assert studio.client.get(f"/api/jobs/{id_}/thumbnail").status_code == 404
    folder, studio.jobs.get(id_).cells = studio.jobs.get(id_).folder, 2
    (folder / "strip").mkdir()
    for path in (folder / "thumbnail.jpg", folder / "strip" / "0.jpg", folder / "strip" / "1.jpg"):
        path.write_bytes(b"\xff\xd8" + path.name.encode())
    assert studio.client.get(f"/api/jobs/{id_}/thumbnail").content == b"\xff\xd8thumbnail.jpg"
    assert studio.client.get(f"/api/jobs/{id_}/strip/1").headers["content-type"] == "image/jpeg"
    for wrong in ("2", "-1", "x", "..%2Fprediction.json"):
        assert studio.client.get(f"/api/jobs/{id_}/strip/{wrong}").status_code in (404, 422)
    assert f"/api/jobs/{id_}/thumbnail" in studio.client.get("/").text
    assert f"/api/jobs/{id_}/strip/1" in studio.client.get(f"/jobs/{id_}").text


def test_each_small_picture_lies_at_its_own_time_also_where_a_part_of_the_video_is_shown(studio: Studio) -> None:
    id_ = studio.send()
    job = studio.jobs.get(id_)
    job.cells = 20
    prediction = studio.jobs.prediction(job)
    prediction.video.duration = 20.0
    (job.folder / "prediction.json").write_text(to_json([prediction]))
    page = studio.client.get(f"/jobs/{id_}").text
    start, end = (float(re.search(rf'id="timeline"[^>]*data-{name}="([^"]+)"', page)[1]) for name in ("start", "end"))
    assert end - start < 10.0, "a part of it is shown"
    drawn = re.findall(r'/strip/(\d+)" [^>]*left:([\d.]+)%;width:([\d.]+)%', page)
    assert 1 < len(drawn) < 20
    for cell, left, width in drawn:
        from_, to = (start + (end - start) * place / 100 for place in (float(left), float(left) + float(width)))
        assert from_ == pytest.approx(max(start, float(cell)), abs=0.01)
        assert to == pytest.approx(min(end, float(cell) + 1.0), abs=0.01)


def test_old_answers_make_room(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, kept=2))
    ids = [studio.send() for _ in range(5)]
    deadline = time.monotonic() + 10
    while len(list(studio.jobs.root.iterdir())) > 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(p.name for p in studio.jobs.root.iterdir()) == sorted(ids[-2:])


def test_the_description_is_typed_and_loads_nothing_from_elsewhere(studio: Studio) -> None:
    found = studio.client.get("/openapi.json").json()
    parts = found["components"]["schemas"]
    own = json_schema()["$defs"]
    assert set(own) <= set(parts)
    assert set(parts["Prediction"]["properties"]) == set(own["Prediction"]["properties"])
    for path, verbs in found["paths"].items():
        for verb, operation in verbs.items():
            if verb != "delete":
                good = next(r for status, r in operation["responses"].items() if status.startswith("2"))
                assert good["content"], f"{verb} {path} says nothing about its answer"
    refs = {part.split('"')[0] for part in json.dumps(found).split("#/components/schemas/")[1:]}
    assert refs <= set(parts)
    assert studio.client.get("/docs", follow_redirects=False).headers["location"] == "/openapi.json"


def test_the_models_are_listed_with_their_words(studio: Studio) -> None:
    (model,) = studio.client.get("/api/models").json()
    assert model["name"] == "tiny"
    assert "homeworld" in model["about"]
    assert "pick" in model["actions"]
