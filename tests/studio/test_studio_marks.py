"""Marks on films: what is interpolated, what is refused, what own data say then, and that it can be learned."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teach_tasks
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from studio_samples import LIMITS, Studio
from test_studio_corrections import answer
from test_studio_teach import FOUR, begin

from made_videos import numbers, write_clip
from ruler_films import Film
from ruler_films import write as write_ruler
from square_films import film
from whyact.cli import main
from whyact.data.relations.clip_folder import describe_clips, list_clips
from whyact.data.relations.own_file import OwnVideo, read_file
from whyact.errors import UserError
from whyact.files import file_sha256
from whyact.perception.tracks_file import read_tracks
from whyact.studio.corrections import answer_tracks, offered_for, save_correction, saved_marks
from whyact.studio.films import Films
from whyact.studio.forms import Correction, DrawnBox, DrawnThing, Marked, MarkedSegment, Marks
from whyact.studio.limits import Limits
from whyact.studio.marks import FilmIndex, check_marks, draw_marks, empty_tracks, name_thing
from whyact.studio.train_tasks import FEATURES, _write_table, detector_tracks_path, train_tasks
from whyact.video.numbers import frame_times

pytest_plugins = ("studio_samples",)
Boxes = list[tuple[int, tuple[float, float, float, float]]]


def index_of(times: list[float], size: tuple[int, int] = (640, 480)) -> FilmIndex:
    return FilmIndex(times, len(times) / (times[-1] + 0.1), *size, "ab" * 32)


def even(seconds: float = 8.0, rate: float = 30.0) -> FilmIndex:
    return index_of((np.arange(int(seconds * rate)) / rate).tolist())


def thing(name: str, *boxes: tuple[int, tuple[float, float, float, float]]) -> DrawnThing:
    return DrawnThing(name=name, boxes=[DrawnBox(frame=frame, box=box) for frame, box in boxes])


def segment(action: str, start: int, end: int) -> MarkedSegment:
    return MarkedSegment(action=action, start=start, end=end)


BOX = (10.0, 20.0, 110.0, 220.0)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 0.5), min_size=3, max_size=40),
    picks=st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
    seed=st.integers(0, 10**6),
)
def test_a_drawn_thing_moves_in_a_straight_line_over_the_times_of_the_film(
    gaps: list[float], picks: list[int], seed: int
) -> None:
    """Between two frames that it was drawn on, at their real times; never before the first or after the last."""
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    index = index_of(times.tolist())
    keys = sorted({1 + pick % len(times) for pick in picks})
    random = np.random.default_rng(seed)
    corners = {k: np.concatenate([random.uniform(0, 200, 2), random.uniform(220, 400, 2)]) for k in keys}
    marks = Marks(drawn=[thing("kettle", *((k, tuple(corners[k].tolist())) for k in keys))])
    check_marks(marks, index)
    found = draw_marks(empty_tracks(index), marks, index)
    assert set(keys) <= set(found.frames.tolist())
    assert found.times.tolist() == times[found.frames - 1].tolist()
    for frame, box, seen in zip(found.frames.tolist(), found.boxes[:, 0], found.seen[:, 0], strict=True):
        assert seen == (frame in keys)
        if not keys[0] <= frame <= keys[-1]:
            assert not box.any()
        elif frame in keys:
            assert box == pytest.approx(corners[frame], abs=1e-3)
        else:
            a, b = next((a, b) for a, b in pairwise(keys) if a < frame < b)
            share = (times[frame - 1] - times[a - 1]) / (times[b - 1] - times[a - 1])
            assert box == pytest.approx(corners[a] + share * (corners[b] - corners[a]), abs=1e-2)


def test_boxes_that_were_found_stay_where_nobody_drew() -> None:
    p = answer()
    before = answer_tracks(p)
    index = even()
    name = before.names[0]
    marks = Marks(drawn=[thing(name, (60, BOX), (90, BOX)), thing("lamp", (5, BOX))])
    after = draw_marks(before, marks, index)
    assert (*before.names, "lamp_1") == after.names
    row = {frame: i for i, frame in enumerate(after.frames.tolist())}
    for i, frame in enumerate(before.frames.tolist()):
        for k in range(len(before.names)):
            if before.names[k] == name and 60 <= frame <= 90:
                assert after.boxes[row[frame], k].tolist() == list(BOX)
            else:
                assert after.boxes[row[frame], k] == pytest.approx(before.boxes[i, k])
    assert np.flatnonzero(after.known[:, -1]).tolist() == [row[5]], "drawn once, it is there on that frame alone"


@pytest.mark.parametrize(
    ("text", "taken", "named"),
    [
        ("kettle", (), ("kettle_1", "kettle")),
        ("kettle", ("kettle_1", "kettle_2"), ("kettle_3", "kettle")),
        ("tea pot_2", (), ("tea pot_2", "tea pot")),
    ],
)
def test_a_new_thing_is_named_after_its_kind(text: str, taken: tuple[str, ...], named: tuple[str, str]) -> None:
    assert name_thing(text, taken) == named


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nameless": ({"segments": [segment(" ", 1, 9)]}, "without a name"),
    "backwards": ({"segments": [segment("sip", 9, 1)]}, "a first and a later frame of the 240"),
    "past-the-end": ({"segments": [segment("sip", 9, 241)]}, "frames 9 to 241"),
    "two-actions": ({"segments": [segment("sip", 1, 9), segment("pour", 1, 9)]}, "one action on the same frames"),
    "no-such-frame": ({"drawn": [thing("cup", (241, BOX))]}, "frame 241"),
    "outside": (
        {"drawn": [thing("cup", (3, (700.0, 10.0, 800.0, 90.0)))]},
        "at least 2 x 2 pixels inside the 640 x 480",
    ),
    "inside-out": ({"drawn": [thing("cup", (3, (90.0, 10.0, 80.0, 90.0)))]}, "at least 2 x 2 pixels"),
    "a-line": ({"drawn": [thing("cup", (3, (10.0, 10.0, 10.5, 90.0)))]}, "at least 2 x 2 pixels"),
    "twice": ({"drawn": [thing("cup", (3, BOX)), thing("cup", (5, BOX))]}, "no other drawn thing"),
    "cannot-carry": (
        {"relations": [Marked(subject="hand_1", object="mug_1", start=0, end=1, relation="open")]},
        "relations of hand_1 – mug_1: found 'open'",
    ),
    "turned-round": (
        {"relations": [Marked(subject="mug_1", object="hand_1", start=0, end=1, relation="holding")]},
        "mug_1 – hand_1 can carry none",
    ),
    "early-end": (
        {"relations": [Marked(subject="hand_1", object="mug_1", start=2, end=1, relation="holding")]},
        "an end after the start",
    ),
    "stranger": (
        {"relations": [Marked(subject="hand_1", object="ghost_1", start=0, end=1, relation="holding")]},
        "hand_1 – ghost_1",
    ),
}


@pytest.mark.parametrize(("marks", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_in_a_line_and_nothing_is_written(
    marks: dict[str, Any], said: str, stub_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        save_correction(tmp_path / "c", answer(), stub_run, Correction(action="pick", **marks), index=even())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_segments_and_boxes_need_the_film(stub_run: Path, tmp_path: Path) -> None:
    correction = Correction(action="pick", segments=[segment("pick", 1, 9)])
    with pytest.raises(UserError, match="no longer here"):
        save_correction(tmp_path / "c", answer(), stub_run, correction)


def test_a_pair_is_offered_what_it_can_carry_and_nothing_else(stub_run: Path) -> None:
    from whyact.homeworld.vocabulary import VOCABULARY

    p = answer()
    offered = offered_for(p, stub_run)
    for track in p.tracks:
        a, b = (name.rpartition("_")[0] for name in (track.subject, track.object))
        allowed = VOCABULARY.allowed.get((a, b), ()) if a != b or track.subject == track.object else ()
        assert offered[f"{track.subject} {track.object}"] == list(allowed)
    assert any(offered.values())


def marked_answer(name: str = "kitchen.mp4", sha: str = "ab" * 32) -> tuple[Any, Correction]:
    """An answer and a correction with two segments and a kettle, which the hand holds for a while."""
    drawn = [thing("kettle", (31, BOX), (91, (110.0, 20.0, 210.0, 220.0)))]
    held = Marked(subject="hand_1", object="kettle_1", start=1.0, end=2.0, relation="holding")
    segments = [segment("pick", 1, 75), segment("water the plants", 76, 150)]
    return answer(name, sha), Correction(action="pick", segments=segments, drawn=drawn, relations=[held])


def test_a_correction_with_marks_is_own_data(
    stub_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p, correction = marked_answer()
    save_correction(tmp_path, p, stub_run, correction, index=even())
    file = read_file(tmp_path / "whyact.json")
    (video,) = file.videos
    assert [(a.action, a.start, a.end) for a in video.actions] == [("pick", 1, 75), ("water the plants", 76, 150)]
    kettle = next(track for track in video.tracks if track.name == "kettle_1")
    at = dict(zip(video.frames or [], zip(kettle.boxes, kettle.seen or [], strict=True), strict=True))
    assert at[31] == (BOX, True)
    assert at[61] == ((60.0, 20.0, 160.0, 220.0), False), "half way, and said to be interpolated"
    held = [(r.relation, r.start, r.end) for r in video.relations if r.pair == ("hand_1", "kettle_1")]
    assert held == [("holding", 31, 61)]
    allowed = {(a.subject, a.object): a.relations for a in file.allowed}
    assert "holding" in allowed["hand", "kettle"]
    assert saved_marks(tmp_path, p) == Marks(**correction.model_dump(include={"segments", "drawn", "relations"}))
    save_correction(tmp_path, answer("other.mp4", "cd" * 32), stub_run, correction, index=even())
    assert main(["data", "check", "own", "--root", str(tmp_path)]) == 0, capsys.readouterr().err


def test_a_model_is_trained_on_marked_answers_and_their_films(
    stub_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command that the page names, which looks at the pixels in the drawn boxes too."""
    for i in range(3):
        p, correction = marked_answer(f"{i}.mp4", f"{i}" * 64)
        path = write_clip(tmp_path / f"{i}.mp4", 160 + i, rate=30, size=(640, 480))
        index = FilmIndex(frame_times(path).tolist(), 30.0, 640, 480, p.video.sha256)
        saved = save_correction(tmp_path / "own", p, stub_run, correction, path, index)
    words = saved.command.replace("DIR", str(tmp_path / "own")).replace("RUN", str(tmp_path / "run")).split()[1:]
    assert words[-2:] == ["--data.pixels", "true"]
    small = ["--optim.epochs", "1", "--model.width", "16", "--model.layers", "2", "--model.heads", "2"]
    small += ["--data.slots", "4", "--data.looks", "4", "--optim.calibrate", "false"]
    assert main([*words, *small]) == 0, capsys.readouterr().err
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert "kettle" in card["extra"]["words"]["objects"]
    assert "water the plants" in card["extra"]["words"]["actions"]


def test_frames_are_those_of_the_film_at_its_own_times(tmp_path: Path) -> None:
    """A film whose frames last unevenly: each picture is the frame of its number."""
    stamps = [0, 1, 5, 6, 7, 20, 21, 40, 41, 42]
    path = write_clip(tmp_path / "uneven.mp4", len(stamps), stamps=stamps)
    films = Films(LIMITS)
    try:
        index = films.describe(path, "mine.mp4", tmp_path / "cache")
        assert index.times == pytest.approx([stamp / 25 for stamp in stamps])
        for number in (1, 3, 10, 2):
            picture = films.frame(path, "mine.mp4", tmp_path / "cache", number)
            image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
            assert numbers(image[None])[0] == number - 1
        with pytest.raises(Exception, match="there are 10"):
            films.frame(path, "mine.mp4", tmp_path / "cache", 11)
        (tmp_path / "text.mp4").write_text("#EXTM3U")
        with pytest.raises(Exception, match=r"mine\.mp4") as caught:
            films.describe(tmp_path / "text.mp4", "mine.mp4", tmp_path / "other")
        assert str(tmp_path) not in str(caught.value)
    finally:
        films.close()


@pytest.fixture
def teaching(open_studio: Callable[..., Studio], tmp_path: Path) -> tuple[Studio, str]:
    """A studio with four real clips in a training."""
    studio = open_studio(replace(LIMITS, clip_bytes=2**22))
    place = begin(studio, ())
    for i, label in enumerate(FOUR):
        path = film(tmp_path / f"{i}.mp4", "take" if label == "drink" else "leave", i)
        sent = studio.client.post(
            f"{place}/clips", params={"name": path.name, "label": label}, content=path.read_bytes()
        )
        assert sent.status_code == 201, sent.text
    return studio, place


def own_videos(studio: Studio, place: str) -> list[OwnVideo]:
    path = studio.trainings.get(place.rpartition("/")[2]).folder / "whyact.json"
    return read_file(path).videos if path.exists() else []


def test_a_marked_clip_is_own_data_beside_the_clips(
    teaching: tuple[Studio, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio, place = teaching
    client = studio.client
    described = client.get(f"{place}/clips/1/film").json()
    assert (len(described["times"]), described["width"], described["height"]) == (24, 96, 72)
    assert (described["things"], described["measured"], described["actions"]) == ([], True, ["drink", "open"])
    assert client.get(f"{place}/own-data").status_code == 404
    kite = {"name": "kite", "boxes": [{"frame": 3, "box": [1, 2, 31, 42]}, {"frame": 13, "box": [11, 2, 41, 42]}]}
    cut = [{"action": "reach", "start": 1, "end": 12}, {"action": "hold", "start": 13, "end": 24}]
    both = [kite, {**kite, "name": "person"}]  # a pair: one alone is no relation
    for number, marks in ((1, {"segments": cut, "drawn": both}), (2, {"drawn": both}), (3, {"segments": cut[:1]})):
        reply = client.put(f"{place}/clips/{number}/film/marks", json=marks)
        assert reply.status_code == 200, reply.text
        assert reply.json()["drawn"] == len(marks.get("drawn", []))
    first, second, third = own_videos(studio, place)
    assert [(a.action, a.start, a.end) for a in first.actions] == [("reach", 1, 12), ("hold", 13, 24)]
    assert [a.action for a in second.actions] == ["drink"], "without a segment it is the action of the clip"
    assert third.tracks[:] == []
    for video in (first, second, third):
        assert (studio.trainings.get(place.rpartition("/")[2]).folder / video.file).is_file()
    assert client.get(f"{place}/clips/1/film").json()["marks"]["segments"] == cut
    assert json.loads(client.get(f"{place}/own-data").content)["videos"][0]["file"] == first.file
    root = str(studio.trainings.get(place.rpartition("/")[2]).folder)
    assert main(["data", "check", "own", "--root", root]) == 0, capsys.readouterr().err
    small = ["--optim.epochs", "1", "--model.width", "16", "--model.layers", "2", "--model.heads", "2"]
    command = ["train", "laiar", "--data", "own", "--root", root, "--out", str(tmp_path / "run"), "--data.slots", "4"]
    assert main([*command, *small]) == 0, capsys.readouterr().err
    client.put(f"{place}/names", json={"labels": {"2": "sip", "3": "never said"}})
    file = read_file(studio.trainings.get(place.rpartition("/")[2]).folder / "whyact.json")
    assert file.actions == ["reach", "hold", "sip"], "as the clip is named now; words that nobody uses are not listed"
    # Nothing marked, or no clip: nothing of it is left.
    assert client.put(f"{place}/clips/1/film/marks", json={}).status_code == 200
    assert client.delete(f"{place}/clips/2").status_code == 204
    assert [video.file for video in own_videos(studio, place)] == [third.file]
    assert client.delete(f"{place}/clips/3").status_code == 204
    assert own_videos(studio, place) == []


def test_what_a_detector_found_in_a_clip_is_shown_and_kept_with_the_marks(
    teaching: tuple[Studio, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio, place = teaching
    teach_tasks.patch(monkeypatch)
    training = studio.trainings.get(place.rpartition("/")[2])
    rows = [clip.row() for clip in training.clips.values()]
    train_tasks(Limits())["find"](
        lambda *_: None, folder=str(training.folder), clips=rows, detector="squares", names=""
    )
    things = studio.client.get(f"{place}/clips/1/film").json()["things"]
    assert {thing["kind"] for thing in things} == {"person", "cup"}
    cup = next(thing for thing in things if thing["kind"] == "cup")
    assert cup["boxes"][0] == pytest.approx([50, 30, 64, 44], abs=2)
    for number in (1, 2):
        marks = {"segments": [{"action": "ab"[number % 2], "start": 3, "end": 20}]}
        assert studio.client.put(f"{place}/clips/{number}/film/marks", json=marks).status_code == 200
    for video in own_videos(studio, place):
        assert {track.kind for track in video.tracks} == {"person", "cup"}
    command = ["train", "laiar", "--data", "own", "--root", str(training.folder), "--out", str(tmp_path / "run")]
    small = ["--optim.epochs", "1", "--model.width", "16", "--model.layers", "2", "--model.heads", "2"]
    assert main([*command, *small, "--data.slots", "4"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({"segments": [{"action": "x", "start": 1, "end": 25}]}, "frames 1 to 25"),
        ({"drawn": [{"name": "cup", "boxes": [{"frame": 1, "box": [0, 0, 1, 1]}]}]}, "at least 2 x 2 pixels"),
        ({"drawn": [{"name": "cup", "boxes": []}]}, "boxes"),
        ({"relations": [{"subject": "a", "object": "b", "start": 0, "end": 1, "relation": "near"}]}, "measured"),
        ({"segments": [{"action": "x", "start": 0, "end": 5}]}, "greater than or equal to 1"),
        ({"boxes": []}, "Extra inputs"),
    ],
    ids=["past-the-end", "tiny", "empty", "relation", "frame-0", "unknown"],
)
def test_wrong_marks_of_a_clip_are_refused_in_a_line(
    teaching: tuple[Studio, str], marks: dict[str, Any], said: str
) -> None:
    studio, place = teaching
    reply = studio.client.put(f"{place}/clips/1/film/marks", json=marks)
    assert reply.status_code == 422
    assert said in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]
    assert own_videos(studio, place) == []
    assert studio.client.get(f"{place}/clips/9/film").status_code == 404
    assert studio.client.get(f"{place}/clips/1/film/frames/25").status_code == 404


def test_segments_are_what_a_training_counts(teaching: tuple[Studio, str]) -> None:
    studio, place = teaching
    for number in (1, 2, 3, 4):
        studio.client.put(f"{place}/names", json={"labels": {str(number): ""}})
    assert "too few" in studio.client.get(place).json()["missing"]
    cut = [{"action": "reach", "start": 1, "end": 12}, {"action": "hold", "start": 13, "end": 24}]
    for number in (1, 2, 3, 4):
        assert studio.client.put(f"{place}/clips/{number}/film/marks", json={"segments": cut}).status_code == 200
    assert studio.client.get(place).json()["missing"] == ""
    reply = studio.client.post(f"{place}/start", json={"model": "kitchen"})
    assert reply.status_code == 202, reply.text
    assert studio.trainings.get(place.rpartition("/")[2]).ended.wait(30)
    assert studio.client.put(f"{place}/clips/1/film/marks", json={"segments": cut}).status_code == 422


def test_a_training_learns_segments_and_the_drawn_things_that_its_detector_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach_tasks.patch(monkeypatch)
    folder, run = tmp_path / "clips", tmp_path / "models" / "mine"
    clips = []
    for i in range(6):
        path = film(folder / f"{i:03d}-x.mp4", ("take", "leave")[i % 2], i)
        row: dict[str, Any] = {"file": path.name, "name": f"{i}.mp4", "label": ("take", "leave")[i % 2], "group": ""}
        clips.append({**row, "content": file_sha256(path), "segments": [], "drawn": []})
    clips[0] |= {
        "label": "",
        "segments": [{"action": "take", "start": 1, "end": 9}, {"action": "leave", "start": 10, "end": 24}],
    }
    boxes = [{"frame": 2, "box": [1, 1, 30, 12]}, {"frame": 12, "box": [31, 1, 60, 12]}]
    clips[1]["drawn"] = [{"name": "Kite", "boxes": boxes}, {"name": "spaceship", "boxes": boxes}]
    place: dict[str, Any] = {"folder": str(folder), "detector": "squares", "names": "", "things": None}
    found = train_tasks(Limits())["train"](lambda *_: None, **place, out=str(run), clips=clips, epochs=1)
    assert any("spaceship (1)" in note and "squares would not find them" in note for note in found["notes"])
    document = read_file(run.with_name("mine-data") / "whyact.json")
    video = next(video for video in document.videos if video.file.endswith("000-x.mp4"))
    assert [(a.action, a.start, a.end) for a in video.actions] == [("take", 1, 9), ("leave", 10, 24)]
    (path,) = (folder / FEATURES).glob(f"tracks-*/{clips[1]['content'][:32]}.json")
    tracks = read_tracks(path)
    k = tracks.classes.index("kite")
    drawn = {
        f: (b.tolist(), s)
        for f, b, s in zip(tracks.frames.tolist(), tracks.boxes[:, k], tracks.seen[:, k], strict=True)
    }
    assert (drawn[2], drawn[12]) == (([1, 1, 30, 12], True), ([31, 1, 60, 12], True))
    assert drawn[7] == ([16, 1, 45, 12], False)
    assert not {"kite", "spaceship"} & set(read_tracks(detector_tracks_path(path)).classes)
    # Taken back, it is gone from the next training.
    clips[1]["drawn"] = []
    train_tasks(Limits())["train"](
        lambda *_: None, **place, out=str(tmp_path / "models" / "two"), clips=clips, epochs=1
    )
    assert "kite" not in read_tracks(path).classes


EVEN, UNEVEN = tuple(range(40)), (0, 1, 2, 3, *range(4, 120, 12), *range(130, 140), 300)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
@pytest.mark.parametrize("late", [0, 50])
@pytest.mark.parametrize("stamps", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_segments_are_learned_from_the_very_frames_that_were_marked(
    tmp_path: Path, name: str, late: int, stamps: tuple[int, ...]
) -> None:
    """Also where frames come unevenly, and where the first one comes after the sound."""
    film = write_ruler(Film(name, stamps=tuple(late + stamp for stamp in stamps), sound=bool(late)), tmp_path)
    count = len(frame_times(film))
    spans = [(1, 1), (1, 4), (3, 5), (5, 6), (count // 2, count - 2), (count - 1, count), (count, count)]
    segments = [{"action": f"action {i % 2}", "start": a, "end": b} for i, (a, b) in enumerate(spans)]
    others = [{"file": name, "label": "", "group": "", "segments": segments}]
    for number in range(2):  # a training needs another film
        write_ruler(Film(f"{number}.mp4", stamps=tuple(range(20 + 40 * number, 30 + 40 * number))), tmp_path)
        others.append({"file": f"{number}.mp4", "label": f"action {number}", "group": "", "segments": []})
    found = describe_clips(list_clips(_write_table(tmp_path, others)))
    (video,) = [video for video in found.videos if video.id == name]
    assert [(action.start, action.end) for action in video.actions] == spans
