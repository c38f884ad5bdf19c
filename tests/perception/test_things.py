"""The things found in clips: what is kept by itself, what a person may edit, and the contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from whyact.errors import UserError
from whyact.perception.things import best_sightings, count_things, cut_picture, read_things, write_things
from whyact.perception.tracks import Tracks


def tracks(**found: float) -> Tracks:
    """Return tracks of resting things, each with a score."""
    k = len(found)
    boxes = np.tile(np.array([[10, 10, 30, 40]], np.float32), (5, k, 1))
    scores = np.tile(np.array(list(found.values()), np.float32), (5, 1)).reshape(5, k)
    scores[2] *= 1.05
    return Tracks(
        names=tuple(f"{name}_1" for name in found),
        classes=tuple(found),
        boxes=boxes,
        seen=np.ones((5, k), bool),
        scores=scores,
        times=np.arange(5) / 10,
        frames=np.arange(1, 6),
        image_size=(64, 48),
    )


CLIPS = [*[tracks(person=0.9, cup=0.8)] * 6, *[tracks(person=0.9, skateboard=0.5)] * 3, tracks(person=0.9, kite=0.9)]


def test_what_is_seen_often_and_surely_is_kept_and_persons_act() -> None:
    things = count_things(CLIPS, "a detector")
    assert [(t.kind, t.clips, t.keep, t.acts) for t in things.things] == [
        ("person", 10, True, True),
        ("cup", 6, True, False),
        ("skateboard", 3, False, False),
        ("kite", 1, False, False),
    ]
    assert (things.objects, things.subjects) == (("person", "cup"), ("person",))
    robots = count_things([tracks(robot=0.9, part=0.9)] * 3 + [tracks(robot=0.9)], "")
    assert robots.subjects == ("robot",)


def test_an_edited_list_renames_merges_and_drops(tmp_path: Path) -> None:
    path, _ = write_things(tmp_path, count_things(CLIPS, "a detector"), {})
    document = json.loads(path.read_text())
    by = {thing["class"]: thing for thing in document["things"]}
    by["cup"]["name"] = by["kite"]["name"] = "toy"
    by["kite"]["keep"] = True
    path.write_text(json.dumps(document))
    things = read_things(path)
    assert things.class_map == {"person": "person", "cup": "toy", "kite": "toy"}
    assert things.objects == ("person", "toy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keep": False}, "at least one thing that is kept"),
        ({"acts": False}, "at least one thing that acts"),
        ({"name": " "}, "a name, or keep: false"),
        ({"colour": "red"}, "colour"),
        ({"class": "person"}, "each class once"),
    ],
)
def test_an_edit_that_cannot_be_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path, _ = write_things(tmp_path, count_things(CLIPS, ""), {})
    document = json.loads(path.read_text())
    for thing in document["things"]:
        thing |= change
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=said):
        read_things(path)
    with pytest.raises(UserError, match="whyact data things"):
        read_things(tmp_path / "none.json")


def test_the_sheet_shows_pictures_and_escapes_what_is_written(tmp_path: Path) -> None:
    things = count_things([tracks(**{"<b>": 0.9})] * 2, "<script>")
    image = np.zeros((48, 64, 3), np.uint8)
    _, sheet = write_things(tmp_path, things, {"<b>": [cut_picture(image, (10, 10, 30, 40))]})
    page = sheet.read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "<script>" not in page
    assert "<b>" not in page


def test_pictures_are_of_different_clips_from_the_surest_to_the_most_doubtful() -> None:
    clips = [(f"{i}.mp4", tracks(person=0.5 + i / 100)) for i in range(20)]
    found = best_sightings(clips, each=3)
    assert [s.video for s in found] == ["19.mp4", "9.mp4", "0.mp4"]
    assert {s.frame for s in found} == {2}


def test_a_picture_keeps_within_its_image() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    assert cut_picture(image, (0, 0, 64, 48)).shape == (48, 64, 3)
    assert cut_picture(image, (60, 44, 64, 48)).size > 0
