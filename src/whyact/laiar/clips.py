"""From tracks to relation clips: pair the tracks, measure or look up their relations, add RoI features (Eq. 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations.pair_clips import pairs_in_view
from whyact.data.types import MEASURED, MOTION, RelationClip, RoiFeatures, Vocabulary
from whyact.errors import UserError
from whyact.features.roi import RoiEncoder, roi_features, scene_features
from whyact.metrics.boxes import paired_iou
from whyact.perception.perception import open_video
from whyact.perception.relations import certain_frames, measured_motion, measured_relations, true_of_boxes
from whyact.perception.tracks import Tracks
from whyact.video.decode import held_frames

MIN_OVERLAP = 0.3  # mean over the frames in which both a track and an annotated thing have a box
MEASURED_AROUND = 2.0  # seconds before and after a clip that its relations are measured in too

Image = NDArray[np.uint8]


def even_times(start: float, end: float, count: int) -> NDArray[np.float64]:
    """Return ``count`` evenly spaced moments of a span, both ends included; a single one in its middle."""
    return np.linspace(start, end, count) if count > 1 else np.array([(start + end) / 2])


def clip_from_tracks(
    tracks: Tracks,
    vocabulary: Vocabulary,
    *,
    slots: int,
    class_map: Mapping[str, str] | None = None,
    id: str = "",
    video: Tracks | None = None,
) -> RelationClip:
    """Pair the tracks as the vocabulary allows; one slot a pair, the pairs seen together longest first.

    A pair whose tracks both have a box somewhere is valid in every frame, hidden boxes included, as in training; where
    the relations are measured, or there are none, in the frames in which both are in view.

    Args:
        tracks: Boxes at the frames of the clip.
        vocabulary: Which pairs of classes can carry a relation; a pair of a class with itself is an attribute.
        slots: Most pairs; the rest is counted.
        class_map: Class of a track -> class of the vocabulary; names that both know by default.
        id: The clip's name.
        video: The same tracks all through the video, for relations that are measured; ``tracks`` by default.
    """
    index = {name: i for i, name in enumerate(vocabulary.objects)}
    named = [class_map.get(c, "") if class_map is not None else c for c in tracks.classes]
    known = tracks.known
    there = [k for k, name in enumerate(named) if name in index and known[:, k].any()]
    if vocabulary.pairs_in_view:
        number = {tracks.names[i]: i for i in there}
        found = pairs_in_view({tracks.names[i]: named[i] for i in there}, vocabulary.allowed)
        pairs = [(number[a], number[b]) for a, b in found if (known[:, number[a]] & known[:, number[b]]).any()]
        if vocabulary.only_measured:  # who acts alone is a token of its own
            subjects = {a for a, _ in vocabulary.allowed}
            paired = {k for pair in pairs for k in pair}
            pairs += [(k, k) for k in there if named[k] in subjects and k not in paired]
    else:  # two boxes of one class are no attribute
        pairs = [(i, j) for i in there for j in there if named[i] != named[j] or i == j]
        pairs = [(i, j) for i, j in pairs if (named[i], named[j]) in vocabulary.allowed]
    together = {p: int((known[:, p[0]] & known[:, p[1]]).sum()) for p in pairs}
    pairs.sort(key=lambda p: (-together[p], index[named[p[1]]], tracks.names[p[0]], tracks.names[p[1]]))
    kept = pairs[:slots]
    first, second = [i for i, _ in kept], [j for _, j in kept]
    valid = np.ones((len(tracks.times), len(kept)), dtype=bool)
    if vocabulary.pairs_in_view:
        valid = known[:, first] & known[:, second]
    relations = None
    if vocabulary.measured:
        measured = _measured(video or tracks, tracks.times, first, second) & valid[..., None]
        relations = _behind_annotated(measured, vocabulary)
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
        relations=relations,
    )


def _measured(
    tracks: Tracks, times: NDArray[np.float64], subjects: Sequence[int], objects: Sequence[int]
) -> NDArray[np.bool_]:
    """Return the measured relations (T,K,R) of pairs of tracks at some moments, by the frames nearest to them."""
    if not len(times):
        return measured_relations(np.zeros((0, len(subjects), 4)), np.zeros((0, len(subjects), 4)), times)
    around = (tracks.times >= times[0] - MEASURED_AROUND) & (tracks.times <= times[-1] + MEASURED_AROUND)
    at = np.flatnonzero(around) if around.any() else np.arange(len(tracks.times))
    certain = certain_frames(tracks.seen[at], tracks.known[at], tracks.times[at])
    boxes, seconds = tracks.boxes[at], tracks.times[at]
    found = measured_relations(
        boxes[:, subjects], boxes[:, objects], seconds, certain[:, subjects] & certain[:, objects]
    )
    alone = np.flatnonzero(np.array(subjects) == np.array(objects))
    if len(alone):
        members = np.array(subjects)[alone]
        found[:, alone] = measured_motion(boxes[:, members], seconds, certain[:, members])
    return found[_nearest(tracks.times[at], times)]


def _behind_annotated(measured: NDArray[np.bool_], vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Return measured relations (T,K,M) behind the annotated ones (T,K,R), none of which is known."""
    return np.pad(measured, ((0, 0), (0, 0), (vocabulary.annotated, 0)))


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    return np.where(np.abs(wanted - times[before]) <= np.abs(times[after] - wanted), before, after)


def measure_clip(clip: RelationClip) -> RelationClip:
    """Return an annotated clip with the relations that its boxes show, behind those that were annotated."""
    assert clip.relations is not None
    relations = clip.relations.copy()
    found = measured_relations(clip.subject_boxes, clip.object_boxes, clip.times)
    alone = [k for k, (a, b) in enumerate(clip.slots) if a == b]
    found[:, alone] = measured_motion(clip.subject_boxes[:, alone], clip.times)
    relations[..., -len(MEASURED) :] = found & clip.valid[..., None]
    return replace(clip, relations=relations)


def with_roi_features(
    clip: RelationClip, frames: Sequence[Image], encoder: RoiEncoder, side: int, *, scene: bool = False
) -> RelationClip:
    """Return the clip with the RoI features of its boxes; one frame (H,W,3) for each of the clip's T.

    ``side`` is that of the union maps: :func:`whyact.laiar.geometry.mask_side` of the model's masks; 0 for no RoI
    features. With ``scene`` the clip also gets vectors of the whole frames, where the encoder has them.
    """
    images = np.stack(list(frames))
    if clip.image_size != (images.shape[2], images.shape[1]):
        raise UserError(
            f"clip {clip.id}, boxes for images of {clip.image_size[0]}x{clip.image_size[1]}",
            f"frames of {images.shape[2]}x{images.shape[1]}",
            "boxes and video of the same size",
        )
    pixels = None
    if side:
        pixels = RoiFeatures(**roi_features(encoder, images, clip.subject_boxes, clip.object_boxes, clip.valid, side))
    return replace(clip, pixels=pixels, scene=scene_features(encoder, images) if scene else None)


def frames_for(path: Path | str, spans: Sequence[NDArray[np.float64]]) -> Iterator[list[Image]]:
    """Yield the frames on screen at each span's moments; spans may overlap, and start no earlier than the one before.

    The video is read once. A moment without a frame gets the one before it.

    Raises:
        UserError: When no frame decodes, or decoding takes too long.
    """
    moments = np.unique(np.concatenate([*spans, np.zeros(0)]))
    before: Image | None = None
    with open_video(path, passes=2) as reader:  # more than the pass that found the boxes took
        source = ((shown.moment, shown.image) for shown in reader.frames_at(moments.tolist()))
        for span, found in zip(spans, held_frames(source, [span.tolist() for span in spans]), strict=True):
            images: list[Image] = []
            for moment in span.tolist():
                if moment not in found and reader.is_stopped:
                    step = "cut it into parts, or scale it down"
                    raise UserError(path, reader.degraded, f"a video that decodes in {reader.limit:g} s", step)
                before = found.get(moment, before)
                if before is None:
                    raise UserError(path, reader.degraded or "no frame", "a video with at least one frame that decodes")
                images.append(before)
            yield images


def detected_clip(
    clip: RelationClip,
    tracks: Tracks,
    vocabulary: Vocabulary,
    *,
    slots: int,
    class_map: Mapping[str, str] | None = None,
    labelled_only: bool,
    video: Tracks | None = None,
) -> RelationClip:
    """Return an annotated clip with detected boxes in place of its own.

    Tracks are matched with the annotated things by class and overlap; a pair of tracks takes over the relations of
    the pair that it was matched with. The labels are for training and for scoring: the video model never reads them.
    Tokens are valid as on any video, where the tracks have been followed; where the annotation names no relation of
    a pair, its tokens have none. Where relations are measured, or there are none, every pair in view is a token.

    Args:
        clip: Annotated.
        tracks: At the frames of the clip, and when these are shown.
        vocabulary: Which pairs can carry a relation.
        slots: Most pairs.
        class_map: Class of a track -> class of the vocabulary.
        labelled_only: Drop pairs without labels (training); otherwise they are there, without any label.
        video: The same tracks all through the video, for relations that are measured.
    """
    made = clip_from_tracks(tracks, vocabulary, slots=slots, class_map=class_map, id=clip.id, video=video)
    relations = None
    if vocabulary.only_measured:
        relations = made.relations
    elif vocabulary.has_no_relations:
        relations = made.valid[..., None]
    else:
        name_of = match(clip, tracks, vocabulary, class_map)
        annotated = {pair: k for k, pair in enumerate(clip.slots)}
        source = [annotated.get((name_of.get(a, ""), name_of.get(b, "")), -1) for a, b in made.slots]
        if labelled_only:
            made = pick_slots(made, [k for k, from_ in enumerate(source) if from_ >= 0])
            source = [k for k in source if k >= 0]
        if clip.relations is not None:
            relations = np.zeros((*made.valid.shape, clip.relations.shape[-1]), dtype=bool)
            for k, from_ in enumerate(source):
                if from_ >= 0:
                    relations[:, k] = clip.relations[:, from_] & clip.valid[:, from_, None]
            if vocabulary.measured and made.relations is not None:  # of the detected boxes, not of the annotated ones
                relations[..., vocabulary.annotated :] = made.relations[..., vocabulary.annotated :]
    return replace(
        made,
        relations=relations,
        times=clip.times[:1] + (made.times - made.times[:1]),  # as shown: a declared rate may be wrong
        frames=clip.frames,
        target=clip.target,
        targets=clip.targets,
        context=clip.context,
        group=clip.group,
    )


def match(
    clip: RelationClip, tracks: Tracks, vocabulary: Vocabulary, class_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return track name -> name of the annotated thing it follows, one to one, by the highest overlap in all."""
    from scipy.optimize import linear_sum_assignment

    things = _things(clip, vocabulary)
    names = list(things)
    score = np.zeros((len(tracks.names), len(names)))
    known = tracks.known
    for i, word in enumerate(tracks.classes):
        for j, name in enumerate(names):
            class_name, boxes = things[name]
            both = known[:, i] & (boxes[:, 2] > boxes[:, 0])
            if (class_map.get(word, "") if class_map is not None else word) == class_name and both.any():
                score[i, j] = paired_iou(tracks.boxes[both, i], boxes[both]).mean()
    rows, columns = linear_sum_assignment(score, maximize=True)
    return {tracks.names[i]: names[j] for i, j in zip(rows, columns, strict=True) if score[i, j] >= MIN_OVERLAP}


def pick_slots(clip: RelationClip, slots: list[int]) -> RelationClip:
    """Return the clip with these slots only."""
    return replace(
        clip,
        subject_boxes=clip.subject_boxes[:, slots],
        object_boxes=clip.object_boxes[:, slots],
        subject_class=clip.subject_class[slots],
        object_class=clip.object_class[slots],
        valid=clip.valid[:, slots],
        slots=tuple(clip.slots[k] for k in slots),
        relations=None if clip.relations is None else clip.relations[:, slots],
        appearance=None if clip.appearance is None else clip.appearance[:, slots],
        pixels=None if clip.pixels is None else clip.pixels.pick(slots),
    )


def _things(clip: RelationClip, vocabulary: Vocabulary) -> dict[str, tuple[str, np.ndarray]]:
    """Return name -> (class, boxes (T,4)) of everything that is in a pair of the clip."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for k, pair in enumerate(clip.slots):
        sides = ((clip.subject_class, clip.subject_boxes), (clip.object_class, clip.object_boxes))
        for name, (kind, boxes) in zip(pair, sides, strict=True):
            _, known = found.setdefault(name, (vocabulary.objects[kind[k]], np.zeros_like(boxes[:, k])))
            there = boxes[:, k, 2] > boxes[:, k, 0]  # a pair in which a box is hidden says nothing of where it is
            known[there] = boxes[there, k]
    return found


def measured_labels(clip: RelationClip) -> NDArray[np.int64]:
    """Return the measured relation (T,K) that names each token: how near, or of a thing alone whether it moves.

    -1 where nothing is measured, or the boxes of the very frame say something else: there the evidence has no name to
    state.
    """
    if clip.relations is None:
        return np.full(clip.valid.shape, -1, dtype=np.int64)
    first = clip.relations.shape[-1] - len(MEASURED)
    near = clip.relations[..., first + len(MOTION) :]
    moves = clip.relations[..., first : first + len(MOTION)]
    alone = np.array([a == b for a, b in clip.slots], dtype=bool)
    distance = np.where(near.any(-1), near.argmax(-1), -1)
    distance = np.where(true_of_boxes(clip.subject_boxes, clip.object_boxes, distance), len(MOTION) + distance, -1)
    label = np.where(alone, np.where(moves.any(-1), moves.argmax(-1), -1), distance)
    return np.where(clip.valid & (label >= 0), first + label, -1)
