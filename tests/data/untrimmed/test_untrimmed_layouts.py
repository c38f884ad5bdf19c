"""The published annotation arrays: THUMOS'14 reduced, ActivityNet in both spellings."""

import os
from pathlib import Path

import numpy as np
import pytest

from made_arrays import objects, write
from whyact.cli import main
from whyact.data.datasets import load_features
from whyact.data.untrimmed import activitynet, thumos14
from whyact.data.untrimmed.sets import summary
from whyact.errors import UserError

REAL = Path(os.environ.get("WHYACT_DATA", "/nonexistent")) / "thumos14"


def test_thumos_is_read_as_written(tmp_path):
    found = thumos14.load(write(tmp_path / "Thumos14reduced-Annotations").parent)
    assert [video.id for video in found.train] == ["v1"]
    assert found.test[0].segments == ((1.0, 2.0, 0), (3.0, 4.0, 1))
    assert found.test[0].labels == (0, 1)
    assert found.test[0].duration == 20.0
    assert found.ambiguous == {"v2": ((1.0, 2.5), (3.0, 4.0))}


def test_a_missing_ambiguous_list_is_an_error_and_not_another_protocol(tmp_path):
    (write(tmp_path) / "Ambiguous_test.txt").unlink()
    with pytest.raises(UserError, match="Ambiguous"):
        thumos14.load(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_first_ambiguous_span_counts_behind_a_byte_order_mark(tmp_path, encoding):
    path = write(tmp_path) / "Ambiguous_test.txt"
    before = thumos14.load(tmp_path).ambiguous
    path.write_text(path.read_text(), encoding=encoding)
    assert thumos14.load(tmp_path).ambiguous == before


def test_ambiguous_spans_of_no_video_are_said(tmp_path):
    path = write(tmp_path) / "Ambiguous_test.txt"
    assert "ambiguous" not in str(summary(thumos14.load(tmp_path)).get("warnings"))
    path.write_text("v2.mp4 1 2\n")
    assert "v2.mp4" in str(summary(thumos14.load(tmp_path))["warnings"])


@pytest.mark.parametrize("spans", [([[0, 1]], [[1, np.nan]]), ([[0, 1]], [[1]]), ([[0, 1]], [[1, "end"]])])
def test_a_segment_that_is_no_span_of_seconds_is_named(tmp_path, spans):
    write(tmp_path, labels=(["A"], ["A"]))
    np.save(tmp_path / "segments.npy", objects(spans), allow_pickle=True)
    with pytest.raises(UserError, match=r"video v2.*start, end"):
        thumos14.load(tmp_path)


def test_a_class_that_is_listed_twice_is_refused(tmp_path):
    write(tmp_path)
    np.save(tmp_path / "classlist.npy", np.array(["A", "B", "A"]))
    with pytest.raises(UserError, match=r"classes: found 'A'.*every class named once"):
        thumos14.load(tmp_path)


@pytest.mark.parametrize("subsets", [("training", "validation"), ("train", "val")])
@pytest.mark.parametrize("text", [np.bytes_, np.str_])
def test_activitynet_accepts_both_spellings(tmp_path, subsets, text):
    write(tmp_path / "ActivityNet1.3" / "ActivityNet1.3-Annotations", subsets=subsets, text=text)
    found = activitynet.load(tmp_path)
    assert (len(found.train), len(found.test), found.classes) == (1, 1, ("A", "B"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": (["A"], ["A"])}, "one label each"),
        ({"labels": (["A"], ["A", "C"])}, "C"),
        ({"subsets": ("validation", "spare")}, "spare"),
        ({"names": ("v1", "v1")}, "v1"),
        ({"names": ("v1", "v2", "v3")}, "3 rows"),
    ],
)
def test_bad_annotations_are_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        thumos14.load(write(tmp_path, **change))


def test_an_unknown_version_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"1\.4"):
        activitynet.load(tmp_path, "1.4")
    with pytest.raises(UserError, match="videoname"):
        thumos14.load(tmp_path)


def test_the_checksum_sees_labels_and_subsets(tmp_path):
    a = thumos14.load(write(tmp_path / "a"))
    b = thumos14.load(write(tmp_path / "b", subsets=("test", "test")))
    assert a.sha256() == thumos14.load(tmp_path / "a").sha256() != b.sha256()


@pytest.mark.parametrize(
    ("name", "prompt"), [("CleanAndJerk", "clean and jerk"), ("Shotput", "shot put"), ("Billiards", "billiards")]
)
def test_prompts_are_words(name, prompt):
    assert thumos14.prompt_name(name) == prompt


def test_the_joint_array_becomes_one_file_a_video(tmp_path):
    root = tmp_path / "features"
    write(root / "Thumos14reduced-Annotations")
    rows = objects([np.ones((3, 2048)), np.zeros((5, 2048), np.float32)])
    (root / "Thumos14reduced").mkdir()
    np.save(root / "Thumos14reduced" / thumos14.JOINT_FEATURES, rows, allow_pickle=True)
    assert thumos14.convert_features(root, tmp_path / "out") == 2
    assert np.load(tmp_path / "out" / "v2.npy").shape == (5, 2048)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the THUMOS'14 arrays: set WHYACT_DATA to the folder above thumos14/"
)
def test_the_real_arrays_count_as_published():
    found = thumos14.load(REAL)
    assert (len(found.videos), len(found.classes), len(found.train), len(found.test)) == (412, 20, 200, 212)
    assert sum(len(video.segments) for video in found.train) == 3007
    assert sum(len(video.segments) for video in found.test) == 3358
    assert (len(found.ambiguous), sum(map(len, found.ambiguous.values()))) == (37, 99)
    said = summary(found)
    assert [said[side]["segments_past_the_end"] for side in ("train", "test")] == [4, 26]
    assert [said[side]["labels_unlike_segments"] for side in ("train", "test")] == [8, 20]
    empty = [video.id for video in found.videos if not video.labels]
    assert empty == ["video_test_0000270"]


def test_the_summary_counts_what_disagrees(tmp_path):
    found = summary(thumos14.load(write(tmp_path, labels=(["A"], ["A", "A"]))))
    assert found["train"]["segments"] == 1
    assert found["test"]["labels_unlike_segments"] == 1  # the video says A and B, the segments A alone
    assert (found["ambiguous_videos"], found["ambiguous_spans"]) == (1, 2)
    assert found["train"]["segments_past_the_end"] == 0


def test_published_features_train_from_the_array_or_from_converted_files(tmp_path, capsys):
    root = tmp_path / "features"
    write(root / "Thumos14reduced-Annotations")
    rng = np.random.default_rng(0)
    (root / "Thumos14reduced").mkdir()
    rows = objects([rng.normal(size=(n, 2048)).astype(np.float32) for n in (4, 6)])
    np.save(root / "Thumos14reduced" / thumos14.JOINT_FEATURES, rows, allow_pickle=True)
    for part, name, length in (("train", "v1", 5), ("test", "v2", 6)):
        (root / "Thumos14_CLIP" / part).mkdir(parents=True)
        np.save(root / "Thumos14_CLIP" / part / f"{name}.npy", np.ones((length, 1024), np.float32))
    whole = [load_features("thumos14", folder) for folder in (root, tmp_path)]  # features/ itself, or what holds it
    assert main(["data", "convert", "thumos14", "features", "--root", str(root), "--out", str(root)]) == 0
    assert "2 videos" in capsys.readouterr().out
    mapped = load_features("thumos14", root)
    assert isinstance(mapped.train[0].features, np.memmap)
    for split in (*whole, mapped):
        assert (split.widths, split.text, split.size) == ((1024, 1024), "clip", "published")
        assert np.array_equal(split.test[0].features, rows[1])
        assert split.train[0].second.shape == (4, 1024)
