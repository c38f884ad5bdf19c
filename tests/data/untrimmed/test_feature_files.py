"""Feature folders and label lists: what is joined, what is refused."""

import numpy as np
import pytest

from whyact.data.datasets import load_features
from whyact.data.untrimmed.feature_files import open_folder, read_labels
from whyact.data.untrimmed.sets import Annotation, summary
from whyact.errors import UserError


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def clip(name="v"):
    return Annotation(name, "train", 0.0, (0,))


def test_one_stream_stays_on_disk(tmp_path):
    save(tmp_path / "features" / "v.npy", np.ones((7, 4), np.float16))
    (tmp_path / "features.json").write_text('{"snippet_seconds": 0.5}')
    video = open_folder(tmp_path).read(clip())
    assert isinstance(video.features, np.memmap)
    assert video.times[-1] == 3.0
    assert video.rate == 2.0


def test_two_streams_are_joined_and_the_target_is_cut_to_length(tmp_path):
    save(tmp_path / "rgb" / "v.npy", np.zeros((5, 3), np.float32))
    save(tmp_path / "flow" / "v.npy", np.ones((5, 2), np.float32))
    save(tmp_path / "clip" / "v.npy", np.ones((6, 8), np.float32))
    video = open_folder(tmp_path).read(clip())
    assert video.features.shape == (5, 5)
    assert video.second.shape == (5, 8)
    assert video.features[0].tolist() == [0, 0, 0, 1, 1]


def test_a_one_snippet_video_is_a_video(tmp_path):
    save(tmp_path / "features" / "v.npy", np.ones((1, 4), np.float32))
    assert len(open_folder(tmp_path).read(clip()).features) == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan], [0, 0]]), "snippet 0"),
        (np.array([[1.0, 0], [np.inf, 0]]), "snippet 1"),
        (np.zeros((0, 4)), "at least one snippet"),
        (np.zeros(4), r"\(T,D\)"),
        (np.zeros((3, 4), int), "floating"),
    ],
)
def test_bad_features_are_named(tmp_path, array, message):
    save(tmp_path / "features" / "v.npy", array)
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path).read(clip())


def test_streams_of_different_length_are_refused(tmp_path):
    save(tmp_path / "rgb" / "v.npy", np.zeros((5, 3)))
    save(tmp_path / "flow" / "v.npy", np.zeros((4, 3)))
    with pytest.raises(UserError, match="same number of snippets"):
        open_folder(tmp_path).read(clip())


def test_a_target_that_is_too_short_is_refused(tmp_path):
    save(tmp_path / "features" / "v.npy", np.zeros((5, 3)))
    save(tmp_path / "clip" / "v.npy", np.zeros((4, 3)))
    with pytest.raises(UserError, match="at least 5 rows"):
        open_folder(tmp_path).read(clip())


def test_a_target_of_another_rate_is_refused(tmp_path):
    save(tmp_path / "features" / "v.npy", np.zeros((60, 3)))
    save(tmp_path / "clip" / "v.npy", np.zeros((120, 3)))  # two rows a snippet: cut, they would be the first half
    with pytest.raises(UserError, match=r"120 rows.*60, one a snippet"):
        open_folder(tmp_path).read(clip())


@pytest.mark.parametrize("streams", [("features",), ("rgb", "flow")])
def test_videos_of_several_widths_are_no_training_set(tmp_path, streams):
    for folder, (one, other) in zip(streams, ((4, 6), (6, 4)), strict=False):
        save(tmp_path / folder / "a.npy", np.zeros((3, one), np.float32))
        save(tmp_path / folder / "b.npy", np.zeros((3, other), np.float32))
    table(tmp_path, "name,labels,subset\na,run,train\nb,run,test\n")
    with pytest.raises(UserError, match=r"video b.*as a has"):
        load_features("folder", tmp_path)


def test_features_much_shorter_than_their_annotation_are_refused(tmp_path):
    save(tmp_path / "features" / "v.npy", np.zeros((5, 3)))
    with pytest.raises(UserError, match="segments until 300 s, features for 3 s"):
        open_folder(tmp_path).read(Annotation("v", "train", 300.0, (0,), ((290.0, 300.0, 0),)))


def test_widths_that_disagree_with_the_files_are_refused(tmp_path):
    save(tmp_path / "features" / "v.npy", np.zeros((5, 3)))
    (tmp_path / "features.json").write_text('{"widths": [2, 1]}')
    assert open_folder(tmp_path).widths("v") == (2, 1)
    (tmp_path / "features.json").write_text('{"widths": [2, 2]}')
    with pytest.raises(UserError, match="widths"):
        open_folder(tmp_path).widths("v")
    (tmp_path / "features.json").write_text('{"snipet_seconds": 1}')
    with pytest.raises(UserError, match="snipet_seconds"):
        open_folder(tmp_path)


def test_a_missing_file_names_the_video(tmp_path):
    save(tmp_path / "features" / "v.npy", np.zeros((5, 3)))
    with pytest.raises(UserError, match=r"w\.npy"):
        open_folder(tmp_path).read(clip("w"))


def test_an_empty_folder_and_a_bad_rate_are_refused(tmp_path):
    with pytest.raises(UserError, match="features/"):
        open_folder(tmp_path)
    save(tmp_path / "features" / "v.npy", np.zeros((5, 3)))
    (tmp_path / "features.json").write_text('{"snippet_seconds": 0}')
    with pytest.raises(UserError, match="snippet_seconds"):
        open_folder(tmp_path)


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def test_labels_are_read(tmp_path):
    found = read_labels(table(tmp_path, "name,labels,subset\na,run; jump,train\nb,run,val\n"))
    assert found.classes == ("jump", "run")
    assert [(v.id, v.labels, v.subset) for v in found.videos] == [("a", (0, 1), "train"), ("b", (1,), "validation")]


def test_validation_videos_are_tested_on_or_counted(tmp_path):
    found = read_labels(table(tmp_path, "name,labels,subset\na,run,train\nb,run,val\n"))
    assert [v.id for v in found.test] == ["b"]
    assert summary(found)["in_neither_part"] == 0
    found = read_labels(table(tmp_path, "name,labels,subset\na,run,train\nb,run,val\nc,run,test\n"))
    assert [v.id for v in found.test] == ["c"]
    assert summary(found)["in_neither_part"] == 1
    assert any("1 videos of the subset validation are not used" in line for line in summary(found)["warnings"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,labels\na,\n", ":2.*at least one label"),
        ("name,labels\na,x\na,y\n", "every video named once"),
        ("video,labels\na,x\n", "name,labels"),
        ("", "no rows"),
        ("name,labels,subset\na,x,spare\n", "spare"),
    ],
)
def test_bad_label_lists_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_labels(table(tmp_path, text))


def test_a_class_the_model_never_saw_is_refused(tmp_path):
    with pytest.raises(UserError, match="swim"):
        read_labels(table(tmp_path, "name,labels\na,swim\n"), classes=["run"])
