"""Video action understanding that shows its evidence."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whyact.api import Model, load, train
    from whyact.errors import PartialFailure, UserError
    from whyact.prediction import Evidence, Prediction

__all__ = ["Evidence", "Model", "PartialFailure", "Prediction", "UserError", "load", "train"]

_HOME = {
    "Evidence": "whyact.prediction",
    "Model": "whyact.api",
    "Prediction": "whyact.prediction",
    "PartialFailure": "whyact.errors",
    "UserError": "whyact.errors",
    "load": "whyact.api",
    "train": "whyact.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import whyact`` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'whyact' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
