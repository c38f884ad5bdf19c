"""Films in which every frame carries its number, in ten cells, and shows which side is up: made by the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25
CELL, BAND = 8, 8
WIDTH, HEIGHT = 10 * CELL, 32
DARK, BRIGHT = 24, 230

# Stored (x, y) is shown at (a x + c y, b x + d y): the matrix (a, b, c, d), and what turns a shown image into the
# stored one.
MATRICES: dict[str, tuple[int, int, int, int]] = {
    "upright": (1, 0, 0, 1),
    "turn90": (0, 1, -1, 0),
    "turn180": (-1, 0, 0, -1),
    "turn270": (0, -1, 1, 0),
    "mirror": (-1, 0, 0, 1),
    "flip": (1, 0, 0, -1),
    "transpose": (0, 1, 1, 0),
    "transverse": (0, -1, -1, 0),
}


def ruler(number: int) -> np.ndarray:
    """Return the frame (H,W,3) of a number: a dark band, ten cells with the lowest bit first, a bright band."""
    image = np.full((HEIGHT, WIDTH, 3), DARK, np.uint8)
    for bit in range(10):
        image[BAND:-BAND, bit * CELL : (bit + 1) * CELL] = BRIGHT if number >> bit & 1 else DARK
    image[-BAND:] = BRIGHT
    return image


def read(image: np.ndarray) -> int:
    """Read a frame's number back, -1 where it is of another size or upside down."""
    if image.shape != (HEIGHT, WIDTH, 3):
        return -1
    grey = image.astype(float).mean(2)
    if not grey[: BAND - 2].mean() < 90 < 160 < grey[2 - BAND :].mean():
        return -1
    cells = grey[BAND + 3 : -BAND - 3].mean(0).reshape(10, CELL)[:, 2:-2].mean(1)
    return int(((cells > 127) << np.arange(10)).sum())


def stored(image: np.ndarray, matrix: str) -> np.ndarray:
    """Return what has to be stored so that the display matrix shows ``image``, pixel by pixel from the definition."""
    a, b, c, d = MATRICES[matrix]
    height, width = image.shape[:2]
    y, x = np.mgrid[:width, :height] if a == 0 else np.mgrid[:height, :width]
    shown_x, shown_y = a * x + c * y, b * x + d * y  # what is mirrored counts from the other side
    return image[shown_y - shown_y.min(), shown_x - shown_x.min()]


@dataclass(frozen=True)
class Film:
    """How a film is made. ``stamps`` are in 1/25 s, one a frame, which carries that number; ``sound`` starts at 0."""

    name: str
    codec: str = "libx264"
    stamps: Sequence[int] = tuple(range(24))
    b_frames: int = 0
    gop: int = 8
    delay: int = 0
    sound: bool = False
    matrix: str = "upright"
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)

    @property
    def truth(self) -> list[tuple[int, float]]:
        """Return number and time of each frame; without sound the clock starts with the first."""
        first = 0 if self.sound else self.stamps[0]
        return [(stamp, (stamp - first + (self.delay if self.sound else 0)) / RATE) for stamp in self.stamps]


_FAST = {
    "libx264": {"preset": "ultrafast", "tune": "fastdecode", "crf": "10", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:crf=10:pools=none:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "2M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"},
    "mpeg4": {"qmin": "1", "qmax": "2"},
    "mpeg2video": {"qmin": "1", "qmax": "2"},
    "mjpeg": {"qmin": "1", "qmax": "2"},
}


def write(film: Film, folder: Path) -> Path:
    """Write a film; return its path."""
    path = folder / film.name
    format_name = {".h264": "h264", ".hevc": "hevc"}.get(path.suffix)
    with av.open(str(path), "w", format=format_name, options=film.container_options) as container:
        stream: Any = container.add_stream(film.codec, rate=RATE, options={**_FAST.get(film.codec, {}), **film.options})
        turned = MATRICES[film.matrix][0] == 0
        stream.width, stream.height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
        stream.pix_fmt = "yuvj420p" if film.codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = film.gop, film.b_frames
        if film.matrix != "upright":
            a, b, c, d = (value * 65536 for value in MATRICES[film.matrix])
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        sound = _sound_stream(container) if film.sound else None
        if sound is not None:
            _write_sound(container, sound, (film.stamps[-1] + film.delay + 1) / RATE)
        for number in film.stamps:
            frame = av.VideoFrame.from_ndarray(stored(ruler(number), film.matrix), format="rgb24")
            frame.pts, frame.time_base = number + film.delay, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _sound_stream(container: Any) -> Any:
    return container.add_stream("libopus" if container.format.name == "webm" else "mp2", rate=48000, layout="mono")


def _write_sound(container: Any, stream: Any, seconds: float) -> None:
    size = 1152 if stream.codec_context.name == "mp2" else 960
    for i in range(int(seconds * 48000) // size):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, size), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, i * size, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def uneven(count: int, first: int = 0) -> tuple[int, ...]:
    """Return rising stamps with gaps of one to four."""
    steps = np.random.default_rng(count + first).integers(1, 5, count)
    return tuple((first + np.cumsum(steps) - steps[0]).tolist())


def write_all(films: Iterable[Film], folder: Path) -> dict[str, Path]:
    """Write films; return their paths by name."""
    return {film.name: write(film, folder) for film in films}
