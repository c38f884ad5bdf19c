"""The verbs from Python: load a run once, ask it as often as needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.files import SHIPPED
from whyact.prediction import Prediction
from whyact.training.checkpoint import read_card
from whyact.verbs.methods import load_method


@dataclass(frozen=True)
class Model:
    """A trained run of any method; ``card`` says what it was trained on and how well it did."""

    path: Path
    method: str
    card: dict[str, Any]

    def predict(self, *inputs: str | Path, progress: bool = False, **options: str | Path) -> list[Prediction]:
        """Answer inputs, with evidence.

        Args:
            inputs: Clip names, feature files or videos: what ``whyact predict`` takes for this method.
            progress: Show progress on stderr.
            options: The method's own, such as ``data`` and ``root``.

        Raises:
            UserError: For anything wrong with an input or an option.
        """
        task = load_method(self.method, "predict")
        words = {name.replace("_", "-"): str(value) for name, value in options.items()}
        found: list[Prediction] = task.predict([str(i) for i in inputs], self.path, options=words, progress=progress)
        return found

    def evaluate(
        self, data: str | None = None, root: str | Path | None = None, *, fold: int | None = None
    ) -> dict[str, Any]:
        """Measure the run on the test side of a data set: the metrics of ``whyact eval``."""
        task = load_method(self.method, "eval")
        found: dict[str, Any] = task.evaluate(
            self.path, data or self.card["data"], None if root is None else Path(root), fold=fold, progress=False
        )
        return found


def load(run: str | Path = SHIPPED / "laiar") -> Model:
    """Open a run folder that ``whyact train`` wrote; its card is verified now, its weights on first use.

    Args:
        run: The folder; the model that travels with the package by default.

    Raises:
        UserError: When the folder is missing or its card damaged.
    """
    card = read_card(Path(run))
    return Model(Path(run), card["method"], card)
