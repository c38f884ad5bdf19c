"""The pixels behind clips: frames by their numbers, from video files and folders, and what is said where they lack."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_videos import write_clip
from whyact.data.relations import action_genome_clips
from whyact.data.relations.footage import FolderFootage, Footage, VideoFootage, ranges, read_spans
from whyact.errors import UserError
from whyact.homeworld.action_genome import write_action_genome


def put(path: Path, value: int, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


def numbers_of(images: list[np.ndarray]) -> list[int]:
    """Return the 1-based numbers that :func:`write_clip` painted as brightness."""
    return [round((float(image.mean()) - 8) / 3) + 1 for image in images]


@pytest.fixture(params=["every frame", "odd rate", "uneven", "folder"])
def footage(request: pytest.FixtureRequest, tmp_path: Path) -> Footage:
    if request.param == "folder":
        for number in range(1, 41):
            put(tmp_path / f"{number:06d}.png", 8 + 3 * (number - 1))
        return FolderFootage(tmp_path, 10.0)
    path = tmp_path / "a.mp4"
    stamps = np.cumsum([0] + [1 + 2 * (i % 3) for i in range(39)]).tolist() if request.param == "uneven" else None
    write_clip(path, 40, rate=23 if request.param == "odd rate" else 25, stamps=stamps)
    return VideoFootage(path)


def test_frames_come_by_their_numbers_in_one_pass(footage: Footage) -> None:
    assert numbers_of(list(footage.frames([1, 2, 9, 38, 40]))) == [1, 2, 9, 38, 40]
    spans = [[2, 3, 9], [3, 8, 40], [9]]
    assert [numbers_of(images) for images in read_spans(footage, spans)] == spans
    assert footage.missing([0, 1, 40, 41]) == [0, 41]


def test_so_many_frames_a_second_are_chosen_by_their_times(footage: Footage) -> None:
    every = footage.every(5.0)
    times = footage.times(every)
    assert (every[0], times[0]) == (1, 0)
    assert (np.diff(every) > 0).all()
    last = footage.times(np.array([40]))[0]
    assert len(every) == pytest.approx(last * 5 + 1, abs=1)
    assert every[-1] == 40, "clips end there"
    np.testing.assert_array_equal(footage.every(1000.0), np.arange(1, 41))


def test_the_key_is_the_content_of_a_video(tmp_path: Path) -> None:
    keys = []
    for name, frames in (("a.mp4", 5), ("b.mp4", 5), ("c.mp4", 6)):
        keys.append(VideoFootage(write_clip(tmp_path / name, frames)).key)
    assert keys[0] == keys[1] != keys[2]
    put(tmp_path / "f" / "1.png", 1)
    before = FolderFootage(tmp_path / "f", 1.0).key
    assert FolderFootage(tmp_path / "f", 1.0).key == before
    put(tmp_path / "f" / "2.png", 1)
    assert FolderFootage(tmp_path / "f", 1.0).key != before


def test_frames_that_the_time_limit_leaves_out_are_no_end_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage, clock = VideoFootage(write_clip(tmp_path / "a.mp4", 40)), count(step=200)
    assert footage.missing([40]) == []
    monkeypatch.setattr("whyact.video.reader.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(UserError, match=r"a\.mp4: found stopped at the time limit.*decodes in 3600 s"):
        list(footage.frames(range(1, 41)))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"video 7: found .*none\.mp4.*data\.pixels false"):
        VideoFootage(tmp_path / "none.mp4", "video 7")
    with pytest.raises(UserError, match="a folder with an image a frame"):
        FolderFootage(tmp_path / "none", 30.0)
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"3\.png.*can be read"):
        list(FolderFootage(tmp_path, 30.0).frames([3]))


def test_a_video_that_ends_early_is_no_training_material(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 200, container_options={"movflags": "faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match="nothing at frame 200"):
        list(read_spans(VideoFootage(path), [[1, 200]]))


def test_runs_are_joined() -> None:
    assert ranges([1, 2, 3, 7]) == "1-3, 7"
    assert ranges(list(range(1, 40, 2))).endswith(", ...")


def test_action_genome_prefers_prepared_frames_to_the_video(tmp_path: Path) -> None:
    root = write_action_genome(tmp_path / "world", seed=1, videos=20, every=6, pixels=False)
    found = action_genome_clips.read(root, slots=4)
    clip = next(clip for clip in found.clips if clip.slots)
    assert found.footage is not None
    with pytest.raises(UserError, match=f"video {clip.id}, neither frames"):
        found.footage(clip)
    video = root / "videos" / f"{clip.id}.mp4"
    video.parent.mkdir(exist_ok=True)
    write_clip(video, 3)
    assert found.footage(clip).path == video
    put(root / "frames" / f"{clip.id}.mp4" / "000003.png", 9)
    prepared = found.footage(clip)
    assert prepared.missing([3, 4]) == [4]
    assert prepared.times(np.array([31]))[0] == pytest.approx(1.0, rel=0.01)
