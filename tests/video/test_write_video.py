"""Writing videos: what goes in comes out, and a file is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from whyact.errors import UserError
from whyact.video.write import write_video


def colours(count: int, size: tuple[int, int] = (64, 48)) -> Iterator[np.ndarray]:
    """Yield one buffer again and again, its grey rising: who keeps frames for later sees only the last."""
    buffer = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for i in range(count):
        buffer[:] = 20 + 10 * i
        yield buffer


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), np.array([float(f.time) for f in frames])


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("fps", [30, 12.5, 30000 / 1001])
def test_frames_and_times_come_back(tmp_path: Path, ending: str, fps: float) -> None:
    path = write_video(tmp_path / "new" / f"a{ending}", colours(20), fps)
    assert path == tmp_path / "new" / f"a{ending}"
    frames, times = read(path)
    assert frames.shape == (20, 48, 64, 3)
    np.testing.assert_allclose(frames.mean((1, 2, 3)), 20 + 10 * np.arange(20), atol=3)
    np.testing.assert_allclose(times, np.arange(20) / fps, atol=2e-3)
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_colour_and_place_survive(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), dtype=np.uint8)
    picture[:24, :32], picture[24:, 32:] = (220, 30, 30), (30, 30, 220)
    frames, _ = read(write_video(tmp_path / "a.mp4", [picture] * 5, 10))
    assert np.abs(frames[2, 8:16, 8:24].astype(int) - (220, 30, 30)).mean() < 14
    assert np.abs(frames[2, 32:40, 40:56].astype(int) - (30, 30, 220)).mean() < 14


def broken() -> Iterator[np.ndarray]:
    yield from colours(3)
    raise RuntimeError("the renderer fell over")


def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="fell over"):
        write_video(path, broken(), 10)
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "frames", "fps", "match"),
    [
        ("a.avi", [np.zeros((4, 4, 3), np.uint8)], 10, "ends in"),
        ("a.mp4", [], 10, "at least one frame"),
        ("a.mp4", [np.zeros((4, 4, 3), np.uint8)], 0, "positive"),
        ("a.mp4", [np.zeros((4, 4, 3), np.uint8)], float("nan"), "positive"),
        ("a.mp4", [np.zeros((5, 4, 3), np.uint8)], 10, "even"),
        ("a.mp4", [np.zeros((4, 4, 3), np.float32)], 10, "uint8"),
        ("a.mp4", [np.zeros((4, 4), np.uint8)], 10, "uint8"),
        ("a.mp4", [np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], 10, "one size"),
    ],
    ids=["ending", "none", "zero-fps", "nan-fps", "odd", "float", "grey", "two-sizes"],
)
def test_what_cannot_be_a_video_is_refused(
    tmp_path: Path, name: str, frames: list[np.ndarray], fps: float, match: str
) -> None:
    with pytest.raises(UserError, match=match):
        write_video(tmp_path / name, frames, fps)
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames, _ = read(write_video("a:b.mp4", colours(4), 10).rename("plain.mp4"))
    assert len(frames) == 4
