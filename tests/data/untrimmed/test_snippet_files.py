"""Videos to a feature folder: which frames a row has seen, resuming, broken files, memory."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from made_encoders import Brightness
from made_videos import write_clip
from ruler_films import Film, write
from whyact.data.io.row_file import RowFile
from whyact.data.untrimmed import snippet_files
from whyact.data.untrimmed.feature_files import Encoder, Recipe, open_folder, read_features, read_labels
from whyact.data.untrimmed.records import verify_features
from whyact.data.untrimmed.sets import Annotation
from whyact.data.untrimmed.snippet_files import (
    Streams,
    extract,
    find_videos,
    load_streams,
    streams_of,
)
from whyact.errors import UserError
from whyact.prediction import VideoFacts


def streams(seconds: float = 0.64, target: bool = False, count: int = 1) -> Streams:
    inputs = tuple(Brightness(f"encoder{i}") for i in range(count))
    recipe = Recipe(
        seconds,
        (4, 4 if count > 1 else 0),
        tuple(Encoder(encoder.name, "random") for encoder in inputs),
        Encoder("clip:RN50", "random") if target else None,
    )
    return Streams(inputs, Brightness("clip:RN50", width=3) if target else None, recipe)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "a.mp4", 48)
    write_clip(folder / "b.mp4", 20)
    return folder


def test_a_row_has_seen_its_own_sixteen_frames(films: Path, tmp_path: Path) -> None:
    found = extract(find_videos([films]), tmp_path / "out", streams(target=True, count=2))
    assert (found.new, found.kept, found.broken) == (["a", "b"], [], {})
    rows = np.load(tmp_path / "out" / "features" / "a.npy")
    assert rows.dtype == np.float16
    assert np.rint(rows[:, :2]).tolist() == [[0, 15], [16, 31], [32, 47]]
    assert np.array_equal(rows[:, :4], rows[:, 4:])
    assert np.load(tmp_path / "out" / "clip" / "a.npy").shape == (3, 3)
    assert len(np.load(tmp_path / "out" / "features" / "b.npy")) == 2  # 0.8 s: a snippet and the end of the video


def test_training_reads_what_was_extracted(films: Path, tmp_path: Path) -> None:
    extract(find_videos([films]), tmp_path / "out", streams(0.32, target=True, count=2))
    folder = open_folder(tmp_path / "out")
    assert folder.widths("a") == (4, 4)
    video = folder.read(Annotation("a", "train", 0.0, (0,)))
    assert (len(video.features), video.rate, video.second.shape) == (6, 1 / 0.32, (6, 3))  # type: ignore[union-attr]
    assert isinstance(video.features, np.memmap)
    assert folder.recipe == streams(0.32, target=True, count=2).recipe


def test_a_rerun_does_only_what_is_left(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    extract({"a": films / "a.mp4"}, out, streams())
    before = (out / "features" / "a.npy").stat().st_mtime_ns
    again = extract(find_videos([films]), out, streams())
    assert (again.new, again.kept) == (["b"], ["a"])
    assert (out / "features" / "a.npy").stat().st_mtime_ns == before
    (out / "videos" / "a.json").write_text('{"key": ')  # as a machine that died would leave it
    write_clip(films / "b.mp4", 48)  # another film under the same name
    assert extract(find_videos([films]), out, streams()).new == ["a", "b"]
    assert len(np.load(out / "features" / "b.npy")) == 3


def test_features_of_another_recipe_are_not_mixed(films: Path, tmp_path: Path) -> None:
    extract(find_videos([films]), tmp_path / "out", streams())
    with pytest.raises(UserError, match="another out"):
        extract(find_videos([films]), tmp_path / "out", streams(seconds=0.5))


def test_features_are_kept_under_the_recipe_that_made_them(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(find_videos([films]), out, streams())
    recipe = (out / "features.json").read_bytes()
    (out / "features.json").unlink()  # as `data verify` advises where it was changed
    assert extract(find_videos([films]), out, streams()).kept == ["a", "b"]
    assert (out / "features.json").read_bytes() == recipe  # else snippets would count as 0.64 s, whatever they are
    (out / "features.json").unlink()
    assert extract(find_videos([films]), out, streams(0.32)).new == ["a", "b"]
    assert len(np.load(out / "features" / "a.npy")) == 6
    assert verify_features(out) == []


def test_features_that_no_record_knows_are_named(films: Path, tmp_path: Path) -> None:
    extract(find_videos([films]), tmp_path, streams())
    np.save(tmp_path / "features" / "c.npy", np.ones((3, 4), np.float16))
    (found,) = verify_features(tmp_path)
    assert str(tmp_path / "features" / "c.npy") in found


def test_a_file_that_was_removed_is_made_again(films: Path, tmp_path: Path) -> None:
    extract(find_videos([films]), tmp_path, streams())
    (tmp_path / "features" / "a.npy").unlink()
    again = extract(find_videos([films]), tmp_path, streams())
    assert (again.new, again.kept) == (["a"], ["b"])
    assert (tmp_path / "features" / "a.npy").is_file()


def test_broken_videos_are_listed_and_cut_ones_said(films: Path, tmp_path: Path) -> None:
    (films / "none.mp4").write_text("no video")
    whole = write_clip(films / "cut.mkv", 200, gop=5)
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.5)])
    out = tmp_path / "out"
    found = extract(find_videos([films]), out, streams())
    assert found.new == ["a", "b", "cut"]
    assert list(found.broken) == ["none"]
    assert list(found.degraded) == ["cut"]
    assert 3 <= len(np.load(out / "features" / "cut.npy")) < 12
    with open(out / "broken.csv", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["none"]
    assert not (out / "features" / "none.npy").exists()
    with pytest.raises(UserError, match="at least one video that decodes"):
        extract({"none": films / "none.mp4"}, tmp_path / "other", streams())
    assert not list((tmp_path / "other").glob("features/*"))


def test_rows_are_seconds_of_the_player_where_the_video_starts_late(tmp_path: Path) -> None:
    film = write(Film("late.mp4", sound=True, delay=50), tmp_path)  # its first frame is on screen at 2 s
    extract({"late": film}, tmp_path / "out", streams(0.4))
    rows = np.load(tmp_path / "out" / "features" / "late.npy").astype(float)
    alone = write(Film("early.mp4"), tmp_path)
    extract({"early": alone}, tmp_path / "out", streams(0.4))
    early = np.load(tmp_path / "out" / "features" / "early.npy").astype(float)
    assert len(rows) == len(early) + 5
    assert np.ptp(rows[:5, :2]) < 1  # the first frame, five times
    np.testing.assert_allclose(rows[5:, :2], early[:, :2], atol=1)


def test_a_name_is_the_path_below_the_folder(films: Path, tmp_path: Path) -> None:
    for place in ("pour", "stir"):  # the same base name in every folder
        (films / place).mkdir()
        write_clip(films / place / "001.mp4", 8)
    (films / "cache").mkdir()
    (films / "a.mp4").rename(films / "cache" / "9f3c.bin")
    (films / "a.mp4").symlink_to(films / "cache" / "9f3c.bin")
    videos = find_videos([films])
    assert list(videos) == ["a", "b", "pour/001", "stir/001"]
    assert videos["a"].name == "a.mp4"
    assert list(find_videos([films / "*" / "001.mp4"])) == ["pour/001", "stir/001"]
    assert list(find_videos([films, films / "pour"])) == ["001", "a", "b", "pour/001", "stir/001"]
    with pytest.raises(UserError, match=r"stir.001.mp4.*the same name as .*pour.001.mp4.*give the folder"):
        find_videos([films / "pour" / "001.mp4", films / "stir" / "001.mp4"])
    out = tmp_path / "out"
    assert extract(videos, out, streams()).new == list(videos)
    assert open_folder(out).names() == list(videos)
    assert not verify_features(out)
    (out / "features" / "pour" / "001.npy").unlink()
    assert len(verify_features(out)) == 1
    (out / "labels.csv").write_text("name,labels\npour/001,pour\nstir/001,stir\n../a,x\n")
    folder = open_folder(out)
    found = read_labels(out / "labels.csv")
    assert len(folder.read(found.videos[1]).features) > 0
    with pytest.raises(UserError, match="a name below"):
        folder.read(found.videos[2])


def test_inputs_that_make_no_sense_are_named(films: Path, tmp_path: Path) -> None:
    (films / "more").mkdir()
    write_clip(films / "a.mkv", 4)
    with pytest.raises(UserError, match="the same name"):
        find_videos([films])
    (films / "a.mkv").unlink()
    with pytest.raises(UserError, match="no such file"):
        find_videos([films / "absent.mp4"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no video"):
        find_videos([tmp_path / "empty"])


class Wrong(Brightness):
    def encode(self, prepared):  # type: ignore[no-untyped-def]
        return prepared.float() * float("nan")


def test_features_that_are_no_numbers_leave_nothing_behind(films: Path, tmp_path: Path) -> None:
    bad = Streams((Wrong(),), None, Recipe(widths=(4, 0)))
    with pytest.raises(UserError, match="NaN"):
        extract({"a": films / "a.mp4"}, tmp_path / "out", bad)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("rows", [1, 10, 100_000])
def test_a_growing_file_is_a_npy_file(tmp_path: Path, rows: int) -> None:
    file = RowFile(tmp_path / "x.npy")
    for start in range(0, rows, 10_000):
        file.add(np.full((min(10_000, rows - start), 2), start // 10_000, np.float32))
    assert not (tmp_path / "x.npy").exists()
    file.close()
    found = read_features(tmp_path / "x.npy")
    assert found.shape == (rows, 2)
    assert found[-1].tolist() == [(rows - 1) // 10_000] * 2
    file = RowFile(tmp_path / "y.npy")
    file.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_hours_of_video_need_no_more_memory_than_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.zeros((16, 48, 64, 3), np.uint8)

    def peak(count: int) -> int:
        def windows(*_: object, **__: object):  # type: ignore[no-untyped-def]
            for i in range(count):
                video = SimpleNamespace(frames=frames.copy(), facts=VideoFacts(path="x"))
                yield SimpleNamespace(start=0.64 * i, video=video)

        monkeypatch.setattr(snippet_files, "windows", windows)
        tracemalloc.start()
        try:
            snippet_files.extract_features(tmp_path / "x.mp4", tmp_path / "x.npy", streams())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(8)  # what is imported and cached once
    short, long = peak(40), peak(2000)
    assert len(np.load(tmp_path / "x.npy")) == 2000
    assert long < short + 200_000 < frames.nbytes * 40


def test_encoders_of_a_run_are_found_again_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(snippet_files, "load_torch", lambda path: {"file": path.name})

    def load(name: str, weights: str = "default", state: object = None, device: object = "cpu") -> Brightness:
        asked.append((name, weights, state))
        return Brightness(name, weights)

    monkeypatch.setattr(snippet_files, "load_encoder", load)
    (tmp_path / "own.pth").write_bytes(b"weights")
    made = load_streams(["s3d", "clip:RN50"], [str(tmp_path / "own.pth"), "random"], None, 0.5)
    assert made.recipe.widths == (4, 4)
    assert made.recipe.encoders[0].weights == "own.pth"  # no path of this machine
    assert made.recipe.encoders[1] == Encoder("clip:RN50", "random")
    streams_of(made.recipe, str(tmp_path / "own.pth"))
    assert asked[-2] == ("s3d", "own.pth", {"file": "own.pth"})
    with pytest.raises(UserError, match="weights"):
        streams_of(made.recipe)
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(UserError, match="other weights"):
        streams_of(made.recipe, str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="did not extract"):
        streams_of(Recipe())
    with pytest.raises(UserError, match="one encoder or two"):
        load_streams(["s3d"] * 3, ["random"], None, 0.5)
    with pytest.raises(UserError, match="or 2"):
        load_streams(["s3d"] * 2, ["random"] * 3, None, 0.5)
