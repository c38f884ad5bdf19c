"""Plain CLIP: which of some labels fits a video, with no training and no run."""

from __future__ import annotations

from typing import TYPE_CHECKING

ABOUT = "says which of your labels fits, with no training at all (plain CLIP)"

__all__ = ["ABOUT", "PredictOptions", "load", "pending_download", "predict"]

if TYPE_CHECKING:
    from whyact.clip_zero_shot.config import PredictOptions
    from whyact.clip_zero_shot.task import load, pending_download, predict
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "PredictOptions": "whyact.clip_zero_shot.config",
            "load": "whyact.clip_zero_shot.task",
            "pending_download": "whyact.clip_zero_shot.task",
            "predict": "whyact.clip_zero_shot.task",
        },
    )
