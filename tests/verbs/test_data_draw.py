"""``whyact data draw``: boxes where the annotation says, labels in words, and what is said where pixels are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_videos import write_clip
from whyact.cli import main
from whyact.video.draw import track_colour
from whyact.video.reader import VideoReader

HAND, MUG = [200.0, 80.0, 280.0, 200.0], [320.0, 120.0, 400.0, 220.0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "my-data"
    (root / "videos").mkdir(parents=True)
    write_clip(root / "videos" / "a.mp4", 40, size=(480, 320))
    content = {
        "format": "whyact-own",
        "version": 1,
        "objects": ["hand", "mug"],
        "relations": ["apart", "holding"],
        "actions": ["pick"],
        "videos": [
            {
                "id": "a",
                "file": "videos/a.mp4",
                "fps": 25,
                "image_size": [480, 320],
                "frames": [1, 11, 21, 31],
                "tracks": [
                    {"name": "hand_1", "class": "hand", "boxes": [HAND] * 4},
                    {"name": "mug_1", "class": "mug", "boxes": [MUG, None, MUG, MUG]},
                ],
                "relations": [
                    {"pair": ["hand_1", "mug_1"], "relation": "apart", "from": 1, "to": 20},
                    {"pair": ["hand_1", "mug_1"], "relation": "holding", "from": 21, "to": 31},
                ],
                "actions": [{"action": "pick", "from": 1, "to": 31}],
            }
        ],
    }
    (root / "whyact.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def change(root: Path, **values: Any) -> None:
    """Change keys of the one video in the JSON."""
    content = json.loads((root / "whyact.json").read_text(encoding="utf-8"))
    content["videos"][0].update(values)
    (root / "whyact.json").write_text(json.dumps(content), encoding="utf-8")


def shown(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.image.astype(int) for frame in reader.frames_at([i / 2.5 for i in range(4)])]


def edge(frame: np.ndarray, box: list[float], index: int) -> float:
    """Return how far the left edge of a box is from the colour of the index-th thing."""
    x, low, high = round(box[0]), round(box[1]) + 8, round(box[3]) - 8
    return float(np.abs(np.median(frame[low:high, x], 0) - track_colour(index)).max())


def test_boxes_are_where_the_annotation_says_and_labels_change_with_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "boxes.mp4"
    assert main(["data", "draw", "own", "--root", str(data), "--clip", "a/1-31", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"clip": "a/1-31", "frames": 4, "video": str(out)}
    frames = shown(out)
    assert all(frame.shape[0] > 320 for frame in frames)  # the strip of labels
    assert [edge(frame, HAND, 0) < 70 for frame in frames] == [True] * 4  # colours are blurred by the encoder
    assert [edge(frame, MUG, 1) < 70 for frame in frames] == [True, False, True, True]
    inside = [frame[120:180, 230:250].mean() for frame in frames]
    np.testing.assert_allclose(inside, [8 + 3 * n for n in (0, 10, 20, 30)], atol=4)  # its own frame behind the boxes
    bright = [int((frame[320:].max(2) > 200).sum()) for frame in frames]
    assert min(bright[2:]) > max(bright[:2])  # "holding" is new, and therefore bright


def test_drawn_again_it_is_the_same_film(data: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        assert main(["data", "draw", "own", "--root", str(data), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_labels_of_a_whole_video_and_no_relation(data: Path, tmp_path: Path) -> None:
    change(data, labels=["pick"], actions=[], relations=[])
    assert main(["data", "draw", "own", "--root", str(data), "--out", str(tmp_path / "b.mp4")]) == 0
    assert len(shown(tmp_path / "b.mp4")) == 4


def test_what_is_missing_is_said_and_nothing_is_left(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "boxes.mp4"
    words = ["data", "draw", "own", "--root", str(data), "--out", str(out)]
    change(data, image_size=[960, 640])
    assert main(words) == 2
    assert "frames of 480x320, expected 960x640" in capsys.readouterr().err
    change(data, image_size=[480, 320], frames=[1, 11, 21, 99], actions=[{"action": "pick", "from": 1, "to": 99}])
    assert main(words) == 2
    assert "found '99'" in capsys.readouterr().err
    change(data, frames=[1, 11, 21, 31], actions=[{"action": "pick", "from": 1, "to": 31}])
    assert main([*words, "--clip", "b"]) == 2
    assert "such as a/" in capsys.readouterr().err
    video = data / "videos" / "a.mp4"
    before = video.read_bytes()
    assert main([*words[:-1], str(video)]) == 2
    assert "which it would replace" in capsys.readouterr().err
    assert video.read_bytes() == before
    assert main([*words[:-1], str(video / "x.mp4")]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["data", "draw", "onw", "--root", str(data)]) == 2
    assert "Did you mean 'own'" in capsys.readouterr().err
    shutil.rmtree(data / "videos")
    assert main(words) == 2
    assert "a.mp4" in capsys.readouterr().err
    assert main(["data", "draw", "cad120", "--root", str(data)]) == 2
    assert "--frames" in capsys.readouterr().err
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["my-data"]
