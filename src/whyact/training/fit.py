"""Fit a LightningModule: a thin use of lightning's Trainer that is silent, seeded and resumable.

Lightning's own checkpoint files are pickles, so they are switched off; a training in progress keeps its
state in one safetensors file (see :mod:`whyact.training.state`). On a CPU a resumed training ends with the
same bits as one that was never interrupted.
"""

from __future__ import annotations

import logging
import random
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from whyact.errors import UserError
from whyact.progress import progress as show
from whyact.training.processes import Process, this_process

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class Batches(Protocol):
    """Ready batches of one epoch. The order comes from torch's, numpy's or Python's global generator.

    It is drawn before the first batch, so that a training stopped within an epoch meets the same ones again. In
    several processes each takes its rows by :func:`whyact.training.processes.part`, or by the batches' own
    ``part(batch, rank, world)``.
    """

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class FitResult:
    """What a training left beside the weights: one dict of logged numbers per epoch, and its duration."""

    history: list[dict[str, float]]
    seconds: float


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators (CUDA's included).

    Raises:
        UserError: When ``seed`` is not in 0..2**32-1, which is what numpy takes.
    """
    if not 0 <= seed < 2**32:
        raise UserError("seed", seed, "an integer from 0 to 4294967295")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def fit(
    module: LightningModule,
    batches: Batches,
    *,
    epochs: int,
    seed: int,
    device: str = "auto",
    precision: Any = "32-true",
    clip: float = 5.0,
    threads: int | None = 1,
    progress: bool = True,
    resume_dir: Path | None = None,
    save_every: int = 1,
    save_seconds: float = 600.0,
    fingerprint: str = "",
) -> FitResult:
    """Train ``module`` in place and return what it logged.

    Args:
        module: With ``training_step`` and ``configure_optimizers``; numbers logged by
            ``self.log(name, value, on_step=False, on_epoch=True)`` become the epoch's mean in the history.
        batches: Ready batches of one epoch, iterated anew every epoch; ``len`` is the number of batches.
        epochs: How many epochs in all (a resumed training does the rest).
        seed: Seeds every global generator before the first batch.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        precision: What lightning's Trainer takes: ``32-true``, ``bf16-mixed``, ...
        clip: Largest norm of the gradient; 0 does not clip.
        threads: Threads of torch on the CPU while fitting; ``None`` leaves them. Bits depend on it.
        progress: Show how far it is on stderr (:mod:`whyact.progress`).
        resume_dir: Folder for the state of a training in progress; when it holds one, go on from there.
        save_every: Write that state after every this many epochs, and after the last.
        save_seconds: Write it within an epoch too when it is as old as this; SIGTERM has it written at once.
        fingerprint: Anything that identifies the settings; a state with another one is refused.

    Raises:
        UserError: When the device is absent, there are no batches, or the state is of another training.
    """
    if len(batches) == 0:
        raise UserError("training data", "no batches", "at least one batch", "check the data with: whyact data check")
    identity = {"seed": seed, "batches": len(batches), "fingerprint": fingerprint}
    path = None if resume_dir is None else Path(resume_dir) / "training.safetensors"
    process = this_process()
    with _quiet():
        from lightning.pytorch import Trainer

        from whyact.training.keeper import Keeper

        keeper = Keeper(batches, identity, path, save_every, save_seconds, process)
        trainer = Trainer(
            **_accelerator(device) | _processes(process, device),
            max_epochs=epochs,
            precision=precision,
            gradient_clip_val=clip or None,
            callbacks=[keeper],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )
        started = time.perf_counter()
        seed_everything(seed)
        shown = show("training", epochs * len(batches), wanted=progress and process.writes)
        with numerics(threads), shown as keeper.bar:
            _run(trainer, module, keeper)
    return FitResult(keeper.history, time.perf_counter() - started)


def _run(trainer: Trainer, module: LightningModule, batches: Any) -> None:
    """Run the Trainer; give Ctrl-C back its meaning, which lightning turns into ``sys.exit(1)``."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from error
        raise
    finally:
        module.trainer = None  # else the module keeps the Trainer, and with it the data, alive


def _accelerator(device: str) -> dict[str, Any]:
    kind, _, index = device.partition(":")
    if device == "auto":
        return {"accelerator": "auto", "devices": 1}
    if device == "cpu":
        return {"accelerator": "cpu", "devices": 1}
    if device == "mps" and torch.backends.mps.is_available():
        return {"accelerator": "mps", "devices": 1}
    if kind == "cuda" and (index or "0").isdigit() and int(index or 0) < torch.cuda.device_count():
        return {"accelerator": "gpu", "devices": [int(index or 0)]}
    raise UserError("device", device, "auto, cpu, or a device of this machine (cuda, cuda:N, mps)")


def _processes(process: Process, device: str) -> dict[str, Any]:
    """Return the Trainer's settings for one process, whatever cluster job it runs in, or for those of torchrun."""
    from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    if process.world == 1:
        return {"plugins": [LightningEnvironment()]}
    cpu = device == "cpu" or not torch.cuda.is_available()
    # Terms switch on and off in all methods: some parameters get no gradient in some steps.
    strategy = DDPStrategy(process_group_backend="gloo" if cpu else "nccl", find_unused_parameters=True)
    shared = {"strategy": strategy, "devices": process.local_world, "num_nodes": process.machines}
    return {"plugins": [TorchElasticEnvironment()], **shared}


@contextmanager
def numerics(threads: int | None = 1) -> Iterator[None]:
    """Set torch's CPU threads, and flush denormal numbers to zero: they cost up to 100 times the time of others.

    A context, or a decorator; both settings belong to the whole process and are put back at the end.
    """
    before = torch.get_num_threads()
    flushed = float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lightning's banners, tips and advice about things chosen here on purpose from the user."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch.*")
        import lightning.pytorch  # noqa: F401  (it sets the levels of its loggers when first imported)

        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
