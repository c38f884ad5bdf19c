"""Teaching: clips are sent and named, a training is refused, run, stopped; what is left of it, and what is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stub_tasks
import teach_tasks
from studio_samples import LIMITS, Studio

from made_videos import write_clip
from square_films import film
from whyact.data.relations.own_file import read_file
from whyact.errors import UserError
from whyact.files import SHIPPED
from whyact.studio.limits import Limits
from whyact.studio.models import find_models, model_info
from whyact.studio.train_tasks import train_tasks

pytest_plugins = ("studio_samples",)
FOUR = ("drink", "drink", "open", "open")


def begin(studio: Studio, labels: tuple[str, ...] = FOUR, body: bytes = stub_tasks.GOOD) -> str:
    """Send clips with these labels; return the training's address."""
    reply = studio.client.post("/api/trainings")
    assert reply.status_code == 201, reply.text
    place = f"/api/trainings/{reply.json()['id']}"
    for number, label in enumerate(labels):
        sent = studio.client.post(f"{place}/clips", params={"name": f"{number}.mp4", "label": label}, content=body)
        assert sent.status_code == 201, sent.text
    return place


def start(studio: Studio, place: str, **more: Any) -> Any:
    return studio.client.post(f"{place}/start", json={"model": "kitchen", **more})


def end(studio: Studio, place: str) -> dict[str, Any]:
    """Wait until a training has ended; return what is said of it."""
    assert studio.trainings.get(place.rpartition("/")[2]).ended.wait(30)
    found: dict[str, Any] = studio.client.get(place).json()
    return found


def await_stage(studio: Studio, place: str, stage: str = "Training") -> dict[str, Any]:
    for _ in range(600):
        found: dict[str, Any] = studio.client.get(place).json()
        if found["stage"] == stage:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never {stage}")


def test_clips_become_a_model_that_answers_the_next_film(studio: Studio) -> None:
    place = begin(studio, ("drink", "", "open", ""))
    ids = [clip["id"] for clip in studio.client.get(place).json()["clips"]]
    started = start(studio, place, labels={ids[1]: " drink ", ids[3]: "open"}, epochs=4)
    assert started.status_code == 202, started.text
    found = end(studio, place)
    assert (found["state"], found["model"], found["notes"]) == ("done", "kitchen", ["taught on 4 clips"])
    assert found["curve"] == {"points": [[0.25, 2.0], [0.5, 1.0]], "epoch": 2, "epochs": 4}
    assert [clip["label"] for clip in found["clips"]] == ["drink", "drink", "open", "open"]
    assert [model["name"] for model in studio.client.get("/api/models").json()] == ["tiny", "kitchen"]
    assert studio.jobs.get(studio.send(model="kitchen")).state == "done"
    page = studio.client.get(place.removeprefix("/api/trainings").join(("/teach", ""))).text
    assert "kitchen is taught" in page
    assert "/?model=kitchen&against=tiny" in page.replace("&amp;", "&")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ((), "0 clips"),
        (("drink", "open"), "2 clips (1 of drink, 1 of open)"),
        (("drink",) * 6, "6 clips (6 of drink)"),
        (("drink", "drink", "open"), "3 clips (2 of drink, 1 of open)"),
    ],
)
def test_too_few_clips_are_named_before_the_work(studio: Studio, labels: tuple[str, ...], said: str) -> None:
    place = begin(studio, labels)
    reply = start(studio, place)
    assert reply.status_code == 422
    assert f"too few: {said}" in reply.json()["detail"]
    assert studio.client.get(place).json()["state"] == "collecting"
    assert studio.trainings._worker.pid is None, "no process was started for it"
    assert said in studio.client.get(place).json()["missing"]


@pytest.mark.parametrize(
    ("labels", "model", "said"),
    [
        ((*FOUR, ""), "kitchen", "none yet for 4.mp4"),
        (("drink", "Drink", "open", "open", "drink"), "kitchen", "differs in case"),
        (FOUR, "tiny", "a name that no model has yet"),
        (FOUR, "../..", "plain letters"),
        (FOUR, "кухня", "plain letters"),
    ],
    ids=["nameless", "two-spellings", "taken", "path", "letters"],
)
def test_what_would_end_in_nothing_is_refused(studio: Studio, labels: tuple[str, ...], model: str, said: str) -> None:
    place = begin(studio, labels)
    reply = start(studio, place, model=model)
    assert reply.status_code == 422
    assert said in reply.json()["detail"]
    assert studio.client.get(place).json()["state"] == "collecting"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\win.ini", "/abs/x.mp4", "a\0b.mp4", "é" * 399, "", "..mp4"]
)
def test_a_name_of_a_clip_is_never_a_path(studio: Studio, name: str) -> None:
    place = begin(studio, ())
    reply = studio.client.post(f"{place}/clips", params={"name": name, "label": name[:200]}, content=stub_tasks.GOOD)
    assert reply.status_code == 201
    training = studio.trainings.get(place.rpartition("/")[2])
    (file,) = training.folder.iterdir()
    assert training.folder.parent == studio.trainings.root
    assert file.name.isascii()
    assert len(file.name) < 60
    assert "/" not in reply.json()["name"]
    assert "\0" not in reply.json()["label"]
    for path in (place, place.removeprefix("/api")):
        assert str(studio.trainings.root) not in studio.client.get(path).text


def test_sizes_and_numbers_are_limited(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(replace(LIMITS, size=1000, clips=3, clip_bytes=2500, trainings=2))
    place = begin(studio, ())
    send = lambda body: studio.client.post(f"{place}/clips", content=body)  # noqa: E731
    assert send(bytes(1001)).status_code == 413
    assert send(iter([bytes(600)] * 2)).status_code == 413, "a stream without a length is cut off"
    assert send(b"").status_code == 422
    folder = studio.trainings.get(place.rpartition("/")[2]).folder
    assert list(folder.iterdir()) == []
    assert [send(bytes(1000)).status_code for _ in range(2)] == [201, 201]
    assert send(bytes(501)).status_code == 413, "what is left of the bytes of all clips together"
    assert send(bytes(500)).status_code == 201
    assert "at most 3 clips" in send(bytes(1)).json()["detail"]
    first = studio.client.get(place).json()["clips"][0]["id"]
    assert studio.client.delete(f"{place}/clips/{first}").status_code == 204
    assert studio.client.delete(f"{place}/clips/{first}").status_code == 404
    assert len(list(folder.iterdir())) == 2
    assert [studio.client.post("/api/trainings").status_code for _ in range(2)] == [201, 503]


def test_a_training_is_stopped_started_again_and_deleted(studio: Studio) -> None:
    place = begin(studio, body=stub_tasks.HANG)
    assert start(studio, place).status_code == 202
    running = await_stage(studio, place)
    assert (running["state"], running["curve"]["epoch"]) == ("running", 2)
    assert studio.client.post(f"{place}/clips", content=stub_tasks.GOOD).status_code == 422
    waiting = begin(studio)
    assert start(studio, waiting).status_code == 422, "the name is promised"
    assert start(studio, waiting, model="other").status_code == 202
    began = time.monotonic()
    assert studio.client.post(f"{place}/stop").status_code == 200
    stopped = end(studio, place)
    assert time.monotonic() - began < 10
    assert (stopped["state"], stopped["error"], len(stopped["clips"])) == ("stopped", "", 4)
    assert "kitchen" not in studio.jobs.models
    assert end(studio, waiting)["state"] == "done", "the next one is trained"
    assert start(studio, place).status_code == 202, "nothing is left that would be in its way"
    await_stage(studio, place)
    folder = studio.trainings.get(place.rpartition("/")[2]).folder
    assert studio.client.delete(place).status_code == 204
    assert studio.client.get(place).status_code == 404
    for _ in range(100):
        if not folder.exists():
            break
        time.sleep(0.1)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [(stub_tasks.CRASH, "read these clips stopped"), (stub_tasks.WRONG, "the model failed on these clips")],
    ids=["crash", "wrong"],
)
def test_a_training_that_fails_says_so_and_costs_nothing_else(studio: Studio, body: bytes, said: str) -> None:
    place = begin(studio, body=body)
    start(studio, place)
    found = end(studio, place)
    assert found["state"] == "failed"
    assert said in found["error"]
    assert str(studio.trainings.root) not in str(found)
    assert len(found["clips"]) == 4
    assert end_of(studio) == "done"


def end_of(studio: Studio) -> str:
    place = begin(studio)
    assert start(studio, place).status_code == 202
    state: str = end(studio, place)["state"]
    return state


def test_things_are_looked_at_renamed_and_dropped_before_the_training(studio: Studio) -> None:
    place = begin(studio, ())
    assert studio.client.post(f"{place}/things", json={}).status_code == 422, "nothing to look at"
    place = begin(studio)
    first = studio.client.get(place).json()["clips"][0]["id"]
    assert studio.client.post(f"{place}/things", json={"labels": {first: "open"}}).status_code == 202
    looked = end(studio, place)
    assert (looked["state"], looked["things"], looked["notes"]) == ("collecting", 3, ["one is doubtful"])
    assert looked["clips"][0]["label"] == "open"
    found = studio.client.get(f"{place}/things").json()
    assert [thing["kind"] for thing in found] == ["person", "cup", "kite"]
    things = [{key: thing[key] for key in ("kind", "name", "keep", "acts")} for thing in found]
    again = {"labels": {first: "drink"}}
    for wrong, said in (("keep", "one that is used"), ("acts", "one that acts")):
        reply = start(studio, place, **again, things=[{**thing, wrong: False} for thing in things])
        assert reply.status_code == 422
        assert said in reply.json()["detail"]
    things[1]["name"] = "mug"
    assert start(studio, place, **again, things=things).status_code == 202
    assert end(studio, place)["notes"] == ["taught on 4 clips with person, mug"]


def test_models_and_clips_are_kept_where_the_person_says(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    studio = open_studio(teach=folder)
    assert end_of(studio) == "done"
    assert sorted(path.name for path in folder.iterdir()) == ["kitchen", "kitchen-clips"]
    assert len(list((folder / "kitchen-clips").glob("*.mp4"))) == 4
    assert list(find_models([], None, folder))[-1] == "kitchen"
    place = begin(studio)
    assert start(studio, place).status_code == 422


def test_a_training_never_touches_what_another_studio_keeps_under_its_name(
    open_studio: Callable[..., Studio], tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    studio = open_studio(teach=folder)
    running, waiting = begin(studio, body=stub_tasks.HANG), begin(studio)
    assert start(studio, running, model="first").status_code == 202
    await_stage(studio, running)
    assert start(studio, waiting).status_code == 202
    others = [folder / "kitchen" / "card.json", folder / "kitchen-data" / "whyact.json", folder / "kitchen-clips" / "a"]
    for path in others:  # another studio with the same folder was quicker
        path.parent.mkdir()
        path.write_text("another's")
    studio.client.post(f"{running}/stop")
    found = end(studio, waiting)
    assert (found["state"], len(found["clips"])) == ("failed", 4)
    assert "a name that no model has yet" in found["error"]
    assert [path.read_text() for path in others] == ["another's"] * 3
    assert [path.name for path in (folder / "kitchen-clips").iterdir()] == ["a"]
    assert start(studio, waiting, model="another").status_code == 202, "its clips are still here"
    assert end(studio, waiting)["state"] == "done"


def test_clips_that_somebody_works_on_are_not_deleted_as_forgotten(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio()
    place, forgotten = begin(studio), begin(studio)
    now = time.monotonic() + 0.9 * LIMITS.keep
    monkeypatch.setattr("whyact.studio.trainings.time.monotonic", lambda: now)
    (clip, *_) = studio.client.get(place).json()["clips"]
    studio.client.put(f"{place}/names", json={"labels": {clip["id"]: "pour"}})
    now += 0.2 * LIMITS.keep
    assert studio.client.post("/api/trainings").status_code == 201, "another browser begins one"
    assert len(studio.client.get(place).json()["clips"]) == 4
    assert studio.client.get(forgotten).status_code == 404


def test_a_run_that_bears_the_name_of_the_bundled_model_is_offered_too(stub_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "household"
    shutil.copytree(stub_run, run)
    found = find_models([run], None)
    assert run in found.values()
    assert found.get("household", run) == (None if (SHIPPED / "laiar").is_dir() else run)


@pytest.mark.parametrize("path", ["", "/stop", "/start", "/things", "/clips", "/clips/1"])
def test_unknown_trainings_are_404(studio: Studio, path: str) -> None:
    verb = {"": "get", "/clips/1": "delete"}.get(path, "post")
    body = {"/start": {"json": {"model": "x"}}, "/things": {"json": {}}}.get(path, {})
    assert getattr(studio.client, verb)(f"/api/trainings/nothing{path}", **body).status_code == 404
    assert studio.client.get("/teach/nothing").status_code == 404


def test_a_training_takes_the_path_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real clips to a real run: what cannot be used is counted and named by the user's names; a sample is answered."""
    teach_tasks.patch(monkeypatch)
    folder, run = tmp_path / "clips", tmp_path / "models" / "mine"
    clips = []
    for i in range(12):
        label = ("take, slowly", "leave")[i % 2]
        film(folder / f"{i:03d}-x.mp4", "take" if i % 2 == 0 else "leave", i)
        clips.append({"file": f"{i:03d}-x.mp4", "name": f"my film {i}.mp4", "label": label, "group": ""})
    (folder / "099-p.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    clips.append({"file": "099-p.mp4", "name": "list.mp4", "label": "leave", "group": ""})
    said: list[tuple[Any, ...]] = []
    tasks = train_tasks(Limits())
    train, perceived = tasks["train"], {"folder": str(folder), "detector": "squares", "names": ""}
    looks: list[str] = []
    looked = tasks["find"](lambda stage, *_: looks.append(stage), **perceived, clips=clips)
    assert list(dict.fromkeys(looks)) == ["Checking the clips", "Finding and following things"]
    assert {thing["kind"] for thing in looked["things"]} == {"person", "cup"}
    assert all(thing["pictures"][0].startswith("data:image/jpeg;base64,") for thing in looked["things"])
    things = [{key: thing[key] for key in ("kind", "name", "keep", "acts")} for thing in looked["things"]]
    next(thing for thing in things if thing["kind"] == "cup")["name"] = "mug"
    place: dict[str, Any] = {**perceived, "out": str(run), "things": things}
    found = train(lambda *more: said.append(more), **place, clips=clips, epochs=3)
    assert "1 of 13 clips cannot be used and are dropped: list.mp4: found 'text'" in found["notes"][0]
    assert str(tmp_path) not in str(found)
    stages = list(dict.fromkeys(stage for stage, *_ in said))
    assert stages[:3] == ["Checking the clips", "Reading the clips", "Measuring the things"], "not looked for twice"
    curve = [more[0] for _, _, *more in said if more][-1]
    assert (curve["epoch"], curve["epochs"], len(curve["points"])) == (3, 3, 3)
    assert [share for share, _ in curve["points"]] == pytest.approx([1 / 3, 2 / 3, 1])
    info = model_info("mine", run)
    assert info.actions == ["leave", "take, slowly"]
    assert set(info.objects) == {"person", "mug"}
    assert info.sample is not None
    assert info.sample.name.startswith("my film ")
    document = read_file(run.with_name("mine-data") / "whyact.json")
    tested = sum(video.group in document.folds[0].test for video in document.videos)
    assert f"of {tested} clips that it did not learn from" in info.quality
    with pytest.raises(UserError, match="the clips") as caught:
        train(lambda *_: None, **place | {"out": str(tmp_path / "models" / "two")}, clips=clips[-2:], epochs=3)
    assert str(tmp_path) not in str(caught.value)


def test_clips_in_which_nothing_is_found_are_refused_in_words_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach_tasks.patch(monkeypatch)
    clips = []
    for i in range(4):
        write_clip(tmp_path / f"{i}.mp4", 20 + i)
        clips.append({"file": f"{i}.mp4", "name": f"grey {i}.mp4", "label": "ab"[i % 2], "group": str(i)})
    place: dict[str, Any] = {"folder": str(tmp_path), "detector": "squares", "names": "", "things": None}
    place["out"] = str(tmp_path / "models" / "mine")
    with pytest.raises(UserError, match="the things in the clips: found squares: nothing") as caught:
        train_tasks(Limits())["train"](lambda *_: None, **place, clips=clips, epochs=1)
    assert str(tmp_path) not in str(caught.value)
    assert "start the studio with --detector FILE.onnx" in caught.value.command_line()
    assert "data." not in caught.value.command_line()
