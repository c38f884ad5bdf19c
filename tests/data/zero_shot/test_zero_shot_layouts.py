"""The published layouts on small generated trees: what is listed, what is missing, what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import zero_shot_trees as trees
from whyact.cli import main
from whyact.data.datasets import load_zero_shot
from whyact.data.types import ZeroShotOptions
from whyact.data.zero_shot import layouts as zero_shot_layouts
from whyact.data.zero_shot import split_files as zero_shot_files
from whyact.data.zero_shot.types import ClassSplit, partition
from whyact.data.zero_shot.video_folders import encode, source
from whyact.errors import UserError

REAL = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "zero-shot"
real = pytest.mark.skipif(not (REAL / "Split.mat").is_file(), reason="set WHYACT_DATA to the folder of zero-shot/")
READING = ZeroShotOptions(trees.CLIP, "random", progress=False)


@pytest.fixture
def tiny_clip(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    trees.add_tiny_clip(tmp_path)


def test_ucf_lists_what_is_there_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.trust(monkeypatch, "ucf101")
    found = zero_shot_layouts.read("ucf101", trees.write_ucf(tmp_path))
    assert found.classes == trees.CLASSES
    assert [video.path.name for video in found.missing] == ["v_YoYo_g02_c01.avi"]
    assert len(found.videos) == 11
    assert {video.group for video in found.videos if video.label == "Archery"} == {f"Archery/g0{i}" for i in range(3)}
    assert found.splits[0].seen == ("Archery", "Hammering")
    assert zero_shot_layouts.read("ucf101", tmp_path, "ascii").splits[0].seen == ("Archery", "HammerThrow")
    assert found.words is not None
    assert found.words.shape == (4, 300)


def test_a_changed_split_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the published split file was changed"):
        zero_shot_layouts.read("ucf101", trees.write_ucf(tmp_path))


def test_corrupt_videos_of_a_list_are_taken_out_by_base_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.trust(monkeypatch, "ucf101")
    trees.write_ucf(tmp_path)
    listed = np.array(["../../datasets/ucf/UCF-101/Archery/v_Archery_g00_c01.avi"])
    np.save(tmp_path / "zero-shot" / "ucf_corrupt_clips.npy", listed)
    found = zero_shot_layouts.read("ucf101", tmp_path)
    assert [video.path.name for video in found.corrupt] == ["v_Archery_g00_c01.avi"]
    assert "v_Archery_g00_c01.avi" not in {video.path.name for video in found.videos}
    assert len(found.missing) == 1


def test_kinetics_keeps_its_three_parts_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.trust(monkeypatch, "kinetics")
    found = zero_shot_layouts.read("kinetics", trees.write_kinetics(tmp_path))
    split = found.splits[0]
    assert (split.seen, split.validation, split.unseen) == (("air_drumming", "situp"), ("tiptoeing",), ("sipping cup",))
    used = found.of(found.videos, split)
    assert {(v.part, v.label) for v in used if v.part != "train"} == {
        ("validate", "tiptoeing"),
        ("test", "sipping cup"),
    }
    other = found.of(found.videos, found.splits[1])
    assert {v.part for v in other if v.label == "tiptoeing"} == {"test"}
    assert not found.missing


def test_activitynet_is_one_flat_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.trust(monkeypatch, "activitynet")
    found = zero_shot_layouts.read("activitynet", trees.write_activitynet(tmp_path))
    assert [(v.path.name, v.label) for v in found.videos] == [
        ("v_a.mp4", "BMX"),
        ("v_b.mp4", "Baking cookies"),
        ("v_c.mp4", "Baking cookies"),
        ("v_d.mp4", "BMX"),
    ]
    assert found.splits[0].seen == ("BMX",)


@pytest.mark.parametrize(
    ("name", "write", "videos", "sources", "sides"),
    [
        ("hmdb51", trees.write_hmdb, 8, 8, (3, 2, 2, 0)),
        ("truze-hmdb51", trees.write_hmdb, 8, 8, (1, 2, 2, 0)),
        ("olympic-sports", trees.write_olympic, 8, 8, (3, 2, 2, 0)),
        ("activitynet", trees.write_activitynet, 4, 0, (1, 1, 1, 0)),
        ("kinetics", trees.write_kinetics, 18, 12, (3, 2, 1, 1)),
    ],
)
def test_data_check_of_every_layout_counts_missing_and_broken_videos(
    name: str,
    write: Callable[[Path], Path],
    videos: int,
    sources: int,
    sides: tuple[int, int, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trees.trust(monkeypatch, name)
    root = write(tmp_path / "data")

    def check() -> dict:
        assert main(["data", "check", name, "--root", str(root), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    whole = check()
    assert (whole["videos"], whole["missing"], whole["cannot_be_decoded"]) == (videos, 0, 0)
    assert whole["videos_with_a_known_source"] == sources
    assert tuple(whole["splits"][side] for side in ("number", "seen", "unseen", "validation")) == sides
    gone, broken = sorted(path for path in root.rglob("*") if path.suffix in (".avi", ".mp4"))[-2:]
    gone.unlink()
    broken.write_bytes(b"no video")
    found = check()
    assert (found["videos"], found["missing"], found["cannot_be_decoded"]) == (videos - 1, 1, 1)
    assert [Path(lost).stem for lost in found["first_missing"]] == [gone.stem]
    assert list(found["first_that_cannot_be_decoded"]) == [broken.relative_to(root).as_posix()]  # names repeat


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("Archery/v_Archery_g07_c02.avi", "Archery/g07"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi", "brush_hair/April_09"),
        ("situp/-0qOFqf_eRk_000016_000026.mp4", "situp/-0qOFqf_eRk"),
        ("high_jump/6qszUMe_7ro_00323_00464.avi", "high_jump/6qszUMe_7ro"),
        ("pouring/mine.mp4", ""),
    ],
)
def test_clips_of_one_source_are_known_by_their_names(path: str, group: str) -> None:
    assert source(Path(path)) == group


def test_validation_classes_are_on_no_other_side() -> None:
    with pytest.raises(UserError, match="'b' unseen and validation"):
        ClassSplit("s", ("a",), ("b",), ("b",))
    with_validation = ClassSplit("s", ("a",), ("b",), ("c",))
    assert with_validation.sha256 != ClassSplit("s", ("a",), ("b",)).sha256


def test_videos_are_encoded_once_and_missing_ones_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: None
) -> None:
    trees.trust(monkeypatch, "ucf101")
    root = trees.write_ucf(tmp_path / "data")
    (root / "ucf" / "UCF-101" / "YoYo" / "v_YoYo_g00_c01.avi").write_bytes(b"no video")
    data, split = load_zero_shot("ucf101", root, 1, READING)
    assert data.missing == ("v_YoYo_g02_c01.avi", "ucf/UCF-101/YoYo/v_YoYo_g00_c01.avi")
    assert (data.width, data.text.shape, data.said["HammerThrow"]) == (24, (4, 24), "hammer throw")
    assert data.pixels == data.semantics == "CLIP whyact-tiny-video random weights"
    monkeypatch.setattr("whyact.data.zero_shot.video_folders.decode", lambda *_: pytest.fail("decoded twice"))
    (root / "ucf" / "UCF-101" / "YoYo" / "v_YoYo_g00_c01.avi").unlink()
    again, _ = load_zero_shot("ucf101", root, 2, READING)
    np.testing.assert_array_equal(again.videos[0].features, data.videos[0].features)
    part = partition(data, split, 0.3, seed=0)
    assert len(part.validation) == 0


def test_a_root_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: None
) -> None:
    trees.trust(monkeypatch, "ucf101")
    root = trees.write_ucf(tmp_path / "data")
    monkeypatch.setattr("whyact.files.os.access", lambda *_: False)  # as on a read-only disk, also for root
    monkeypatch.setattr("whyact.data.zero_shot.video_folders.decode", lambda *_: pytest.fail("decoded first"))
    with pytest.raises(UserError, match=r"root.*a place that can be written to"):
        load_zero_shot("ucf101", root, 1, READING)


def test_word_vectors_stand_for_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: None) -> None:
    trees.trust(monkeypatch, "ucf101")
    root = trees.write_ucf(tmp_path / "data")
    words = ZeroShotOptions(trees.CLIP, "random", names="words")
    data, _ = load_zero_shot("ucf101", root, 1, words)
    table = zero_shot_files.read_labels(root / "zero-shot", "UCF101")
    np.testing.assert_allclose(data.text, table.words)
    assert (data.semantics, data.pixels) == ("word vectors of Label.mat", "CLIP whyact-tiny-video random weights")
    with pytest.raises(UserError, match="no word vectors"):
        load_zero_shot("videos", root / "ucf" / "UCF-101", 1, words)


def test_two_classes_with_one_prompt_are_refused(tmp_path: Path, tiny_clip: None) -> None:
    with pytest.raises(UserError, match="a prompt that brush_hair has not"):
        encode("x", [], {"brush_hair": "brush hair", "brush hair": "brush hair"}, "a {}", tmp_path, READING)


def test_names_for_the_graph_alone_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: None
) -> None:
    trees.trust(monkeypatch, "ucf101")
    root = trees.write_ucf(tmp_path / "data")
    (root / "graph-names.txt").write_text("air drumming\nArchery\n\nair drumming\nsurfing\n")
    data, _ = load_zero_shot("ucf101", root, 1, READING)
    assert data.auxiliary == ("air drumming", "surfing")
    assert data.auxiliary_text.shape == (2, 24)


def test_data_check_counts_and_tries_every_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.trust(monkeypatch, "ucf101")
    root = trees.write_ucf(tmp_path)
    broken = root / "ucf" / "UCF-101" / "Archery" / "v_Archery_g00_c01.avi"
    broken.write_bytes(broken.read_bytes()[:200])
    assert main(["data", "check", "ucf101", "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["videos"], found["missing"], found["first_missing"]) == (11, 1, ["v_YoYo_g02_c01.avi"])
    assert found["cannot_be_decoded"] == 1
    assert list(found["first_that_cannot_be_decoded"]) == ["ucf/UCF-101/Archery/v_Archery_g00_c01.avi"]
    assert found["splits"]["repeated"] == ["3 is 1"]
    assert found["splits"]["different_of_the_first_ten"] == 2
    assert found["splits"]["changed_by_ascii_order"] == 3


def test_own_clips_in_folders_below_their_class_stay_together(tmp_path: Path) -> None:
    for label in "abcd":
        trees.write_video(tmp_path / label / "1.mp4")
        trees.write_video(tmp_path / label / "kitchen" / "1.mp4")
    videos = zero_shot_layouts.read("videos", tmp_path).videos
    assert [(v.path.relative_to(tmp_path).as_posix(), v.label, v.group) for v in videos[:2]] == [
        ("a/1.mp4", "a", ""),
        ("a/kitchen/1.mp4", "a", "a/kitchen"),
    ]
    assert len(videos) == 8


def test_class_folders_without_a_video_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in "abcd":
        trees.write_video(tmp_path / label / "1.mp4")
    (tmp_path / "wave").mkdir()
    (tmp_path / "jump").mkdir()
    (tmp_path / "jump" / "1.xyz").write_bytes(b"a format that nobody reads")
    assert main(["data", "check", "videos", "--root", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == 4
    assert sorted(found["first_skipped"]) == [
        "jump/1.xyz: of unknown type",
        "jump: a class folder without a video",
        "wave: a class folder without a video",
    ]


def test_folders_of_no_class_and_videos_of_no_list_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.trust(monkeypatch, "ucf101")
    trees.trust(monkeypatch, "activitynet")
    trees.write_video(trees.write_ucf(tmp_path / "ucf") / "ucf" / "UCF-101" / "Yoyo" / "v_Yoyo_g01_c01.avi")
    folder = next(trees.write_activitynet(tmp_path / "net").rglob("*.mp4")).parent
    trees.write_video(folder / "v_other.mp4")
    trees.write_video(folder / "v_OTHER.MP4")

    def skipped(name: str, root: Path) -> list[str]:
        assert main(["data", "check", name, "--root", str(root), "--json"]) == 0
        return sorted(json.loads(capsys.readouterr().out)["first_skipped"])

    assert skipped("ucf101", tmp_path / "ucf") == ["ucf/UCF-101/Yoyo: a folder of no class in Label.mat"]
    below = folder.relative_to(tmp_path / "net").as_posix()
    reason = "a video that no list names"
    assert skipped("activitynet", tmp_path / "net") == [
        f"{below}/v_OTHER.MP4: {reason}",
        f"{below}/v_other.mp4: {reason}",
    ]


@real
@pytest.mark.parametrize("name", sorted(zero_shot_layouts.SPLITS_SHA256))
def test_the_real_split_files_have_the_checksums_of_the_product(name: str) -> None:
    base = name.removeprefix("truze-")
    if name == "activitynet":
        splits = zero_shot_files.read_activitynet(REAL)[0]
    elif name == "kinetics":
        published = zero_shot_files.read_kinetics(REAL)
        splits = tuple(ClassSplit(f"k{i}", s.validation_classes, s.test_classes) for i, s in enumerate(published))
    elif name != base:
        dataset = base.upper()
        splits = (zero_shot_files.read_truze(REAL, dataset, zero_shot_files.read_labels(REAL, dataset).classes),)
    else:
        dataset = {"ucf101": "UCF101", "hmdb51": "HMDB51", "olympic-sports": "OlympicSports"}[name]
        splits = zero_shot_files.read_splits(REAL, dataset)
    assert zero_shot_layouts.splits_sha256(splits) == zero_shot_layouts.SPLITS_SHA256[name]


@real
def test_the_real_prompts_are_unique() -> None:
    from whyact.data.zero_shot.prompts import readable

    for name, dataset in (("ucf101", "UCF101"), ("hmdb51", "HMDB51"), ("olympic-sports", "OlympicSports")):
        classes = zero_shot_files.read_labels(REAL, dataset).classes
        assert len({readable(label, name) for label in classes}) == len(classes)
    kinetics = zero_shot_files.read_kinetics(REAL)[0]
    names = [*kinetics.validation_classes, *kinetics.test_classes]
    assert len({readable(label, "kinetics") for label in names}) == 220
