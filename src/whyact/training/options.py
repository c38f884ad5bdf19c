"""How a training runs and is watched: the options that all methods share. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from whyact.devices import DEVICES, PRECISIONS, check_device
from whyact.errors import UserError
from whyact.files import sha256
from whyact.settings import setting

if TYPE_CHECKING:
    from whyact.training.state import Best

T = TypeVar("T")
C = TypeVar("C")
LOGGERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}  # name -> package it needs


@dataclass(frozen=True)
class PreparedData(Generic[C]):
    """Data made of a user's own videos: its name and folder, the settings to train with, and what to say of it."""

    data: str
    root: Path
    config: C
    warnings: list[str]


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs and is watched. Apart from what is held out for ``eval_every``, it learns the same.

    ``eval_every`` measures the model after so many epochs (PVLR: of 50 iterations) on training groups that are then
    held out of the training; with ``watch_test`` on the test part, which the card says. ``logger`` names experiment
    loggers, comma-separated, that receive what ``history.csv`` does.
    """

    device: str = setting("auto", f"{DEVICES} (default: auto, the first GPU or else the CPU)", metavar="DEVICE")
    precision: str = setting("fp32", f"{', '.join(PRECISIONS)} (default: fp32)", metavar="PRECISION")
    eval_every: int = setting(
        0, "measure held-out training groups after so many epochs, and keep the best weights too", metavar="EPOCHS"
    )
    watch_test: bool = setting(False, "with --eval-every: measure the test part instead, which the card then says")
    logger: str = setting("", f"also log to {', '.join(LOGGERS)}; several with commas", metavar="NAME")

    def __post_init__(self) -> None:
        check_device(self.device, "--device")
        if self.precision not in PRECISIONS:
            raise UserError("--precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        if self.eval_every < 0:
            raise UserError("--eval-every", self.eval_every, "a number of epochs, or 0 for no validation")
        if self.watch_test and not self.eval_every:
            raise UserError("--watch-test", None, "--eval-every beside it", "--eval-every 5 --watch-test")
        for name in self.loggers:
            if name not in LOGGERS:
                raise UserError("--logger", name, f"one of {', '.join(LOGGERS)}, or several with commas")

    def hold_out(self, items: Sequence[T], group_of: Callable[[T], str], test: Sequence[T]) -> tuple[list[T], list[T]]:
        """Return what to train on, and what to measure the model on while it trains.

        A fifth of the groups is held out, whichever their hashes choose, so that no group is on both sides.

        Args:
            items: Training clips or videos.
            group_of: The group of one (a subject, a source video).
            test: The test part, to watch if that is asked for.

        Raises:
            UserError: When there are not two groups.
        """
        if not self.eval_every or self.watch_test:
            return list(items), list(test) if self.eval_every else []
        groups = sorted({group_of(item) for item in items}, key=sha256)
        if len(groups) < 2:
            expected = "training data of two groups or more, some of which are held out"
            raise UserError("--eval-every", self.eval_every, expected, "--eval-every 0")
        held = set(groups[: max(1, round(len(groups) / 5))])
        return [x for x in items if group_of(x) not in held], [x for x in items if group_of(x) in held]

    @property
    def loggers(self) -> list[str]:
        """Return the names of the loggers."""
        return [name.strip() for name in self.logger.split(",") if name.strip()]

    def best_card(self, card: dict[str, Any], best: Best) -> dict[str, Any]:
        """Return the card of the best epoch. It has no metrics: ``whyact eval RUN/best`` measures them."""
        chosen_on = "the test part" if self.watch_test else "held-out training groups"
        about = {"epoch": best.epoch, "score": best.score, "chosen_on": chosen_on}
        return {**card, "metrics": {}, "extra": {**card.get("extra", {}), "best": about}}

    @property
    def about(self) -> dict[str, Any]:
        """Return what a card must say of how the training was watched."""
        return {"watched_test": True} if self.watch_test else {}


@dataclass(frozen=True)
class OwnVideosOptions(TrainOptions):
    """Those of a training on a user's own videos; ``videos`` is how the card and every answer name them."""

    videos: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """Return what a card must say of the training, the name of the videos included."""
        return {**super().about, "videos": self.videos}


DEFAULTS = TrainOptions()
