"""Training in several processes under torchrun: who this process is, and its part of every batch.

Every process draws the same batches and takes its own rows, so that a run with n processes sees the batches of a run
with one. Random numbers come from the seed, the epoch and the process, so that a state needs those of none.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyact.training.state import random_state, set_random_state


@dataclass(frozen=True)
class Process:
    """This process among those of a training: its number, how many there are, and how many on this machine."""

    rank: int = 0
    world: int = 1
    local_world: int = 1

    @property
    def writes(self) -> bool:
        """Tell whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def machines(self) -> int:
        """Return how many machines take part."""
        return self.world // self.local_world


def this_process() -> Process:
    """Return who this process is as torchrun says; one alone where torchrun did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Process()
    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Process(rank, world, local)


def barrier() -> None:
    """Wait until every process of the training is here; return at once in one alone."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def any_rank(yes: bool) -> bool:
    """Tell whether any process of the training says yes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return yes
    found = torch.tensor([int(yes)], device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
    torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
    return bool(found.item())


def part(batch: Any, rank: int, world: int) -> Any:
    """Return every ``world``-th row of a batch from ``rank`` on; a batch with fewer rows is everybody's.

    A batch is a tensor, a tuple or list of such, or has ``map`` over its tensors; ``None`` stays.
    """
    if isinstance(batch, Tensor):
        return batch[rank::world] if len(batch) >= world else batch
    if batch is None:
        return None
    if isinstance(batch, tuple | list):
        return type(batch)(part(one, rank, world) for one in batch)
    return batch.map(lambda x: part(x, rank, world))


def parts(batches: Iterable[Any], process: Process, seed: int, epoch: int, skip: int) -> Iterator[Any]:
    """Yield this process's part of each batch of an epoch after the first ``skip``.

    What draws the batches has random numbers of its own, the same in every process; between them the model draws from
    those of this process.
    """
    take = getattr(batches, "part", part)
    model = _seeded(seed, epoch, process.rank + 1, skip)
    set_random_state(_seeded(seed, epoch, 0, 0))
    iterator, number = iter(batches), 0
    while True:
        batch = next(iterator, None)
        data = random_state()
        set_random_state(model)
        if batch is None:
            return
        if number >= skip:
            yield take(batch, process.rank, process.world)
        model = random_state()
        set_random_state(data)
        number += 1


def _seeded(*words: int) -> dict[str, Any]:
    """Return the state of all generators that these numbers stand for; the present one stays."""
    before = random_state()
    number = int(np.random.SeedSequence(words).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
    found = random_state()
    set_random_state(before)
    return found
