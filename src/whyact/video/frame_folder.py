"""A folder with an image a frame, made into a lossless video for as long as it is read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.errors import UserError
from whyact.prediction import Prediction
from whyact.video.container import load_av
from whyact.video.inputs import Inputs, expand_inputs, frame_number, frames_in
from whyact.video.reader import VideoReader

FASTEST = 1000.0  # frames a second


@dataclass
class Prepared:
    """Files to read in place of inputs; ``made`` says which of them stand for folders of frames."""

    inputs: Inputs
    files: list[str] = field(default_factory=list)
    made: dict[str, Made] = field(default_factory=dict)

    def named(self, prediction: Prediction) -> Prediction:
        """Return a prediction under the name of the folder that was read."""
        if (made := self.made.get(prediction.video.path)) is None:
            return prediction
        reasons = "; ".join(filter(None, (prediction.video.degraded, made.note)))
        video = msgspec.structs.replace(prediction.video, path=made.folder, sha256=made.sha256, degraded=reasons)
        return msgspec.structs.replace(prediction, video=video, id=self.name_of(prediction.id))

    def name_of(self, name: str) -> str:
        """Return the folder in place of the video made of it."""
        return self.made[name].folder if name in self.made else name


@dataclass(frozen=True)
class Made:
    """A folder of frames as a video: the SHA-256 of its images, and what is missing in it."""

    folder: str
    sha256: str
    note: str


@contextmanager
def prepared_inputs(inputs: Sequence[str], fps: float | None = None) -> Iterator[Prepared]:
    """Give the files that inputs name; folders of frames are there as videos inside the ``with`` block.

    Args:
        inputs: See :func:`whyact.video.inputs.expand_inputs`.
        fps: Frames a second of folders of frames.

    Raises:
        UserError: For inputs that cannot be read, and for a rate without a folder of frames.
    """
    if fps is not None and not 0 < fps <= FASTEST:
        raise UserError("--fps", fps, f"frames a second, above 0 and at most {FASTEST:g}")
    expanded = expand_inputs(inputs, fps=fps)
    if fps is not None and not expanded.frame_folders:
        raise UserError("--fps", fps, "a folder of images among the inputs; a video knows its rate", "leave it out")
    with tempfile.TemporaryDirectory(prefix="whyact-frames-") as scratch:
        prepared = Prepared(expanded)
        for number, name in enumerate(expanded.files):
            if name in expanded.frame_folders:
                assert fps is not None
                place = Path(scratch) / str(number)
                place.mkdir()
                path = place / f"{Path(name).resolve().name}.mkv"
                prepared.made[str(path)] = write_frames(Path(name), fps, path)
                name = str(path)
            prepared.files.append(name)
        yield prepared


def refuse_unreadable(files: Sequence[str]) -> None:
    """Refuse a single file that does not open as a video, within milliseconds; of several, the others are answered.

    A file of features (``.npy``) is no video, and its method reads it.

    Raises:
        UserError: As :class:`VideoReader`.
    """
    if len(files) == 1 and Path(files[0]).suffix.lower() != ".npy":
        with VideoReader(files[0]):
            pass


def write_frames(folder: Path, fps: float, path: Path) -> Made:
    """Write a folder's images as a lossless video; where all names have numbers, a missing one leaves a gap.

    Raises:
        UserError: When an image cannot be read or is of another size, or two have one number.
    """
    av, images = load_av(), frames_in(folder)
    numbers = [frame_number(image) for image in images]
    stamps = [number - (numbers[0] or 0) for number in numbers if number is not None]
    if len(stamps) < len(images):
        stamps = list(range(len(images)))
    for image, before, stamp, last in zip(images[1:], images, stamps[1:], stamps, strict=False):
        if stamp == last:
            raise UserError(image, f"the number of {before.name}", "one image for each number", "remove one of them")
    digest, size = hashlib.sha256(), (0, 0)
    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream: Any = container.add_stream("ffv1", rate=rate)
        for image, stamp in zip(images, stamps, strict=True):
            digest.update(image.read_bytes())
            with VideoReader(image, image=True) as reader:
                shown = next(reader.frames_at([0.0]), None)
            if shown is None or reader.degraded:
                raise UserError(image, reader.degraded or "nothing", "an image that can be read")
            own = (shown.image.shape[1], shown.image.shape[0])
            if size == (0, 0):
                size = stream.width, stream.height = own
                stream.pix_fmt = "bgr0"
            if own != size:
                raise UserError(image, f"{own[0]}x{own[1]}", f"{size[0]}x{size[1]}, as the first image")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown.image), format="rgb24")
            frame.pts, frame.time_base = stamp, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    lacking = stamps[-1] + 1 - len(stamps)
    note = f"{lacking} of {stamps[-1] + 1} frame numbers have no image" if lacking else ""
    return Made(str(folder), digest.hexdigest(), note)
