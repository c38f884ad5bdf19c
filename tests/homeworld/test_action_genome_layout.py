"""The world in the file layouts of Action Genome and Charades: to the letter, the same every time, dirt included."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whyact.data.io.pickles import dump_plain, load_pickle
from whyact.data.relations import action_genome_clips, charades
from whyact.errors import UserError
from whyact.homeworld.action_genome import video_id, write_action_genome
from whyact.homeworld.classes import CLASSES, MIRROR_CLASSES, OFFICIAL, class_of, kind_of
from whyact.homeworld.relations import relations
from whyact.homeworld.takes import Take, draw_takes
from whyact.homeworld.vocabulary import KIND

SIZE = (64, 48)
VIDEOS = 40
# The published word lists, as the text files spell them.
OBJECTS_SAID = (
    "person bag bed blanket book box broom chair closetcabinet clothes cupglassbottle dish door doorknob doorway floor "
    "food groceries laptop light medicine mirror papernotebook phonecamera picture pillow refrigerator sandwich shelf "
    "shoe sofacouch table television towel vacuum window"
)
RELATIONS_SAID = (
    "lookingat notlookingat unsure above beneath infrontof behind onthesideof in carrying coveredby drinkingfrom "
    "eating haveitontheback holding leaningon lyingon notcontacting otherrelationship sittingon standingon touching "
    "twisting wearing wiping writingon"
)
OBJECT_FILE, RELATION_FILE = OBJECTS_SAID.split(), RELATIONS_SAID.split()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ag") / "world"
    return write_action_genome(folder, seed=6, videos=VIDEOS, size=SIZE, pixels=False)


@pytest.fixture(scope="module")
def persons(root: Path) -> dict[str, Any]:
    return load_pickle(root / "annotations" / "person_bbox.pkl")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def objects(root: Path) -> dict[str, Any]:
    return load_pickle(root / "annotations" / "object_bbox_and_relationship.pkl")  # type: ignore[no-any-return]


def contents(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def rows(root: Path, part: str) -> list[dict[str, str]]:
    with open(root / f"Charades_v1_{part}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def video_of(key: str) -> str:
    return key.partition(".mp4/")[0]


@cache
def takes(single: bool) -> tuple[Take, ...]:
    return tuple(draw_takes(seed=8, videos=60, single=single))


# Bytes ----------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_pickles_included(root: Path, tmp_path: Path) -> None:
    first = contents(root)
    assert contents(write_action_genome(tmp_path / "b", seed=6, videos=VIDEOS, size=SIZE, pixels=False)) == first
    other = contents(write_action_genome(tmp_path / "c", seed=7, videos=VIDEOS, size=SIZE, pixels=False))
    for name in ("annotations/person_bbox.pkl", "annotations/object_bbox_and_relationship.pkl", "truth.jsonl"):
        assert other[name] != first[name]


def test_pixels_change_no_annotation(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": 0, "subjects": 2, "videos": 4, "size": SIZE, "every": 6}
    without = contents(write_action_genome(tmp_path / "a", pixels=False, **options))
    with_ = contents(write_action_genome(tmp_path / "b", frames=True, **options))
    assert {name: data for name, data in with_.items() if name in without} == without
    more = with_.keys() - without.keys()
    listed = lines(tmp_path / "b" / "annotations" / "frame_list.txt")
    ids = [row["id"] for part in ("train", "test") for row in rows(tmp_path / "b", part)]
    assert more == {*(f"videos/{i}.mp4" for i in ids), *(f"frames/{key}" for key in listed)}


def test_equal_data_gives_equal_pickles_whoever_owns_the_strings() -> None:
    word = "".join(["hold", "ing"])
    once = [word, word, np.array([1.5], np.float32)]
    twice = ["".join(["hold", "ing"]), "holding", np.array([1.5], np.float32)]
    assert dump_plain(once) == dump_plain(twice)


def test_frame_n_of_the_annotation_is_frame_n_of_the_video(tmp_path: Path) -> None:
    import av
    from PIL import Image

    folder = write_action_genome(
        tmp_path / "w", seed=0, subjects=2, videos=4, size=(160, 120), every=10, frames=True, dirt=False
    )
    row = (rows(folder, "train") + rows(folder, "test"))[0]
    with av.open(str(folder / "videos" / f"{row['id']}.mp4")) as container:
        decoded = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 3
    assert len(decoded) == round(float(row["length"]) * 3)
    keys = [key for key in lines(folder / "annotations" / "frame_list.txt") if video_of(key) == row["id"]]
    for key in keys[::3]:
        picture = np.asarray(Image.open(folder / "frames" / key), dtype=int)
        error = [np.abs(picture - frame).mean() for frame in decoded]
        assert int(np.argmin(error)) == int(key[-10:-4]) - 1


# Action Genome's layout -----------------------------------------------------------------------------------------


def test_word_lists_are_the_published_ones(root: Path) -> None:
    assert lines(root / "annotations" / "object_classes.txt") == OBJECT_FILE
    assert lines(root / "annotations" / "relationship_classes.txt") == RELATION_FILE


def test_the_same_frames_everywhere(root: Path, persons: dict[str, Any], objects: dict[str, Any]) -> None:
    listed = lines(root / "annotations" / "frame_list.txt")
    assert listed == list(persons) == list(objects)
    assert len(set(listed)) == len(listed)
    assert all(re.fullmatch(r"[0-9A-Z]{5}\.mp4/\d{6}\.png", key) for key in listed)
    length = {r["id"]: float(r["length"]) for part in ("train", "test") for r in rows(root, part)}
    assert all(1 <= int(key[-10:-4]) <= round(30 * length[video_of(key)]) for key in listed)


def test_person_entries(persons: dict[str, Any]) -> None:
    for value in persons.values():
        assert list(value) == ["bbox", "bbox_score", "bbox_size", "bbox_mode", "keypoints", "keypoints_logits"]
        n = len(value["bbox"])
        assert n <= 1
        assert value["bbox"].shape == (n, 4)
        assert value["bbox"].dtype == np.float32
        assert value["bbox_score"].shape == (n,)
        assert value["keypoints"].shape == (n, 17, 3)
        assert value["keypoints_logits"].shape == (n, 17)
        assert value["bbox_size"] == SIZE
        assert value["bbox_mode"] == "xyxy"
        for x0, y0, x1, y1 in value["bbox"]:
            assert 0 <= x0 < x1 <= SIZE[0]
            assert 0 <= y0 < y1 <= SIZE[1]


def test_object_entries(root: Path, objects: dict[str, Any]) -> None:
    part = {row["id"]: part for part in ("train", "test") for row in rows(root, part)}
    squash = {word: word.replace("/", "") for word in OFFICIAL.values()}
    attention, spatial = set(RELATION_FILE[:3]), set(RELATION_FILE[3:9])
    contacting = set(RELATION_FILE[9:])
    hidden = 0
    for key, found in objects.items():
        assert found
        assert len({value["class"] for value in found}) == len(found)
        for value in found:
            assert list(value) == [
                "class", "bbox", "attention_relationship", "spatial_relationship", "contacting_relationship", "visible",
                "metadata",
            ]  # fmt: skip
            assert squash[value["class"]] in OBJECT_FILE
            tag = f"{video_of(key)}.mp4/{value['class']}/{key[-10:-4]}"
            assert value["metadata"] == {"tag": tag, "set": part[video_of(key)]}
            assert (value["bbox"] is not None) == value["visible"]
            if not value["visible"]:
                hidden += 1
                continue
            x, y, w, h = value["bbox"]
            assert type(value["bbox"]) is tuple
            assert min(x, y, w, h) >= 0
            assert x + w <= SIZE[0] + 1.01
            assert y + h <= SIZE[1] + 1.01
            for name, words in (("attention", attention), ("spatial", spatial), ("contacting", contacting)):
                said = value[f"{name}_relationship"]
                assert said
                assert {word.replace("_", "") for word in said} <= words
            assert len(value["attention_relationship"]) == 1
    assert hidden > 0


def test_the_reader_reads_it(root: Path) -> None:
    data = action_genome_clips.read(root, slots=16)
    assert len(data.clips) == VIDEOS
    assert sum(clip.valid.any() for clip in data.clips) >= VIDEOS - 3
    assert data.facts["subjects_on_both_sides"] == 0
    assert all(clip.dropped_pairs == 0 for clip in data.clips)


# Charades' layout -----------------------------------------------------------------------------------------------


def test_class_files(root: Path) -> None:
    classes = lines(root / "Charades_v1_classes.txt")
    assert [line.partition(" ")[0] for line in classes] == [f"c{i:03d}" for i in range(len(CLASSES))]
    assert 12 <= len(classes) <= 16
    known = {
        kind: {
            line.partition(" ")[0]: line.partition(" ")[2] for line in lines(root / f"Charades_v1_{kind}classes.txt")
        }
        for kind in ("object", "verb")
    }
    for line, action in zip(lines(root / "Charades_v1_mapping.txt"), CLASSES, strict=True):
        _, thing, verb = line.split(" ")
        assert (known["object"][thing], known["verb"][verb]) == (action.object, action.verb)
    assert known["object"]["o000"] == "None"


def test_mirror_classes_are_the_same_things_done_in_the_other_direction() -> None:
    opposite = {"pick": "place", "open": "close", "store": "take_out"}
    for a, b in MIRROR_CLASSES:
        assert opposite[CLASSES[a].action] == CLASSES[b].action
        assert CLASSES[a].kinds == CLASSES[b].kinds


def test_csv_columns_and_intervals(root: Path) -> None:
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    for part in ("train", "test"):
        assert lines(root / f"Charades_v1_{part}.csv")[0] == header
        for row in rows(root, part):
            assert re.fullmatch(r"[0-9A-Z]{5}", row["id"])
            assert row["verified"] in ("Yes", "No")
            assert 1 <= int(row["quality"]) <= 7
            assert 1 <= int(row["relevance"]) <= 7
            spans = [a.split(" ") for a in row["actions"].split(";") if a]
            assert all(0 <= float(a) < float(b) <= float(row["length"]) + 0.01 for _, a, b in spans)
            assert len({c for c, _, _ in spans}) in (0, 2, 3)
    read = charades.read(root)
    assert {v.scene for v in read.train + read.test} <= set(json.loads((root / "scenes.json").read_text())["scenes"])


def test_video_names_are_unique() -> None:
    assert len({video_id(3, n) for n in range(5000)}) == 5000


# Dirt -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_dirt_is_there(root: Path, persons: dict[str, Any], objects: dict[str, Any]) -> None:
    frames = Counter(video_of(key) for key in persons)
    everyone = [row for part in ("train", "test") for row in rows(root, part)]
    assert len(everyone) == VIDEOS
    assert sum(row["id"] not in frames for row in everyone) == 1
    assert sorted(frames.values())[:2] == [2, min(n for n in frames.values() if n > 2)]
    assert sum(row["actions"] == "" for row in everyone) == 1
    nobody = np.mean([len(value["bbox"]) == 0 for value in persons.values()])
    assert 0.01 < nobody < 0.06
    empty = [k for k, v in objects.items() for o in v if o["bbox"] is not None and 0.0 in o["bbox"][2:]]
    assert len(empty) == 1
    assert len(persons[empty[0]]["bbox"]) == 0
    assert any(o["bbox"] is not None and o["bbox"][0] == 0.0 for v in objects.values() for o in v)


def test_a_clean_world_has_none(tmp_path: Path) -> None:
    root = write_action_genome(tmp_path / "w", seed=6, videos=12, size=SIZE, pixels=False, dirt=False)
    persons = load_pickle(root / "annotations" / "person_bbox.pkl")
    assert all(len(value["bbox"]) == 1 for value in persons.values())
    frames = Counter(map(video_of, persons))
    assert len(frames) == 12
    assert min(frames.values()) > 2
    assert all(row["actions"] for part in ("train", "test") for row in rows(root, part))


# Meaning --------------------------------------------------------------------------------------------------------


def changes(words: list[set[str]], word: str) -> set[str]:
    """Return in which directions a word comes and goes over the frames."""
    has = [word in said for said in words]
    return {f"{'+' if b else '-'}{word}" for a, b in pairwise(has) if a != b}


SIGN = {
    "pick": "+holding", "place": "-holding", "open": "+other_relationship", "close": "-other_relationship",
    "store": "+in", "take_out": "-in", "drink": "+drinking_from", "eat": "+eating",
}  # fmt: skip


def test_the_order_of_relation_labels_tells_the_action() -> None:
    """A rule on the labels alone finds the class; with the frames in another order it could not."""
    right = 0
    for take in takes(True):
        found = set()
        for name in take.things:
            i = take.video.names.index(name)
            said = [relations(s, s.things[i]) for s in map(take.video.__getitem__, take.frames)]
            seen = [{*r.spatial, *r.contacting} for r in said]
            moved = set().union(*(changes(seen, word[1:]) for word in SIGN.values()))
            found |= {
                label
                for label, c in enumerate(CLASSES)
                if kind_of(name) in c.kinds and SIGN[c.action] in moved and c.action not in ("pick", "place")
            } or {
                label
                for label, c in enumerate(CLASSES)
                if kind_of(name) in c.kinds and SIGN[c.action] in moved
            }  # fmt: skip
        right += take.acts[0].label in found and len(found) == 1
    assert right >= 0.95 * len(takes(True))


def test_takes_hold_what_they_say() -> None:
    for single in (True, False):
        for take in takes(single):
            assert len({a.label for a in take.acts}) in ((1,) if single else (2, 3))
            assert 0 <= take.frames[0] <= take.frames[-1] < len(take.video)
            words = [OFFICIAL[kind_of(name)] for name in take.things]
            assert len(set(words)) == len(words)
            for act in take.acts:
                assert act.thing in take.things
                assert KIND[kind_of(act.thing)].name in CLASSES[act.label].kinds
                assert 0 <= act.start < act.change < act.stop <= len(take.video)


def test_single_takes_are_balanced_and_parts_share_nobody() -> None:
    counts = Counter(take.acts[0].label for take in draw_takes(seed=1, videos=160, single=True))
    assert set(counts) == set(range(len(CLASSES)))
    assert max(counts.values()) <= 3 * min(counts.values()) + 3
    who: dict[str, set[str]] = {"train": set(), "test": set()}
    for take in takes(False):
        who[take.part].add(take.video.person)
    assert who["train"]
    assert who["test"]
    assert not who["train"] & who["test"]


def test_more_takes_leave_the_first_as_they_are() -> None:
    few = list(draw_takes(seed=8, videos=5))
    for a, b in zip(few, takes(False), strict=False):
        assert (a.acts, a.frames, a.index, a.part) == (b.acts, b.frames, b.index, b.part)
        np.testing.assert_array_equal(a.video.center, b.video.center)


def test_truth_names_the_moment_of_the_change(root: Path) -> None:
    truth = [json.loads(line) for line in lines(root / "truth.jsonl")]
    assert {t["id"] for t in truth} == {row["id"] for part in ("train", "test") for row in rows(root, part)}
    take = takes(True)[0]
    act = take.acts[0]
    clip_classes = {class_of(c) for c in _clips_of(take)}
    assert act.label in clip_classes


def _clips_of(take: Take) -> list[Any]:
    from whyact.homeworld.annotate import read_clips

    return read_clips(take.video)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"videos": 0}, "videos"), ({"seed": -1}, "seed"), ({"rho": 1.5}, "rho"), ({"every": 0}, "every"),
     ({"subjects": 1}, "subjects")],
    ids=["videos", "seed", "rho", "every", "subjects"],
)  # fmt: skip
def test_numbers_out_of_range_leave_nothing_behind(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=rf"^{match}: "):
        write_action_genome(tmp_path / "w", **{"seed": 0, "videos": 2, "pixels": False, **options})
    assert list(tmp_path.iterdir()) == []
