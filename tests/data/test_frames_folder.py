"""Frames of a data set as images: both layouts, one error for all that is missing, sizes that must fit the boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hand_clips import clip
from whyact.data.frames import FramesFolder
from whyact.errors import UserError

ID = "Subject1/drinking/0126/5-9"


def put(path: Path, value: int, size: tuple[int, int] = (640, 480)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


@pytest.mark.parametrize("layout", ["Subject1/drinking/0126/RGB_{}.png", "0126/{}.png", "0126/{:06d}.jpg"])
def test_both_layouts_are_found(tmp_path: Path, layout: str) -> None:
    for number in range(5, 10):
        put(tmp_path / layout.format(number), 10 * number)
        put((tmp_path / layout.format(number)).with_name(f"Depth_{number}.png"), 255)
    asked = clip("fffff", id=ID, frames=np.array([5, 6, 6, 8, 9]))
    frames = FramesFolder(tmp_path).read(asked)
    assert frames.shape == (5, 480, 640, 3)
    np.testing.assert_allclose(frames.mean((1, 2, 3)), [50, 60, 60, 80, 90], atol=1)


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    for number in (1, 4):
        put(tmp_path / f"Subject1/drinking/0126/RGB_{number}.png", 0)
    clips = [
        clip("fffff", id=ID, frames=np.array([1, 2, 3, 4, 6])),
        clip("ff", id="Subject3/stacking/0200/1-2", frames=np.array([1, 2])),
    ]
    folder = FramesFolder(tmp_path)
    assert folder.missing(clips) == ["Subject1/drinking/0126: 2-3, 6", "Subject3/stacking/0200: 1-2"]
    with pytest.raises(UserError, match=r"2 folders.*0126: 2-3, 6; Subject3"):
        folder.check(clips)
    with pytest.raises(UserError, match="--frames"):
        FramesFolder(tmp_path / "absent")


def test_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "0126/1.png", 0, (320, 240))
    asked = clip("f", id=ID, frames=np.array([1]))
    with pytest.raises(UserError, match="640x480"):
        FramesFolder(tmp_path).read(asked)
    (tmp_path / "0126/1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="can be read"):
        FramesFolder(tmp_path).read(asked)
