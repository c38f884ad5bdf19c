"""Reading forwards: jumping gives what scanning gives, odd files are read, broken ones say what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_videos import numbers, write_clip, write_sound
from whyact.errors import UserError
from whyact.video.decode import decode, frames_at, windows
from whyact.video.reader import VideoReader

DATA = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data"))
VIDEOS = DATA.parent / "videos"


def on_screen(path: Path, moments: np.ndarray) -> list[int]:
    """Decode everything and look up the frame on screen, as a straight reference."""
    with av.open(str(path)) as container:
        start = float((container.streams.video[0].start_time or 0) * container.streams.video[0].time_base)
        frames = [
            (f.time - start, int(numbers(f.to_ndarray(format="rgb24")[None])[0])) for f in container.decode(video=0)
        ]
    return [[n for t, n in frames if t <= max(m, frames[0][0]) + 1e-6][-1] for m in moments]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "near": write_clip(folder / "near.mp4", 150, gop=10),
        "far": write_clip(folder / "far.mp4", 150, gop=250),
        "open": write_clip(
            folder / "open.mp4", 150, gop=30, options={"x264-params": "open-gop=1:bframes=3:b-pyramid=2"}
        ),
        "mkv": write_clip(folder / "near.mkv", 150, gop=20),
        "ts": write_clip(folder / "near.ts", 150, gop=20),
        "avi": write_clip(folder / "near.avi", 150, gop=12, codec="mpeg4", options={"qmin": "1", "qmax": "1"}),
        "uneven": write_clip(folder / "uneven.mkv", 0, stamps=np.cumsum(np.arange(60) % 7 + 1).tolist(), gop=8),
        "uneven-mp4": write_clip(folder / "uneven.mp4", 0, stamps=np.cumsum(np.arange(60) % 7 + 1).tolist(), gop=8),
    }


@pytest.mark.parametrize("name", ["near", "far", "open", "mkv", "ts", "avi", "uneven", "uneven-mp4"])
@settings(max_examples=12)
@given(st.lists(st.floats(0, 5.9), min_size=1, max_size=6))
def test_jumping_shows_what_scanning_shows(files: dict[str, Path], name: str, moments: list[float]) -> None:
    wanted = np.sort(np.array(moments))
    video = frames_at(files[name], wanted)
    assert video.facts.degraded == ""
    assert numbers(video.frames).tolist() == on_screen(files[name], wanted)
    assert (video.times <= np.maximum(wanted, video.times[0]) + 1e-6).all()


def test_jumps_are_taken_only_where_they_save(files: dict[str, Path]) -> None:
    for name, most in (("near", 60), ("far", 152)):
        with VideoReader(files[name]) as reader:
            list(reader.frames_at([1.9, 3.9, 5.9]))
            assert reader.decoded <= most
            assert reader._jumped == (name == "near")
    with VideoReader(files["near"]) as reader:
        list(reader.frames_at(np.arange(75) * 0.08))
        assert not reader._jumped


def test_windows_give_what_single_decodings_give(files: dict[str, Path]) -> None:
    found = list(windows(files["near"], 2.0, 0.8, 5))
    assert [(round(w.start, 6), round(w.end, 6)) for w in found] == [
        (0, 2), (0.8, 2.8), (1.6, 3.6), (2.4, 4.4), (3.2, 5.2), (4, 6)
    ]  # fmt: skip
    for window in found:
        alone = frames_at(files["near"], np.linspace(window.start + 0.02, window.end - 0.02, 5))
        np.testing.assert_array_equal(window.video.times, alone.times)
        np.testing.assert_array_equal(window.video.frames, alone.frames)
    assert found[-1].video.times[-1] == pytest.approx(149 / 25)
    assert found[-1].video.facts.frames_decoded <= 152  # read once, not window by window


def test_both_ends_are_the_first_and_the_last_frame(files: dict[str, Path]) -> None:
    for name in ("near", "far", "mkv", "avi"):
        assert numbers(decode(files[name], 7, ends=True).frames)[[0, -1]].tolist() == [0, 149 - 80]


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_turned_video_is_turned_upright(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turn)
        image = np.zeros((48, 64, 3), np.uint8)
        image[:10, :10] = 255  # left upper corner, as stored
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frame = decode(path, 1).frames[0]
    assert frame.shape == ((48, 64, 3) if turn == 180 else (64, 48, 3))
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation % 360 == turn % 360
    corner = {90: (-5, 5), -90: (5, -5), 180: (-5, -5)}[turn]  # counter-clockwise by the file's angle
    assert frame[corner].mean() > 200
    assert frame.mean() < 40


@pytest.mark.parametrize(
    ("size", "pix_fmt"), [((64, 48), "yuv420p10le"), ((53, 37), "yuv444p"), ((2, 2), "yuv420p"), ((66, 50), "yuv420p")]
)
def test_depths_and_sizes(tmp_path: Path, size: tuple[int, int], pix_fmt: str) -> None:
    video = decode(write_clip(tmp_path / "a.mp4", 20, size=size, pix_fmt=pix_fmt), 4)
    assert video.frames.shape == (4, size[1], size[0], 3)
    np.testing.assert_allclose(numbers(video.frames), [2, 7, 12, 17], atol=1 if "10" in pix_fmt else 0)


def test_one_frame_is_shown_at_every_moment(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "one.mp4", 1)
    assert decode(path, 16).frames.shape == (1, 48, 64, 3)
    assert decode(path, 16, ends=True).facts.degraded == ""
    assert frames_at(path, np.zeros(5)).frames.shape == (5, 48, 64, 3)
    assert len(list(windows(path, 2, 1, 4))) == 1


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sound only"):
        decode(write_sound(tmp_path / "sound.m4a"), 4)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match="empty"):
        decode(tmp_path / "a.mp4", 4)


def test_a_file_cut_before_its_index_and_a_text_are_said_to_be_so(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", 50)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.mp4").write_text("Dear diary, today I filmed nothing.\n" * 50)
    for name in ("cut.mp4", "text.mp4"):
        with pytest.raises(UserError, match=f"{name}: found cut short, or no video file"):
            decode(tmp_path / name, 4)


def test_what_is_no_regular_file_is_not_said_to_be_missing(tmp_path: Path) -> None:
    for path, found in (("/dev/null", "no regular file"), (tmp_path, "a folder"), (tmp_path / "a", "no such file")):
        with pytest.raises(UserError, match=rf": (found )?{found}\b.*a video file"):
            VideoReader(path)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_a_cut_file_is_degraded(tmp_path: Path, ending: str) -> None:
    codec = {"avi": "mpeg4"}.get(ending, "libx264")
    front = {"movflags": "faststart"} if ending == "mp4" else None
    whole = write_clip(tmp_path / f"a.{ending}", 200, gop=5, codec=codec, size=(320, 240), container_options=front)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    video = decode(cut, 16)
    assert 0 < len(video.frames) <= 16
    if ending != "ts":  # a transport stream declares nothing: what is left of it is a shorter video
        assert video.facts.degraded
        assert len(video.frames) < 16
        assert video.times[-1] < 6
        *_, last = windows(cut, 2, 1, 4)
        assert last.video.facts.degraded


def test_fewer_frames_than_declared_are_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 50, gop=100)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    with av.open(str(path)) as container:
        sizes = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in sizes[20:26]:  # six packets of nothing
        data[position : position + size] = bytes(size)
    assert sizes[0][0] >= start
    path.write_bytes(data)
    facts = decode(path, 50).facts
    assert facts.frames_declared == 50
    assert facts.degraded


def test_times_must_rise(files: dict[str, Path]) -> None:
    for bad in ([], [2.0, 1.0], [float("nan")], [-1.0]):
        with pytest.raises(UserError, match="rising"):
            frames_at(files["near"], bad)


def test_frames_too_large_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="pixels a frame"), VideoReader(files["near"], most_pixels=1000):
        pass


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to count threads")
def test_frames_start_no_threads(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "wide.mp4", 40, size=(640, 480))
    before = len(os.listdir("/proc/self/task"))
    with VideoReader(path) as reader:
        kept = list(reader.frames_at(np.arange(40) / 25))
        assert len(kept) == 40
        assert len(os.listdir("/proc/self/task")) <= before + 1  # the decoder may have one


def test_the_clock_counts_reading_only(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("whyact.video.reader.time", SimpleNamespace(monotonic=lambda: clock[0]))
    with VideoReader(files["near"], limit=1.0) as reader:
        for _ in reader.frames_at([0.0, 1.0]):
            clock[0] += 60  # the caller's own work
        assert reader.degraded == ""


def test_a_length_that_no_frames_stand_for_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "a.mp4", 50).read_bytes())
    at = data.index(b"mdhd") + 4
    assert data[at] == 0  # version 0: 4 bytes each of created, modified, scale and length
    data[at + 16 : at + 20] = (0xFFFFFFF0).to_bytes(4, "big")
    path = tmp_path / "days.mp4"
    path.write_bytes(data)
    video = decode(path, 8)
    assert video.facts.duration < 10
    assert "declared length" in video.facts.degraded or video.facts.degraded == ""
    assert numbers(video.frames)[-1] > 40


@pytest.mark.parametrize(
    "name",
    [
        "R6llTwEh07w.mp4",
        "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
        "cups.mp4",
        "drink_water.avi",
        "v_SoccerJuggling_g23_c01.avi",
    ],
)
def test_real_clips_show_what_scanning_shows(name: str) -> None:
    path = VIDEOS / name
    if not path.is_file():
        pytest.skip(f"no real clips at {VIDEOS}")
    assert decode(path, 16).facts.degraded == ""
    video = decode(path, 6, ends=True)
    assert video.facts.degraded == ""
    assert len(video.frames) == 6
    with av.open(str(path)) as container:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    shown = np.rint(video.times * video.facts.fps).astype(int)  # all of these clips keep one rate
    assert shown[0] == 0
    assert shown[-1] >= len(means) - 2
    assert [frame.mean() for frame in video.frames] == pytest.approx([means[i] for i in shown], abs=1e-9)


_IN_LITTLE_SPACE = """
import resource, sys
from whyact.video.reader import VideoReader

with VideoReader(sys.argv[1]) as reader:
    shown = reader.frames_at([i / 25 for i in range(40)])
    next(shown)
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, resource.RLIM_INFINITY))
    print(1 + sum(1 for _ in shown))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs a limit of address space")
def test_frames_are_converted_without_threads_of_their_own(tmp_path: Path) -> None:
    """A worker's address space is bounded: a thread for each frame and core would fail there (EAGAIN)."""
    path = write_clip(tmp_path / "film.mp4", 40, size=(640, 480))
    done = subprocess.run([sys.executable, "-c", _IN_LITTLE_SPACE, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "40"), done.stderr
