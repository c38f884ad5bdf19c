"""Frames to a video file: streamed through the encoder, and there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import temporary_sibling

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


def write_video(path: Path | str, frames: Iterable[NDArray[np.uint8]], fps: float) -> Path:
    """Encode frames (H,W,3) uint8 RGB, one at a time; return the path.

    H.264 where the encoder is there, else MPEG-4; 4:2:0 colours, so width and height must be even. Memory
    does not grow with the length. The file appears under its name when it is complete.

    Args:
        path: The file to write; ``.mp4``, ``.mov`` or ``.mkv``. Missing folders are made.
        frames: All of one size.
        fps: Frames a second.

    Raises:
        UserError: On another ending, a rate that is not positive, no frame at all, an odd size, or frames
            that are not uint8 RGB of one size.
    """
    import av

    path = Path(path)
    if path.suffix.lower() not in CONTAINERS:
        raise UserError(path, path.suffix, f"a file name that ends in {', '.join(CONTAINERS)}")
    if not (np.isfinite(fps) and fps > 0):
        raise UserError("fps", fps, "a positive number of frames a second")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = temporary_sibling(path)
    try:
        with av.open(f"file:{draft}", "w", format=CONTAINERS[path.suffix.lower()]) as container:
            count = _encode(av, container, frames, Fraction(fps).limit_denominator(100_000), path)
        if count == 0:
            raise UserError(path, "no frames", "at least one frame")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _encode(av: Any, container: Any, frames: Iterable[NDArray[np.uint8]], fps: Fraction, path: Path) -> int:
    stream: Any = None
    shape: tuple[int, ...] = ()
    count = 0
    for image in frames:
        if stream is None:
            shape = image.shape
            _check(image, shape, path)
            stream = _stream(av, container, shape, fps)
        _check(image, shape, path)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = count, 1 / fps
        container.mux(stream.encode(frame))
        count += 1
    if stream is not None:
        container.mux(stream.encode())
    return count


def _stream(av: Any, container: Any, shape: tuple[int, ...], fps: Fraction) -> Any:
    fast = "libx264" in av.codecs_available
    stream = container.add_stream("libx264" if fast else "mpeg4", rate=fps)
    stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], "yuv420p"
    stream.time_base = 1 / fps
    stream.codec_context.thread_count = 1  # the same file on every machine, and no cores taken from others
    if fast:
        stream.options = {"preset": "veryfast", "crf": "18"}
    else:
        stream.bit_rate = max(400_000, shape[0] * shape[1] * 12)
    return stream


def _check(image: NDArray[np.uint8], shape: tuple[int, ...], path: Path) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape != shape:
        raise UserError(path, f"a frame {image.shape} of {image.dtype}", "uint8 RGB frames (H,W,3), all of one size")
    if shape[0] % 2 or shape[1] % 2 or not shape[0] or not shape[1]:
        raise UserError(path, f"{shape[1]}x{shape[0]}", "an even width and height")
