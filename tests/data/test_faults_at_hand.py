"""Small inputs that once went wrong without a word: each kind made here, and those of the shared folder where it is.

Labels, tracks, same names and same stems; what is about pixels and time stands in ``tests/video``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_videos import write_clip
from whyact.cli import main
from whyact.data.datasets import load_zero_shot
from whyact.data.io.tables import read_label_names
from whyact.data.types import ZeroShotOptions
from whyact.data.untrimmed.feature_files import read_labels
from whyact.errors import UserError
from whyact.perception.tracks_file import check_against_video, read_tracks, write_tracks
from whyact.prediction import VideoFacts

SHARED = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")).parent / "faults"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder of faults is not here")


class Brightness:
    """A stand-in for CLIP that needs no weights: frames by their brightness, texts by their length."""

    semantics = "CLIP stand-in random weights"
    parameters = 0

    def encode_frames(self, frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames.reshape(len(frames), -1).mean(1, keepdims=True).repeat(3, 1)).float()

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text))] * 3 for text in texts])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyact.features.clip.load_clip", lambda *_, **__: Brightness())


FILM = VideoFacts(path="film.mp4", duration=1.83, fps=30.0, width=640, height=480, frames_decoded=55)
HAND = [[200, 200, 260, 260], [210, 210, 270, 270], [220, 220, 280, 280], [230, 230, 290, 290]]
MUG = [[310.0, 240.0, 341.0, 274.0]] * 4


def tracks_file(path: Path, times: list[float], *boxes: Any, size: tuple[int, int] = (640, 480), **more: Any) -> Path:
    tracks = [{"name": f"thing_{i}", "class": "hand", "boxes": own} for i, own in enumerate(boxes)]
    document = {"format": "whyact-tracks", "version": 1, "image_size": size, "times": times, "tracks": tracks}
    path.write_text(json.dumps(document | more))
    return path


def refused(path: Path, facts: VideoFacts = FILM) -> str:
    """Return what is said of a tracks file that a film cannot have."""
    with pytest.raises(UserError) as caught:
        check_against_video(path, read_tracks(path), facts)
    assert str(path) in str(caught.value)
    return str(caught.value)


def scaled(boxes: list[Any], by: float) -> list[Any]:
    return [[x / 640 * by, y / 480 * by, u / 640 * by, v / 480 * by] for x, y, u, v in boxes]


def xywh(boxes: list[Any]) -> list[Any]:
    return [[x, y, u - x, v - y] for x, y, u, v in boxes]


SECONDS = [0.0, 0.5, 1.0, 1.5]


def test_right_tracks_pass(tmp_path: Path) -> None:
    path = tracks_file(tmp_path / "t.json", SECONDS, HAND, MUG)
    check_against_video(path, read_tracks(path), FILM)


@pytest.mark.parametrize(
    ("times", "boxes", "said"),
    [
        (SECONDS, (scaled(HAND, 1), scaled(MUG, 1)), "look like shares of the image, 0 to 1"),
        (SECONDS, (scaled(HAND, 100), scaled(MUG, 100)), "look like percent, 0 to 100"),
        (SECONDS, (xywh(HAND), xywh(MUG)), r"look like [x, y, width, height]"),
        ([1.0, 16.0, 31.0, 46.0], (HAND, MUG), "look like frame numbers: the video has 55 frames"),
        ([0.0, 500.0, 1000.0, 1500.0], (HAND, MUG), "look like milliseconds"),
        ([0.0, 50.0, 100.0, 150.5], (HAND, MUG), "times up to 150.5"),
        ([0.0, 0.1, 0.2, 0.3], (HAND, MUG), "times up to 0.30 s only"),
    ],
)
def test_tracks_in_other_units_are_told_what_they_look_like(
    tmp_path: Path, times: list[float], boxes: tuple[Any, ...], said: str
) -> None:
    assert said in refused(tracks_file(tmp_path / "t.json", times, *boxes))


def test_tracks_of_another_size_are_refused(tmp_path: Path) -> None:
    assert "640 x 480" in refused(tracks_file(tmp_path / "t.json", SECONDS, HAND, size=(1280, 720)))


def test_a_file_that_vouches_for_pixels_is_believed(tmp_path: Path) -> None:
    small = [[1.0, 2.0, 30.0, 40.0]] * 4  # all in a corner of the image, as a clock on a wall may be
    assert "percent" in refused(tracks_file(tmp_path / "t.json", SECONDS, small))
    path = tracks_file(tmp_path / "u.json", SECONDS, small, units="pixels")
    tracks = read_tracks(path)
    check_against_video(path, tracks, FILM)
    again = write_tracks(tmp_path / "v.json", tracks)  # and so is what whyact writes
    check_against_video(again, read_tracks(again), FILM)


def test_boxes_past_the_edge_are_refused_or_clipped(tmp_path: Path) -> None:
    over = [[600.0, 440.0, 652.5, 485.25], *MUG[1:]]
    path = tracks_file(tmp_path / "t.json", SECONDS, over)
    with pytest.raises(UserError, match=r"tracks\[0\]\.boxes\[0\].*652\.5.*clip_boxes"):
        read_tracks(path)
    np.testing.assert_array_equal(read_tracks(path, clip_boxes=True).boxes[0, 0], [600, 440, 640, 480])
    slightly = tracks_file(tmp_path / "u.json", SECONDS, [[-0.5, 0.0, 640.5, 480.9], *MUG[1:]])  # rounding
    assert read_tracks(slightly).boxes[0, 0, 2] == 640.5


def test_all_mistakes_of_a_file_are_named_at_once_with_rounded_numbers(tmp_path: Path) -> None:
    wrong = [[341.123456789, 240.0, 310.0, 274.0], *MUG[1:]]
    far = [[900.0, 240.0, 941.0, 274.0], *MUG[1:]]
    path = tracks_file(tmp_path / "t.json", [0.0, 0.5, 0.5, 1.5], wrong, far, HAND[:3])
    said = refused(path)
    assert "4 mistakes" in said
    for item in ("times[2]", "tracks[0].boxes[0]", "tracks[1].boxes[0]", "tracks[2].boxes"):
        assert item in said
    assert "341.123," in said
    many = tracks_file(tmp_path / "m.json", SECONDS, *[far] * 30)
    assert "and 20 more" in refused(many)


LABELS = {
    "surplus": ('name,labels\nmonday,pour,stir\ntuesday,"listen (e.g., to music)"\n', ":2"),
    "unquoted": ("name,labels\nmonday,pour\ntuesday,listen (e.g., to music)\n", ":3"),
    "case": ("name,labels\na,Pour\nb,pour\n", ":3"),
    "spaces": ("name,labels\na,pour water\nb,pour_water\n", ":3"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_label_files_are_read_whole_or_refused_with_the_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, line = LABELS[kind]
    (tmp_path / "features").mkdir()
    for name in ("monday", "tuesday", "a", "b"):
        np.save(tmp_path / "features" / f"{name}.npy", np.ones((3, 4), np.float32))
    path = tmp_path / "labels.csv"
    path.write_text(text)
    train = ["train", "pvlr", "--data", "folder", "--root", str(tmp_path), "--out", str(tmp_path / "run")]
    for words in (["data", "check", "folder", "--root", str(tmp_path)], train):
        assert main(words) == 2
        assert f"{path}{line}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_list_of_labels_has_no_mark_in_its_first_name(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("\ufeffpour\nstir\n".encode())
    assert read_label_names("--labels", str(tmp_path / "l.txt")) == ("pour", "stir")


def class_folders(root: Path, odd: str = "wipe/001.wmv") -> Path:
    """Write four classes of two films with the same names, one of them broken, and a fifth class of one film."""
    for label in ("close", "open", "pour", "stir"):
        for name in ("001.mp4", "002.mp4"):
            (root / label).mkdir(parents=True, exist_ok=True)
            write_clip(root / label / name, 6, size=(64, 48))
    broken = root / "pour" / "001.mp4"
    broken.write_bytes(broken.read_bytes()[:300])
    (root / odd).parent.mkdir()
    film = write_clip(root / "film.mkv", 6, size=(64, 48))
    film.rename(root / odd)
    return root


def test_one_broken_film_costs_no_other_of_its_name(
    tmp_path: Path, stand_in: None, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path / "same")
    options = ZeroShotOptions(progress=False)
    data, split = load_zero_shot("videos", root, 1, options)
    used = {video.id for video in data.videos}
    assert len(used & {f"{c}/{n}.mp4" for c in ("close", "open", "pour", "stir") for n in ("001", "002")}) == 7
    assert "wipe/001.wmv" in used
    assert data.missing == ("pour/001.mp4",)
    assert set(data.classes) == {*split.seen, *split.unseen} == {"close", "open", "pour", "stir", "wipe"}
    assert main(["data", "check", "videos", "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["classes"], found["videos"]) == (5, 9)
    assert list(found["first_that_cannot_be_decoded"]) == ["pour/001.mp4"]


def test_class_folders_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "same")
    (root / "Pour").mkdir()
    if len(list(root.iterdir())) < 6:
        pytest.skip("this file system does not tell them apart")
    write_clip(root / "Pour" / "003.mp4", 4, size=(64, 48))
    with pytest.raises(UserError, match="one spelling of a class folder"):
        load_zero_shot("videos", root)


@shared
def test_the_shared_labels_and_tracks_are_answered_as_their_table_says() -> None:
    with pytest.raises(UserError, match=r"labels\.csv(:2|: found \d+ mistakes.*line 2)"):
        read_labels(SHARED / "labels" / "labels.csv")
    with pytest.raises(UserError, match=r"case\.csv:3.*Pour"):
        read_labels(SHARED / "labels" / "case.csv")
    assert read_label_names("--labels", str(SHARED / "labels" / "bom.txt")) == ("pour", "stir")
    assert "frame numbers" in refused(SHARED / "tracks" / "times-are-frames.json")
    assert "shares" in refused(SHARED / "tracks" / "boxes-normalised.json")


@shared
def test_the_shared_class_folders_lose_one_film_alone(tmp_path: Path, stand_in: None) -> None:
    for path in (SHARED / "same-names" / "same").rglob("*"):  # features are kept beside films
        if path.is_file():
            copy = tmp_path / path.relative_to(SHARED / "same-names" / "same")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    options = ZeroShotOptions(progress=False)
    data, _ = load_zero_shot("videos", tmp_path, 1, options)
    assert data.missing == ("pour/001.mp4",)
    assert len([video for video in data.videos if video.id.endswith(".mp4")]) == 7
    assert len(data.classes) == 5
    assert len(data.videos) == 8
