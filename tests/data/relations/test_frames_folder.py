"""Frames of CAD-120 as images: both layouts are found, the rest is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cad120_layout import annotation_files, first_video, write_folder
from PIL import Image

from hand_clips import clip
from whyact.data.relations import cad120
from whyact.data.relations.frames import FramesFolder
from whyact.errors import UserError

ID = "Subject1/drinking/0126/5-9"


@pytest.mark.parametrize("layout", ["Subject1/drinking/0126/RGB_{}.png", "0126/{}.png", "0126/{:06d}.jpg"])
def test_both_layouts_are_found(tmp_path: Path, layout: str) -> None:
    for number in range(5, 9):
        path = tmp_path / layout.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 64, 3), 10 * number, np.uint8)).save(path)
        Image.fromarray(np.full((48, 64, 3), 255, np.uint8)).save(path.with_name(f"Depth_{number}.png"))
    found = FramesFolder(tmp_path).footage(clip("fffff", id=ID))
    assert found.missing(range(5, 10)) == [9]
    np.testing.assert_allclose([image.mean() for image in found.frames([5, 6, 8])], [50, 60, 80], atol=1)
    np.testing.assert_allclose(found.times(np.array([1, 31])), [0, 1])


def test_two_images_of_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0126/5.png", "0126/005.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    with pytest.raises(UserError, match=r"5\.png.*the number of 005\.png"):
        FramesFolder(tmp_path).footage(clip("fffff", id=ID)).missing([5])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.frames_dir.*an image for each frame"):
        FramesFolder(tmp_path / "absent")
    with pytest.raises(UserError, match=r"clip Subject1/drinking/0126/5-9.*RGB_<n>"):
        FramesFolder(tmp_path).footage(clip("fffff", id=ID))


def test_a_name_of_two_videos_is_found_by_its_whole_path_alone(tmp_path: Path) -> None:
    """Else the second person's clips would be looked at in the first one's frames."""
    lines = "Ada, tidy, 0001, 1, 4, pick", "Ben, cook, 0001, 2, 5, open", "Ben, cook, 0002, 2, 5, open"
    files = annotation_files() | {
        "video_clips.txt": "\n".join(lines),
        "all/Ben/cook/0001.json": json.dumps(first_video()),
    }
    root = write_folder(tmp_path / "data", files)
    for name in ("0001", "0002"):
        (tmp_path / "rgb" / name).mkdir(parents=True)
    data = cad120.read(root, frames_dir=tmp_path / "rgb")
    assert data.footage is not None
    for clip_ in data.clips[:2]:
        with pytest.raises(UserError, match="several videos are named 0001"):
            data.footage(clip_)
    assert data.footage(data.clips[2]).path == tmp_path / "rgb" / "0002"
