"""Training and measuring with pixels: clips of any data set, looked into in the videos behind them.

Two passes through each video at most: one finds boxes, where a detector's are asked for, because a track is known only
at its end; the other looks into the boxes of all clips. What both find is kept on disk and not made again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.relations.footage import Footage, Image, check_size, ranges, read_spans
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip, RoiFeatures, Vocabulary
from whyact.errors import UserError
from whyact.features.roi import Maps, Pixels, RoiEncoder, identity, roi_features, roi_key
from whyact.features.store import FeatureStore
from whyact.files import canonical_json, folder_lock, sha256
from whyact.laiar.detected import detected_clip
from whyact.laiar.domain import Domain, fit_domain, frame_looks
from whyact.laiar.pixels import BRIDGE, CHUNK, RATE
from whyact.laiar.sight import Sight
from whyact.perception.link import LinkSettings, link
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks, write_tracks
from whyact.perception.types import Detections
from whyact.progress import progress as show
from whyact.video.ahead import ahead

LOOKS = "looks"  # in the store: mean and spread of each frame's map, which tell familiar frames from others
_SHARD = 32  # clips: as many are looked into again at most when a training is killed
_NAMED = 8  # videos that an error names

Done = Callable[[str], None]


@dataclass
class Seen:
    """Clips as they were seen, and what some of their frames look like: rows (D,) with group and video of each."""

    clips: list[RelationClip]
    looks: list[Tensor] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)

    def domain(self) -> Domain | None:
        """Return what familiar frames look like; ``None`` where all come from one video.

        Groups (people, places) in turn are held out to find the limit, or videos where there is one group.
        """
        for groups in (self.groups, self.videos):
            if len(set(groups)) > 1:
                return fit_domain(torch.stack(self.looks), groups)
        return None


@dataclass
class _Film:
    """A video and the positions of the clips that are cut from it."""

    footage: Footage
    clips: list[int] = field(default_factory=list)
    broken: str = ""  # why it cannot be used


def see(
    sight: Sight,
    found: RelationData,
    clips: Sequence[RelationClip],
    *,
    slots: int,
    labelled_only: bool,
    progress: bool = False,
) -> Seen:
    """Return clips as the sight shows them: with detected boxes where asked, and with what is in the boxes.

    Clips that are looked into are cut down to ``looks`` frames. What is stored already is read; killed and started
    again, it goes on where it was. Of several processes with one folder the first looks; the others wait, and read.

    Args:
        sight: What looks.
        found: The data set, which knows the footage.
        clips: Some of its clips.
        slots: Most pairs of a clip.
        labelled_only: Of detected pairs, keep those with labels alone (training).
        progress: Show a bar.

    Raises:
        UserError: For missing videos or frames, before anything is looked at; for videos that cannot be read or have
            another size than the boxes, after all the others are done.
    """
    seen = Seen([_thinned(clip, sight.config.looks) if sight.encoder is not None else clip for clip in clips])
    films = _films(found, seen.clips, every=sight.detects)
    steps = (len(films) if sight.detects else 0) + (sum(len(f.clips) for f in films) if sight.encoder else 0)
    with folder_lock(sight.folder, lambda: _waits(sight, progress)), show("looking", steps, wanted=progress) as bar:
        if sight.detects:
            for film in films:
                _detect(sight, found.vocabulary, film, seen, slots, labelled_only)
                bar.advance(film.footage.path.name)
        if sight.encoder is not None:
            _look(sight, sight.encoder, films, seen, bar.advance)
    if broken := [film.broken for film in films if film.broken]:
        raise _all(f"{len(broken)} of {len(films)} videos", broken, "videos that can be read")
    if sight.detects and labelled_only and seen.clips and not any(clip.slots for clip in seen.clips):
        raise UserError(
            "--data.boxes",
            "detected, and in no clip boxes of a pair that is labelled",
            "a detector that finds the things of the data set",
            "--data.detector, --data.class_map, or --data.boxes oracle",
        )
    return seen


def _waits(sight: Sight, wanted: bool) -> None:
    if wanted:
        print(f"whyact: another process is looking at videos for {sight.folder}; waiting for it", file=sys.stderr)


def _thinned(clip: RelationClip, looks: int) -> RelationClip:
    """Return the clip at evenly spaced frames, both ends included; all of a shorter one."""
    last = len(clip.times) - 1
    at = np.linspace(0, last, looks) if looks > 1 else np.array([last / 2])
    return clip.at(np.unique(np.rint(at).astype(np.intp)))


def _films(found: RelationData, clips: Sequence[RelationClip], *, every: bool) -> list[_Film]:
    """Return the videos of the clips: of ``every`` clip, or of those with a pair.

    A clip whose image size nobody knows was never annotated, and is left as it is.
    """
    if found.footage is None:
        raise UserError("--data", found.name, "a data set with videos, which looking at pixels needs")
    films: dict[str, _Film] = {}
    absent: list[str] = []
    numbers: dict[str, set[int]] = {}
    for i, clip in enumerate(clips):
        if min(clip.image_size) > 1 and (every or clip.valid.any()):
            try:
                footage = found.footage(clip)
            except UserError as error:
                absent.append(str(error))
                continue
            film = films.setdefault(str(footage.path), _Film(footage))
            film.clips.append(i)
            numbers.setdefault(str(footage.path), set()).update(clip.frames.tolist())
    for path, film in films.items():
        try:
            if missing := film.footage.missing(numbers[path]):
                clip = next(clips[i] for i in film.clips if missing[0] in clips[i].frames)
                absent.append(f"{path}: no frame {ranges(missing)}, which clip {clip.id} needs")
        except UserError as error:
            absent.append(str(error))
    if absent := list(dict.fromkeys(absent)):
        raise _all("videos behind the clips", absent, "all of them")
    return list(films.values())


def _all(where: str, errors: Sequence[str], expected: str) -> UserError:
    """Return one error for many: the first few in their own words."""
    more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
    return UserError(where, None, f"{expected}: {'; '.join(errors[:_NAMED])}{more}")


def _detect(sight: Sight, words: Vocabulary, film: _Film, seen: Seen, slots: int, labelled_only: bool) -> None:
    """Put detected boxes into the clips of a video."""
    try:
        tracks = _tracks(sight, film.footage)
        for i in film.clips:
            clip = seen.clips[i]
            if clip.slots:
                check_size(clip, film.footage, tracks.image_size)
            there = tracks.at(film.footage.times(clip.frames))
            seen.clips[i] = detected_clip(
                clip, there, words, slots=slots, words=sight.words, labelled_only=labelled_only
            )
    except UserError as error:
        film.broken = str(error)


def _tracks(sight: Sight, footage: Footage) -> Tracks:
    """Return the tracks of a whole video, from the file that an earlier call left or by looking."""
    detector = sight.detector
    assert detector is not None
    made_by = canonical_json({"detector": detector.name, "rate": RATE, "bridge": BRIDGE, "most": dict(sight.most)})
    path = sight.folder / f"tracks-{sha256(made_by)[:16]}" / f"{footage.key[:32]}.json"
    if path.exists():
        return read_tracks(path)
    found: list[Detections] = []
    size = (0, 0)
    numbers = footage.every(RATE)
    for images in ahead(_chunks(footage, numbers.tolist())):
        size = (images.shape[2], images.shape[1])
        found += detector(images)
    if not found:
        raise UserError(footage.path, "no frame", "a video with at least one frame that decodes")
    numbers = numbers[: len(found)]
    tracks = link(
        found,
        footage.times(numbers),
        classes=detector.classes,
        image_size=size,
        frames=numbers,
        source=detector.name,
        settings=LinkSettings(most=sight.most),
    ).filled(BRIDGE)
    write_tracks(path, tracks)
    return tracks


def _chunks(footage: Footage, numbers: Iterable[int]) -> Iterator[Pixels]:
    shown = footage.frames(numbers)
    size = None
    while chunk := list(islice(shown, CHUNK)):
        yield _stacked(chunk, footage, size := size or chunk[0].shape)


def _stacked(images: Sequence[Image], footage: Footage, shape: tuple[int, ...]) -> Pixels:
    for image in images:
        if image.shape != shape:
            sizes = f"images of {image.shape[1]}x{image.shape[0]} and {shape[1]}x{shape[0]}"
            raise UserError(footage.path, sizes, "images of one size")
    return np.stack(list(images))


@dataclass(frozen=True)
class _Entry:
    """A clip in the store."""

    clip: int
    name: str
    key: str


def _look(sight: Sight, encoder: RoiEncoder, films: Sequence[_Film], seen: Seen, done: Done) -> None:
    """Give clips what the encoder sees in their boxes; decoding runs ahead in a thread."""
    folder = sight.folder / f"pixels-{sha256(identity(encoder))[:16]}"
    entries: dict[int, list[_Entry]] = {}
    with FeatureStore(folder, identity(encoder), shard_videos=_SHARD) as store:
        for number, film in enumerate(films):
            if not film.broken:
                entries[number] = [
                    _entry(sight, encoder, film, i, seen) for i in film.clips if seen.clips[i].valid.any()
                ]
        for entry, film, images in ahead(_decoded(films, entries, store, seen)):
            if images is not None:
                clip = seen.clips[entry.clip]
                times = film.footage.times(clip.frames)
                store.add_arrays(
                    entry.name, entry.key, _features(encoder, images, clip, sight.side), times, _rate(times)
                )
            done(seen.clips[entry.clip].id)
        store.flush()
        for number, film in enumerate(films):
            for entry in entries.get(number, []) if not film.broken else []:
                _take(store, entry, film, seen)


def _entry(sight: Sight, encoder: RoiEncoder, film: _Film, i: int, seen: Seen) -> _Entry:
    clip = seen.clips[i]
    sampler = f"frames {','.join(map(str, clip.frames.tolist()))}"
    boxes = (clip.subject_boxes, clip.object_boxes, clip.valid)
    key = roi_key(film.footage.key, sampler, encoder, *boxes, sight.side)
    return _Entry(i, f"{clip.id} {key[:16]}", key)  # the same clip with other boxes has a place of its own


def _decoded(
    films: Sequence[_Film], entries: dict[int, list[_Entry]], store: FeatureStore, seen: Seen
) -> Iterator[tuple[_Entry, _Film, Pixels | None]]:
    """Yield the images of clips that are not stored, one pass a video; ``None`` for those that are."""
    for number, own in entries.items():
        film, new = films[number], []
        for entry in own:
            if store.has(entry.name, entry.key):
                yield entry, film, None
            else:
                new.append(entry)
        new.sort(key=lambda entry: int(seen.clips[entry.clip].frames[0]))
        try:
            spans = [seen.clips[entry.clip].frames.tolist() for entry in new]
            for entry, images in zip(new, read_spans(film.footage, spans) if new else (), strict=True):
                pixels = _stacked(images, film.footage, images[0].shape)
                check_size(seen.clips[entry.clip], film.footage, (pixels.shape[2], pixels.shape[1]))
                yield entry, film, pixels
        except UserError as error:
            film.broken = str(error)


class _Watched:
    """An encoder that remembers what the frames looked like whose maps it made."""

    def __init__(self, encoder: RoiEncoder) -> None:
        self.name, self.weights_sha256 = encoder.name, encoder.weights_sha256
        self.stride, self.app_width, self.union_channels = encoder.stride, encoder.app_width, encoder.union_channels
        self.encoder = encoder
        self.looks: list[Tensor] = []

    def maps(self, frames: Pixels) -> Maps:
        made = self.encoder.maps(frames)
        self.looks.append(frame_looks(made.values).cpu())
        return made

    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        return self.encoder.vectors(maps, boxes)


def _features(encoder: RoiEncoder, images: Pixels, clip: RelationClip, side: int) -> dict[str, NDArray[np.floating]]:
    """Return what is stored of a clip: Eq. 1's pixel terms, and what its frames look like (T,D)."""
    watched = _Watched(encoder)
    made = roi_features(watched, images, clip.subject_boxes, clip.object_boxes, clip.valid, side)
    own = torch.cat(watched.looks).numpy()  # of the frames with a pair, in their order
    looks = np.zeros((len(images), own.shape[1]), np.float16)
    looks[clip.valid.any(1)] = own
    return {**made, LOOKS: looks}


def _rate(times: NDArray[np.float64]) -> float:
    length = float(times[-1] - times[0])
    return (len(times) - 1) / length if length > 0 else 1.0


def _take(store: FeatureStore, entry: _Entry, film: _Film, seen: Seen) -> None:
    """Put stored features into a clip, and two of its frames into what is familiar."""
    arrays = dict(store.get(entry.name).arrays)
    looks = torch.from_numpy(arrays.pop(LOOKS)).float()
    clip = seen.clips[entry.clip]
    seen.clips[entry.clip] = replace(clip, pixels=RoiFeatures(**arrays))
    looked = np.flatnonzero(clip.valid.any(1))
    for t in sorted({int(looked[0]), int(looked[len(looked) // 2])}):
        seen.looks.append(looks[t])
        seen.groups.append(clip.group)
        seen.videos.append(film.footage.key)
