"""Action Genome's pickles and the converted file: boxes, people, relations, and what is said to a hostile one."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_genome_layout import CUP, annotations, person, thing, write_annotations

from whyact.data.relations import action_genome as ag
from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS, check_list, vocabulary
from whyact.errors import UserError

KEY = "AAAA1.mp4/000010.png"


def same(a: ag.Annotations, b: ag.Annotations) -> None:
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_frames_are_sorted_and_both_box_conventions_become_one(tmp_path: Path, protocol: int) -> None:
    found = ag.read_pickles(write_annotations(tmp_path, protocol=protocol))
    assert found.videos == ("AAAA1", "BBBB2")
    assert found.keys() == sorted(annotations()[0])
    assert found.person[0].tolist() == [50, 60, 150, 260]  # xyxy stays
    assert found.box[found.frame == 0].tolist() == [[300, 20, 330, 60], [10, 20, 40, 60]]  # xywh is turned
    assert (found.box[:, 2:] > found.box[:, :2]).all()
    assert found.size.tolist() == [[480, 270]] * 5
    assert found.hidden == 2


def test_the_person_is_the_one_with_the_highest_score(tmp_path: Path) -> None:
    found = ag.read_pickles(write_annotations(tmp_path))
    assert found.person[1].tolist() == [5, 5, 20, 20]
    assert found.score[1] == np.float32(0.8)
    assert not found.person[[2, 3]].any()  # nobody there


def test_relations_become_bits_in_the_order_of_the_words(tmp_path: Path) -> None:
    found = ag.read_pickles(write_annotations(tmp_path))
    first = found.bits[found.frame == 0]
    named = [{r for i, r in enumerate(RELATIONS) if int(code) >> i & 1} for code in first]
    assert named == [
        {"not_looking_at", "in_front_of", "on_the_side_of", "not_contacting"},
        {"looking_at", "in_front_of", "holding"},
    ]


def test_the_converted_file_says_the_same_and_is_preferred(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path)
    found = replace(ag.read_pickles(folder), rate=np.array([29.97, 24.0], np.float32))
    path = ag.write_converted(folder, found)
    same(ag.read_converted(path), found)
    same(ag.read_annotations(folder), found)
    for name in (ag.PERSONS, ag.RELATED):
        (folder / name).unlink()
    same(ag.read_annotations(folder), found)  # the pickles are no longer needed


def test_a_converted_file_older_than_its_pickles_is_refused(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path)
    ag.write_converted(folder, ag.read_pickles(folder))
    write_annotations(folder, {KEY: person((1, 1, 5, 5))}, {KEY: []})
    with pytest.raises(UserError, match="changed since"):
        ag.read_annotations(folder)


def test_an_annotation_without_a_single_box_survives(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path, {KEY: person()}, {KEY: [thing(CUP, None)]})
    found = ag.read_pickles(folder)
    assert found.box.shape == (0, 4)
    same(ag.read_converted(ag.write_converted(folder, found)), found)


def test_an_empty_object_box_is_counted_and_left_out(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path, {KEY: person()}, {KEY: [thing(CUP, (5, 5, 0, 9), "holding")]})
    found = ag.read_pickles(folder)
    assert (len(found.box), found.empty_boxes) == (0, 1)


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("exit 3",)


@pytest.mark.parametrize("name", [ag.PERSONS, ag.RELATED])
def test_a_hostile_pickle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = write_annotations(tmp_path)
    (folder / name).write_bytes(pickle.dumps({KEY: Attack()}))
    with pytest.raises(UserError, match=rf"{name}: found '(posix|nt).system'"):
        ag.read_annotations(folder)


def one_person(**values: Any) -> dict[str, Any]:
    return {**person((1, 2, 30, 40)), **values}


def one_thing(**values: Any) -> list[dict[str, Any]]:
    return [{**thing(CUP, (1, 2, 3, 4), "holding"), **values}]


BROKEN: dict[str, tuple[Any, Any, str]] = {
    "person box turned round": (one_person(bbox=np.array([[30, 2, 1, 40]], np.float32)), [], "x1 < x2"),
    "person box of nan": (one_person(bbox=np.array([[1, 2, np.nan, 4]], np.float32)), [], "x1 < x2"),
    "person box of text": (one_person(bbox=np.array([["1"] * 4])), [], "bbox"),
    "three numbers a box": (one_person(bbox=np.zeros((1, 3), np.float32)), [], "bbox"),
    "a score too many": (one_person(bbox_score=np.ones(2, np.float32)), [], "bbox"),
    "no score": ({k: v for k, v in person().items() if k != "bbox_score"}, [], "bbox_score"),
    "size of zero": (one_person(bbox_size=(0, 270)), [], "size"),
    "size of one number": (one_person(bbox_size=480), [], "bbox_size"),
    "xywh person": (one_person(bbox_mode="xywh"), [], "bbox_mode"),
    "person is a list": ([], [], "person_bbox.pkl"),
    "objects are a number": (one_person(), 3, "a list of objects"),
    "objects are an array": (one_person(), [np.zeros((1, 4))], "a list of objects"),
    "unknown class": (one_person(), one_thing(**{"class": "unicorn"}), "unicorn"),
    "unknown relation": (one_person(), one_thing(contacting_relationship=["hugging"]), "hugging"),
    "relation list is a number": (one_person(), one_thing(spatial_relationship=4), "a list of objects"),
    "relation is a list": (one_person(), one_thing(spatial_relationship=[[]]), "a list of objects"),
    "no bbox key": (one_person(), [{"class": CUP}], "bbox"),
    "two numbers an object": (one_person(), one_thing(bbox=(1, 2)), "x, y, width, height"),
    "object box of text": (one_person(), one_thing(bbox=("a", 1, 1, 1)), "objects"),
    "negative width": (one_person(), one_thing(bbox=(5, 5, -2, 9)), "no side negative"),
    "nan object": (one_person(), one_thing(bbox=(5, 5, float("nan"), 9)), "no side negative"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_frame_is_named(tmp_path: Path, name: str) -> None:
    value, objects, said = BROKEN[name]
    folder = write_annotations(tmp_path, {KEY: value}, {KEY: objects})
    with pytest.raises(UserError) as caught:
        ag.read_pickles(folder)
    assert said in str(caught.value)
    assert ".pkl" in str(caught.value)


def test_the_pickles_must_name_the_same_frames_and_name_them_well(tmp_path: Path) -> None:
    persons, related = annotations()
    del related[KEY]
    with pytest.raises(UserError, match=f"{KEY}.*same frames"):
        ag.read_pickles(write_annotations(tmp_path / "a", persons, related))
    for i, key in enumerate(["../x.mp4/000001.png", "A.mp4/1.png", "A.mp4/000000.png", 7, "A.mp4/00001\u0662.png"]):
        folder = write_annotations(tmp_path / f"b{i}")
        for name, value in ((ag.PERSONS, person()), (ag.RELATED, [])):
            (folder / name).write_bytes(pickle.dumps({key: value}))
        with pytest.raises(UserError, match="frames named like"):
            ag.read_pickles(folder)


def spoiled(change: Callable[[bytearray], Any]) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return run


@pytest.mark.parametrize("length", [0, 5, 8, 200, 900])
def test_a_cut_converted_file_is_named(tmp_path: Path, length: int) -> None:
    folder = write_annotations(tmp_path)
    path = ag.write_converted(folder, ag.read_pickles(folder))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="converted by whyact"):
        ag.read_annotations(folder)


def test_arrays_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    folder = write_annotations(tmp_path)
    good = ag.read_pickles(folder)
    for bad in (
        replace(good, frame=good.frame[::-1].copy()),
        replace(good, frame=good.frame + 100),
        replace(good, kind=good.kind + 36),
        replace(good, video=good.video - 1),
        replace(good, videos=("..", "BBBB2")),
        replace(good, bits=good.bits | np.uint32(1 << 30)),
        replace(good, box=good.box[:-1]),
        replace(good, box=good.box * np.nan),
    ):
        path = ag.write_converted(folder, bad)
        with pytest.raises(UserError):
            ag.read_converted(path)


def test_frame_lists(tmp_path: Path) -> None:
    path = tmp_path / "frame_list.txt"
    path.write_text(f"{KEY}\n\n{KEY}\nB.mp4/000002.png\n")
    assert ag.read_frame_list(path) == [KEY, "B.mp4/000002.png"]
    path.write_text(f"{KEY}\n/etc/passwd\n")
    with pytest.raises(UserError, match=r"frame_list\.txt line 2"):
        ag.read_frame_list(path)


def test_words(tmp_path: Path) -> None:
    assert (len(OBJECTS), len(RELATIONS)) == (36, 26)
    words = vocabulary(("a", "b"))
    assert [words.group_of.count(g) for g in range(3)] == [3, 6, 17]
    assert words.naming == tuple(range(9, 26))
    contact = vocabulary(("a", "b"), contact_only=True)
    assert contact.relations == RELATIONS[9:]
    assert contact.naming == tuple(range(17))
    folder = write_annotations(tmp_path)
    check_list(folder / ag.OBJECT_LIST, OBJECTS)
    lines = (folder / ag.RELATION_LIST).read_text().replace("unsure", "sure")
    (folder / ag.RELATION_LIST).write_text(lines)
    with pytest.raises(UserError, match=r"relationship_classes\.txt line 3: found 'sure'"):
        check_list(folder / ag.RELATION_LIST, RELATIONS)
