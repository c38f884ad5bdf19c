"""Class folders and tables of clips as own data: what is read, how folds keep films apart, and what is refused."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from made_videos import write_clip
from whyact.data.relations.clip_folder import ClipFolder, describe_clips, list_clips, own_file
from whyact.data.relations.own import read
from whyact.data.relations.own_file import FILE, OwnFile
from whyact.errors import UserError
from whyact.video.numbers import frame_times
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
        pytest.param(f"file,label\n{'long ' * 80},a\n", r":2, file.*long.*a video file", id="too long a name"),
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


@pytest.mark.parametrize("ending", ["mp4", "mkv"])  # the second declares a rate of 1000 frames a second
def test_a_span_is_the_frames_on_screen_in_it_whatever_the_rate(tmp_path: Path, ending: str) -> None:
    stamps = [*range(0, 1000, 100), *range(1000, 2000, 33), *range(2000, 4000, 250)]
    write_clip(tmp_path / f"vfr.{ending}", 0, rate=1000, stamps=stamps)
    film(tmp_path / "other.mp4", 1, frames=40)
    spans = [(0.0, 1.0), (0.95, 1.5), (1.0, 2.0), (1.5, 3.1), (2.6, 2.7), (3.0, 4.0)]
    rows = [f"vfr.{ending},a,{start},{end}" for start, end in spans] + [f"vfr.{ending},a,,", "other.mp4,b,0,1"]
    (tmp_path / "t.csv").write_text("\n".join(["file,label,start,end", *rows, "other.mp4,b,2,3"]))
    video = next(v for v in described(tmp_path / "t.csv").videos if v.id.startswith("vfr"))
    times = [*frame_times(tmp_path / f"vfr.{ending}").tolist(), np.inf]
    assert times[:-1] == pytest.approx([stamp / 1000 for stamp in stamps])
    for action, (start, end) in zip(video.actions, [*spans, (0.0, np.inf)], strict=True):
        shown = [n for n, (on, off) in enumerate(pairwise(times), 1) if on < end - 1e-6 and off > start + 1e-6]
        assert (action.start, action.end) == (shown[0], shown[-1])
    assert video.fps == pytest.approx((len(stamps) - 1) / (stamps[-1] / 1000), abs=1e-5)


def test_no_class_vanishes_without_a_word(clips: Path) -> None:
    (clips / "fall").mkdir()
    (clips / "fall" / "0.mp4").symlink_to(clips / "nowhere.mp4")
    (clips / "sit" / "frames").mkdir(parents=True)
    (clips / "sit" / "frames" / "1.jpg").write_bytes(b"x")
    (clips / "wave" / "third.unknown").write_bytes(b"x")
    (clips / "jump" / "as-well").symlink_to(clips / "nod")
    warnings = described(clips).warnings
    assert "class folders without a video, so that nothing is learned of them: fall, nod, sit" in warnings
    (skipped,) = [warning for warning in warnings if warning.startswith("skipped ")]
    assert "1 dangling" in skipped
    assert "2 of unknown type" in skipped
    assert f"1 read already under another name ({clips / 'nod'})" in skipped
    (clips / "a-link").symlink_to(clips / "wave")
    with pytest.raises(UserError, match=r"a-link and wave, which are one folder.*each class folder once"):
        list_clips(clips)


def test_rows_that_are_not_learned_as_they_stand_are_counted_and_named(tmp_path: Path) -> None:
    for i in range(4):
        film(tmp_path / f"{i}.mp4", i, frames=40)
    rows = ["0.mp4,a,0,2", "1.mp4,a,0,9", "2.mp4,b,,", "3.mp4,b,1,4.3", "0.mp4,b,4,5", "2.mp4,b,,", "1.mp4,a,0,4"]
    (tmp_path / "t.csv").write_text("\n".join(["file,label,start,end", *rows]))
    folder = described(tmp_path / "t.csv")
    assert {(v.id, a.action, a.start, a.end) for v in folder.videos for a in v.actions} == {
        ("0.mp4", "a", 1, 20), ("1.mp4", "a", 1, 40), ("2.mp4", "b", 1, 40), ("3.mp4", "b", 11, 40),
    }  # fmt: skip
    assert folder.warnings[:3] == [
        "1 rows are there twice and count once: line 7",
        "1 clips name times at which their video shows nothing; dropped: 0.mp4 4 s to 5 s, of 0 s to 4 s",
        "1 clips end after their video, and are cut there: 1.mp4 0 s to 9 s, of 0 s to 4 s",
    ]
    assert "1 rows name frames that another row of their class names; they count once" in folder.warnings


def test_a_film_that_is_cut_off_is_used_and_that_is_said(clips: Path) -> None:
    whole = film(clips / "wave" / "whole.mkv", 50, frames=60)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 2 // 3])
    folder = described(clips)
    (said,) = [warning for warning in folder.warnings if "as far as they go" in warning]
    assert said.startswith("1 of 13 videos are used as far as they go: whole.mkv (frames end at ")
    (video,) = [video for video in folder.videos if video.id == "wave/whole.mkv"]
    assert video.actions[0].end == len(frame_times(whole)) < 60


def test_a_film_of_several_groups_keeps_all_of_them_on_one_side(tmp_path: Path) -> None:
    for i in range(6):
        film(tmp_path / f"{i}.mp4", i, frames=20)
    rows = ["0,a,P1,0,1", "0,b,P2,1,2", "1,a,P1,,", "2,b,P2,0,1", "2,a,,1,2", "3,b,P3,,", "4,a,P4,,", "5,b,,,"]
    table = ["file,label,group,start,end", *(row.replace(",", ".mp4,", 1) for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(table))
    folder = described(tmp_path / "t.csv")
    groups = {video.id: video.group for video in folder.videos}
    assert groups["0.mp4"] == groups["1.mp4"] == groups["2.mp4"]
    assert len(set(groups.values())) == 4
    assert any(warning.endswith("0.mp4 (P1, P2)") for warning in folder.warnings)


def test_what_is_described_can_be_read_back_or_is_refused_at_once(tmp_path: Path) -> None:
    for place in ("v/0", "v/1", "list/w/2", "list/w/3"):
        film(tmp_path / f"{place}.mp4", int(place[-1]))
    table = tmp_path / "list" / "t.csv"
    table.write_text("file,label\n../v/0.mp4,a\n../v/1.mp4,b\nw/2.mp4,a\nw/../w/3.mp4,b\nw/3.mp4,b\n")
    folder = described(table)
    assert folder.base == tmp_path
    assert [video.id for video in folder.videos] == ["v/0.mp4", "v/1.mp4", "list/w/2.mp4", "list/w/3.mp4"]
    root = tmp_path / "own"
    root.mkdir()
    os.symlink(folder.base, root / "videos")
    (root / FILE).write_bytes(msgspec.json.encode(own_file(folder, ["person"], ["person"])))
    assert [clip.id for clip in read(root, slots=2).clips] == [f"{video.id}/1-10" for video in folder.videos]
    for name, said in (
        ("x" * 120 + "/" + "y" * 100, "a path of .* characters.*at most 200"),
        (r"back\slash", "backslash"),
    ):
        odd = film(tmp_path / "odd" / "a" / f"{name}.mp4", 0)
        for i in range(3):
            film(tmp_path / "odd" / "ab"[i % 2] / f"{i}.mp4", i)
        film(tmp_path / "odd" / "b" / "3.mp4", 3)
        with pytest.raises(UserError, match=said):
            described(tmp_path / "odd")
        odd.unlink()
