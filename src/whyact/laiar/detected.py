"""Annotated clips as a detector sees them: its tracks take over the labels of the things that they follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar.pixels import clip_from_tracks
from whyact.perception.tracks import Tracks

LEAST_OVERLAP = 0.3  # mean over the frames in which both have a box


def detected_clip(
    clip: RelationClip,
    tracks: Tracks,
    vocabulary: Vocabulary,
    *,
    slots: int,
    words: Mapping[str, str] | None = None,
    labelled_only: bool,
) -> RelationClip:
    """Return an annotated clip with detected boxes in place of its own.

    Tracks are matched with the annotated things by class and overlap; a pair of tracks takes over the relations of
    the pair that it was matched with. The labels are for training and for scoring: the video model never reads them.
    Tokens are valid as on any video, where the tracks have been followed; where the annotation names no relation of
    a pair, its tokens have none. Of data that name no relation, every pair that is detected is in view.

    Args:
        clip: Annotated.
        tracks: At the frames of the clip.
        vocabulary: Which pairs can carry a relation.
        slots: Most pairs.
        words: Class of a track -> class of the vocabulary.
        labelled_only: Leave out pairs without labels (training); otherwise they are there, without any label.
    """
    made = clip_from_tracks(tracks, vocabulary, slots=slots, words=words, id=clip.id)
    relations = None
    if vocabulary.has_no_relations:
        relations = made.valid[..., None]
    else:
        name_of = match(clip, tracks, vocabulary, words)
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
    return replace(
        made,
        relations=relations,
        times=clip.times,
        frames=clip.frames,
        target=clip.target,
        targets=clip.targets,
        context=clip.context,
        group=clip.group,
    )


def match(
    clip: RelationClip, tracks: Tracks, vocabulary: Vocabulary, words: Mapping[str, str] | None = None
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
            if (words.get(word, "") if words is not None else word) == class_name and both.any():
                score[i, j] = overlap(tracks.boxes[both, i], boxes[both]).mean()
    rows, columns = linear_sum_assignment(score, maximize=True)
    return {tracks.names[i]: names[j] for i, j in zip(rows, columns, strict=True) if score[i, j] >= LEAST_OVERLAP}


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union (N,) of boxes (N,4) and (N,4), row by row."""
    side = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.clip(side, 0, None).prod(-1)
    return shared / np.maximum((a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - shared, 1e-9)


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
