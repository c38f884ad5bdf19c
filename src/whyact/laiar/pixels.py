"""From a video file to relation clips: find boxes, link them, pair them, and look into them (Eq. 1 from pixels)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations.pair_clips import pairs_in_view
from whyact.data.types import RelationClip, RoiFeatures, Vocabulary
from whyact.errors import UserError
from whyact.features.roi import RoiEncoder, roi_features
from whyact.homeworld.vocabulary import AT_MOST, VOCABULARY
from whyact.laiar.config import RATE
from whyact.perception.link import LinkSettings, link
from whyact.perception.tracks import Tracks
from whyact.perception.types import Detections, Detector
from whyact.prediction import VideoFacts
from whyact.video.reader import VideoReader

CHUNK = 16  # frames in memory at once
BRIDGE = 1.0  # seconds without a box that are bridged
LIMIT = 600.0  # seconds of decoding for each hour of video, at least for one

Spans = list[tuple[float, float]]
Told = Callable[[float], None]


def find_tracks(
    path: Path | str,
    detector: Detector,
    *,
    rate: float = RATE,
    span: tuple[float, float] | None = None,
    settings: LinkSettings | None = None,
    tell: Told | None = None,
) -> tuple[Tracks, VideoFacts]:
    """Look for boxes all through a video and link them; memory grows with the boxes, not with the pixels.

    Args:
        path: The video.
        detector: What finds the boxes.
        rate: Frames a second that are looked at; every frame of a slower video.
        span: Seconds between which to look; all of it by default.
        settings: How boxes become tracks.
        tell: Called with the share of the video that is done.

    Raises:
        UserError: When the video cannot be read or not one frame decodes.
    """
    found: list[Detections] = []
    times: list[float] = []
    size = (0, 0)
    with VideoReader(path, limit=LIMIT) as reader:
        first, last = span or (0.0, max(reader.length - reader.step / 2, 0.0))
        step = max(1 / rate, reader.step)
        moments = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
        shown = reader.frames_at(moments.tolist())
        while chunk := list(islice(shown, CHUNK)):
            images = np.stack([frame.image for frame in chunk])
            size = (images.shape[2], images.shape[1])
            found += detector(images)
            times += [frame.moment for frame in chunk]
            if tell is not None:
                tell((times[-1] - first) / max(last - first, step))
        facts = reader.facts()
    if not times:
        raise UserError(path, facts.degraded or "no frame", "a video with at least one frame that decodes")
    tracks = link(
        found,
        times,
        classes=detector.classes,
        image_size=size,
        frames=frame_numbers(np.array(times), facts.fps),
        source=detector.name,
        settings=settings,
    )
    return tracks.filled(BRIDGE), facts


def subjects_at_most(data: str, vocabulary: Vocabulary, words: Mapping[str, str]) -> dict[str, int]:
    """Return how many of a detector's class a data set ever shows at once, where that is known: those of one person.

    Homeworld and CAD-120 show one person, Action Genome annotates one. Own data may show any number. ``words`` are the
    detector's classes -> those of the data set.
    """
    most: Mapping[str, int] = {}
    if data.startswith("action-genome"):
        most = {"person": 1}
    elif data == "cad120" or vocabulary.objects == VOCABULARY.objects:
        most = AT_MOST
    return {name: most[word] for name, word in words.items() if word in most}


def frame_numbers(times: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Return the 1-based numbers of the frames on screen at these seconds."""
    return np.floor(times * fps + 1e-6).astype(np.int64) + 1


def even_times(start: float, end: float, count: int) -> NDArray[np.float64]:
    """Return ``count`` evenly spaced moments of a span, both ends included; a single one in its middle."""
    return np.linspace(start, end, count) if count > 1 else np.array([(start + end) / 2])


def clip_from_tracks(
    tracks: Tracks, vocabulary: Vocabulary, *, slots: int, words: Mapping[str, str] | None = None, id: str = ""
) -> RelationClip:
    """Pair the tracks as the vocabulary allows; one slot a pair, the pairs seen together longest first.

    A pair whose tracks both have a box somewhere is valid in every frame, hidden boxes included, as in training; where
    the data name no relation, in the frames in which both are in view.

    Args:
        tracks: Boxes at the frames of the clip.
        vocabulary: Which pairs of classes can carry a relation; a pair of a class with itself is an attribute.
        slots: Most pairs; the rest is counted.
        words: Class of a track -> class of the vocabulary; names that both know by default.
        id: The clip's name.
    """
    index = {name: i for i, name in enumerate(vocabulary.objects)}
    named = [words.get(c, "") if words is not None else c for c in tracks.classes]
    known = tracks.known
    there = [k for k, name in enumerate(named) if name in index and known[:, k].any()]
    if vocabulary.has_no_relations:
        number = {tracks.names[i]: i for i in there}
        found = pairs_in_view({tracks.names[i]: named[i] for i in there}, vocabulary.allowed)
        pairs = [(number[a], number[b]) for a, b in found if (known[:, number[a]] & known[:, number[b]]).any()]
    else:  # two boxes of one class are no attribute
        pairs = [(i, j) for i in there for j in there if named[i] != named[j] or i == j]
        pairs = [(i, j) for i, j in pairs if (named[i], named[j]) in vocabulary.allowed]
    together = {p: int((known[:, p[0]] & known[:, p[1]]).sum()) for p in pairs}
    pairs.sort(key=lambda p: (-together[p], index[named[p[1]]], tracks.names[p[0]], tracks.names[p[1]]))
    kept = pairs[:slots]
    first, second = [i for i, _ in kept], [j for _, j in kept]
    valid = np.ones((len(tracks.times), len(kept)), dtype=bool)
    if vocabulary.has_no_relations:
        valid = known[:, first] & known[:, second]
    return RelationClip(
        id=id,
        subject_boxes=tracks.boxes[:, first],
        object_boxes=tracks.boxes[:, second],
        subject_class=np.array([index[named[i]] for i in first], dtype=np.int64),
        object_class=np.array([index[named[j]] for j in second], dtype=np.int64),
        valid=valid,
        times=tracks.times,
        frames=tracks.frames,
        slots=tuple((tracks.names[i], tracks.names[j]) for i, j in kept),
        image_size=tracks.image_size,
        dropped_pairs=len(pairs) - len(kept),
    )


def looked_into(
    clip: RelationClip, frames: Sequence[NDArray[np.uint8]], encoder: RoiEncoder, side: int
) -> RelationClip:
    """Return the clip with what the encoder sees in its boxes; one frame (H,W,3) for each of the clip's T.

    ``side`` is that of the union maps: :func:`whyact.laiar.geometry.mask_side` of the model's masks.
    """
    images = np.stack(list(frames))
    if clip.image_size != (images.shape[2], images.shape[1]):
        raise UserError(
            f"clip {clip.id}, boxes for images of {clip.image_size[0]}x{clip.image_size[1]}",
            f"frames of {images.shape[2]}x{images.shape[1]}",
            "boxes and video of the same size",
        )
    found = roi_features(encoder, images, clip.subject_boxes, clip.object_boxes, clip.valid, side)
    return replace(clip, pixels=RoiFeatures(**found))


def frames_for(path: Path | str, spans: Sequence[NDArray[np.float64]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield the frames on screen at each span's moments; spans may overlap, and start no earlier than the one before.

    The video is read once. A moment without a frame gets the one before it.

    Raises:
        UserError: When no frame decodes.
    """
    moments = np.unique(np.concatenate([*spans, np.zeros(0)]))
    ends = [float(span[-1]) for span in spans]
    held: dict[float, NDArray[np.uint8]] = {}
    with VideoReader(path, limit=LIMIT) as reader:
        source = reader.frames_at(moments.tolist())
        latest = -np.inf
        for span, end in zip(spans, ends, strict=True):
            while latest < end:
                shown = next(source, None)
                if shown is None:
                    break
                held[shown.moment], latest = shown.image, shown.moment
            if not held:
                raise UserError(path, reader.degraded or "no frame", "a video with at least one frame that decodes")
            times = np.array(sorted(held))
            at = np.clip(np.searchsorted(times, span + 1e-9, side="right") - 1, 0, None)
            yield [held[float(times[i])] for i in at]
            held = {t: image for t, image in held.items() if t >= span[0] or t == times[-1]}


def window_spans(start: float, end: float, window: float, stride: float) -> Spans:
    """Return windows (start, end) in seconds that cover a span; the last one ends with it.

    Raises:
        UserError: When the window or the stride is not above 0, or the stride leaves gaps.
    """
    for name, value in (("--window", window), ("--stride", stride)):
        if not value > 0:
            raise UserError(name, value, "seconds, above 0")
    if stride > window:
        raise UserError("--stride", stride, f"at most the window's {window:g} seconds, or parts go unseen")
    if end - start <= window:
        return [(start, end)]
    count = int(np.ceil((end - start - window) / stride - 1e-9)) + 1
    firsts = np.minimum(start + stride * np.arange(count), end - window)
    return [(float(a), float(a) + window) for a in firsts]
