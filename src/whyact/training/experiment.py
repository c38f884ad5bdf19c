"""A training as an experiment: where it computes, what it measures on the way, who is told; alike for all methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whyact.devices import check_precision, resolve_device
from whyact.errors import UserError
from whyact.training.checkpoint import HISTORY, STATE
from whyact.training.fit import FitOptions
from whyact.training.log import History, MetricLogger
from whyact.training.options import LOGGERS, TrainOptions
from whyact.training.processes import this_process


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
    check_precision(options.precision, resolve_device(options.device, "--device"), "--precision")
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
                raise UserError("--logger", name, expected, f"pip install 'whyact[logs]' {LOGGERS[name]}")
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
