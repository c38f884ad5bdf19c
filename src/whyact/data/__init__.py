"""Published layouts and own data, a file a data set; and what others read them with.

from whyact.data import RelationClip, load_dataset
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["DATASETS", "FeatureSequence", "RelationClip", "load_dataset"]

if TYPE_CHECKING:
    from whyact.data.datasets import DATASETS, load_dataset
    from whyact.data.types import FeatureSequence, RelationClip
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "DATASETS": "whyact.data.datasets",
            "FeatureSequence": "whyact.data.types",
            "RelationClip": "whyact.data.types",
            "load_dataset": "whyact.data.datasets",
        },
    )
