"""Small videos made on the spot: each frame's brightness tells its number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def write_clip(
    path: Path,
    frames: int,
    rate: int = 25,
    gop: int = 10,
    every: int = 1,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    stamps: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write frames whose brightness is 8 + 3 * (number mod 80).

    With ``every`` only one frame in so many, gaps left; ``stamps`` gives the time of each in 1/rate s instead.
    """
    lossless = {"crf": "0", "g": str(gop), "sc_threshold": "0", "threads": "1"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options={**lossless, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if codec != "libx264":
            stream.codec_context.gop_size = gop
        if rotation:
            stream.set_display_rotation(rotation)
        for number, stamp in enumerate(stamps) if stamps is not None else ((i, i) for i in range(0, frames, every)):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, rate)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def picture(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Return one grey frame (H,W,3)."""
    return np.full((size[1], size[0], 3), 8 + 3 * (number % 80), np.uint8)


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """Write a file with a tone and no picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000)
        for i in range(int(seconds * 16000) // 1024):
            wave = np.sin(np.arange(1024) / 20 + i).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, i * 1024
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def numbers(frames: np.ndarray) -> np.ndarray:
    """Read the numbers (mod 80) back from frames (T,H,W,3)."""
    return np.rint((frames.mean((1, 2, 3)) - 8) / 3).astype(int)
