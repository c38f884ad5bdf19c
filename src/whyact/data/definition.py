"""What defines a data set: its name, its layout, its check, and a reader for each method that can use it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.data.relations.relation_data import RelationData
from whyact.data.types import FeatureSequence, RelationOptions, ZeroShotOptions
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.data.untrimmed.sets import UntrimmedSet
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData


@dataclass(frozen=True)
class Dataset:
    """A data set: its name, the layout it is published in, its check, and a reader for each method that can use it.

    ``layout`` is a drawn tree of the root. ``check(root)`` reads what training reads and returns what is there;
    ``check_clipped`` does so with boxes cut off at the image, where a set has boxes of people's own.
    ``relations`` reads clips for LaIAR, ``features`` a training and a test side for PVLR, ``zero_shot`` videos and a
    class split for LoCATe-GAT; ``annotations`` reads who does what when, without features; ``videos`` reads only the
    features of the videos named, where that takes less than reading all. Readers get the root
    (an unused one where the set is ``generated``) and the number of a fold where there are several.
    """

    name: str
    layout: str = ""
    check: Callable[[Path], dict[str, Any]] | None = None
    relations: Callable[[Path, RelationOptions], RelationData] | None = None
    features: Callable[[Path, int], FeatureSplit] | None = None
    annotations: Callable[[Path], UntrimmedSet] | None = None
    zero_shot: Callable[[Path, int, ZeroShotOptions], tuple[ZeroShotData, ClassSplit]] | None = None
    videos: Callable[[Path, Collection[str]], list[FeatureSequence]] | None = None
    generated: bool = False
    check_clipped: Callable[[Path], dict[str, Any]] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the names of the methods that can use the data set."""
        readers = {"laiar": self.relations, "pvlr": self.features, "locate-gat": self.zero_shot}
        return tuple(method for method, reader in readers.items() if reader is not None)
