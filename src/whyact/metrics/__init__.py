"""Pure functions on arrays, one idea a file; the measures that others ask for most are offered here.

from whyact.metrics import charades_map, mean_recall, temporal_map
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["charades_map", "mean_recall", "temporal_map"]

if TYPE_CHECKING:
    from whyact.metrics.summary import charades_map, mean_recall, temporal_map
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(__name__, dict.fromkeys(__all__, "whyact.metrics.summary"))
