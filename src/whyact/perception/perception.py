"""One perception: the detector that finds boxes, what its classes mean, how boxes become tracks, and the RoI encoder.

It is chosen once, for a training, and stored with the run; an answer opens the same one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.features.roi import RoiEncoder
from whyact.perception.clean import clean_tracks
from whyact.perception.link import LinkSettings, link
from whyact.perception.tracks import RATE, Tracks
from whyact.perception.types import Detections, Detector
from whyact.prediction import VideoFacts
from whyact.video.ahead import ahead
from whyact.video.reader import VideoReader

if TYPE_CHECKING:
    import torch

CHUNK = 16  # frames in memory at once
BRIDGE = 1.0  # seconds without a box that are bridged
LIMIT = 600.0  # seconds of decoding for each hour of video, at least for one

Image = NDArray[np.uint8]
OnProgress = Callable[[float], None]


@runtime_checkable
class Movable(Protocol):
    """What can compute on more than one device."""

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""


@dataclass(frozen=True)
class Perception:
    """What a model perceives a video with.

    ``class_map`` is detector class -> class of the vocabulary, ``at_most`` class of the vocabulary -> how many there
    are of it at once (one person, two hands). ``encoder`` makes RoI features, ``None`` for a model of boxes alone.
    ``clean`` merges duplicate tracks and drops doubtful ones. ``notes`` are sentences for the reader of an answer.
    """

    detector: Detector | None = None
    class_map: Mapping[str, str] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    encoder: RoiEncoder | None = None
    clean: bool = False
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Perception:
        """Let detector and encoder compute on ``device``, where they can be moved (ONNX detectors stay)."""
        for part in (self.detector, self.encoder):
            if isinstance(part, Movable):
                part.to(device)
        return self

    @property
    def link_settings(self) -> LinkSettings:
        """Return how boxes become tracks: at most so many at once of each of the detector's classes."""
        most = {name: self.at_most[word] for name, word in self.class_map.items() if word in self.at_most}
        return LinkSettings(most=most)

    @property
    def tracking(self) -> dict[str, object]:
        """Return everything that decides which tracks a video has, as plain values: kept tracks are found by it."""
        assert self.detector is not None
        made_by: dict[str, object] = {"detector": self.detector.name, "rate": RATE, "bridge": BRIDGE}
        made_by["classes"] = list(self.detector.classes)  # their names may come from a file beside the weights
        made_by |= {"ends": 1, "most": dict(self.link_settings.most)}  # both ends of a film have boxes
        return {**made_by, "clean": 1} if self.clean else made_by

    def find_tracks(self, path: Path | str, on_progress: OnProgress | None = None) -> tuple[Tracks, VideoFacts]:
        """Detect and link boxes all through a video file.

        Raises:
            UserError: When the video cannot be read or not one frame decodes.
        """
        assert self.detector is not None
        return find_tracks(path, self.detector, settings=self.link_settings, clean=self.clean, on_progress=on_progress)

    def track_frames(self, shown: Iterable[TimedFrame], where: object) -> Tracks:
        """Detect and link boxes in frames that come in order.

        Raises:
            UserError: When there is no frame, or one of another size than the first.
        """
        assert self.detector is not None
        return track_frames(shown, self.detector, where, settings=self.link_settings, clean=self.clean)


class TimedFrame(NamedTuple):
    """A frame of a video: its 1-based number, when it is shown in seconds, and its image (H,W,3) uint8 RGB."""

    number: int
    time: float
    image: Image


def find_tracks(
    path: Path | str,
    detector: Detector,
    *,
    rate: float = RATE,
    span: tuple[float, float] | None = None,
    settings: LinkSettings | None = None,
    clean: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[Tracks, VideoFacts]:
    """Detect boxes all through a video file and link them; memory grows with the boxes, not with the pixels.

    Args:
        path: The video.
        detector: What finds the boxes.
        rate: Frames a second in which boxes are detected; every frame of a slower video.
        span: Seconds between which to detect; all of it by default.
        settings: How boxes become tracks.
        clean: Merge duplicate tracks and drop doubtful ones.
        on_progress: Called with the share of the video that is done.

    Raises:
        UserError: When the video cannot be read or not one frame decodes.
    """
    # Numbered, so that the tracks say which frames they were found in: boxes may be looked up or corrected by number.
    with open_video(path, numbered=True) as reader:
        first, last = span or (reader.start, max(reader.length - reader.step / 2, reader.start))
        step = max(1 / rate, reader.step)
        moments = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
        shown = (TimedFrame(frame.number, frame.moment, frame.image) for frame in reader.frames_at(moments.tolist()))

        def on_time(time: float) -> None:
            if on_progress is not None:
                on_progress((time - first) / max(last - first, step))

        try:
            tracks = track_frames(shown, detector, path, settings=settings, clean=clean, on_time=on_time)
        except NoFrameError as error:
            reason = reader.facts().degraded or "no frame"
            raise UserError(path, reason, "a video with at least one frame that decodes") from error
        facts = reader.facts()
    return tracks, facts


def open_video(path: Path | str, *, passes: float = 1.0, numbered: bool = False) -> VideoReader:
    """Open a video, decoding of which may take :data:`LIMIT` seconds for each of its hours, or ``passes`` times that.

    Raises:
        UserError: As :class:`VideoReader`.
    """
    reader = VideoReader(path, limit=LIMIT * passes, numbered=numbered)
    reader.limit *= max(1.0, reader.length / 3600)
    return reader


class NoFrameError(UserError):
    """Not one frame of a video decodes."""


def track_frames(
    shown: Iterable[TimedFrame],
    detector: Detector,
    where: object,
    *,
    settings: LinkSettings | None = None,
    clean: bool = False,
    on_time: Callable[[float], None] | None = None,
) -> Tracks:
    """Detect boxes in frames that come in order and link them; decoding runs ahead in a thread.

    Args:
        shown: The frames.
        detector: What finds the boxes.
        where: What an error names.
        settings: How boxes become tracks.
        clean: Merge duplicate tracks and drop doubtful ones.
        on_time: Called with the time of the last frame of each chunk.

    Raises:
        NoFrameError: When there is no frame.
        UserError: When a frame has another size than the first.
    """
    found: list[Detections] = []
    numbers: list[int] = []
    times: list[float] = []
    size = (0, 0)
    for chunk in ahead(_chunks(shown)):
        images = stack_images([frame.image for frame in chunk], where, size[::-1] if found else None)
        size = (images.shape[2], images.shape[1])
        found += detector(images)
        numbers += [frame.number for frame in chunk]
        times += [frame.time for frame in chunk]
        if on_time is not None:
            on_time(times[-1])
    if not found:
        raise NoFrameError(where, "no frame", "a video with at least one frame that decodes")
    tracks = link(
        found,
        times,
        classes=detector.classes,
        image_size=size,
        frames=numbers,
        source=detector.name,
        settings=settings,
    )
    return clean_tracks(tracks, BRIDGE) if clean else tracks.filled(BRIDGE)


def stack_images(images: list[Image], where: object, size: tuple[int, int] | None = None) -> Image:
    """Return images of one size as one array (T,H,W,3).

    Args:
        images: The images, at least one.
        where: What an error names.
        size: (height, width) that they have to have; that of the first by default.

    Raises:
        UserError: When one is of another size.
    """
    height, width = size or images[0].shape[:2]
    for image in images:
        if image.shape[:2] != (height, width):
            sizes = f"images of {image.shape[1]}x{image.shape[0]} and {width}x{height}"
            raise UserError(where, sizes, "images of one size")
    return np.stack(images)


def _chunks(shown: Iterable[TimedFrame]) -> Iterator[list[TimedFrame]]:
    frames = iter(shown)
    while chunk := list(islice(frames, CHUNK)):
        yield chunk
