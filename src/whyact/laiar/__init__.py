"""LaIAR: actions from human-object relations, answered with the transition that decided (CVPR 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

ABOUT = "names an action by what people and things do to each other (LaIAR)"

__all__ = [
    "ABOUT",
    "PRESETS",
    "LaIAR",
    "LaIARConfig",
    "PredictOptions",
    "evaluate",
    "load",
    "open_evaluation",
    "open_session",
    "predict",
    "prepare_clips",
    "train",
]

if TYPE_CHECKING:
    from whyact.laiar.config import PRESETS, PredictOptions
    from whyact.laiar.config import Config as LaIARConfig
    from whyact.laiar.model import LaIAR
    from whyact.laiar.own_clips import prepare_clips
    from whyact.laiar.predict_videos import Session as open_session
    from whyact.laiar.runs import load_run as load
    from whyact.laiar.task import evaluate, open_evaluation, predict, train
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "PRESETS": "whyact.laiar.config",
            "PredictOptions": "whyact.laiar.config",
            "LaIARConfig": "whyact.laiar.config:Config",
            "LaIAR": "whyact.laiar.model",
            "prepare_clips": "whyact.laiar.own_clips",
            "open_session": "whyact.laiar.predict_videos:Session",
            "load": "whyact.laiar.runs:load_run",
            "evaluate": "whyact.laiar.task",
            "open_evaluation": "whyact.laiar.task",
            "predict": "whyact.laiar.task",
            "train": "whyact.laiar.task",
        },
    )
