"""Data sets: readers that turn published layouts into typed clips and sequences.

``load_dataset`` and ``DATASETS`` name every data set; the types are what readers return.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whyact.data.datasets import DATASETS, load_dataset
    from whyact.data.types import FeatureSequence, RelationClip, Vocabulary

__all__ = ["DATASETS", "FeatureSequence", "RelationClip", "Vocabulary", "load_dataset"]

_HOME = {
    "DATASETS": "whyact.data.datasets",
    "load_dataset": "whyact.data.datasets",
    "FeatureSequence": "whyact.data.types",
    "RelationClip": "whyact.data.types",
    "Vocabulary": "whyact.data.types",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'whyact.data' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
