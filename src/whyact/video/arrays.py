"""Frames in memory as a video file, so that whatever reads films reads arrays too, pixel for pixel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError


def as_frames(value: Any) -> NDArray[np.uint8]:
    """Return frames (T,H,W,3) uint8 RGB of a NumPy array or a tensor on any device.

    Raises:
        UserError: When it is of another shape or type, or has no frame.
    """
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise UserError("frames", f"shape {array.shape} of {array.dtype}", "uint8 RGB of shape (T,H,W,3)")
    if not all(array.shape):
        raise UserError("frames", f"shape {array.shape}", "at least one frame, of at least one pixel")
    return array


@contextmanager
def frames_file(frames: NDArray[np.uint8], fps: float) -> Iterator[Path]:
    """Yield a lossless video file of frames (T,H,W,3) uint8 RGB, which is gone afterwards.

    Raises:
        UserError: When ``fps`` is no rate.
    """
    import av

    if not (np.isfinite(fps) and 0.01 <= fps <= 2000):
        raise UserError("--fps", fps, "frames a second, 0.01 to 2000")
    with TemporaryDirectory(prefix="whyact-") as folder:
        path = Path(folder) / "frames.avi"  # AVI keeps any rate exactly
        with av.open(str(path), "w") as container:
            rate = Fraction(fps).limit_denominator(100_000)
            stream: Any = container.add_stream("ffv1", rate=rate)
            stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "bgr0"
            stream.codec_context.thread_count = 1
            for number, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        yield path
