"""Class folders and tables of clips as own data: what is read, how folds keep films apart, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whyact.data.relations.clip_folder import ClipFolder, describe_clips, list_clips, own_file
from whyact.data.relations.own_file import OwnFile
from whyact.errors import UserError
from whyact.video.write import write_video

SIZE = (24, 32)


def film(path: Path, seed: int, frames: int = 10) -> Path:
    """Write a clip of one random scene; another seed is another film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.kron(coarse, np.ones((4, 4, 1), np.uint8))
    write_video(path, [image] * frames, 10.0)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for i in range(12):
        film(tmp_path / "clips" / ("wave", "jump", "nod")[i % 3] / f"{i}.mp4", i)
    return tmp_path / "clips"


def described(path: Path) -> ClipFolder:
    return describe_clips(list_clips(path))


def test_the_folder_is_the_class(clips: Path) -> None:
    folder = described(clips)
    assert folder.actions == ["jump", "nod", "wave"]
    assert folder.base == clips
    for video in folder.videos:
        (action,) = video.actions
        assert video.id.split("/")[0] == action.action
        assert (action.start, action.end) == (1, 10)
        assert (video.fps, video.image_size) == (10, (SIZE[1], SIZE[0]))
    assert folder.warnings == [
        "classes with fewer than 5 clips, of which little can be learned: jump (4), nod (4), wave (4)"
    ]


def test_every_clip_is_tested_once_and_never_beside_its_own_film(clips: Path) -> None:
    folder = described(clips)
    tested = [group for fold in folder.folds for group in fold.test]
    assert sorted(tested) == sorted({video.group for video in folder.videos})
    for fold in folder.folds:
        assert not set(fold.train) & set(fold.test)
        labels = {a.action for v in folder.videos if v.group in fold.train for a in v.actions}
        assert labels == set(folder.actions)


def test_a_folder_in_the_class_is_a_film(tmp_path: Path) -> None:
    for i in range(8):
        film(tmp_path / "clips" / ("a", "b")[i % 2] / ("monday", "friday")[i // 4] / f"{i}.mp4", i)
    folder = described(tmp_path / "clips")
    assert {video.group for video in folder.videos} == {"monday", "friday"}
    assert sorted(fold.test for fold in folder.folds) == [["friday"], ["monday"]]


def test_clips_that_share_a_frame_are_one_film_and_that_is_said(tmp_path: Path) -> None:
    for i in range(10):
        film(tmp_path / "clips" / ("a", "b")[i % 2] / f"{i}.mp4", min(i, 7))  # 7, 8 and 9 are cut from one film
    folder = described(tmp_path / "clips")
    groups = {video.id: video.group for video in folder.videos}
    assert groups["b/7.mp4"] == groups["a/8.mp4"] == groups["b/9.mp4"]
    assert len(set(groups.values())) == 8
    (said,) = [w for w in folder.warnings if "share nearly the same frame" in w]
    assert said.startswith("3 pairs of clips")


def test_clips_that_all_look_alike_are_still_split(tmp_path: Path) -> None:
    for i in range(6):
        film(tmp_path / "clips" / ("a", "b")[i % 2] / f"{i}.mp4", 0)
    folder = described(tmp_path / "clips")
    assert len(folder.folds) >= 2
    assert any("cut from one film" in warning for warning in folder.warnings)


def test_a_table_names_files_labels_groups_and_spans(tmp_path: Path) -> None:
    for i in range(4):
        film(tmp_path / f"{i}.mp4", i, frames=40)
    (tmp_path / "clips.csv").write_text(
        "file,label,group,start,end\n0.mp4,a,x,0,1.5\n0.mp4,b,x,2,\n1.mp4,a,y,,\n2.mp4,b,z,1,3\n\n3.mp4,a,x,,2\n"
    )
    folder = described(tmp_path / "clips.csv")
    spans = {(v.id, a.action): (a.start, a.end) for v in folder.videos for a in v.actions}
    assert spans == {
        ("0.mp4", "a"): (1, 15),
        ("0.mp4", "b"): (21, 40),
        ("1.mp4", "a"): (1, 40),
        ("2.mp4", "b"): (11, 30),
        ("3.mp4", "a"): (1, 20),
    }
    assert {v.id: v.group for v in folder.videos} == {"0.mp4": "x", "1.mp4": "y", "2.mp4": "z", "3.mp4": "x"}


def test_what_cannot_be_read_is_dropped_and_named(clips: Path) -> None:
    (clips / "wave" / "broken.mp4").write_bytes(b"no video")
    folder = described(clips)
    assert len(folder.videos) == 12
    assert folder.warnings[0].startswith("1 of 13 videos cannot be read and are dropped: ")
    assert "broken.mp4" in folder.warnings[0]


def test_a_class_of_one_film_is_never_tested_and_that_is_said(tmp_path: Path) -> None:
    for i in range(6):
        film(tmp_path / "clips" / ("a", "b")[i % 2] / f"{i}.mp4", i)
    for i in range(2):
        film(tmp_path / "clips" / "rare" / "one-day" / f"{i}.mp4", 50 + i)
    folder = described(tmp_path / "clips")
    assert "classes whose clips are all of one film or group, never tested: rare" in folder.warnings
    assert all("one-day" in fold.train for fold in folder.folds)


def test_the_json_is_own_data_with_measured_relations(clips: Path) -> None:
    document = own_file(described(clips), ["person", "cup"], ["person"])
    assert isinstance(document, OwnFile)
    assert (document.measured, document.relations, document.subjects) == (True, [], ["person"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("name,label\n0.mp4,a\n", r"header name,label.*the columns file,label"),
        ("file,group\n0.mp4,a\n", r"header file,group.*the columns file,label"),
        ("file,label\n9.mp4,a\n", r":2, file.*9\.mp4"),
        ("file,label\n0.mp4,\n", r":2, label"),
        ("file,label\n0.mp4\n", r":2.*1 column"),
        ("file,label,start,end\n0.mp4,a,2,1\n", r":2.*an end after the start"),
        ("file,label,start,end\n0.mp4,a,x,1\n", r":2, start.*seconds"),
        ("file,label\n", "a row for each clip"),
        ("file,label\n0.mp4,a\n0.mp4,A\n", r":3.*one spelling of a label"),
        ("file,label\n0.mp4,a,b\n", r":2.*3 columns"),
        ("file,label\n0.mp4,a\n", r"a \(1\).*two classes of two clips"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_line(tmp_path: Path, table: str, said: str) -> None:
    film(tmp_path / "0.mp4", 0)
    (tmp_path / "clips.csv").write_text(table)
    with pytest.raises(UserError, match=said):
        described(tmp_path / "clips.csv")


def test_folders_that_can_come_to_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        list_clips(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="videos in class folders"):
        list_clips(tmp_path / "empty")
    film(tmp_path / "loose" / "a.mp4", 0)
    with pytest.raises(UserError, match=r"a\.mp4.*a folder for each class"):
        list_clips(tmp_path / "loose")
    for i in range(4):
        film(tmp_path / "one" / "a" / "x" / f"{i}.mp4", i)
        film(tmp_path / "one" / "b" / "x" / f"{i}.mp4", 9 + i)
    with pytest.raises(UserError, match=r"of one group \(x\)"):
        described(tmp_path / "one")
