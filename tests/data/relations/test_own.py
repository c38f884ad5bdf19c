"""A user's own data: what the JSON may say, what is said to a wrong one, and that converted data are the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cad120_layout import annotation_files, write_folder

from made_videos import write_clip
from whyact.data.relations import cad120, own
from whyact.data.relations.own_file import FILE
from whyact.data.relations.own_write import from_cad120, write_own
from whyact.data.relations.relation_data import summary
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.laiar.clips import clip_from_tracks
from whyact.perception.tracks import Tracks
from whyact.video.write import write_video


def sample() -> dict[str, Any]:
    """Return two short videos: a cup that is picked up and hidden once, a box that opens."""
    return {
        "format": "whyact-own",
        "version": 1,
        "objects": ["hand", "cup", "box"],
        "relations": ["free", "held", "shut", "open"],
        "actions": ["null", "pick", "open"],
        "allowed": [{"subject": "hand", "object": "cup", "relations": ["free", "held"]}],
        "rules": [{"action": "pick", "subject": "hand", "objects": ["cup"], "before": "free", "after": "held"}],
        "videos": [
            {
                "id": "one",
                "fps": 10,
                "image_size": [100, 80],
                "group": "Ada",
                "tracks": [
                    {"name": "h", "class": "hand", "boxes": [[0, 0, 10, 10], [1, 1, 11, 11], [2, 2, 12, 12]]},
                    {"name": "c", "class": "cup", "boxes": [[20, 20, 30, 30], None, [20.5, 20, 30, 30]]},
                ],
                "relations": [
                    {"pair": ["h", "c"], "relation": "free", "from": 1, "to": 1},
                    {"pair": ["h", "c"], "relation": "held", "from": 2, "to": 3},
                ],
                "actions": [{"action": "pick", "from": 1, "to": 3}, {"action": "null", "from": 3, "to": 3}],
            },
            {
                "id": "two",
                "fps": 25,
                "image_size": [100, 80],
                "frames": [5, 10, 20],
                "group": "Ben",
                "tracks": [{"name": "b", "class": "box", "boxes": [[5, 5, 50, 50]] * 3}],
                "relations": [
                    {"pair": ["b", "b"], "relation": "shut", "from": 1, "to": 12},
                    {"pair": ["b", "b"], "relation": "open", "from": 13, "to": 99},
                ],
                "actions": [{"action": "open", "from": 8, "to": 30}],
            },
        ],
    }


def write(root: Path, data: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return root


def test_clips_are_cut_from_spans(tmp_path: Path) -> None:
    found = own.read(write(tmp_path, sample()), slots=8)
    pick, null, opened = found.clips
    assert [c.id for c in found.clips] == ["one/1-3", "one/3-3", "two/8-30"]
    assert pick.slots == (("h", "c"),)
    assert pick.valid.tolist() == [[True]] * 3  # a hidden cup stays a token
    assert pick.object_boxes[:, 0].tolist() == [[20, 20, 30, 30], [0, 0, 0, 0], [20.5, 20, 30, 30]]
    assert pick.relations is not None
    assert pick.relations[:, 0].argmax(-1).tolist() == [0, 1, 1]
    np.testing.assert_allclose(pick.times, [0, 0.1, 0.2])
    assert (pick.target, null.target, opened.target) == (1, 0, 2)
    assert opened.frames.tolist() == [10, 20]
    np.testing.assert_allclose(opened.times, [0, 0.4])
    assert opened.relations is not None
    assert opened.relations[:, 0].argmax(-1).tolist() == [2, 3]
    assert (pick.group, opened.group) == ("Ada", "Ben")
    assert own.read(tmp_path, slots=8, only="two/8-30").clips[0].id == "two/8-30"


def test_each_group_is_left_out_in_turn_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert own.read(write(tmp_path / "a", sample()), slots=8).folds == {1: ((2,), (0, 1)), 2: ((0, 1), (2,))}
    split = sample()
    split["videos"][1]["split"] = "test"
    assert own.read(write(tmp_path / "b", split), slots=8).folds == {1: ((0, 1), (2,))}
    listed = sample() | {"folds": [{"train": ["Ben"], "test": ["Ada"]}]}
    assert own.read(write(tmp_path / "c", listed), slots=8).folds == {1: ((2,), (0, 1))}


def test_labels_of_whole_videos(tmp_path: Path) -> None:
    data = sample()
    for video in data["videos"]:
        del video["actions"]
    data["videos"][0]["labels"], data["videos"][1]["labels"] = ["open", "pick", "open"], []
    found = own.read(write(tmp_path, data), slots=8)
    assert found.vocabulary.multi_label
    assert [(c.id, c.targets, c.target) for c in found.clips] == [("one", (1, 2), None), ("two", (), None)]


def test_without_relations_everything_in_view_is_a_token(tmp_path: Path) -> None:
    data = sample()
    data |= {"relations": [], "rules": [], "allowed": []}
    for video in data["videos"]:
        video["relations"] = []
    found = own.read(write(tmp_path, data), slots=8)
    assert found.vocabulary.relations == (own.IN_VIEW,)
    assert found.clips[0].slots == (("h", "c"),)  # the first class is the subject
    assert found.clips[0].valid.tolist() == [[True], [False], [True]]
    assert found.clips[2].valid.shape == (2, 0)
    both = own.read(write(tmp_path, data | {"subjects": ["cup", "hand"]}), slots=8)
    assert both.clips[0].slots == (("c", "h"),)  # two subjects are one pair, not two


def test_pairs_that_the_file_does_not_list_are_those_that_it_annotates(tmp_path: Path) -> None:
    data = sample()
    data["allowed"] = []
    assert own.read(write(tmp_path / "a", data), slots=8).vocabulary.allowed == {
        ("hand", "cup"): ("free", "held"),
        ("box", "box"): ("shut", "open"),
    }
    boxes = [[40, 40, 50, 50]] * 3
    data["videos"][0]["tracks"] += [{"name": "c2", "class": "cup", "boxes": boxes}]
    data["videos"][0]["relations"] += [{"pair": ["c", "c2"], "relation": "shut", "from": 1, "to": 3}]
    allowed = own.read(write(tmp_path / "b", data), slots=8).vocabulary.allowed
    assert ("cup", "cup") not in allowed  # two cups are not the state of a cup
    listed = sample()
    assert own.read(write(tmp_path / "c", listed), slots=8).vocabulary.allowed == {("hand", "cup"): ("free", "held")}


def test_a_video_is_paired_as_its_training_clips_are(tmp_path: Path) -> None:
    """With and without relations: the tracks of a training video, found again, make the very pairs of its clip."""
    data = sample()
    data["allowed"] = []
    bare = sample() | {"relations": [], "rules": [], "allowed": [], "subjects": ["cup", "hand"]}
    more = {"name": "h2", "class": "hand", "boxes": [None, [60, 0, 70, 10], [60, 0, 70, 10]]}
    for video in bare["videos"]:
        video["relations"] = []
    bare["videos"][0]["tracks"] += [more, {"name": "b", "class": "box", "boxes": [[5, 50, 50, 70]] * 3}]
    for name, file in (("with", data), ("without", bare)):
        found = own.read(write(tmp_path / name, file), slots=8)
        clip, listed = found.clips[0], file["videos"][0]["tracks"]
        boxes = np.array([[box or [0] * 4 for box in track["boxes"]] for track in listed], np.float32).swapaxes(0, 1)
        seen = boxes[..., 2] > 0
        tracks = Tracks(
            names=tuple(track["name"] for track in listed),
            classes=tuple(track["class"] for track in listed),
            boxes=boxes,
            seen=seen,
            scores=seen.astype(np.float32),
            times=clip.times,
            frames=clip.frames,
            image_size=clip.image_size,
        )
        made = clip_from_tracks(tracks, found.vocabulary, slots=8)
        assert made.slots == clip.slots
        assert len(made.slots) == (1 if name == "with" else 6)
        np.testing.assert_array_equal(made.valid, clip.valid)
        np.testing.assert_array_equal(made.object_boxes, clip.object_boxes)


def test_rate_and_size_come_from_the_video_where_the_json_is_silent(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 4, 12.5)
    data = sample()
    del data["videos"][0]["fps"], data["videos"][0]["image_size"]
    data["videos"][0]["file"] = "videos/v.mp4"
    clip = own.read(write(tmp_path, data), slots=8).clips[0]
    assert clip.image_size == (64, 48)
    np.testing.assert_allclose(clip.times, [0, 0.08, 0.16])


def test_a_rate_that_a_file_wrongly_declares_is_not_taken_from_it(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "v.mkv", 0, rate=1000, stamps=range(0, 400, 100))  # declares 1000 frames a second
    data = sample()
    del data["videos"][0]["fps"], data["videos"][0]["image_size"]
    data["videos"][0]["file"] = "videos/v.mkv"
    np.testing.assert_allclose(own.read(write(tmp_path, data), slots=8).clips[0].times, [0, 0.1, 0.2])


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    data = copy.deepcopy(sample())
    change(data)
    return data


def video(**values: Any) -> dict[str, Any]:
    return changed(lambda d: d["videos"][0].update(values))


def boxes(*values: Any) -> dict[str, Any]:
    return changed(lambda d: d["videos"][0]["tracks"][0].update(boxes=list(values)))


FINE = [0, 0, 5, 5]
WRONG: dict[str, tuple[Any, str]] = {
    "no json": ("{", "JSON of the documented layout"),
    "another format": (changed(lambda d: d.update(format="coco")), "format"),
    "a later version": (changed(lambda d: d.update(version=2)), "version"),
    "unknown key": (changed(lambda d: d.update(colour="red")), "colour"),
    "no objects": (changed(lambda d: d.update(objects=[])), "objects"),
    "a word twice": (changed(lambda d: d.update(actions=["pick", "pick"])), "actions: found 'pick'"),
    "allowed unknown": (changed(lambda d: d["allowed"][0].update(object="dog")), "allowed: found 'dog'"),
    "rule unknown": (changed(lambda d: d["rules"][0].update(after="eaten")), "rules: found 'eaten'"),
    "groups leave one out": (changed(lambda d: d.update(groups=[{"name": "a", "relations": ["free"]}])), "groups"),
    "fold on both sides": (changed(lambda d: d.update(folds=[{"train": ["Ada"], "test": ["Ada"]}])), "fold 1"),
    "id twice": (video(id="two"), "each id once"),
    "fps of zero": (video(fps=0), "fps"),
    "no rate": (video(fps=None), "fps and image_size"),
    "size of zero": (video(image_size=[0, 80]), "numbers above 0"),
    "path out of the folder": (video(fps=None, file="../../etc/passwd"), "a path below"),
    "absolute path": (video(fps=None, file="/etc/passwd"), "a path below"),
    "no such video": (video(fps=None, file="videos/none.mp4"), "none.mp4"),
    "frames fall": (video(frames=[1, 3, 2]), "each larger than the last"),
    "frame zero": (video(frames=[0, 1, 2]), "frames"),
    "too few boxes": (boxes(FINE), "track h, boxes: found 1 boxes"),
    "box turned round": (boxes(FINE, [5, 0, 1, 5], FINE), "track h, frame 2"),
    "box outside": (boxes(FINE, FINE, [0, 0, 500, 5]), "inside 100 x 80"),
    "three numbers": (boxes(FINE, FINE, [0, 0, 5]), "boxes"),
    "nan": (json.dumps(boxes(FINE, FINE, [0, 0, float("nan"), 5])), "JSON"),
    "infinite": (json.dumps(boxes(FINE, FINE, [0, 0, 5, 7])).replace("7]", "1e999]"), "JSON"),
    "class unknown": (changed(lambda d: d["videos"][0]["tracks"][0].update({"class": "dog"})), "class: found 'dog'"),
    "name twice": (changed(lambda d: d["videos"][0]["tracks"][1].update(name="h")), "each name once"),
    "relation of a stranger": (
        changed(lambda d: d["videos"][0]["relations"][0].update(pair=["h", "x"])),
        "relation of h and x: found 'x'",
    ),
    "relation unknown": (changed(lambda d: d["videos"][0]["relations"][0].update(relation="eaten")), "found 'eaten'"),
    "relation beyond": (changed(lambda d: d["videos"][0]["relations"][0].update({"from": 9, "to": 12})), "9-12"),
    "relation backwards": (changed(lambda d: d["videos"][0]["relations"][1].update({"from": 3, "to": 2})), "3-2"),
    "action unknown": (changed(lambda d: d["videos"][0]["actions"][0].update(action="fly")), "actions: found 'fly'"),
    "span without a frame": (changed(lambda d: d["videos"][1]["actions"][0].update({"from": 11, "to": 13})), "11-13"),
    "span twice": (changed(lambda d: d["videos"][0]["actions"].append(d["videos"][0]["actions"][0])), "each span"),
    "labels and actions": (video(labels=["pick"]), "spans of one action in all videos, or labels in all"),
    "no clip": (changed(lambda d: [v.update(actions=[]) for v in d["videos"]]), "at least one video"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_file_is_named(tmp_path: Path, name: str) -> None:
    data, said = WRONG[name]
    with pytest.raises(UserError) as caught:
        own.read(write(tmp_path, data), slots=8)
    assert said in str(caught.value)


def test_a_missing_file_and_an_unknown_clip_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"whyact\.json"):
        own.read(tmp_path, slots=8)
    with pytest.raises(UserError, match="clip: found 'one/1-2'"):
        own.read(write(tmp_path, sample()), slots=8, only="one/1-2")
    with pytest.raises(UserError, match=r"such as two/8-30$"):
        own.read(tmp_path, slots=8, only="two/8-31")
    with pytest.raises(UserError, match=r"such as (one|two)/\d+-\d+$") as caught:
        own.read(tmp_path, slots=8, only="nothing like it")
    assert own.read(tmp_path, slots=8, only=str(caught.value).rsplit(" ", 1)[-1]).clips


def same_clips(a: Any, b: Any) -> None:
    assert [c.id for c in a.clips] == [c.id for c in b.clips]
    for x, y in zip(a.clips, b.clips, strict=True):
        for field in fields(x):
            left, right = getattr(x, field.name), getattr(y, field.name)
            if isinstance(left, np.ndarray):
                assert left.dtype == right.dtype, field.name
                np.testing.assert_array_equal(left, right, err_msg=f"{x.id} {field.name}")
            else:
                assert left == right, field.name


def test_converted_data_are_the_very_same_clips(tmp_path: Path) -> None:
    """By hand-written annotations with hidden boxes and gaps, and by a generated world."""
    hand = write_folder(tmp_path / "hand", annotation_files())
    world = write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1)
    for root in (hand, world):
        out = root.with_name(f"{root.name}-own")
        write_own(out, from_cad120(root))
        theirs, ours = cad120.read(root, max_pairs=6), own.read(out, slots=6)
        same_clips(theirs, ours)
        assert theirs.folds == ours.folds
        assert replace(theirs.vocabulary) == ours.vocabulary
        with pytest.raises(UserError, match="a folder without one"):
            write_own(out, from_cad120(root))


def test_a_conversion_leaves_out_folds_without_a_clip_on_one_side(tmp_path: Path) -> None:
    files = annotation_files()
    for number, (train, test) in enumerate([("Ben", ""), ("Ben", "Ada"), ("Cleo", "Ben"), ("Ada", "Ben")], 1):
        files |= {f"splits/trainlist{number:02d}.txt": train, f"splits/testlist{number:02d}.txt": test}
    root = write_folder(tmp_path / "cad120", files)
    write_own(tmp_path / "own", from_cad120(root))
    theirs, ours = cad120.read(root).folds, own.read(tmp_path / "own", slots=8).folds
    assert ours == {1: theirs[2], 2: theirs[4]}
    assert all(train and test for train, test in ours.values())


def test_a_film_of_two_videos_names_and_another_film_there_already_are_refused(tmp_path: Path) -> None:
    lines = "Ada, tidy, 0001, 1, 4, pick", "Ben, cook, 0002, 2, 5, open"
    files = annotation_files() | {"video_clips.txt": "\n".join(lines)}
    root = write_folder(tmp_path / "data", files)
    write_film(root / "videos" / "0001.mp4", 6)
    write_film(tmp_path / "own" / "videos" / "0001.mp4", 5)  # of an earlier set
    with pytest.raises(UserError, match=r"0001\.mp4.*another film"):
        write_own(tmp_path / "own", from_cad120(root), root)
    assert not (tmp_path / "own" / FILE).exists()
    (tmp_path / "own" / "videos" / "0001.mp4").write_bytes((root / "videos" / "0001.mp4").read_bytes())
    write_own(tmp_path / "own", from_cad120(root), root)
    two = files | {"video_clips.txt": "\n".join([*lines, "Ben, cook, 0001, 2, 5, open"])}
    two["all/Ben/cook/0001.json"] = two["all/Ada/tidy/0001.json"]
    root = write_folder(tmp_path / "two", two)
    write_film(root / "videos" / "0001.mp4", 6)
    with pytest.raises(UserError, match=r"0001\.mp4.*a film of one video"):
        from_cad120(root)


def write_film(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.zeros((48, 64, 3), np.uint8)] * frames, 30)


def test_a_group_that_no_video_has_and_clips_of_no_fold_are_said(tmp_path: Path) -> None:
    """Else a misspelt name would train on less than the file says."""
    misspelt = sample() | {"folds": [{"train": ["Ben", "ada"], "test": ["Ada"]}]}
    with pytest.raises(UserError, match=r"fold 1: found 'ada'.*Ada, Ben"):
        own.read(write(tmp_path / "a", misspelt), slots=8)
    third = {**sample()["videos"][0], "id": "three", "group": "Cleo"}
    listed = sample() | {"folds": [{"train": ["Ben"], "test": ["Ada"]}]}
    counts = summary(own.read(write(tmp_path / "b", listed), slots=8))
    assert "in_neither_part" not in counts["folds"]["1"]
    counts = summary(own.read(write(tmp_path / "c", listed | {"videos": [*listed["videos"], third]}), slots=8))
    assert counts["folds"]["1"]["in_neither_part"] == 2
    assert "2 clips are in no fold, those of Cleo" in counts["warnings"]


def test_training_on_converted_data_gives_the_same_model(tmp_path: Path) -> None:
    from laiar_samples import CONFIG
    from whyact.laiar.task import train_run

    world = write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1)
    write_own(tmp_path / "own", from_cad120(world))
    runs = []
    for found in (cad120.read(world, max_pairs=6), own.read(tmp_path / "own", slots=6)):
        runs.append(train_run(found.fold(1)[0], found.vocabulary, CONFIG, seed=0).model.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
