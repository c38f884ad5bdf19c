"""Streams that were joined, cut, wrapped, stretched or have no times: right, or with a note that has the seconds."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from ruler_films import HEIGHT, RATE, WIDTH, Film, read, ruler, stored, uneven, write
from whyact.data.relations.footage import VideoFootage
from whyact.errors import UserError
from whyact.prediction import VideoFacts
from whyact.video.decode import decode, windows
from whyact.video.numbers import frame_times, frames_numbered
from whyact.video.reader import VideoReader

FAULTS = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")).parent / "faults"
STEADY = tuple(range(24))


def everything(path: Path) -> tuple[list[int], list[float], VideoFacts]:
    """Return numbers and times of all frames, read one after the other, and the facts after that."""
    with VideoReader(path, numbered=True) as reader:
        shown = list(reader.frames_numbered(range(1, 10_000)))
        return [read(frame.image) for frame in shown], [frame.time for frame in shown], reader.facts()


def joined(folder: Path, *films: Film) -> Path:
    """Write films and join their bytes."""
    paths = [write(film, folder) for film in films]
    path = folder / f"joined{paths[0].suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in paths))
    return path


@pytest.mark.parametrize(
    ("ending", "codec", "b_frames"),
    [
        ("ts", "libx264", 2),
        ("m2ts", "libx264", 0),
        ("mpg", "mpeg2video", 2),
        ("mkv", "libx264", 2),
        ("webm", "libvpx", 0),
    ],
)
def test_joined_streams_go_on_where_the_stamps_start_over(
    tmp_path: Path, ending: str, codec: str, b_frames: int
) -> None:
    parts = [Film(f"{n}.{ending}", codec, tuple(range(n, n + 24)), b_frames, delay=-n) for n in (0, 30)]
    path = joined(tmp_path, *parts)
    numbers, times, facts = everything(path)
    assert numbers == [*range(24), *range(30, 54)]
    np.testing.assert_allclose(times, np.arange(48) / RATE, atol=0.002)
    assert facts.duration == pytest.approx(48 / RATE, abs=0.002)
    assert facts.degraded == "time stamps start over at 0.96 s; counted on from there"
    video = decode(path, 6)
    assert [read(frame) for frame in video.frames] == [numbers[i] for i in (4, 12, 20, 28, 36, 44)]
    assert [read(shown.image) for shown in frames_numbered(path, [3, 30, 48])] == [2, 35, 53]


def test_a_film_behind_another_in_an_mp4_is_left_out_with_a_note(tmp_path: Path) -> None:
    path = joined(tmp_path, Film("a.mp4", b_frames=2), Film("b.mp4", stamps=tuple(range(50))))
    numbers, _, facts = everything(path)
    assert numbers == list(STEADY)
    assert facts.degraded == "a second film of 2.00 s is joined to this one, and left out"
    assert everything(tmp_path / "a.mp4")[2].degraded == ""


def test_joined_avis_are_one_film(tmp_path: Path) -> None:
    path = joined(tmp_path, Film("a.avi", "mpeg4"), Film("b.avi", "mpeg4", tuple(range(30, 54)), delay=-30))
    numbers, times, facts = everything(path)
    assert numbers == [*range(24), *range(30, 54)]
    np.testing.assert_allclose(times, np.arange(48) / RATE, atol=1e-6)
    assert facts.duration == pytest.approx(48 / RATE)


@pytest.mark.parametrize(("ending", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
def test_a_raw_stream_is_counted_also_when_its_size_changes(tmp_path: Path, ending: str, codec: str) -> None:
    films = [Film(f"{i}.{ending}", codec, tuple(range(first, first + 12))) for i, first in enumerate((0, 12))]
    first = write(films[0], tmp_path).read_bytes()
    with av.open(str(tmp_path / f"large.{ending}"), "w", format=ending) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options={"preset": "ultrafast", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 2 * WIDTH, 2 * HEIGHT, "yuv420p"
        for i in range(12, 24):
            frame = av.VideoFrame.from_ndarray(np.kron(ruler(i), np.ones((2, 2, 1), np.uint8)), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = tmp_path / f"resized.{ending}"
    path.write_bytes(first + (tmp_path / f"large.{ending}").read_bytes())
    numbers, times, facts = everything(path)
    assert numbers == list(STEADY)
    np.testing.assert_allclose(times, np.arange(24) / RATE)
    assert (facts.duration, facts.fps) == (pytest.approx(0.96), pytest.approx(RATE))
    assert facts.degraded == "frames of another size, scaled: 12"


def test_the_rate_of_a_raw_stream_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "fast.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream: Any = container.add_stream("libx264", rate=50, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(ruler(i), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, times, facts = everything(path)
    np.testing.assert_allclose(times, np.arange(20) / 50)
    assert (facts.duration, facts.fps) == (pytest.approx(0.4), pytest.approx(50))


def test_what_an_edit_list_cuts_away_is_no_frame(tmp_path: Path) -> None:
    film = Film("edited.mp4", stamps=tuple(range(34)), b_frames=2, delay=-10)
    numbers, times, facts = everything(write(film, tmp_path))
    assert numbers == list(range(10, 34))
    np.testing.assert_allclose(times, np.arange(24) / RATE, atol=1e-6)
    assert (facts.duration, facts.degraded) == (pytest.approx(0.96), "")
    assert len(frame_times(tmp_path / "edited.mp4")) == 24


def test_nothing_is_on_screen_before_the_video_starts(tmp_path: Path) -> None:
    path = write(Film("late.mp4", b_frames=2, sound=True, delay=50), tmp_path)
    video = decode(path, 6)
    assert [read(frame) for frame in video.frames] == [2, 6, 10, 14, 18, 22]
    np.testing.assert_allclose(video.times, 2 + np.array([2, 6, 10, 14, 18, 22]) / RATE, atol=0.011)
    assert (video.facts.start, video.facts.duration) == (pytest.approx(2, abs=0.011), pytest.approx(2.96, abs=0.011))
    assert video.rate == pytest.approx(6 / 0.96)
    spans = [(window.start, window.end) for window in windows(path, 0.5, 0.3, 2)]
    np.testing.assert_allclose(spans[0], (2, 2.5), atol=0.011)
    np.testing.assert_allclose(spans[-1], (2.46, 2.96), atol=0.011)
    footage = VideoFootage(path)
    np.testing.assert_allclose(footage.times(np.array([1, 24])), [2, 2.92], atol=0.011)
    assert footage.every(5.0).tolist() == [1, 6, 11, 16, 21, 24]


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_a_live_recording_has_the_length_of_its_frames(tmp_path: Path, ending: str) -> None:
    codec = "libvpx" if ending == "webm" else "libx264"
    film = Film(f"live.{ending}", codec, uneven(30), container_options={"live": "1"})
    numbers, times, facts = everything(write(film, tmp_path))
    assert numbers == list(film.stamps)
    np.testing.assert_allclose(times, [time for _, time in film.truth], atol=0.0015)
    assert facts.duration == pytest.approx(times[-1] + 1 / RATE, abs=0.17)
    assert facts.degraded == ""


def shift_stamps(data: bytes, seconds: float) -> bytes:
    """Return a transport stream with all its stamps later, modulo 2^33 as such stamps are."""
    out, ticks = bytearray(data), round(seconds * 90_000)

    def shifted(at: int) -> None:
        old = (
            (out[at] >> 1 & 7) << 30
            | out[at + 1] << 22
            | (out[at + 2] >> 1) << 15
            | out[at + 3] << 7
            | out[at + 4] >> 1
        )
        new = (old + ticks) % 2**33
        out[at] = out[at] & 0xF1 | (new >> 30 & 7) << 1
        out[at + 1], out[at + 3] = new >> 22 & 255, new >> 7 & 255
        out[at + 2], out[at + 4] = (new >> 15 & 127) << 1 | 1, (new & 127) << 1 | 1

    for packet in range(0, len(out), 188):
        payload = packet + 4
        if out[packet + 3] & 0x20:
            if out[payload] and out[payload + 1] & 0x10:  # the clock of the program
                old = int.from_bytes(out[payload + 2 : payload + 6], "big") << 1 | out[payload + 6] >> 7
                new = (old + ticks) % 2**33
                out[payload + 2 : payload + 6] = (new >> 1).to_bytes(4, "big")
                out[payload + 6] = out[payload + 6] & 127 | (new & 1) << 7
            payload += 1 + out[payload]
        if out[packet + 1] & 0x40 and out[payload : payload + 3] == b"\0\0\1" and out[payload + 3] & 0xF0 == 0xE0:
            flags = out[payload + 7]
            if flags & 0x80:
                shifted(payload + 9)
            if flags & 0x40:
                shifted(payload + 14)
    return bytes(out)


@pytest.mark.parametrize("before", [0.5, 30.0, 70.0, 3600.0])
def test_stamps_that_wrap_round_go_on(tmp_path: Path, before: float) -> None:
    data = write(Film("a.ts", stamps=tuple(range(40)), b_frames=2), tmp_path).read_bytes()
    path = tmp_path / "wrapped.ts"
    path.write_bytes(shift_stamps(data, 2**33 / 90_000 - before))
    numbers, times, _ = everything(path)
    assert numbers == list(range(40))
    np.testing.assert_allclose(times, np.arange(40) / RATE, atol=1e-4)
    assert [read(frame) for frame in decode(path, 5).frames] == [4, 12, 20, 28, 36]


@pytest.mark.parametrize(("ending", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video"), ("h264", "libx264")])
def test_a_recording_that_begins_between_keyframes_says_what_is_missing(
    tmp_path: Path, ending: str, codec: str
) -> None:
    film = Film(f"a.{ending}", codec, tuple(range(60)), b_frames=2, gop=24)
    data = write(film, tmp_path).read_bytes()
    packet = 188 if ending == "ts" else 1
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(data[packet * (len(data) // packet // 3) :])
    numbers, times, facts = everything(path)
    assert numbers == list(range(60 - len(numbers), 60))
    assert 0 < len(numbers) < 60
    if ending == "h264":
        assert re.fullmatch(rf"{len(numbers)} of \d+ frames decode", facts.degraded)
    else:
        assert times[0] > 1.5 / RATE
        assert facts.degraded == f"the first {times[0]:.2f} s do not decode: no keyframe begins the file"


def test_a_long_gap_in_the_stamps_of_a_transport_stream_is_closed_with_a_note(tmp_path: Path) -> None:
    stamps = (*range(20), *range(600, 620))
    _, times, facts = everything(write(Film("gap.ts", stamps=stamps), tmp_path))
    np.testing.assert_allclose(times, np.arange(40) / RATE, atol=1e-4)
    assert facts.duration == pytest.approx(1.6)
    assert facts.degraded == "time stamps jump by 23.24 s at 0.80 s; counted on from there"
    _, times, facts = everything(write(Film("gap.mp4", stamps=stamps), tmp_path))
    assert (times[20], facts.duration, facts.degraded) == (pytest.approx(24.0), pytest.approx(24.8), "")


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts", "mov"])
@pytest.mark.parametrize("matrix", ["upright", "turn90"])
def test_pixels_are_square(tmp_path: Path, ending: str, matrix: str) -> None:
    if matrix != "upright" and ending not in ("mp4", "mov"):
        pytest.skip(f"{ending} stores no display matrix")
    path, narrow = tmp_path / f"a.{ending}", stored(ruler(77), matrix)[:, ::2]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = narrow.shape[1], narrow.shape[0], "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        if matrix != "upright":
            stream.set_display_matrix([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30])
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(narrow), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    numbers, _, facts = everything(path)
    assert numbers == [77] * 4
    assert (facts.width, facts.height, facts.pixel_aspect) == (WIDTH, HEIGHT, 2.0)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_stream_is_read(tmp_path: Path, ending: str, default: int) -> None:
    path = tmp_path / f"two.{ending}"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [
            container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "5"}) for _ in range(2)
        ]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for i in range(5):
            for number, stream in enumerate(streams):
                frame = av.VideoFrame.from_ndarray(ruler(100 * number + i), format="rgb24")
                frame.pts = i
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    numbers, _, facts = everything(path)
    assert numbers == [100 * default + i for i in range(5)]
    assert (facts.stream, facts.streams) == (default + 1, 2)
    assert [read(shown.image) for shown in frames_numbered(path, [2, 5])] == [100 * default + 1, 100 * default + 4]


def test_mirrors_are_said(tmp_path: Path) -> None:
    for matrix, mirrored in (("mirror", True), ("turn180", False), ("transpose", True), ("turn90", False)):
        film = Film(f"{matrix}.mp4", stamps=STEADY[:3], matrix=matrix)
        assert everything(write(film, tmp_path))[2].mirrored == mirrored


def test_the_times_of_a_file_are_those_of_its_present_content(tmp_path: Path) -> None:
    film = Film("a.mkv", stamps=STEADY[:10])
    path = write(film, tmp_path)
    assert len(frame_times(path)) == 10
    write(replace(film, stamps=STEADY), tmp_path)
    assert len(frame_times(path)) == 24
    with pytest.raises(UserError, match="decodes in 0 s"):
        frame_times(write(replace(film, name="b.mkv"), tmp_path), limit=0.0)


@pytest.mark.parametrize(
    ("name", "count", "numbers", "times", "note"),
    [
        ("frame-numbers/vfr_rand_b.mp4", 167, [3, 6, 8, 9, 10], None, ""),
        ("frame-numbers/cuesfront.mkv", 250, [0, 1, 2, 3], [0, 0.04], ""),
        ("frame-numbers/cuesfront.webm", 250, [0, 1, 2, 3], [0, 0.04], ""),
        ("frame-numbers/a.mpg", 250, [0, 1, 2, 3], [0, 0.04], ""),
        ("frame-numbers/vfrdrop_b.avi", 225, [1, 2, 3, 4], None, ""),
        ("frame-numbers/cat.ts", 500, [0, 1, 2, 3], [0, 0.04], "start over at 10.00 s"),
        ("raw-h264/resize.h264", 250, [0, 1, 2, 3], [0, 0.04], "frames of another size, scaled"),
        ("raw-h264/demo_raw.h264", 55, None, [0, 1 / 30], ""),
        ("start-offset/late.mp4", 250, [0, 1, 2, 3], [2, 2.04], ""),
        ("mirrored-matrix/m_hflip.mp4", 250, "GR.B", [0, 0.04], ""),
        ("mirrored-matrix/m_vflip.mp4", 250, "B.RG", [0, 0.04], ""),
        ("mirrored-matrix/m_transpose.mp4", 250, "RBG.", [0, 0.04], ""),
    ],
)
def test_collected_faults_are_answered_as_their_table_says(
    name: str, count: int, numbers: Any, times: list[float] | None, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (path := FAULTS / name).is_file():
        pytest.skip(f"no collected faults at {FAULTS}")
    monkeypatch.setattr(sys, "path", [*sys.path, str(FAULTS)])
    import ruler as collected

    shown = list(frames_numbered(path, range(1, 600)))
    assert len(shown) == count
    if isinstance(numbers, str):
        assert collected.corners(shown[0].image) == numbers
    elif numbers is not None:
        assert [int(collected.read(frame.image)) for frame in shown[: len(numbers)]] == numbers
        assert [int(collected.read(frame.image)) for frame in frames_numbered(path, range(1, count + 1, 7))] == [
            int(collected.read(frame.image)) for frame in shown[::7]
        ]
    if times is not None:
        assert [frame.time for frame in shown[: len(times)]] == pytest.approx(times)
    facts = decode(path, 4).facts
    assert note in facts.degraded
    assert bool(facts.degraded) == bool(note)
