"""Augmentation of relation clips: time, mirror image, jittered and hidden boxes, fewer slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from whyact.data.relations.packed import RelationBatch, RoiBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.metrics.transitions import rule_transitions

NULL = "null"  # the action of a clip in which none of the others happens


def reversed_targets(clips: Sequence[RelationClip], vocabulary: Vocabulary) -> np.ndarray:
    """Return for each clip the action it shows when played backwards, -1 where it shows none we can name.

    Picking up played backwards is putting down: a rule's mirror is the rule with before and after exchanged.
    Whether a clip may be reversed is read off its true relations, so that a backwards "null" clip that holds
    a backwards sip is not called null.

    Raises:
        ValueError: If a clip has no relations (only training clips have).
    """
    index = {name: i for i, name in enumerate(vocabulary.actions)}
    if vocabulary.multi_label:
        return np.full(len(clips), -1, dtype=np.int64)
    mirror = {
        rule.action: other.action
        for rule in vocabulary.rules
        for other in vocabulary.rules
        if (rule.subject, rule.before, rule.after) == (other.subject, other.after, other.before)
        and set(rule.objects) & set(other.objects)
    }
    out = np.full(len(clips), -1, dtype=np.int64)
    for i, clip in enumerate(clips):
        if clip.relations is None or clip.target is None:
            raise ValueError(f"clip {clip.id} has no relations to reverse")
        found = {
            t.action
            for t in rule_transitions(
                clip.relations[::-1], clip.valid[::-1], clip.subject_class, clip.object_class, vocabulary
            )
        }
        action = vocabulary.actions[clip.target]
        named = {rule.action for rule in vocabulary.rules}
        if action in mirror and mirror[action] in found:
            out[i] = index[mirror[action]]
        elif action == NULL and action not in named and not found:  # of others, nobody says what they become
            out[i] = clip.target
    return out


def action_spans(clips: Sequence[RelationClip], vocabulary: Vocabulary) -> np.ndarray:
    """Return for each clip the frame positions (N,2) between which every transition of its action lies.

    A crop that holds this span shows the same action. A clip without such a transition ("null") gives an empty
    span in its middle: any crop around it shows no action either.
    """
    out = np.zeros((len(clips), 2), dtype=np.int64)
    for i, clip in enumerate(clips):
        if vocabulary.multi_label:  # an action may be anywhere
            out[i] = 0, len(clip.times) - 1
            continue
        assert clip.relations is not None
        found = rule_transitions(clip.relations, clip.valid, clip.subject_class, clip.object_class, vocabulary)
        action = None if clip.target is None else vocabulary.actions[clip.target]
        own = [f for f in found if f.action == action]
        named = any(rule.action == action for rule in vocabulary.rules)
        if own:
            out[i] = min(f.t_before for f in own), max(f.t_after for f in own)
        elif named or found or action != NULL:
            # The label does not follow from the relations: only the whole clip is sure to show it.
            out[i] = 0, len(clip.times) - 1
        else:
            out[i] = (len(clip.times) - 1) // 2, (len(clip.times) - 1) // 2
    return out


def crop_spans(span: np.ndarray, length: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Draw a crop (B,2) around each span (B,2), for ``share`` of the clips; the others stay whole.

    A crop keeps at least half of a clip of ``length`` (B,) frames, unless the clip is shorter than the span allows.
    """
    last = length - 1
    first = np.floor(random.random(len(span)) * (np.minimum(span[:, 0], last // 4) + 1)).astype(np.int64)
    final = last - np.floor(random.random(len(span)) * (np.minimum(last - span[:, 1], last // 4) + 1)).astype(np.int64)
    whole = random.random(len(span)) >= share
    return np.stack([np.where(whole, 0, first), np.where(whole, last, final)], axis=1)


def augment(
    batch: RelationBatch,
    random: np.random.Generator,
    *,
    mirror: float,
    box_jitter: float,
    drop_boxes: float,
    drop_slots: float,
) -> RelationBatch:
    """Return the batch mirrored, jittered and thinned out; relations and targets stay true.

    Args:
        batch: Boxes as shares of the image.
        random: Source of randomness.
        mirror: Share of clips mirrored left to right.
        box_jitter: Standard deviation of a box side's shift, as a share of the box's size; the same for all
            frames of a clip by half, so that motion is not drowned.
        drop_boxes: Share of boxes hidden.
        drop_slots: Share of slots removed, among those whose relation does not change.
    """
    b, t, k = batch.valid.shape
    boxes, seen, valid = batch.boxes.clone(), batch.seen, batch.valid
    flip = torch.from_numpy(random.random(b) < mirror)
    boxes[flip] = torch.stack(
        [1 - boxes[flip][..., 2], boxes[flip][..., 1], 1 - boxes[flip][..., 0], boxes[flip][..., 3]], -1
    )
    size = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 1, 1, 2)
    noise = random.standard_normal((b, t, k, 2, 4), dtype=np.float32) / 2
    noise += random.standard_normal((b, 1, k, 2, 4), dtype=np.float32)
    boxes = boxes + torch.from_numpy(noise) * size * box_jitter
    itself = (batch.boxes[..., 0, :] == batch.boxes[..., 1, :]).all(-1)[..., None]  # a self-pair has one box
    boxes[..., 1, :] = torch.where(itself, boxes[..., 0, :], boxes[..., 1, :])
    hidden = torch.from_numpy(random.random((b, t, k, 2)) < drop_boxes)
    hidden[..., 1] = torch.where(itself[..., 0], hidden[..., 0], hidden[..., 1])
    seen = seen & ~hidden & (boxes[..., 2:] > boxes[..., :2]).all(-1)
    boxes = boxes * seen[..., None]
    gone = torch.from_numpy(random.random((b, 1, k)) < drop_slots)
    if batch.relations is not None:  # a slot in which something changes may be the one that makes the action
        named = (valid & batch.relations.any(-1))[..., None]
        label = batch.relations * named
        gone = gone & (label.amax(1) * (1 - label).masked_fill(~named, 0).amax(1)).amax(-1)[:, None].eq(0)
    thinned = valid & ~gone
    valid = torch.where(thinned.flatten(1).any(1)[:, None, None], thinned, valid)
    pixels = batch.pixels
    if pixels is not None:
        union = pixels.union.clone()
        union[flip] = union[flip].flip(-1)  # the vectors are means over their boxes: a mirror changes them little
        there = seen.to(union.dtype)
        pixels = RoiBatch(
            pixels.subject * there[..., :1],
            pixels.object * there[..., 1:],
            union * there.prod(-1)[..., None, None, None],
        )
    return replace(batch, boxes=boxes, seen=seen, valid=valid, pixels=pixels)
