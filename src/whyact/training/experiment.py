"""A training as an experiment: where it computes, what it measures on the way, who is told; alike for all methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from whyact.devices import check_device, check_precision, resolve_device
from whyact.errors import UserError
from whyact.files import sha256
from whyact.training.checkpoint import HISTORY, STATE
from whyact.training.fit import FitOptions
from whyact.training.log import History, MetricLogger
from whyact.training.processes import this_process
from whyact.training.state import Best

T = TypeVar("T")
LOGGERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}  # name -> package it needs


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs and is watched. Apart from what is held out for ``eval_every``, it learns the same.

    ``eval_every`` measures the model after so many epochs (PVLR: of 50 iterations) on training groups that are then
    held out of the training; with ``watch_test`` on the test part, which the card says. ``logger`` names experiment
    loggers, comma-separated, that receive what ``history.csv`` does.
    """

    device: str = "auto"
    precision: str = "fp32"
    eval_every: int = 0
    watch_test: bool = False
    logger: str = ""

    def __post_init__(self) -> None:
        check_device(self.device)
        if self.eval_every < 0:
            raise UserError("eval_every", self.eval_every, "a number of epochs, or 0 for no validation")
        if self.watch_test and not self.eval_every:
            raise UserError("watch_test", True, "eval_every beside it", "--eval-every 5 --watch-test")
        for name in self.loggers:
            if name not in LOGGERS:
                raise UserError("logger", name, f"one of {', '.join(LOGGERS)}, or several with commas")

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
            raise UserError("eval_every", self.eval_every, expected, "--eval-every 0")
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


DEFAULTS = TrainOptions()


@contextmanager
def experiment(
    out: Path, options: TrainOptions, *, config: Mapping[str, Any], progress: bool = True
) -> Iterator[FitOptions]:
    """Yield what the trainings of a run are fitted with; the loggers are closed at the end.

    Args:
        out: The run folder.
        options: How to train and watch.
        config: The settings of the method, for the loggers.
        progress: Show how far it is.

    Raises:
        UserError: When the device is absent, or a logger's package is.
    """
    check_precision(options.precision, resolve_device(options.device))
    state = Path(out) / STATE
    loggers = open_loggers(options.loggers, Path(out)) if this_process().is_rank_zero else []
    status = "failed"
    try:
        for logger in loggers:
            logger.log_hyperparams(dict(config))
        yield {
            "device": options.device,
            "precision": options.precision,
            "progress": progress,
            "resume_dir": state,
            "history": History(state / HISTORY, loggers),
        }
        status = "success"
    finally:
        for logger in loggers:
            logger.finalize(status)


def open_loggers(names: Sequence[str], out: Path) -> list[MetricLogger]:
    """Open experiment loggers by name; they write beside the run folder, or to where their own settings say.

    Raises:
        UserError: When a package is missing.
    """
    for name in names:
        for package in ("lightning", LOGGERS[name]):
            if find_spec(package) is None:
                expected = f"the packages lightning and {LOGGERS[name]}"
                raise UserError("logger", name, expected, f"pip install lightning {LOGGERS[name]}")
    place = Path(out).absolute()
    loggers: list[MetricLogger] = []
    for name in names:
        module = import_module("lightning.pytorch.loggers")
        if name == "tensorboard":
            loggers.append(module.TensorBoardLogger(place.parent / "tensorboard", name=place.name))
        elif name == "wandb":
            loggers.append(module.WandbLogger(name=place.name, save_dir=place.parent))
        else:
            loggers.append(module.MLFlowLogger(run_name=place.name, save_dir=str(place.parent / "mlruns")))
    return loggers
