"""The reader of the CAD-120 layout: what it makes of a hand-written annotation, and what it says to a broken one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cad120_layout import (
    FIRST,
    LINES,
    Files,
    annotation_files,
    first_video,
    score_files,
    second_video,
    write_folder,
    write_zip,
)

from whyact.data.relations import cad120
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import Rule
from whyact.errors import UserError
from whyact.homeworld.write import write_world

REAL = Path(__file__).parents[3] / "shared" / "data" / "cad120"
HELD, FREE, NEAR, APART, SHUT, OPEN = range(6)


def read(tmp_path: Path, files: Files | None = None, **options: Any) -> RelationData:
    return cad120.read(write_folder(tmp_path, files or annotation_files()), **options)


def labels(clip: Any) -> np.ndarray:
    """Return (T,K) the one relation of each token, -1 where it is not valid."""
    return np.where(clip.valid, clip.relations.argmax(-1), -1)


class TestWhatIsRead:
    def test_vocabulary(self, tmp_path: Path) -> None:
        words = read(tmp_path).vocabulary
        assert words.objects == ("hand", "head", "cup", "tea-box")
        assert words.relations == ("held", "free", "near", "apart", "shut", "open")
        assert words.actions == ("null", "pick", "place", "open", "close", "drink")
        assert words.allowed == {
            ("hand", "cup"): ("held", "free"),
            ("hand", "tea-box"): ("held", "free"),
            ("head", "cup"): ("near", "apart"),
            ("tea-box", "tea-box"): ("shut", "open"),
        }
        assert Rule("pick", "free", "held", "hand", ("cup", "tea-box")) in words.rules
        assert Rule("open", "shut", "open", "", ("tea-box",)) in words.rules
        assert len(words.rules) == 5

    def test_clips_keep_the_order_of_the_list(self, tmp_path: Path) -> None:
        files = annotation_files()
        files["video_clips.txt"] = "\n".join(reversed(LINES))
        clips = read(tmp_path, files).clips
        assert [c.id for c in clips] == ["Ben/cook/0002/2-5", "Ada/tidy/0001/3-6", "Ada/tidy/0001/1-4"]
        assert [c.group for c in clips] == ["Ben", "Ada", "Ada"]

    def test_frames_are_one_based_and_inclusive(self, tmp_path: Path) -> None:
        clip = read(tmp_path).clips[1]
        assert clip.frames.tolist() == [3, 4, 5, 6]
        assert clip.times == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])
        hand = clip.slots.index(("hand_1", "cup_1"))
        assert clip.subject_boxes[:, hand].tolist() == [[10.0 * t, 20, 10.0 * t + 30, 60] for t in (2, 3, 4, 5)]

    def test_boxes_become_corners_and_hidden_ones_zeros(self, tmp_path: Path) -> None:
        clip = read(tmp_path).clips[0]
        cup = clip.object_boxes[:, clip.slots.index(("hand_1", "cup_1"))]
        assert cup.dtype == np.float32
        assert cup.tolist() == [[100, 200, 120, 230], [0, 0, 0, 0], [100, 200, 120, 230], [100, 200, 120, 230]]

    def test_a_hidden_box_stays_a_token_and_an_unnamed_relation_does_not(self, tmp_path: Path) -> None:
        clip = read(tmp_path).clips[0]
        assert clip.slots == (("hand_1", "cup_1"), ("head_1", "cup_1"))  # as visible as each other: by name
        assert labels(clip).tolist() == [[FREE, APART], [FREE, APART], [HELD, APART], [-1, NEAR]]
        assert not clip.relations[3, 0].any()
        assert (clip.relations.sum(-1) == clip.valid).all()

    def test_pairs_seen_longest_come_first_and_unseen_ones_not_at_all(self, tmp_path: Path) -> None:
        dataset = read(tmp_path)
        assert dataset.clips[1].slots == (
            ("hand_1", "cup_1"),
            ("head_1", "cup_1"),
            ("hand_1", "tea-box_1"),  # one frame, and so the box's attribute
            ("tea-box_1", "tea-box_1"),
        )
        assert dataset.clips[1].subject_class.tolist() == [0, 1, 0, 3]
        assert dataset.clips[1].object_class.tolist() == [2, 2, 3, 3]

    def test_pairs_beyond_the_limit_are_dropped_and_counted(self, tmp_path: Path) -> None:
        clip = read(tmp_path, max_pairs=3).clips[1]
        assert (len(clip.slots), clip.dropped_pairs) == (3, 1)
        assert clip.slots[-1] == ("hand_1", "tea-box_1")
        assert read(tmp_path).clips[1].dropped_pairs == 0

    def test_attributes_are_self_pairs(self, tmp_path: Path) -> None:
        clip = read(tmp_path).clips[2]
        assert clip.slots == (("tea-box_1", "tea-box_1"),)
        assert labels(clip)[:, 0].tolist() == [SHUT, SHUT, OPEN, OPEN]
        assert clip.subject_boxes.tolist() == clip.object_boxes.tolist() == [[[5, 6, 12, 14]]] * 4
        assert clip.target == 3

    def test_a_clip_without_any_pair_is_a_clip_of_no_slot(self, tmp_path: Path) -> None:
        files = annotation_files()
        files[FIRST] = json.dumps({**first_video(), "relations": [], "attributes": []})
        clip = read(tmp_path, files).clips[0]
        assert clip.valid.shape == (4, 0)
        assert clip.relations is not None
        assert clip.relations.shape == (4, 0, 6)

    @pytest.mark.parametrize("top", ["annotations/", ""])
    def test_a_zip_reads_like_its_folder(self, tmp_path: Path, top: str) -> None:
        write_zip(tmp_path, annotation_files(), top=top)
        packed, plain = cad120.read(tmp_path), read(tmp_path / "folder")
        assert packed.folds == plain.folds
        assert packed.vocabulary == plain.vocabulary
        for a, b in zip(packed.clips, plain.clips, strict=True):
            assert a.slots == b.slots
            assert (a.object_boxes == b.object_boxes).all()
            assert (labels(a) == labels(b)).all()

    def test_a_zip_with_another_top_folder_beside(self, tmp_path: Path) -> None:
        """Some systems add a folder of their own that sorts before ours."""
        files = {f"annotations/{name}": text for name, text in annotation_files().items()}
        write_zip(tmp_path, {"__MACOSX/._note": "", **files}, top="")
        assert len(cad120.read(tmp_path).clips) == 3

    def test_the_root_may_be_the_annotations_folder_itself(self, tmp_path: Path) -> None:
        write_folder(tmp_path, annotation_files())
        assert len(cad120.read(tmp_path / "annotations").clips) == 3

    def test_only_one_clip(self, tmp_path: Path) -> None:
        files = annotation_files()
        del files[FIRST]  # the other video is not even opened
        dataset = read(tmp_path, files, only="Ben/cook/0002/2-5")
        assert [c.id for c in dataset.clips] == ["Ben/cook/0002/2-5"]
        assert dataset.folds == {1: ((0,), ()), 2: ((), (0,))}

    def test_a_generated_world_is_read(self, tmp_path: Path) -> None:
        dataset = cad120.read(write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1))
        assert {c.group for c in dataset.clips} == {"Subject1", "Subject2"}
        assert all(c.relations is not None and (c.relations.sum(-1) == c.valid).all() for c in dataset.clips)


class TestFolds:
    def test_members(self, tmp_path: Path) -> None:
        dataset = read(tmp_path)
        assert dataset.folds == {1: ((2,), (0, 1)), 2: ((0, 1), (2,))}
        train, test = dataset.fold(1)
        assert {c.group for c in train} == {"Ben"}
        assert {c.group for c in test} == {"Ada"}

    def test_checksum_names_the_split(self, tmp_path: Path) -> None:
        dataset = read(tmp_path)
        assert dataset.split_sha256(1) != dataset.split_sha256(2)
        assert dataset.split_sha256(1) == read(tmp_path / "again").split_sha256(1)
        train, test = dataset.folds[1]
        swapped = replace(dataset, folds={1: (test, train)})  # the same clips, the other way round
        assert swapped.split_sha256(1) != dataset.split_sha256(1)

    def test_unknown_fold(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"fold: found 7, expected one of \[1, 2\]"):
            read(tmp_path).fold(7)

    @pytest.mark.parametrize("side", ["train", "test"])
    def test_empty_fold(self, tmp_path: Path, side: str) -> None:
        dataset = read(tmp_path, {**annotation_files(), f"splits/{side}list01.txt": "Cleo\n"})
        assert len(dataset.fold(2)[0]) == 2  # the other fold is as good as before
        with pytest.raises(
            UserError,
            match=rf"fold 1 of cad120: found no clip, expected at least one clip to {side} on. Try: fold=2",
        ):
            dataset.fold(1)


class TestScores:
    def read(self, tmp_path: Path, scores: Files, files: Files | None = None) -> RelationData:
        write_folder(tmp_path, scores, "results_attributes+relationships")
        return read(tmp_path, files, rgb_relations=True)

    def test_columns_and_hidden_boxes(self, tmp_path: Path) -> None:
        clip = self.read(tmp_path, score_files()).clips[1]
        assert clip.appearance is not None
        assert clip.appearance.shape == (4, 4, 6)
        relation, attribute = clip.appearance[:, 0], clip.appearance[:, 3]
        assert relation[2].tolist() == pytest.approx([0.2, 0.21, 0.22, 0.23, 0, 0])
        assert np.isnan(relation[1]).tolist() == [True] * 4 + [False] * 2
        assert attribute[3].tolist() == pytest.approx([0, 0, 0, 0, 0.3, 0.31])
        assert self.read(tmp_path, score_files()).clips[2].appearance is not None  # from its own fold's folder

    def test_are_not_read_unless_asked_for(self, tmp_path: Path) -> None:
        assert all(c.appearance is None for c in read(tmp_path).clips)

    @pytest.mark.parametrize("rows", [1, 3, 5])
    def test_wrong_number_of_rows(self, tmp_path: Path, rows: int) -> None:
        """One row would even broadcast."""
        scores = score_files()
        member = "01/Ada/tidy/0001/1_4_rel.json"
        content = json.loads(scores[member])
        content[1]["rel_list"] = [["0.5"] * 4] * rows
        scores[member] = json.dumps(content)
        with pytest.raises(UserError, match=r"01/Ada/tidy/0001/1_4: head_1-cup_1: .*expected \(4, 4\) numbers"):
            self.read(tmp_path, scores)

    def test_a_score_that_is_no_number(self, tmp_path: Path) -> None:
        scores = score_files()
        member = "02/Ben/cook/0002/2_5_attr.json"
        scores[member] = scores[member].replace("0.31", "high")
        with pytest.raises(UserError, match=r"02/Ben/cook/0002/2_5: tea-box_1-tea-box_1: .*high"):
            self.read(tmp_path, scores)

    def test_missing_pair(self, tmp_path: Path) -> None:
        scores = score_files()
        scores["01/Ada/tidy/0001/1_4_rel.json"] = "[]"
        with pytest.raises(UserError, match=r"01/Ada/tidy/0001/1_4: expected scores for the pair hand_1-cup_1"):
            self.read(tmp_path, scores)

    def test_missing_clip(self, tmp_path: Path) -> None:
        scores = score_files()
        del scores["01/Ada/tidy/0001/3_6_attr.json"]
        with pytest.raises(UserError, match=r"relationships: 01/Ada/tidy/0001/3_6_attr.json: expected this file"):
            self.read(tmp_path, scores)

    def test_missing_archive(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"expected results_attributes\+relationships.zip or the folder"):
            read(tmp_path, rgb_relations=True)

    def test_a_subject_that_no_fold_tests(self, tmp_path: Path) -> None:
        files = annotation_files()
        files["splits/testlist02.txt"] = "Cleo\n"
        with pytest.raises(UserError, match="splits: found 'Ben', expected a fold that tests this subject"):
            self.read(tmp_path, score_files(), files)


def spoil(change: Callable[[dict[str, Any]], object]) -> Callable[[Files], None]:
    """Return a function that changes the decoded first video in place."""

    def apply(files: Files) -> None:
        video = first_video()
        change(video)
        files[FIRST] = json.dumps(video)

    return apply


def line(text: str) -> Callable[[Files], None]:
    """Return a function that puts a line of its own under the good ones of ``video_clips.txt``."""
    return lambda files: files.update({"video_clips.txt": "\n".join([*LINES, text])})


def text(member: str, content: str) -> Callable[[Files], None]:
    return lambda files: files.update({member: content})


BROKEN: dict[str, tuple[Callable[[Files], object], tuple[str, ...]]] = {
    "clip beyond its video": (line("Ben, cook, 0002, 2, 6, null"), ("0002.json", "2-6", "last frame 6", "at most 5")),
    "clip that ends before it starts": (line("Ben, cook, 0002, 4, 3, null"), ("video_clips.txt line 4", "4-3")),
    "clip from frame 0": (line("Ben, cook, 0002, 0, 3, null"), ("video_clips.txt line 4", "0-3")),
    "clip listed twice": (line(LINES[0]), ("video_clips.txt line 4", "Ada/tidy/0001/1-4", "once")),
    "line with too few fields": (line("Ben, cook, 0002, 2, 5"), ("video_clips.txt line 4", "Ben, cook, 0002, 2, 5")),
    "frame that is no number": (line("Ben, cook, 0002, 2, five, null"), ("video_clips.txt line 4", "five")),
    "unknown action": (line("Ben, cook, 0002, 1, 5, juggle"), ("video_clips.txt line 4", "juggle", "pick, place")),
    "no clip": (text("video_clips.txt", "\n\n"), ("video_clips.txt", "no line")),
    "missing video": (line("Ben, cook, 0009, 1, 5, null"), ("all/Ben/cook/0009.json", "missing")),
    "video named with a null byte": (line("Ben, cook, 00\x0002, 1, 5, null"), ("all/Ben/cook", "undamaged")),
    "missing list": (lambda files: files.pop("video_clips.txt"), ("video_clips.txt", "missing")),
    "missing knowledge": (
        lambda files: files.pop("knowledge/action_list.txt"),
        ("knowledge/action_list.txt", "missing"),
    ),
    "knowledge with too few fields": (
        text("knowledge/act_rel_list.txt", "pick; free; held; hand"),
        ("knowledge/act_rel_list.txt", "pick; free; held; hand", "5 fields"),
    ),
    "no fold": (lambda files: files.pop("splits/testlist01.txt"), ("splits", "testlist01.txt")),
    "fold without a training list": (
        lambda files: files.pop("splits/trainlist02.txt"),
        ("splits/trainlist02.txt", "missing"),
    ),
    "overlapping train and test subjects": (
        text("splits/trainlist02.txt", "Ada\nBen\n"),
        ("splits, fold 2", "Ben", "disjoint"),
    ),
    "box outside the image": (
        spoil(lambda v: v["locations"][2]["loc_list"].__setitem__(4, [630, 0, 20, 20])),
        ("0001.json", "cup_1", "frame 5", "630"),
    ),
    "box with a negative corner": (
        spoil(lambda v: v["locations"][0]["loc_list"].__setitem__(0, [-1, 0, 20, 20])),
        ("0001.json", "hand_1", "frame 1", "-1"),
    ),
    "box of three numbers": (
        spoil(lambda v: v["locations"][0]["loc_list"].__setitem__(0, [1, 2, 3])),
        ("0001.json", "locations", "length 4"),
    ),
    "unknown relation": (
        spoil(lambda v: v["relations"][2]["rel_list"].__setitem__(0, "licked")),
        ("0001.json", "hand_1-cup_1", "licked"),
    ),
    "unknown attribute": (
        spoil(lambda v: v["attributes"][0]["attr_list"].__setitem__(0, "blue")),
        ("0001.json", "tea-box_1", "blue"),
    ),
    "unknown object class": (
        spoil(lambda v: v["locations"][0].update(obj_id="paw_1")),
        ("0001.json", "paw_1", "hand, head"),
    ),
    "object without locations": (
        spoil(lambda v: v["relations"][0].update(obj_ids=["hand_2", "cup_1"])),
        ("0001.json", "hand_2-cup_1", "hand_2", "locations"),
    ),
    "too few boxes": (
        spoil(lambda v: v["locations"][1]["loc_list"].pop()),
        ("0001.json", "head_1", "5 boxes", "6, one a frame"),
    ),
    "too many relations": (
        spoil(lambda v: v["relations"][1]["rel_list"].append("near")),
        ("0001.json", "head_1-cup_1", "7 labels", "6, one a frame"),
    ),
    "object listed twice": (
        spoil(lambda v: v["locations"].append(v["locations"][2])),
        ("0001.json: locations", "cup_1", "once"),
    ),
    "pair listed twice": (
        spoil(lambda v: v["relations"].append({"obj_ids": ["hand_1", "cup_1"], "rel_list": ["held"] * 6})),
        ("0001.json: relations", "hand_1-cup_1", "once"),
    ),
    "word listed twice": (
        text("knowledge/action_list.txt", "null\npick\npick\nplace\nopen\nclose\ndrink"),
        ("knowledge/action_list.txt", "pick", "once"),
    ),
    "malformed JSON": (text(FIRST, json.dumps(first_video())[:-7]), ("0001.json", "JSON")),
    "JSON of another layout": (text(FIRST, '{"boxes": []}'), ("0001.json", "locations")),
    "JSON that is no UTF-8": (
        lambda files: files.update({FIRST: "\udcff"}),
        ("0001.json",),
    ),
}


class TestWhatIsRefused:
    @pytest.mark.parametrize("case", BROKEN)
    def test_broken(self, tmp_path: Path, case: str) -> None:
        break_it, named = BROKEN[case]
        files = annotation_files()
        break_it(files)
        for member, content in files.items():
            path = tmp_path / "annotations" / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(UserError) as error:
            cad120.read(tmp_path)
        assert str(tmp_path / "annotations") in str(error.value)
        for word in named:
            assert word in str(error.value)

    def test_root_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"root: found '.*nowhere', expected a folder"):
            cad120.read(tmp_path / "nowhere")

    def test_missing_archive(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"expected annotations.zip or the folder annotations/"):
            cad120.read(tmp_path)

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
    def test_truncated_zip(self, tmp_path: Path, share: float) -> None:
        path = write_zip(tmp_path, annotation_files())
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(UserError, match=r"annotations.zip: .*complete zip archive.*download"):
            cad120.read(tmp_path)

    def test_zip_with_a_spoilt_member(self, tmp_path: Path) -> None:
        """The directory at the end is whole; the bytes of one member are not."""
        path = write_zip(tmp_path, annotation_files())
        data = bytearray(path.read_bytes())
        at = data.index(FIRST.encode()) + len(FIRST) + 12
        data[at : at + 4] = b"\x00\x00\x00\x00"
        path.write_bytes(bytes(data))
        with pytest.raises(UserError, match=rf"annotations.zip: annotations/{FIRST}: .*undamaged"):
            cad120.read(tmp_path)

    def test_unknown_clip(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"clip: found 'Ada/tidy/0001/1-5', .* such as Ada/tidy/0001/1-4"):
            read(tmp_path, only="Ada/tidy/0001/1-5")

    def test_boxes_up_to_the_edge_are_fine(self, tmp_path: Path) -> None:
        files = annotation_files()
        video = second_video()
        video["locations"][0]["loc_list"][2] = [0, 0, 640, 480]
        files["all/Ben/cook/0002.json"] = json.dumps(video)
        assert read(tmp_path, files).clips[2].object_boxes[1, 0].tolist() == [0, 0, 640, 480]


@pytest.fixture(scope="module")
def dataset() -> RelationData:
    return cad120.read(REAL, rgb_relations=True)


@pytest.mark.skipif(not REAL.is_dir(), reason="the CAD-120 re-annotation is not beside the repository")
class TestRealAnnotation:
    def test_counts(self, dataset: RelationData) -> None:
        assert len(dataset.clips) == 551
        assert [len(dataset.fold(n)[1]) for n in (1, 2, 3, 4)] == [152, 135, 140, 124]
        assert all(len(train) + len(test) == 551 for train, test in dataset.folds.values())
        assert len(dataset.vocabulary.relations) == 8
        assert len(dataset.vocabulary.actions) == 10

    def test_no_pair_is_dropped(self, dataset: RelationData) -> None:
        assert max(len(c.slots) for c in dataset.clips) <= 28
        assert not any(c.dropped_pairs for c in dataset.clips)

    def test_each_subject_is_tested_once(self, dataset: RelationData) -> None:
        tested = [{c.group for c in dataset.fold(n)[1]} for n in dataset.folds]
        assert all(len(group) == 1 for group in tested)
        assert len(set.union(*tested)) == 4

    def test_scores_are_probabilities(self, dataset: RelationData) -> None:
        values = np.concatenate([c.appearance.reshape(-1, 8) for c in dataset.clips if c.appearance is not None])
        assert np.nanmin(values) >= 0
        assert np.nanmax(values) <= 1
        assert np.isnan(values).mean() < 0.2
