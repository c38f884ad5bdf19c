"""The verbs from Python: load a run once, ask it as often as needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.files import SHIPPED
from whyact.prediction import Prediction
from whyact.training.checkpoint import read_card
from whyact.verbs.data_make import generated_root
from whyact.verbs.methods import load_method
from whyact.verbs.predict import expand


@dataclass(frozen=True)
class Model:
    """A trained run of any method; ``card`` says what it was trained on and how well it did."""

    path: Path
    method: str
    card: dict[str, Any]

    def predict(
        self, *inputs: str | Path, progress: bool = False, **options: str | Path | float | None
    ) -> list[Prediction]:
        """Answer inputs, with evidence.

        Args:
            inputs: Clip names, feature files, videos, folders or patterns: what ``whyact predict`` takes.
            progress: Show progress on stderr.
            options: ``data``, ``root`` and the method's own, such as ``window``; what is ``None`` is not given.

        Raises:
            SomeFailed: When some of several inputs cannot be read; its ``done`` holds the answers about the others.
            UserError: For anything else wrong with an input or an option.
            TypeError: For an option that the method does not have, or an input that is no path.
        """
        for given in inputs:
            if not isinstance(given, str | Path):
                raise TypeError(f"an input is a str or a Path, not {type(given).__name__}: predict(*inputs)")
        task = load_method(self.method, "predict")
        known = ("data", "root", *(name.replace("-", "_") for name in getattr(task, "OPTIONS", {})))
        for name in options:
            if name not in known:
                raise TypeError(f"predict() has no option {name!r} for {self.method}; it has {', '.join(known)}")
        options = {name: value for name, value in options.items() if value is not None}
        words = {name.replace("_", "-"): str(value) for name, value in options.items()}
        named = [str(i) for i in inputs]
        asked = named if "data" in options else expand(named)
        found: list[Prediction] = task.predict(asked, self.path, options=words, progress=progress)
        return found

    def evaluate(
        self, data: str | None = None, root: str | Path | None = None, *, fold: int | None = None
    ) -> dict[str, Any]:
        """Measure the run on the test side of a data set: the metrics of ``whyact eval``."""
        task = load_method(self.method, "eval")
        data = data or self.card["data"]
        with generated_root(data, None if root is None else Path(root)) as folder:
            found: dict[str, Any] = task.evaluate(self.path, data, folder, fold=fold, progress=False)
        return found


def load(run: str | Path = SHIPPED / "laiar") -> Model:
    """Open a run folder that ``whyact train`` wrote; its card is verified now, its weights on first use.

    Args:
        run: The folder; the model that travels with the package by default.

    Raises:
        UserError: When the folder is missing or a file, or its card damaged.
    """
    if Path(run).is_file():
        raise UserError(run, "a file", "a run folder, whole", f"whyact.load({str(Path(run).parent)!r}) if that is one")
    card = read_card(Path(run))
    return Model(Path(run), card["method"], card)
