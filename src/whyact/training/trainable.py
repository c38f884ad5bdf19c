"""What :func:`whyact.training.fit.fit` trains: a module with a step and an optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class StepOutput(NamedTuple):
    """The loss of a batch, what to log of it, and the number of rows that the logged means are weighted with."""

    loss: Tensor
    terms: Mapping[str, Tensor | float] = {}
    rows: int = 1


class Optimization(NamedTuple):
    """An optimiser, and the schedule of its learning rate, which advances every step or every epoch."""

    optimizer: Optimizer
    schedule: LRScheduler | None = None
    interval: Literal["step", "epoch"] = "step"


class Trainable(nn.Module):
    """A model with its losses and its optimiser. What it registers is moved to the device, saved and resumed."""

    def training_step(self, batch: Any, step: int) -> StepOutput:
        """Return the loss of a batch; ``step`` counts the batches of all epochs from 0."""
        raise NotImplementedError

    def configure_optimizers(self) -> Optimization:
        """Return the optimiser of the parameters that learn."""
        raise NotImplementedError


class Batches(Protocol):
    """The batches of one epoch, in an order drawn from the global generators of torch, numpy or Python.

    The order must be drawn before the first batch, so that a training that stopped within an epoch sees the same
    batches again. In several processes each takes its rows by :func:`whyact.training.processes.rows_of`, or by the
    batches' own ``part(batch, rank, world)``.
    """

    def __iter__(self) -> Iterator[Any]:
        """Yield tensors, or tuples, lists, dicts or dataclasses of them."""

    def __len__(self) -> int:
        """Return the number of batches."""
