"""Clips or sequences as a ``torch.utils.data.Dataset``, which ``DataLoader`` can hand to worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch.utils.data import Dataset

from whyact.data.types import FeatureSequence, RelationClip

Item = TypeVar("Item", RelationClip, FeatureSequence)


class ClipDataset(Dataset[Item]):
    """One side of a data set; ``classes`` are the names that targets count."""

    def __init__(self, name: str, classes: Sequence[str], items: Sequence[Item]) -> None:
        self.name, self.classes = name, tuple(classes)
        self.items: Sequence[Item] = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]
