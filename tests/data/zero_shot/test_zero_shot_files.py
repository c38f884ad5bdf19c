"""Readers of the published splits: on generated files in the real layout, and on the real ones where at hand."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from whyact.data.zero_shot import split_files as files
from whyact.data.zero_shot.prompts import TEMPLATE, readable
from whyact.data.zero_shot.types import duplicate_splits
from whyact.errors import UserError

REAL = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "zero-shot"
real = pytest.mark.skipif(not (REAL / "Split.mat").is_file(), reason="set WHYACT_DATA to the folder of zero-shot/")

CLASSES = ["Archery", "Hammering", "HammerThrow", "YoYo"]


def write_mats(folder: Path, train: list[list[int]], test: list[list[int]], labels: list[int] | None = None) -> Path:
    videos = [f"v_{name}_g01_c0{i}.avi" for name in CLASSES for i in (1, 2)]
    table = {
        "VideoName": np.array(videos, dtype=object)[:, None],
        "Label": np.array(labels or [1, 1, 2, 2, 3, 3, 4, 4], dtype=np.uint8)[:, None],
        "ClassName": np.array(CLASSES, dtype=object)[:, None],
        "WordVec": np.arange(12, dtype=float).reshape(4, 3) + 1,
        "Index": np.arange(1, 9, dtype=np.uint16)[None],
    }
    savemat(folder / "Label.mat", {"VideoLabel": {"UCF101": table}})
    rows = {"Train": np.array(train, dtype=np.uint8), "Test": np.array(test, dtype=np.uint8)}
    savemat(folder / "Split.mat", {"Split": {"UCF101": rows}})
    return folder


def test_indices_follow_the_label_file_and_not_the_alphabet(tmp_path: Path) -> None:
    write_mats(tmp_path, [[1, 2], [3, 4], [1, 2]], [[3, 4], [1, 2], [3, 4]])
    splits = files.read_splits(tmp_path, "UCF101")
    assert splits[0].seen == ("Archery", "Hammering")
    assert files.read_splits(tmp_path, "UCF101", order="ascii")[0].seen == ("Archery", "HammerThrow")
    assert duplicate_splits(splits) == [(0, 2)]
    table = files.read_labels(tmp_path, "UCF101")
    assert table.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_allclose(np.linalg.norm(table.words, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("row", [([[1, 2]], [[2, 3]]), ([[1, 2]], [[3, 5]]), ([[1, 2], [1, 2]], [[3, 4]])])
def test_rows_that_are_no_partition_are_refused(tmp_path: Path, row: tuple[list, list]) -> None:
    write_mats(tmp_path, *row)
    with pytest.raises(UserError, match=r"Split\.mat"):
        files.read_splits(tmp_path, "UCF101")


def test_labels_out_of_range_broken_and_missing_files_are_refused(tmp_path: Path) -> None:
    write_mats(tmp_path, [[1, 2]], [[3, 4]], labels=[0, 1, 2, 2, 3, 3, 4, 4])
    with pytest.raises(UserError, match="Label"):
        files.read_labels(tmp_path, "UCF101")
    with pytest.raises(UserError, match="HMDB51"):
        files.read_labels(tmp_path, "HMDB51")
    (tmp_path / "Label.mat").write_bytes(b"no matlab file, no matlab file, " * 8)
    with pytest.raises(UserError, match=r"Label\.mat"):
        files.read_labels(tmp_path, "UCF101")
    with pytest.raises(UserError, match="no such file"):
        files.read_splits(tmp_path / "absent", "UCF101")


def write_activitynet(folder: Path, videos: dict[str, list[str]], train: object, test: object) -> Path:
    np.save(folder / "anet_classwise_videos.npy", np.array(videos, dtype=object), allow_pickle=True)
    with open(folder / "anet_splits.npy", "wb") as stream:
        np.save(stream, np.array(train))
        np.save(stream, np.array(test))
    return folder


def test_activitynet_reads_two_arrays_in_one_file(tmp_path: Path) -> None:
    videos = {"BMX": ["v_a.mp4"], "Baking cookies": ["v_b.mp4", "v_c.mp4"]}
    splits, listed = files.read_activitynet(write_activitynet(tmp_path, videos, [[0], [1]], [[1], [0]]))
    assert splits[0].seen == ("BMX",)
    assert splits[1].seen == ("Baking cookies",)
    assert listed["Baking cookies"] == ("v_b.mp4", "v_c.mp4")
    write_activitynet(tmp_path, {"BMX": ["v_a.mp4"], "Baking cookies": ["v_a.mp4"]}, [[0]], [[1]])
    with pytest.raises(UserError, match=r"v_a\.mp4"):
        files.read_activitynet(tmp_path)


def test_a_list_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return print, ("ran",)

    write_activitynet(tmp_path, {}, [[0]], [[1]])
    header = (tmp_path / "anet_classwise_videos.npy").read_bytes()[:128]
    (tmp_path / "anet_classwise_videos.npy").write_bytes(header + pickle.dumps(Trap()))
    with pytest.raises(UserError, match="plain data"):
        files.read_activitynet(tmp_path)


def write_kinetics(folder: Path, validation: str, test: str) -> Path:
    for i in range(3):
        (folder / f"zsar_val_k600_s{i}.csv").write_text(f",videoname,labels\n0,a.mp4,{validation}\n")
        (folder / f"zsar_tst_k600_s{i}.csv").write_text(f",videoname,labels\n0,b.mp4,{test}\n1,c.mp4,{test}\n")
    return folder


def test_kinetics_sides_must_not_share_a_class(tmp_path: Path) -> None:
    split = files.read_kinetics(write_kinetics(tmp_path, "tiptoeing", "sipping cup"))[2]
    assert split.test_classes == ("sipping cup",)
    assert split.validation == (("a.mp4", "tiptoeing"),)
    with pytest.raises(UserError, match="tiptoeing"):
        files.read_kinetics(write_kinetics(tmp_path, "tiptoeing", "tiptoeing"))
    (tmp_path / "zsar_val_k600_s0.csv").write_text("name\nx\n")
    with pytest.raises(UserError, match="videoname"):
        files.read_kinetics(tmp_path)


def test_truze_names_are_matched_and_counted(tmp_path: Path) -> None:
    text = "##UCF101\n\nTraining (2 classes): Archery, Hammer Throw.\n\nTesting (2 classes): Hammering,  YoYo.\n"
    (tmp_path / "truze_ZSL.txt").write_text(text)
    assert files.read_truze(tmp_path, "UCF101", CLASSES).seen == ("Archery", "HammerThrow")
    with pytest.raises(UserError, match="Juggling"):
        files.read_truze(tmp_path, "UCF101", [*CLASSES, "Juggling"])
    (tmp_path / "truze_ZSL.txt").write_text(text.replace("2 classes", "3 classes"))
    with pytest.raises(UserError, match="2 names"):
        files.read_truze(tmp_path, "UCF101", CLASSES)


def test_corrupt_videos_are_known_by_base_name(tmp_path: Path) -> None:
    np.save(tmp_path / "corrupt.npy", np.array(["../../datasets/k/train/class_a/x_000001_000002.mp4"]))
    np.save(tmp_path / "none.npy", np.zeros(0))
    corrupt = files.read_corrupt(tmp_path / "corrupt.npy")
    assert files.without_corrupt(["elsewhere/x_000001_000002.mp4", "y.mp4"], corrupt) == ["y.mp4"]
    assert files.read_corrupt(tmp_path / "none.npy") == frozenset()


@pytest.mark.parametrize(
    ("name", "dataset", "said"),
    [
        ("YoYo", "ucf101", "yo yo"),
        ("TaiChi", "ucf101", "tai chi"),
        ("CleanAndJerk", "ucf101", "clean and jerk"),
        ("Skijet", "ucf101", "skijet"),
        ("brush_hair", "hmdb51", "brush hair"),
        ("Hand-car wash", "activitynet", "hand-car wash"),
        ("tying knot (not on a tie)", "kinetics", "tying knot not on a tie"),
        ("situp", "kinetics", "sit up"),
        ("air_drumming", "kinetics", "air drumming"),
    ],
)
def test_prompts_as_published(name: str, dataset: str, said: str) -> None:
    assert readable(name, dataset) == said
    assert TEMPLATE.format(said) == f"a video of a person {said}"


@real
def test_real_split_and_label_files() -> None:
    sizes = {"UCF101": (51, 50, 13320, 47), "HMDB51": (26, 25, 6766, 50), "OlympicSports": (8, 8, 783, 50)}
    for dataset, (seen, unseen, videos, distinct) in sizes.items():
        splits, table = files.read_splits(REAL, dataset), files.read_labels(REAL, dataset)
        assert {(len(s.seen), len(s.unseen)) for s in splits} == {(seen, unseen)}
        assert (len(splits), len({s.sha256 for s in splits}), len(table.videos)) == (50, distinct, videos)
        assert table.words.shape == (seen + unseen, 300)
    assert files.read_labels(REAL, "CCV").labels.shape == (9317, 20)
    ucf = files.read_splits(REAL, "UCF101")
    assert duplicate_splits(ucf[:10]) == [(0, 6), (1, 7), (2, 8)]
    ascii_order = files.read_splits(REAL, "UCF101", order="ascii")
    same = [a.sha256 == b.sha256 for a, b in zip(ucf, ascii_order, strict=True)]
    assert (same.count(False), [i for i, equal in enumerate(same[:10]) if equal]) == (42, [5])


@real
@pytest.mark.parametrize(
    ("dataset", "counts"),
    [
        ("UCF101", [6687, 6563, 6498, 6604, 6515, 6498, 6687, 6563, 6498, 6658]),
        ("HMDB51", [2977, 3467, 3084, 3554, 3060, 3047, 3539, 3293, 3040, 3350]),
    ],
)
def test_real_unseen_videos(dataset: str, counts: list[int]) -> None:
    table = files.read_labels(REAL, dataset)
    per_class = dict(zip(table.classes, np.bincount(table.labels), strict=True))
    splits = files.read_splits(REAL, dataset)[:10]
    assert [sum(per_class[name] for name in split.unseen) for split in splits] == counts


@real
def test_real_activitynet_kinetics_and_truze() -> None:
    splits, videos = files.read_activitynet(REAL)
    assert (len(videos), sum(map(len, videos.values()))) == (200, 14937)
    assert (min(map(len, videos.values())), max(map(len, videos.values()))) == (41, 128)
    assert [sum(len(videos[name]) for name in split.unseen) for split in splits] == [
        7391, 7720, 7537, 7406, 7539, 7613, 7622, 7449, 7236, 7432,
    ]  # fmt: skip
    assert not duplicate_splits(splits)
    kinetics = files.read_kinetics(REAL)
    assert [(len(k.validation), len(k.test)) for k in kinetics] == [(2670, 14131), (2712, 14078), (2663, 14167)]
    assert {(len(k.validation_classes), len(k.test_classes)) for k in kinetics} == {(60, 160)}
    for dataset, sizes in (("UCF101", (70, 31)), ("HMDB51", (29, 22))):
        split = files.read_truze(REAL, dataset, files.read_labels(REAL, dataset).classes)
        assert (len(split.seen), len(split.unseen)) == sizes
