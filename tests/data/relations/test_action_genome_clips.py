"""Clips from Action Genome: slots, validity, labels, what is kept without a token, folds by scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from action_genome_layout import BOX, CUP, person, row, thing, write_annotations, write_charades, write_root

from whyact.data.relations.action_genome_clips import NATIVE_RATE, find_layout, read
from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS
from whyact.errors import UserError

HOLDING, FREE = RELATIONS.index("holding"), RELATIONS.index("not_contacting")


def test_slots_are_classes_and_ranks_from_left_to_right(tmp_path: Path) -> None:
    clip = read(write_root(tmp_path), slots=8).clips[0]
    assert clip.frames.tolist() == [10, 30, 50]
    np.testing.assert_allclose(clip.times, np.array([9, 29, 49]) / NATIVE_RATE)
    # Two tokens of the left cup come first; then, with one each, the box before the right cup by class.
    assert clip.slots == (("person", CUP), ("person", BOX), ("person", f"{CUP} 2"))
    assert clip.valid.tolist() == [[True, False, True], [True, True, False], [False, False, False]]
    assert clip.object_boxes[0, 0].tolist() == [10, 20, 40, 60]
    assert clip.object_boxes[0, 2].tolist() == [300, 20, 330, 60]
    assert clip.subject_boxes[1, 1].tolist() == [5, 5, 20, 20]
    assert not clip.subject_boxes[~clip.valid].any()
    assert clip.relations is not None
    assert clip.relations[0, 0, HOLDING]
    assert clip.relations[0, 2, FREE]
    assert not clip.relations[~clip.valid].any()
    assert (clip.subject_class == 0).all()
    assert [OBJECTS[c] for c in clip.object_class] == [CUP, BOX, CUP]
    assert clip.targets == (0, 2)
    assert clip.target is None


def test_only_the_most_frequent_slots_are_kept_and_the_rest_counted(tmp_path: Path) -> None:
    clip = read(write_root(tmp_path), slots=1).clips[0]
    assert clip.slots == (("person", CUP),)
    assert clip.dropped_pairs == 2


def test_a_video_without_a_token_is_kept_and_counted(tmp_path: Path) -> None:
    found = read(write_root(tmp_path), slots=8)
    by_id = {clip.id: clip for clip in found.clips}
    assert by_id["BBBB2"].valid.shape == (2, 0)  # annotated, but never person and object together
    assert by_id["CCCC3"].valid.shape == (1, 0)  # never annotated
    assert found.facts["videos_without_token"] == 2
    assert found.facts["videos_not_annotated"] == 1
    assert found.facts["frames_without_person"] == 2
    assert found.fold(1)[1][0].targets == (1,)


def test_one_usable_frame_is_enough(tmp_path: Path) -> None:
    root = write_charades(tmp_path)
    key = "AAAA1.mp4/000007.png"
    write_annotations(root / "annotations", {key: person((1, 1, 9, 9))}, {key: [thing(CUP, (2, 2, 3, 3), "holding")]})
    assert read(root, slots=8).clips[0].valid.tolist() == [[True]]


def test_contact_only_and_small_objects(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    whole = read(root, slots=8).clips[0].relations
    found = read(root, slots=8, contact_only=True)
    contact = found.clips[0].relations
    assert whole is not None
    assert contact is not None
    np.testing.assert_array_equal(contact, whole[..., 9:])
    assert found.vocabulary.relations == RELATIONS[9:]
    large = read(root, slots=8, filter_small=16)
    assert large.clips[0].slots == (("person", CUP), ("person", f"{CUP} 2"))
    assert large.facts["objects_too_small"] == 2


def test_reading_one_clip(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    assert [clip.id for clip in read(root, slots=8, only="BBBB2").clips] == ["BBBB2"]
    with pytest.raises(UserError, match="a video of the Charades lists"):
        read(root, slots=8, only="ZZZZ9")


def test_scene_folds_keep_training_and_test_scenes_apart(tmp_path: Path) -> None:
    scenes = ["Kitchen", "Bedroom", "Stairs", "Garage", "Pantry", "Other"]
    train = [row(f"T{i}{j}", scene=s) for i, s in enumerate(scenes) for j in range(6 - i)]
    test = [row(f"E{i}", scene=s) for i, s in enumerate(scenes)]
    root = write_charades(tmp_path, train, test)
    key = "T00.mp4/000001.png"
    write_annotations(root, {key: person()}, {key: []})
    found = read(root, slots=4, scenes=True)
    scene = dict(
        zip([c.id for c in found.clips], [s for i, s in enumerate(scenes) for _ in range(6 - i)] + scenes, strict=True)
    )
    assert sorted(found.folds) == [1, 2, 3, 4, 5]
    tested = []
    for number in found.folds:
        left, right = found.fold(number)
        assert {scene[c.id] for c in left}.isdisjoint({scene[c.id] for c in right})
        tested += [c.id for c in right]
    assert sorted(tested) == sorted(f"E{i}" for i in range(6))  # each test video once
    with pytest.raises(UserError, match="at least 5 scenes"):
        read(write_root(tmp_path / "few"), slots=4, scenes=True)


def test_annotated_videos_must_be_in_the_lists(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    write_charades(root, train=[row("AAAA1")], test=[row("XXXX1")])
    with pytest.raises(UserError, match="video BBBB2"):
        read(root, slots=8)


def test_parts_are_found_where_their_releases_keep_them(tmp_path: Path) -> None:
    write_charades(tmp_path / "Charades")
    write_annotations(tmp_path / "annotations")
    (tmp_path / "Charades_v1_480").mkdir()
    place = find_layout(tmp_path)
    assert (place.annotations.name, place.charades.name, place.videos.name) == (
        "annotations",
        "Charades",
        "Charades_v1_480",
    )
    with pytest.raises(UserError, match=r"person_bbox\.pkl in one of"):
        find_layout(tmp_path / "Charades")
