"""Video action understanding that shows its evidence.

import whyact

model = whyact.load()                          # the bundled model, or whyact.load("runs/mine", device="cuda")
answer = model.predict("kitchen.mp4")[0]       # or model.predict(frames, fps=25)
print(answer.label, answer.score, answer.evidence[0].text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "Evidence",
    "MissingFileError",
    "Model",
    "PartialFailure",
    "Prediction",
    "UserError",
    "__version__",
    "load",
    "train",
]

if TYPE_CHECKING:
    from whyact.api import Model, load, train
    from whyact.errors import MissingFileError, PartialFailure, UserError
    from whyact.prediction import Evidence, Prediction

    __version__: str
else:
    from whyact.exports import exports

    _get, _names = exports(
        __name__,
        {
            "Evidence": "whyact.prediction",
            "MissingFileError": "whyact.errors",
            "Model": "whyact.api",
            "PartialFailure": "whyact.errors",
            "Prediction": "whyact.prediction",
            "UserError": "whyact.errors",
            "load": "whyact.api",
            "train": "whyact.api",
        },
    )

    def __dir__() -> list[str]:
        return sorted({*_names(), *__all__})

    def __getattr__(name: str) -> Any:
        """Import a public name on first use, so that ``import whyact`` stays instant."""
        if name == "__version__":
            from importlib.metadata import version

            return version("whyact")
        return _get(name)
