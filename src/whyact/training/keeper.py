"""The callback that restores, records, saves and shows a training, and ends it in order when it is told to."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback

from whyact.files import leftovers
from whyact.progress import Bar
from whyact.training.processes import Process, any_rank, parts
from whyact.training.state import Position, load_state, random_state, save_state, set_random_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

TERMINATED = 143  # what a shell reports of a process ended by SIGTERM


class Keeper(Callback):
    """Keep a training's state in one file: after epochs, every so many seconds within one, and on SIGTERM.

    Args:
        batches: Of one epoch; what is random in them is drawn before the first, or alike when they are drawn again.
        identity: Says which training this is.
        path: The file, or ``None`` to keep nothing.
        every: Epochs between two writes.
        seconds: Longest time between two writes.
        process: Only the first of several writes.
    """

    def __init__(
        self,
        batches: Any,
        identity: dict[str, Any],
        path: Path | None,
        every: int,
        seconds: float,
        process: Process,
    ) -> None:
        self.batches, self.identity, self.path = batches, identity, path
        self.every, self.seconds, self.process = every, seconds, process
        self.bar = Bar()  # is told how far it is
        self.history: list[dict[str, float]] = []
        self.kept = 0  # epochs that the file holds
        self.written = time.monotonic()
        self.told = False
        self.position = Position()  # within the epoch that goes on
        self.drawn: dict[str, Any] = {}  # the generators where the epoch began

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches from the first ``next`` on: lightning calls ``iter`` before the state is restored."""
        start, self.position.started = self.position.batch, self.position.batch
        if self.process.world > 1:
            yield from parts(self.batches, self.process, self.identity["seed"], len(self.history), start)
            return
        self.drawn = self.position.drawn or random_state()
        if start:
            now = random_state()
            set_random_state(self.drawn)
        for number, batch in enumerate(self.batches):
            if number < start:
                if number == start - 1:
                    set_random_state(now)
                continue
            yield batch

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore what is there, and listen for SIGTERM."""
        if self.path is not None:
            if self.process.writes:
                for left in leftovers(self.path.parent, name=self.path.name):
                    left.unlink(missing_ok=True)
            if self.path.exists():
                self.history, self.position = load_state(self.path, trainer, self.identity)
                self.kept = len(self.history)
        if threading.current_thread() is threading.main_thread():  # lightning puts back what was there
            signal.signal(signal.SIGTERM, self._listen)
        self.bar.start(self.kept * len(self.batches) + self.position.batch)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Tell lightning's counters about the batches that were done before."""
        if self.position.started:
            loop: Any = trainer.fit_loop
            current = loop.epoch_loop.batch_progress.current
            current.ready += self.position.started
            current.started = current.processed = current.completed = current.ready - 1
            loop._data_fetcher.fetched += self.position.started
            loop.epoch_loop.batch_progress.is_last_batch = loop._data_fetcher.fetched >= len(self.batches)
            self.position.started = 0

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count, and save within the epoch when it is time or SIGTERM came."""
        self.bar.advance()
        loop: Any = trainer.fit_loop
        if self.position.logged:
            _add(loop.epoch_loop._results, self.position.logged)
            self.position.logged = {}
        self.position.batch += 1
        if self.position.batch >= len(self.batches):
            return  # the end of an epoch is saved where schedulers have stepped
        told = any_rank(self.told)
        if told or time.monotonic() - self.written >= self.seconds:
            where = Position(self.position.batch, self.drawn, _logged(loop.epoch_loop._results))
            self._write(trainer, where)
        if told:
            self._end()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record what was logged."""
        logged = trainer.callback_metrics
        self.history.append({name: float(value) for name, value in logged.items() if not name.endswith("_step")})
        self.position = Position()
        self.bar.update(text=_said(self.history[-1]))

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Save the epochs so far: their state is complete here; in on_train_epoch_end, schedulers have yet to step."""
        told = any_rank(self.told)
        if told or len(self.history) % self.every == 0:
            self._save(trainer)
        if told:
            self._end()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save the whole training."""
        self._save(trainer)
        if any_rank(self.told):
            self._end()

    def _save(self, trainer: Trainer) -> None:
        if self.path is not None and len(self.history) > self.kept:
            self._write(trainer, Position())
            self.kept = len(self.history)

    def _write(self, trainer: Trainer, position: Position) -> None:
        if self.path is not None and self.process.writes:
            save_state(self.path, trainer, self.identity, self.history, position)
        self.written = time.monotonic()

    def _listen(self, number: int, frame: Any) -> None:
        self.told = True

    def _end(self) -> None:
        if self.process.writes:
            step = f"the same command goes on from {self.path}" if self.path else "nothing was to be kept"
            print(f"whyact: terminated; {step}", file=sys.stderr, flush=True)
        raise SystemExit(TERMINATED)


def _logged(results: Any) -> dict[str, list[float]]:
    """Return the sums and weights of the means that an epoch logs, as far as it is."""
    found = {}
    for name, entry in results.items():
        if entry.is_tensor and entry.meta.on_epoch and entry.meta.is_mean_reduction:
            found[name] = [float(entry.value), float(entry.cumulated_batch_size)]
    return found


def _add(results: Any, logged: dict[str, list[float]]) -> None:
    for name, entry in results.items():
        if name in logged:
            value, weight = logged[name]
            entry.value = entry.value + torch.tensor(value, dtype=entry.value.dtype, device=entry.value.device)
            entry.cumulated_batch_size = entry.cumulated_batch_size + int(weight)


def _said(logged: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in list(logged.items())[:3]) or "training"
