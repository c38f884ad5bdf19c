"""The training loop: seeded, silent, and resumed to the bit.

A training in progress keeps its state in one safetensors file (see :mod:`whyact.training.state`), which is written as
often as its size allows and when SIGTERM arrives. On a CPU a resumed training ends with the same bits as one that was
never interrupted. Under torchrun several processes train one model (see :mod:`whyact.training.processes`).
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from whyact.devices import Precision, autocast, check_precision, device_of, map_tensors, resolve_device
from whyact.errors import UserError
from whyact.files import leftovers
from whyact.progress import Bar
from whyact.progress import progress as progress_bar
from whyact.training.log import MEASURED, History, Means, Row, memory_peaks
from whyact.training.numerics import numerics, random_state, seed_everything, set_random_state
from whyact.training.processes import Process, any_rank, join_processes, rows_of_batches, this_process
from whyact.training.state import Best, Position, Stateful, load_state, save_state
from whyact.training.trainable import Batches, StepOutput, Trainable

STATE = "training.safetensors"
TERMINATED = 143  # what a shell reports of a process that SIGTERM ended
SAVE_SHARE = 20  # time between two writes of the state, in multiples of what the last one took: at most 5 % of the time
SAVE_SECONDS = 2.0  # shortest time between two writes
LIVE_SECONDS = 0.5  # between two updates of the line in the terminal


@dataclass(frozen=True)
class FitResult:
    """What a training leaves beside the weights: a row of numbers for each epoch, its duration, the best weights."""

    history: list[Row]
    seconds: float
    best: Best | None = None


@dataclass(frozen=True)
class Validation:
    """What is measured on held-out data after every ``every`` epochs and after the last.

    ``measure`` returns numbers; the epoch with the highest ``metric`` is the best one. It runs with the model in
    evaluation mode, and whatever it draws from random generators leaves the training as it was.
    """

    every: int
    measure: Callable[[], Mapping[str, float]]
    metric: str


class FitOptions(TypedDict, total=False):
    """The options of :func:`fit` that a method hands through from its caller."""

    device: str
    precision: str
    progress: bool
    resume_dir: Path | None
    history: History | None


def fit(
    learner: Trainable,
    batches: Batches,
    *,
    epochs: int,
    seed: int,
    device: str = "auto",
    precision: str = "fp32",
    clip: float = 5.0,
    threads: int | None = 1,
    progress: bool = True,
    resume_dir: Path | None = None,
    save_seconds: float | None = None,
    fingerprint: str = "",
    history: History | None = None,
    stage: str = "train",
    validation: Validation | None = None,
) -> FitResult:
    """Train ``learner`` in place; it returns to the device that it came from.

    Args:
        learner: The model with its losses and its optimiser.
        batches: The batches of one epoch, iterated anew every epoch.
        epochs: How many epochs in all (a resumed training does the rest).
        seed: Seeds every global generator before the first batch.
        device: As :func:`whyact.devices.resolve_device` takes it.
        precision: One of :data:`whyact.devices.PRECISIONS`; weights and optimiser stay in fp32.
        clip: Largest norm of the gradient; 0 does not clip.
        threads: Threads of torch on the CPU while training; ``None`` leaves them. Bits depend on it.
        progress: Show the progress and the loss on stderr (:mod:`whyact.progress`).
        resume_dir: Folder for the state of a training in progress; if it holds one, the training resumes from it.
        save_seconds: Time between two writes of the state; by default so long that writing takes 5 % of the time.
        fingerprint: Anything that identifies the settings; a state with another one is refused.
        history: Receives a row for each epoch.
        stage: The name of this training among those of a run.
        validation: What to measure on held-out data, and how often.

    Raises:
        UserError: When the device is absent, there are no batches, or the state belongs to another training or one that
            is longer already.
    """
    if len(batches) == 0:
        raise UserError("training data", "no batches", "at least one batch", "check the data with: whyact data check")
    process, target = this_process(), resolve_device(device)
    if process.world > 1 and target.type == "cuda":
        target = torch.device("cuda", process.local_rank)
    loop = _Loop(
        learner,
        batches,
        clip=clip,
        device=target,
        precision=check_precision(precision, target),
        process=process,
        seed=seed,
        identity={"seed": seed, "batches": len(batches), "fingerprint": fingerprint},
        path=None if resume_dir is None else Path(resume_dir) / STATE,
        save_seconds=save_seconds,
        history=history or History(),
        stage=stage,
        validation=validation,
    )
    started, origin = time.perf_counter(), device_of(learner)
    shown = progress_bar("training", epochs * len(batches), wanted=progress and process.is_rank_zero)
    with numerics(threads), shown as bar:
        seed_everything(seed)
        learner.to(target)
        try:
            loop.run(epochs, bar)
        finally:
            learner.to(origin)
    rows = [{name: value for name, value in row.items() if name not in MEASURED} for row in loop.position.history]
    return FitResult(rows, time.perf_counter() - started, loop.position.best)


class _Loop:
    """One training: its parts, where it is, and when to write that down."""

    def __init__(
        self,
        learner: Trainable,
        batches: Batches,
        *,
        clip: float,
        device: torch.device,
        precision: Precision,
        process: Process,
        seed: int,
        identity: dict[str, Any],
        path: Path | None,
        save_seconds: float | None,
        history: History,
        stage: str,
        validation: Validation | None,
    ) -> None:
        self.learner, self.batches, self.clip = learner, batches, clip
        self.device, self.precision, self.process, self.seed = device, precision, process, seed
        self.identity, self.path, self.save_seconds = identity, path, save_seconds
        self.history, self.stage, self.validation = history, stage, validation
        self.position = Position()
        self.means = Means({})
        self.saved_at, self.save_cost, self.has_state = time.monotonic(), 0.0, False

    def run(self, epochs: int, bar: Bar) -> None:
        """Train until ``epochs`` epochs are done."""
        join_processes(self.process, self.device)
        self.optimizer, self.schedule, self.interval = self.learner.configure_optimizers()
        self.learned = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.forward = self._forward()
        self._restore(epochs)
        position, last = self.position, len(self.batches) - 1
        before = float(position.history[-1].get("seconds", 0.0)) if position.history else 0.0
        started = shown = time.monotonic()
        bar.start(position.step)
        with _sigterm() as terminated:
            while len(position.history) < epochs:
                for batch in self._rest_of_epoch():
                    rates = self._step(batch)
                    now = time.monotonic()
                    live = now - shown >= LIVE_SECONDS
                    shown = now if live else shown
                    bar.advance(_live(self.means.values()) if live else "")
                    if position.batch <= last:
                        self._save(any_rank(terminated.is_set()), now)
                if self.schedule is not None and self.interval == "epoch":
                    self.schedule.step()
                row: Row = {"epoch": len(position.history) + 1, "step": position.step, **rates, **self.means.values()}
                row |= self._validate(row["epoch"], epochs)
                row["seconds"] = round(before + time.monotonic() - started, 3)
                self._finish_epoch(row | memory_peaks(self.device))
                bar.update(text=_live(row))
                self._save(any_rank(terminated.is_set()), time.monotonic(), finished=len(position.history) == epochs)

    def _forward(self) -> Callable[[Any, int], StepOutput]:
        """Return the learner's step; with several processes one that averages the gradients over them."""
        if self.process.world == 1:
            return self.learner.training_step
        # Terms switch on and off in all methods: some parameters get no gradient in some steps.
        ids = [self.device.index] if self.device.type == "cuda" else None
        step = _Step(self.learner)
        return nn.parallel.DistributedDataParallel(step, device_ids=ids, find_unused_parameters=True)

    def _step(self, batch: Any) -> dict[str, float]:
        """Learn from one batch; return the learning rates it used."""
        position = self.position
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            output = self.forward(map_tensors(batch, self._to_device), position.step)
        self.scaler.scale(output.loss).backward()
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.learned, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        groups = self.optimizer.param_groups
        rates = {f"lr{number + 1 if number else ''}": float(group["lr"]) for number, group in enumerate(groups)}
        if self.schedule is not None and self.interval == "step":
            self.schedule.step()
        self.means.add(output)
        position.step += 1
        position.batch += 1
        return rates

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _rest_of_epoch(self) -> Iterator[Any]:
        """Yield the batches of the epoch that are left."""
        position = self.position
        if self.process.world > 1:
            epoch = len(position.history)
            yield from rows_of_batches(self.batches, self.process, self.seed, epoch, position.batch)
            return
        skip, now = position.batch, random_state()
        if skip:
            set_random_state(position.epoch_start)
        else:
            position.epoch_start = now
        for number, batch in enumerate(self.batches):
            if number < skip:
                if number == skip - 1:
                    set_random_state(now)
                continue
            yield batch

    def _validate(self, epoch: int, epochs: int) -> dict[str, float]:
        """Return what the held-out data say of the model, if it is time, and keep the best weights."""
        validation = self.validation
        if validation is None or (epoch % validation.every and epoch != epochs):
            return {}
        modes, before = [(module, module.training) for module in self.learner.modules()], random_state()
        self.learner.eval()
        with torch.no_grad():
            metrics = validation.measure()
        for module, mode in modes:
            module.training = mode
        set_random_state(before)
        score, best = metrics[validation.metric], self.position.best
        if not math.isnan(score) and (best is None or score > best.score):  # NaN would stay the best for ever
            weights = {name: value.detach().cpu().clone() for name, value in self.learner.state_dict().items()}
            self.position.best = Best(epoch, score, weights)
        return {f"val_{name}": float(value) for name, value in metrics.items()}

    def _finish_epoch(self, row: Row) -> None:
        self.position.history.append(row)
        self.position.batch, self.position.epoch_start, self.means = 0, {}, Means({})
        if self.process.is_rank_zero:
            self.history.append(self.stage, row)

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Any] = {"model": self.learner, "optimizer": self.optimizer, "scaler": self.scaler}
        return parts if self.schedule is None else parts | {"schedule": self.schedule}

    def _restore(self, epochs: int) -> None:
        """Resume from the state, if there is one and it is not beyond the epochs asked for."""
        if self.path is not None:
            if self.process.is_rank_zero:
                for half_written in leftovers(self.path.parent, name=self.path.name):
                    half_written.unlink(missing_ok=True)
            if self.path.exists():
                self.position = load_state(self.path, self._parts(), self.identity)
                if self.position.step > epochs * len(self.batches):
                    found = f"a training in its epoch {-(-self.position.step // len(self.batches))}"
                    step = "train as long as before, or remove it to train from the start"
                    raise UserError(self.path, found, f"one of {epochs} epochs at most", step)
                self.means = Means(self.position.sums)
                self.has_state = True
        if self.process.is_rank_zero:
            self.history.start(self.stage, self.position.history)

    def _save(self, terminated: bool, now: float, finished: bool = False) -> None:
        """Write the state if it is time, and end the process in order if it was terminated."""
        interval = max(SAVE_SECONDS, SAVE_SHARE * self.save_cost) if self.save_seconds is None else self.save_seconds
        first_epoch_ends = not self.has_state and self.position.batch == 0
        due = terminated or finished or first_epoch_ends or now - self.saved_at >= interval
        if due and self.path is not None and self.process.is_rank_zero:
            self.position.sums = self.means.sums()
            save_state(self.path, self._parts(), self.identity, self.position)
            self.saved_at = time.monotonic()
            self.save_cost, self.has_state = self.saved_at - now, True
        if terminated:
            if self.process.is_rank_zero:
                step = f"the same command resumes from {self.path}" if self.path else "no state was to be kept"
                print(f"whyact: terminated; {step}", file=sys.stderr, flush=True)
            raise SystemExit(TERMINATED)


class _Step(nn.Module):
    """The learner's step as a forward pass, because only those average gradients over processes."""

    def __init__(self, learner: Trainable) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Any, step: int) -> StepOutput:
        return self.learner.training_step(batch, step)


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets, in place of ending the process."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield terminated
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


def _live(values: Mapping[str, Any], most: int = 4) -> str:
    """Return the terms that matter while a training runs: the loss, what is measured, then other terms."""
    names = sorted(
        (name for name in values if name not in {*MEASURED, "epoch", "step"} and not name.startswith("lr")),
        key=lambda name: (name != "loss", not name.startswith("val_")),
    )
    return "  ".join(f"{name} {float(values[name]):.4g}" for name in names[:most])
