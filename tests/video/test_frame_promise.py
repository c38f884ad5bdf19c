"""The reader's promise: by time and by number the right frame, in every container, whatever its stamps do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruler_films import MATRICES, RATE, Film, read, uneven, write_all
from whyact.video.numbers import frame_times, frames_numbered
from whyact.video.reader import VideoReader

STEADY, UNEVEN, LATE = tuple(range(24)), uneven(20), tuple(range(7, 31))
DROPPED = (0, *uneven(17, 1), 60, 61, 62)  # an AVI does not say when its last frames are due that others are stored for
SOUND_PADDING = 0.0105  # seconds: what a sound encoder puts before its first sample moves the picture by as much


def films() -> Iterator[Film]:
    """Yield the matrix: container x codec x frames decoded ahead x rate x start x orientation."""
    live = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
    for ending, b, (rate, stamps) in itertools.product(
        ("mp4", "mov", "mkv", "ts", "flv"), (0, 3), (("even", STEADY), ("uneven", UNEVEN))
    ):
        yield Film(f"h264-{b}-{rate}.{ending}", stamps=stamps, b_frames=b)
    for b, (rate, stamps) in itertools.product((0, 3), (("even", STEADY), ("uneven", UNEVEN))):
        yield Film(f"live-{b}-{rate}.mp4", stamps=stamps, b_frames=b, container_options=live)
        yield Film(f"sound-{b}-{rate}.mp4", stamps=stamps, b_frames=b, sound=True, delay=50)
        yield Film(f"sound-{b}-{rate}.mkv", stamps=stamps, b_frames=b, sound=True, delay=50)
        yield Film(f"sound-{b}-{rate}.ts", stamps=stamps, b_frames=b, sound=True, delay=50)
    for ending in ("mp4", "mkv", "ts", "mov", "flv"):
        yield Film(f"late.{ending}", stamps=LATE, b_frames=2)
    for matrix, ending in itertools.product(MATRICES, ("mp4", "mov")):
        yield Film(f"{matrix}.{ending}", stamps=STEADY[:10], b_frames=2, matrix=matrix)
    yield Film("open.mp4", b_frames=3, options={"x264-params": "open-gop=1:b-pyramid=2"})
    yield Film("open.ts", b_frames=3, options={"x264-params": "open-gop=1:b-pyramid=2"})
    yield Film("refresh.ts", gop=24, options={"x264-params": "intra-refresh=1:keyint=8"})
    yield Film("cues.mkv", b_frames=3, container_options={"cues_to_front": "1"})
    yield Film("cues.webm", "libvpx-vp9", container_options={"cues_to_front": "1"})
    yield Film("front.mp4", b_frames=3, stamps=UNEVEN, container_options={"movflags": "faststart"})
    for b, ending in itertools.product((0, 2), ("mp4", "mkv", "avi")):
        yield Film(f"mpeg4-{b}.{ending}", "mpeg4", b_frames=b)
    for b, ending in itertools.product((0, 2), ("mpg", "ts", "mkv")):
        yield Film(f"mpeg2-{b}.{ending}", "mpeg2video", b_frames=b)
    for codec, (rate, stamps) in itertools.product(("libvpx", "libvpx-vp9"), (("even", STEADY), ("uneven", UNEVEN))):
        yield Film(f"{codec}-{rate}.webm", codec, stamps=stamps)
    yield Film("hidden.webm", "libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "8", "deadline": "good"})
    yield Film("hevc-0.mp4", "libx265", b_frames=0)
    yield Film("hevc-3.mkv", "libx265", stamps=UNEVEN, b_frames=3)
    yield Film("mjpeg.avi", "mjpeg")
    yield Film("mjpeg-uneven.mov", "mjpeg", stamps=UNEVEN)
    yield Film("h264-0.avi")
    yield Film("h264-3.avi", b_frames=3)
    yield Film("h264-0-dropped.avi", stamps=DROPPED)
    yield Film("h264-3-dropped.avi", stamps=DROPPED, b_frames=3)
    yield Film("mpeg4-2-dropped.avi", "mpeg4", stamps=DROPPED, b_frames=2)
    yield Film("h264-0.asf")
    yield Film("h264-3.asf", b_frames=3)
    yield Film("mpeg4-uneven.asf", "mpeg4", stamps=UNEVEN)
    yield Film("sound.asf", "mpeg4", sound=True, delay=50)
    yield Film("sound.mpg", "mpeg2video", sound=True, delay=50, b_frames=2)
    yield Film("interlaced.ts", b_frames=2, options={"x264-params": "interlaced=1"})
    yield Film("no-edit-list.mp4", b_frames=3, container_options={"use_editlist": "0"})
    yield Film("even.ivf", "libvpx")
    yield Film("mpeg1.mpg", "mpeg1video", b_frames=2)
    yield Film("raw.m2v", "mpeg2video", b_frames=2)
    yield Film("raw.m4v", "mpeg4")
    yield Film("raw-0.h264")
    yield Film("raw-3.h264", b_frames=3)
    yield Film("raw.hevc", "libx265")


FILMS = list(films())
NAMES = [film.name for film in FILMS]


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(FILMS, tmp_path_factory.mktemp("rulers"))


def test_the_matrix_is_large_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 60


@pytest.mark.parametrize("film", FILMS, ids=NAMES)
def test_every_frame_is_right_by_number_and_by_time(paths: dict[str, Path], film: Film) -> None:
    path, truth = paths[film.name], film.truth
    numbers, times = [number for number, _ in truth], [time for _, time in truth]
    slack = SOUND_PADDING if film.sound else 0.0015  # containers round to a thousandth
    with VideoReader(path, numbered=True) as reader:
        shown = list(reader.frames_numbered(range(1, 100)))
        assert [read(frame.image) for frame in shown] == numbers
        np.testing.assert_allclose([frame.time for frame in shown], times, atol=slack)
        assert (reader.start, reader.degraded) == (pytest.approx(times[0], abs=slack), "")
        assert reader.length == pytest.approx(times[-1] + 1 / RATE, abs=0.17 if film.stamps == UNEVEN else 0.09)
    np.testing.assert_allclose(frame_times(path), times, atol=slack)
    every_third = range(1, len(truth) + 1, 3)
    assert [read(frame.image) for frame in frames_numbered(path, every_third)] == numbers[::3]
    middles = [time + 0.5 / RATE for time in times]
    with VideoReader(path) as reader:
        assert [read(frame.image) for frame in reader.frames_at(middles)] == numbers


@pytest.mark.parametrize("film", FILMS, ids=NAMES)
@settings(max_examples=4)
@given(st.data())
def test_wherever_one_jumps_the_frame_is_right(paths: dict[str, Path], film: Film, data: st.DataObject) -> None:
    path, truth = paths[film.name], film.truth
    moments = sorted(data.draw(st.lists(st.floats(truth[0][1] + 0.02, truth[-1][1] + 0.02), min_size=1, max_size=3)))
    slack = SOUND_PADDING if film.sound else 0.0015
    with VideoReader(path) as reader:
        for moment, shown in zip(moments, reader.frames_at(moments), strict=True):
            least = [n for n, time in truth if time <= moment - slack]
            most = [n for n, time in truth if time <= moment + slack]
            assert read(shown.image) in (least[-1], most[-1])
    places = sorted(data.draw(st.sets(st.integers(1, len(truth)), min_size=1, max_size=3)))
    assert [read(shown.image) for shown in frames_numbered(path, places)] == [truth[n - 1][0] for n in places]
