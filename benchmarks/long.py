"""A video of ten hours, indexed and looked into: how much memory that takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.memory import added_mib, in_a_fresh_process
from benchmarks.video import RATE, write_video
from whyact.reproduce import results

PART, HOURS = 10, (1, 10)  # seconds encoded once; hours of it, by repeating its packets
KEY_EVERY = 250
KINDS = (".mp4", ".mkv")  # the container says where the frames are, and: the packets do


def long_video(repeats: int) -> list[results.Row]:
    """Measure memory and time of indexing ten hours of video and reading eight windows of it, beside one hour."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        part = write_video(Path(folder) / "part.mp4", PART * RATE, KEY_EVERY, (64, 48))
        for kind in KINDS:
            short, long = (repeated(part, Path(folder) / f"{h}{kind}", h * 3600 // PART) for h in HOURS)
            rows += _rows(kind, short, long)
            short.unlink()
            long.unlink()
    return rows


def _rows(kind: str, short: Path, long: Path) -> list[results.Row]:
    small, large = (in_a_fresh_process("benchmarks.long:reading_mib", str(p)) for p in (short, long))
    name = f"{HOURS[1]} h, {kind}"
    times = HOURS[1] * 3600 * RATE * 8 / 2**20
    note = (
        f"peak above an open decoder; {small:.0f} MiB for {HOURS[0]} h; {RATE} frames a second, all indexed; "
        f"the times of {HOURS[1]} h alone are {times:.0f} MiB, FFmpeg's own tables come on top"
    )
    started = time.perf_counter()
    index(long)
    took = time.perf_counter() - started
    return [
        results.row("video-long", name, "memory", [large], unit="MiB", note=note),
        results.row("video-long", name, "seconds", [took], unit="s", note="the index, without decoding a frame"),
    ]


def repeated(part: Path, path: Path, times: int) -> Path:
    """Write a video's packets ``times`` over, one after the other: hours of video without encoding them."""
    import av

    with av.open(str(part)) as source:
        stream = source.streams.video[0]
        packets = [(p, p.pts, p.dts) for p in source.demux(stream) if p.dts is not None]
        step = round(1 / RATE / float(stream.time_base or 1))
        with av.open(str(path), "w") as container:
            out: Any = container.add_stream_from_template(stream)
            for turn in range(times):
                shift = turn * len(packets) * step
                for packet, pts, dts in packets:
                    packet.pts, packet.dts, packet.stream = (pts or 0) + shift, dts + shift, out
                    packet.time_base = stream.time_base or packet.time_base
                    container.mux(packet)
    return path


def index(path: Path) -> int:
    """Return how many frames a video's index lists."""
    from whyact.video.reader import VideoReader

    with VideoReader(path) as reader:
        return reader.index.count


def reading_mib(path: str) -> float:
    """Return the MiB that indexing a video and reading eight windows spread over it takes, in this process."""
    from whyact.video.reader import VideoReader
    from whyact.video.sampling import uniform

    _load()

    def work() -> None:
        with VideoReader(path) as reader:
            for start in uniform(0.0, reader.length, 8):
                for _ in reader.frames_at(start + uniform(0.0, 2.0, 16)):
                    pass

    return added_mib(work)


def _load() -> None:
    """Import what every reader needs, and decode once: that memory is not the index's."""
    from whyact.video.decode import decode

    with tempfile.TemporaryDirectory() as folder:
        decode(write_video(Path(folder) / "small.mp4", 24, 8, (64, 48)), 4)
