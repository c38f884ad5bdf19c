"""One epoch of augmented LaIAR batches, prepared in vectorised steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from whyact.data.relations.augment import action_spans, augment, crop_spans, reversed_targets
from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar.config import Config


class TrainingBatches:
    """Iterate over shuffled, augmented batches; each iteration is an epoch.

    The randomness of an epoch is drawn from torch's global generator, so a seeded or resumed training
    sees the same batches.
    """

    def __init__(self, clips: Sequence[RelationClip], vocabulary: Vocabulary, config: Config) -> None:
        self.config = config
        classes = len(vocabulary.actions) if vocabulary.multi_label else 0
        self.packed = PackedClips(clips, slots=config.data.slots, window=config.data.window, classes=classes)
        # Played backwards, who approaches leaves: a measured motion would no longer be true.
        never = np.full(len(clips), -1, dtype=np.int64)
        self.backwards = never if vocabulary.measured else reversed_targets(clips, vocabulary)
        self.spans = action_spans(clips, vocabulary)

    def __len__(self) -> int:
        return -(-len(self.packed) // self.config.optim.batch)

    def __iter__(self) -> Iterator[RelationBatch]:
        random = np.random.default_rng(int(torch.randint(2**31, (1,))))
        data = self.config.data
        order = random.permutation(len(self.packed))
        # Clips with as many slots together: padding costs time. Shuffled within wide bands, so batches still vary.
        bands = np.argsort(self.packed.slots[order] + random.uniform(-3, 3, len(order)), kind="stable")
        groups = np.array_split(order[bands], len(self))
        for group in random.permutation(len(groups)):
            index = groups[group]
            flip = (self.backwards[index] >= 0) & (random.random(len(index)) < data.reverse)
            span = crop_spans(self.spans[index], self.packed.lengths[index], data.crop, random)
            positions = self.packed.jittered_positions(index, data.frames, data.time_jitter, random, span)
            batch = self.packed.batch(index, positions, backwards=flip)
            if batch.target.dim() == 1:
                target = np.where(flip, self.backwards[index], self.packed.target[index])
                batch = replace(batch, target=torch.from_numpy(target))
            yield augment(
                batch,
                random,
                mirror=data.mirror,
                box_jitter=data.box_jitter,
                drop_boxes=data.drop_boxes,
                drop_slots=data.drop_slots,
            )


def evaluation_batches(packed: PackedClips, frames: int, size: int = 32) -> Iterator[tuple[np.ndarray, RelationBatch]]:
    """Yield (clip positions, batch) in order, frames evenly spaced with both ends."""
    for start in range(0, len(packed), size):
        index = np.arange(start, min(start + size, len(packed)))
        yield index, packed.batch(index, packed.even_positions(index, frames))
