"""Extracting the annotated frames, and the list of what is missing, short or broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from action_genome_layout import CUP, TRAIN_ROWS, person, row, thing, write_annotations, write_charades
from PIL import Image

from whyact.data.relations import action_genome as ag
from whyact.data.relations.action_genome_check import check_action_genome, check_charades
from whyact.data.relations.action_genome_frames import prepare, summary
from whyact.video.write import write_video

SIZE = (64, 48)
WANTED = {"AAAA1": (1, 5, 9), "BBBB2": (2, 3), "CCCC3": (1,), "DDDD4": (4, 30), "EEEE5": (1,)}


def grey(number: int) -> np.ndarray:
    """Return a frame that tells its number by its brightness."""
    return np.full((SIZE[1], SIZE[0], 3), 20 * number, np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return five videos: one fine, one of another size, one missing, one short, one of random bytes."""
    write_charades(tmp_path, [*TRAIN_ROWS[:1], row("CCCC3"), row("DDDD4"), row("EEEE5")])
    keys = [ag.frame_key(video, n) for video, numbers in WANTED.items() for n in numbers]
    persons = {key: {**person((1, 1, 20, 40)), "bbox_size": SIZE} for key in keys}
    write_annotations(tmp_path / "annotations", persons, {key: [thing(CUP, (5, 5, 9, 9), "holding")] for key in keys})
    for video, rate in (("AAAA1", 12.5), ("DDDD4", 25.0)):
        write_video(tmp_path / "videos" / f"{video}.mp4", [grey(n) for n in range(1, 11)], rate)
    write_video(tmp_path / "videos" / "BBBB2.mp4", [np.zeros((24, 32, 3), np.uint8)] * 5, 25.0)
    (tmp_path / "videos" / "EEEE5.mp4").write_bytes(np.random.default_rng(0).bytes(2000))
    return tmp_path


def test_frames_by_the_official_numbering(root: Path) -> None:
    seen: list[str] = []
    found = prepare(root, done=seen.append)
    for number in WANTED["AAAA1"]:
        image = np.asarray(Image.open(root / "frames" / "AAAA1.mp4" / f"{number:06d}.png"))
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert abs(float(image.mean()) - 20 * number) < 4  # the first frame is number 1
    assert not (root / "frames" / "AAAA1.mp4" / "000002.png").exists()
    assert (found.videos, found.frames, found.written) == (5, 9, 6)
    assert found.missing == ["CCCC3"]
    assert found.short == ["DDDD4 (1 of 2 frames, from 30)"]
    assert [line.split(":")[0] for line in found.broken] == ["EEEE5"]
    assert found.other_size == ["BBBB2 (32 x 24, boxes of 64 x 48)"]
    assert seen == list(WANTED)
    assert summary(found)["missing_such_as"] == ["CCCC3"]


def test_it_goes_on_where_it_was(root: Path) -> None:
    prepare(root)
    folder = root / "frames" / "AAAA1.mp4"
    (folder / "000005.png").unlink()
    (folder / "000009.png").write_bytes(b"")  # as a full disk leaves it
    before = (folder / "000001.png").stat().st_mtime_ns
    found = prepare(root)
    assert (found.written, found.there_already) == (2, 4)
    assert (folder / "000001.png").stat().st_mtime_ns == before
    assert (folder / "000009.png").stat().st_size > 0


def test_the_converted_annotations_know_the_rates(root: Path) -> None:
    prepare(root)
    found = ag.read_annotations(root / "annotations")
    rate = dict(zip(found.videos, found.rate.tolist(), strict=True))
    assert rate == {"AAAA1": 12.5, "BBBB2": 25.0, "CCCC3": 0.0, "DDDD4": 25.0, "EEEE5": 0.0}
    for path in (root / "videos").iterdir():
        path.unlink()
    prepare(root, frames=False)  # the rates stay known when the videos are gone
    assert ag.read_annotations(root / "annotations").rate.tolist() == found.rate.tolist()


def test_the_check_lists_what_is_missing_short_and_broken(root: Path) -> None:
    prepare(root)
    (root / "frames" / "AAAA1.mp4" / "000005.png").unlink()
    (root / "videos" / "EEEE5.mp4").write_bytes(b"")
    (root / "annotations" / ag.OBJECT_LIST).unlink()
    listed = root / "annotations" / ag.FRAMES
    listed.write_text(listed.read_text() + "AAAA1.mp4/000077.png\n")
    found = check_action_genome(root)
    assert found["usable"]
    assert (found["train"], found["test"], found["frames"]) == (4, 1, 9)
    assert found["missing_such_as"] == [str(root / "annotations" / ag.OBJECT_LIST), "videos/CCCC3.mp4"]
    assert [line.split(":")[0] for line in found["short_such_as"]] == ["frames/AAAA1.mp4", "frames/DDDD4.mp4"]
    assert len(found["broken_such_as"]) == 2
    assert "1 frames listed, not annotated, such as AAAA1.mp4/000077.png" in found["broken_such_as"][0]
    assert found["broken_such_as"][1] == "videos/EEEE5.mp4 is empty"
    assert found["frames_extracted"] == 5


def test_a_damaged_pickle_is_listed_and_not_usable(root: Path) -> None:
    path = root / "annotations" / ag.PERSONS
    path.write_bytes(path.read_bytes()[:200])
    found = check_action_genome(root)
    assert not found["usable"]
    assert ag.PERSONS in found["broken_such_as"][0]


def test_charades_beside_its_videos(root: Path) -> None:
    found = check_charades(root)
    assert (found["train"], found["test"], found["videos"]) == (4, 1, 4)
    assert found["missing_such_as"] == ["CCCC3.mp4"]
