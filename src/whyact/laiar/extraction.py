"""Detected boxes and RoI features for the clips of any data set, from the videos behind them.

At most two passes through each video: one detects boxes, where that is asked for, because a track is known only at its
end; the other extracts the RoI features of all clips. Both are kept on disk and not made again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.relations.footage import Footage, check_size, ranges, read_spans
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip, RoiFeatures, Vocabulary
from whyact.errors import UserError
from whyact.features.roi import (
    Maps,
    Pixels,
    RoiEncoder,
    SceneEncoder,
    identity,
    roi_features,
    roi_key,
    scene_features,
)
from whyact.features.store import FeatureStore
from whyact.files import canonical_json, folder_lock, sha256
from whyact.laiar.clips import detected_clip
from whyact.laiar.domain import Domain, fit_domain, frame_stats, plain_maps
from whyact.perception.perception import RATE, Perception, TimedFrame, stack_images
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks, write_tracks
from whyact.progress import progress as show
from whyact.video.ahead import ahead

FRAME_STATS = "looks"  # in the store: mean and spread of each frame's map, which tell familiar frames from others
SCENE = "scene"  # in the store: vectors of whole frames
_SHARD = 32  # clips: as many are extracted again at most when a training is killed
_NAMED = 8  # videos that an error names

OnClip = Callable[[str], None]


@dataclass(frozen=True)
class ClipSettings:
    """How clips are extracted: of ``num_frames`` frames at most, with ``slots`` pairs at most.

    ``detect`` puts detected boxes in the place of annotated ones; of those, ``labelled_only`` keeps the pairs with
    labels alone (training). ``side`` is that of the union maps; ``folder`` keeps tracks and features. ``scene`` adds
    vectors of whole frames; without ``roi`` there are none of boxes.
    """

    folder: Path
    num_frames: int
    slots: int
    side: int
    detect: bool = False
    labelled_only: bool = False
    scene: bool = False
    roi: bool = True


@dataclass
class ExtractedClips:
    """Clips with their features, and statistics of some of their frames: rows (D,) with group and video of each."""

    clips: list[RelationClip]
    frame_stats: list[Tensor] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)

    def domain(self) -> Domain | None:
        """Return what familiar frames look like; ``None`` where all come from one video.

        Groups (people, places) in turn are held out to find the limit, or videos where there is one group.
        """
        for groups in (self.groups, self.videos):
            if len(set(groups)) > 1:
                return fit_domain(torch.stack(self.frame_stats), groups)
        return None


@dataclass
class _Film:
    """A video and the positions of the clips that are cut from it."""

    footage: Footage
    clips: list[int] = field(default_factory=list)
    broken: str = ""  # why it cannot be used


def extract_clips(
    perception: Perception,
    data: RelationData,
    clips: Sequence[RelationClip],
    settings: ClipSettings,
    *,
    progress: bool = False,
) -> ExtractedClips:
    """Return clips as the perception sees them: with detected boxes where asked, and with RoI features.

    Clips with RoI features are cut down to ``num_frames`` frames. What is stored already is read; killed and started
    again, it goes on where it was. Of several processes with one folder the first extracts; the others wait, and read.

    Args:
        perception: Detector and encoder.
        data: The data set, which knows the footage.
        clips: Some of its clips.
        settings: How.
        progress: Show a bar.

    Raises:
        UserError: For missing videos or frames, before any work; for videos that cannot be read or have another size
            than the boxes, after all the others are done.
    """
    if perception.encoder is not None:
        clips = [_thinned(clip, settings.num_frames) for clip in clips]
    out = ExtractedClips(list(clips))
    if perception.encoder is None and not settings.detect:
        return out
    scene = settings.scene and isinstance(perception.encoder, SceneEncoder)
    films = _films(data, out.clips, every=settings.detect or scene)
    steps = (len(films) if settings.detect else 0) + (sum(len(f.clips) for f in films) if perception.encoder else 0)
    with (
        folder_lock(settings.folder, lambda: _say_waiting(settings.folder, progress)),
        show("extracting", steps, wanted=progress) as bar,
    ):
        if settings.detect:
            for film in films:
                _detect(perception, data.vocabulary, film, out, settings)
                if perception.encoder is None and settings.labelled_only:
                    _add_frame_stats(film, out)
                bar.advance(film.footage.path.name)
        if perception.encoder is not None:
            _extract_roi(perception.encoder, films, out, settings, scene, bar.advance)
    if broken := [film.broken for film in films if film.broken]:
        raise _join_errors(f"{len(broken)} of {len(films)} videos", broken, "videos that can be read")
    if settings.detect and settings.labelled_only and out.clips and not any(clip.slots for clip in out.clips):
        raise UserError(
            "--data.boxes",
            "detected, and in no clip boxes of a pair that is labelled",
            "a detector that finds the things of the data set",
            "--data.detector, --data.class_map, or --data.boxes oracle",
        )
    return out


def _say_waiting(folder: Path, wanted: bool) -> None:
    if wanted:
        print(f"whyact: another process extracts features into {folder}; waiting for it", file=sys.stderr)


def _thinned(clip: RelationClip, count: int) -> RelationClip:
    """Return the clip at evenly spaced frames, both ends included; all of a shorter one."""
    last = len(clip.times) - 1
    at = np.linspace(0, last, count) if count > 1 else np.array([last / 2])
    return clip.at(np.unique(np.rint(at).astype(np.intp)))


def _films(data: RelationData, clips: Sequence[RelationClip], *, every: bool) -> list[_Film]:
    """Return the videos of the clips: of ``every`` clip, or of those with a pair.

    A clip without an image size was never annotated, and stays as it is.
    """
    if data.footage is None:
        raise UserError("--data", data.name, "a data set with videos, which RoI features need")
    films: dict[str, _Film] = {}
    absent: list[str] = []
    numbers: dict[str, set[int]] = {}
    for i, clip in enumerate(clips):
        if min(clip.image_size) > 1 and (every or clip.valid.any()):
            try:
                footage = data.footage(clip)
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
        raise _join_errors("videos behind the clips", absent, "all of them")
    return list(films.values())


def _join_errors(where: str, errors: Sequence[str], expected: str) -> UserError:
    """Return one error for many: the first few in full."""
    more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
    return UserError(where, None, f"{expected}: {'; '.join(errors[:_NAMED])}{more}")


def _detect(
    perception: Perception, vocabulary: Vocabulary, film: _Film, out: ExtractedClips, settings: ClipSettings
) -> None:
    """Put detected boxes into the clips of a video."""
    try:
        tracks = video_tracks(perception, film.footage, settings.folder)
        for i in film.clips:
            clip = out.clips[i]
            if clip.slots:
                check_size(clip, film.footage, tracks.image_size)
            out.clips[i] = detected_clip(
                clip,
                tracks.at(film.footage.times(clip.frames)),
                vocabulary,
                slots=settings.slots,
                class_map=perception.class_map,
                labelled_only=settings.labelled_only,
                video=tracks,
            )
    except UserError as error:
        film.broken = str(error)


def tracks_path(perception: Perception, footage: Footage, folder: Path) -> Path:
    """Return where the tracks of a video are kept, by what finds them and by the video's content."""
    return folder / f"tracks-{sha256(canonical_json(perception.tracking))[:16]}" / f"{footage.key[:32]}.json"


def _add_frame_stats(film: _Film, out: ExtractedClips) -> None:
    """Keep plain statistics of two frames of each clip, by which a model without an encoder knows familiar ones."""
    if film.broken:
        return
    numbers = {i: {int(out.clips[i].frames[t]) for t in (0, len(out.clips[i].frames) // 2)} for i in film.clips}
    every = sorted(set().union(*numbers.values()))
    shown = dict(zip(every, film.footage.frames(every), strict=False))
    for i, own in numbers.items():
        for number in sorted(own & set(shown)):
            out.frame_stats.append(frame_stats(plain_maps(shown[number][None]))[0])
            out.groups.append(out.clips[i].group)
            out.videos.append(film.footage.key)


def video_tracks(perception: Perception, footage: Footage, folder: Path) -> Tracks:
    """Return the tracks of a whole video: from the file under ``folder`` that an earlier call left, or by detecting."""
    path = tracks_path(perception, footage, folder)
    if path.exists():
        return read_tracks(path)
    numbers = footage.every(RATE)
    shown = (
        TimedFrame(int(n), float(t), image)
        for n, t, image in zip(numbers, footage.times(numbers), footage.frames(numbers.tolist()), strict=False)
    )
    tracks = perception.track_frames(shown, footage.path)
    write_tracks(path, tracks)
    return tracks


@dataclass(frozen=True)
class _Entry:
    """A clip in the store."""

    clip: int
    name: str
    key: str


def _extract_roi(
    encoder: RoiEncoder,
    films: Sequence[_Film],
    out: ExtractedClips,
    settings: ClipSettings,
    scene: bool,
    on_clip: OnClip,
) -> None:
    """Give clips with a pair their RoI features, and with ``scene`` all clips their whole frames, as answers have them.

    Decoding runs ahead in a thread.
    """
    side = settings.side if settings.roi else 0
    # Stores of boxes, of whole frames and of both are apart: a store has the same arrays for all.
    kind = ("" if settings.roi else "-no-boxes") + ("-scene" if scene else "")
    folder = settings.folder / f"pixels-{sha256(identity(encoder))[:16]}{kind}"
    entries: dict[int, list[_Entry]] = {}
    with FeatureStore(folder, identity(encoder), shard_videos=_SHARD) as store:
        for number, film in enumerate(films):
            if not film.broken:
                used = [i for i in film.clips if scene or out.clips[i].valid.any()]
                entries[number] = [_entry(encoder, side, film, i, out) for i in used]
        for entry, film, images in ahead(_decoded(films, entries, store, out)):
            if images is not None:
                clip = out.clips[entry.clip]
                times = film.footage.times(clip.frames)
                store.add_arrays(
                    entry.name, entry.key, _features(encoder, images, clip, side, scene), times, _rate(times)
                )
            on_clip(out.clips[entry.clip].id)
        store.flush()
        for number, film in enumerate(films):
            for entry in entries.get(number, []) if not film.broken else []:
                _fill(store, entry, film, out)


def _entry(encoder: RoiEncoder, side: int, film: _Film, i: int, out: ExtractedClips) -> _Entry:
    clip = out.clips[i]
    sampler = f"frames {','.join(map(str, clip.frames.tolist()))}"
    boxes = (clip.subject_boxes, clip.object_boxes, clip.valid)
    key = roi_key(film.footage.key, sampler, encoder, *boxes, side)
    return _Entry(i, f"{clip.id} {key[:16]}", key)  # the same clip with other boxes has a place of its own


def _decoded(
    films: Sequence[_Film], entries: dict[int, list[_Entry]], store: FeatureStore, out: ExtractedClips
) -> Iterator[tuple[_Entry, _Film, Pixels | None]]:
    """Yield the images of clips that are not stored, one pass a video; ``None`` for those that are."""
    for number, own in entries.items():
        film, new = films[number], []
        for entry in own:
            if store.has(entry.name, entry.key):
                yield entry, film, None
            else:
                new.append(entry)
        new.sort(key=lambda entry: int(out.clips[entry.clip].frames[0]))
        try:
            spans = [out.clips[entry.clip].frames.tolist() for entry in new]
            for entry, images in zip(new, read_spans(film.footage, spans) if new else (), strict=True):
                pixels = stack_images(images, film.footage.path)
                check_size(out.clips[entry.clip], film.footage, (pixels.shape[2], pixels.shape[1]))
                yield entry, film, pixels
        except UserError as error:
            film.broken = str(error)


class _WithFrameStats:
    """An encoder that keeps the statistics of the frames whose maps it made."""

    def __init__(self, encoder: RoiEncoder) -> None:
        self.name, self.weights_sha256 = encoder.name, encoder.weights_sha256
        self.stride, self.app_width, self.union_channels = encoder.stride, encoder.app_width, encoder.union_channels
        self.encoder = encoder
        self.frame_stats: list[Tensor] = []

    def maps(self, frames: Pixels) -> Maps:
        made = self.encoder.maps(frames)
        self.frame_stats.append(frame_stats(made.values).cpu())
        return made

    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        return self.encoder.vectors(maps, boxes)


def _features(
    encoder: RoiEncoder, images: Pixels, clip: RelationClip, side: int, scene: bool
) -> dict[str, NDArray[np.floating]]:
    """Return what is stored of a clip: Eq. 1's pixel terms if maps have a side, and its frames' statistics (T,D)."""
    watched, made, encoded = _WithFrameStats(encoder), {}, _encoded_frames(clip)
    if side:
        made = roi_features(watched, images, clip.subject_boxes, clip.object_boxes, clip.valid, side)
    if not watched.frame_stats:
        for t in encoded:
            watched.maps(images[t][None])
    own = torch.cat(watched.frame_stats).numpy()  # in the order of the frames
    stats = np.zeros((len(images), own.shape[1]), np.float16)
    stats[encoded] = own
    whole = scene_features(encoder, images) if scene else None
    return {**made, FRAME_STATS: stats} if whole is None else {**made, FRAME_STATS: stats, SCENE: whole}


def _encoded_frames(clip: RelationClip) -> NDArray[np.intp]:
    """Return which frames have statistics: those with a pair, or of a clip without any its first and its middle one."""
    paired = np.flatnonzero(clip.valid.any(1))
    return paired if len(paired) else np.unique([0, len(clip.times) // 2])


def _rate(times: NDArray[np.float64]) -> float:
    length = float(times[-1] - times[0])
    return (len(times) - 1) / length if length > 0 else 1.0


def _fill(store: FeatureStore, entry: _Entry, film: _Film, out: ExtractedClips) -> None:
    """Put stored features into a clip, and two of its frames into what is familiar."""
    arrays = dict(store.get(entry.name).arrays)
    stats = torch.from_numpy(arrays.pop(FRAME_STATS)).float()
    scene, clip = arrays.pop(SCENE, None), out.clips[entry.clip]
    out.clips[entry.clip] = replace(clip, pixels=RoiFeatures(**arrays) if arrays else None, scene=scene)
    encoded = _encoded_frames(clip)
    for t in sorted({int(encoded[0]), int(encoded[len(encoded) // 2])}):
        out.frame_stats.append(stats[t])
        out.groups.append(clip.group)
        out.videos.append(film.footage.key)
