"""PVLR: when actions happen, learned from video-level labels (ACM MM 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

ABOUT = "finds when which action happens (PVLR)"

__all__ = [
    "ABOUT",
    "PRESETS",
    "PVLR",
    "PVLRConfig",
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
    from whyact.pvlr.config import PRESETS, PredictOptions
    from whyact.pvlr.config import Config as PVLRConfig
    from whyact.pvlr.model import PVLR
    from whyact.pvlr.own_videos import prepare_clips
    from whyact.pvlr.questions import Session as open_session
    from whyact.pvlr.task import evaluate, load, open_evaluation, predict, train
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "PRESETS": "whyact.pvlr.config",
            "PredictOptions": "whyact.pvlr.config",
            "PVLRConfig": "whyact.pvlr.config:Config",
            "PVLR": "whyact.pvlr.model",
            "open_session": "whyact.pvlr.questions:Session",
            "evaluate": "whyact.pvlr.task",
            "load": "whyact.pvlr.task",
            "open_evaluation": "whyact.pvlr.task",
            "predict": "whyact.pvlr.task",
            "prepare_clips": "whyact.pvlr.own_videos",
            "train": "whyact.pvlr.task",
        },
    )
