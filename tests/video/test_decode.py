"""Decoding by timestamps, on clips made here: each frame's brightness is its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_videos import numbers, write_clip
from whyact.errors import UserError
from whyact.video.decode import can_decode, decode


@pytest.mark.parametrize("count", [1, 4, 8])
def test_frames_are_those_on_screen_at_the_middle_of_each_share(tmp_path: Path, count: int) -> None:
    clip = decode(write_clip(tmp_path / "a.mp4", 100), count)
    expected = np.floor((np.arange(count) + 0.5) * 100 / count + 1e-9).astype(int)
    assert numbers(clip.frames).tolist() == (expected % 80).tolist()
    np.testing.assert_allclose(clip.times, expected / 25, atol=1e-6)
    assert clip.frames.shape == (count, 48, 64, 3)
    assert (clip.facts.duration, clip.facts.frames_declared, clip.facts.degraded) == (4.0, 100, "")
    assert len(clip.facts.sha256) == 64


def test_long_ways_are_jumped_to_the_same_frames(tmp_path: Path) -> None:
    clip = decode(write_clip(tmp_path / "long.mp4", 120, rate=5), 3)  # 24 s: 8 s from frame to frame
    assert numbers(clip.frames).tolist() == [20, 60, 100 % 80]


def test_a_short_video_gives_each_frame_once(tmp_path: Path) -> None:
    clip = decode(write_clip(tmp_path / "short.mp4", 3), 16)
    assert numbers(clip.frames).tolist() == [0, 1, 2]


def test_frames_at_uneven_times(tmp_path: Path) -> None:
    clip = decode(write_clip(tmp_path / "gaps.mkv", 100, every=10), 20)
    assert set(numbers(clip.frames)) <= set(range(0, 100, 10))
    assert (np.diff(clip.times) > 0).all()


def test_a_cut_file_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "whole.mkv", 200, gop=5)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    clip = decode(cut, 16)
    assert 0 < len(clip.frames) < 16
    assert clip.facts.degraded
    assert numbers(clip.frames)[0] == 6


def test_the_clock_stops_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 50)
    with pytest.raises(UserError, match="time limit"):
        decode(path, 8, limit=0.0)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    for name, words in (("text.mp4", "video file"), ("absent.mp4", "no such file.*Try: check the path")):
        with pytest.raises(UserError, match=words):
            decode(tmp_path / name, 4)
    assert can_decode(tmp_path / "text.mp4")
    assert can_decode(write_clip(tmp_path / "good.mp4", 5)) == ""
