"""LoCATe-GAT: actions whose names were never trained on (TETCI 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

ABOUT = "names actions that it was never trained on (LoCATe-GAT)"

__all__ = [
    "ABOUT",
    "PRESETS",
    "LoCATeGAT",
    "LoCATeGATConfig",
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
    from whyact.locate_gat.config import PRESETS, PredictOptions
    from whyact.locate_gat.config import Config as LoCATeGATConfig
    from whyact.locate_gat.model import LoCATeGAT
    from whyact.locate_gat.own_clips import prepare_clips
    from whyact.locate_gat.questions import Session as open_session
    from whyact.locate_gat.runs import load
    from whyact.locate_gat.task import evaluate, open_evaluation, predict, train
else:
    from whyact.exports import exports

    __getattr__, __dir__ = exports(
        __name__,
        {
            "PRESETS": "whyact.locate_gat.config",
            "PredictOptions": "whyact.locate_gat.config",
            "LoCATeGATConfig": "whyact.locate_gat.config:Config",
            "LoCATeGAT": "whyact.locate_gat.model",
            "open_session": "whyact.locate_gat.questions:Session",
            "load": "whyact.locate_gat.runs",
            "evaluate": "whyact.locate_gat.task",
            "open_evaluation": "whyact.locate_gat.task",
            "predict": "whyact.locate_gat.task",
            "prepare_clips": "whyact.locate_gat.own_clips",
            "train": "whyact.locate_gat.task",
        },
    )
