"""What people give as videos, and by mistake: read, skipped and counted, or refused with the next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_videos import numbers, write_clip
from ruler_films import ruler
from whyact.data.relations.clip_folder import list_clips
from whyact.data.untrimmed.snippet_files import find_videos
from whyact.data.zero_shot.check import check
from whyact.data.zero_shot.video_folders import class_folders
from whyact.errors import UserError
from whyact.prediction import LabelScore, Prediction, Provenance
from whyact.video import VIDEO_SUFFIXES
from whyact.video.decode import decode
from whyact.video.frame_folder import prepared_inputs
from whyact.video.inputs import Inputs, expand_inputs
from whyact.video.reader import VideoReader


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(Path("x.mp4"), 10).rename("a:b.mp4")
    write_clip(Path("y.mp4"), 10).rename("50%d #1?.mp4")
    for name in ("a:b.mp4", "./a:b.mp4", str(tmp_path / "a:b.mp4"), "50%d #1?.mp4"):
        assert expand_inputs([name]).files == [name]
        assert numbers(decode(name, 10).frames).tolist() == list(range(10))


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    cache, videos = tmp_path / "cache", tmp_path / "videos"
    touch(cache / "3f9a.mp4", cache / "77b1.mp4")
    videos.mkdir()
    (videos / "monday.mp4").symlink_to(cache / "3f9a.mp4")
    (videos / "tuesday.mp4").symlink_to(cache / "77b1.mp4")
    (videos / "again.mp4").symlink_to(cache / "77b1.mp4")
    (videos / "gone.mp4").symlink_to(cache / "none.mp4")
    skipped = Inputs()
    assert list(find_videos([videos], skipped)) == ["again", "monday", "tuesday"]
    assert skipped.note == f"skipped 1 dangling ({videos / 'gone.mp4'})"
    with pytest.raises(UserError, match=r"gone\.mp4.*a link to .*none\.mp4, which is missing"):
        expand_inputs([str(videos / "gone.mp4")])
    (tmp_path / "all").symlink_to(tmp_path)  # a link to the folder that it is in
    assert len(expand_inputs([str(tmp_path)]).files) == 5


def test_what_is_no_video_in_a_folder_is_counted_and_named(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.mp4", "b.MTS", "notes.txt", "._a.mp4", ".b.mp4", ".git/c.mp4", "c.xyz")))
    found = expand_inputs([str(tmp_path)])
    assert [Path(name).name for name in found.files] == ["a.mp4", "b.MTS"]
    assert {reason: [Path(p).name for p in paths] for reason, paths in found.skipped.items()} == {
        "hidden": ["._a.mp4", ".b.mp4"],
        "of unknown type": ["c.xyz", "notes.txt"],
    }
    touch(*(tmp_path / "many" / f"{i}.doc" for i in range(9)))
    with pytest.raises(UserError, match=r"no video.*videos; skipped 9 of unknown type \(.*\.\.\.\)"):
        expand_inputs([str(tmp_path / "many")])


def test_every_verb_knows_the_same_endings(tmp_path: Path) -> None:
    paths = sorted(tmp_path / "pour" / f"{suffix[1:]}{suffix.upper()}" for suffix in VIDEO_SUFFIXES)
    touch(*paths)
    assert expand_inputs([str(tmp_path)]).files == [str(path) for path in paths]
    assert set(find_videos([tmp_path]).values()) == set(paths)
    assert [(video.path, video.label) for video in class_folders(tmp_path, Inputs())] == [
        (path, "pour") for path in paths
    ]
    assert [clip.file for clip in list_clips(tmp_path)] == paths


def test_a_pattern_of_class_folders_gives_their_videos(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("pour/1.mp4", "pour/2.mp4", "stir/1.wmv", "labels.csv")))
    (tmp_path / "empty").mkdir()
    found = expand_inputs([str(tmp_path / "*"), str(tmp_path / "pour" / "1.mp4")])
    assert [Path(name).relative_to(tmp_path).as_posix() for name in found.files] == [
        "pour/1.mp4", "pour/2.mp4", "stir/1.wmv",
    ]  # fmt: skip
    assert sorted(found.skipped) == ["of unknown type", "without videos"]
    touch(tmp_path / "features" / "a.npy")
    assert expand_inputs([str(tmp_path / "features" / "*")]).files == [str(tmp_path / "features" / "a.npy")]
    for pattern in ("none*", "lab*s"):
        with pytest.raises(UserError, match="a pattern that matches"):
            expand_inputs([str(tmp_path / pattern)])


def test_hidden_and_unknown_files_of_class_folders_are_counted(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("pour/1.mp4", "pour/._1.mp4", "pour/1.srt", ".store/1.mp4")))
    skipped = Inputs()
    assert [video.path.name for video in class_folders(tmp_path, skipped)] == ["1.mp4"]
    assert {reason: len(paths) for reason, paths in skipped.skipped.items()} == {
        "hidden": 1,
        "of unknown type": 1,
    }


def test_the_check_of_class_folders_names_what_is_not_read(tmp_path: Path) -> None:
    for label in ("pour", "stir", "wipe", "open"):
        touch(tmp_path / label / "1.mp4")
    touch(tmp_path / "pour" / "._1.mp4", tmp_path / "wipe" / "1.srt")
    (tmp_path / "stir" / "2.mp4").symlink_to(tmp_path / "none.mp4")
    found = check("videos", tmp_path, progress=False)
    assert (found["videos"], found["skipped"]) == (4, 3)
    assert sorted(found["first_skipped"]) == [
        "pour/._1.mp4: hidden", "stir/2.mp4: dangling", "wipe/1.srt: of unknown type",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://example.org/a.mp4", "an address.*download it"),
        ("rtsp://camera/1", "an address.*download it"),
        ("0", "a camera.*record it"),
        ("/dev/video0", "a camera.*record it"),
        ("", "a video, a folder or a pattern"),
    ],
)
def test_what_can_never_be_a_file_is_refused_with_the_next_step(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        expand_inputs([name])


def test_an_image_is_refused_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ruler(3)).save(path)
    with pytest.raises(UserError, match=r"an image.*fps"):
        expand_inputs([str(path)])
    path.rename(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="an image"):
        decode(tmp_path / "a.mp4", 4)


def frames(folder: Path, *shown: int, name: str = "{}.png") -> Path:
    folder.mkdir(exist_ok=True)
    for number in shown:
        Image.fromarray(np.full((31, 45, 3), 8 + 3 * number, np.uint8)).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("name", ["{}.png", "frame_{:05d}.bmp", "img2-{}.png"])
def test_a_folder_of_frames_is_a_video_with_a_rate(tmp_path: Path, name: str) -> None:
    folder = frames(tmp_path / "take", *range(8, 13), name=name)
    with pytest.raises(UserError, match=r"5 images.*a folder with videos.*fps"):
        expand_inputs([str(folder)])
    with prepared_inputs([str(folder)], 12.5) as prepared:
        (file,) = prepared.files
        with VideoReader(file, numbered=True) as reader:
            shown = list(reader.frames_numbered(range(1, 9)))
            assert numbers(np.stack([frame.image for frame in shown])).tolist() == [8, 9, 10, 11, 12]
            assert [frame.time for frame in shown] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
            facts = reader.facts()
        answer = Prediction(video=facts, labels=[LabelScore(label="a", score=1)], provenance=Provenance(method="x"))
        answer.id = file
        named = prepared.named(answer)
    assert (named.id, named.video.path, named.video.degraded) == (str(folder), str(folder), "")
    assert len(named.video.sha256) == 64
    assert not Path(file).exists()


def test_missing_frames_leave_a_gap_and_a_note(tmp_path: Path) -> None:
    folder = frames(tmp_path / "take", 1, 2, 5)
    with prepared_inputs([str(folder)], 10) as prepared:
        video = decode(prepared.files[0], 5)
        assert video.times.tolist() == pytest.approx([0, 0.1, 0.4])
        assert prepared.made[prepared.files[0]].note == "2 of 5 frame numbers have no image"


def test_frames_that_make_no_video_are_refused(tmp_path: Path) -> None:
    folder = frames(tmp_path / "twice", 1, 2)
    frames(folder, 2, name="00{}.bmp")
    with pytest.raises(UserError, match="the number of"), prepared_inputs([str(folder)], 10):
        pass
    folder = frames(tmp_path / "sizes", 1)
    Image.fromarray(ruler(1)).save(folder / "2.png")
    with pytest.raises(UserError, match=r"2\.png.*80x32.*45x31"), prepared_inputs([str(folder)], 10):
        pass
    video = write_clip(tmp_path / "a.mp4", 5)
    for fps, words in ((0, "above 0"), (float("nan"), "above 0"), (25, "a folder of images among the inputs")):
        with pytest.raises(UserError, match=words), prepared_inputs([str(video)], fps):
            pass
