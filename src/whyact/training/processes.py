"""Training in several processes under torchrun: which process this is, and its rows of every batch.

Every process draws the same batches and takes its own rows, so that a run with n processes sees the batches of a run
with one. Random numbers derive from the seed, the epoch and the process, so a state holds those of no process.
"""

from __future__ import annotations

import atexit
import gc
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed

from whyact.devices import map_tensors
from whyact.training.numerics import random_state, set_random_state


@dataclass(frozen=True)
class Process:
    """This process among those of a training: its rank, how many there are, and how many on this machine."""

    rank: int = 0
    world: int = 1
    local_world: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Tell whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """Return the rank among the processes of this machine."""
        return self.rank % self.local_world


def this_process() -> Process:
    """Return this process as torchrun describes it; a single one if torchrun did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Process()
    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Process(rank, world, local)


def join_processes(process: Process, device: torch.device) -> None:
    """Connect this process to the others, once; the connection lasts until the process ends."""
    if process.world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    """Disconnect while the interpreter is whole: a thread of the group that outlives it aborts the process."""
    gc.collect()  # a model that was wrapped for several processes can hold the group in a cycle
    if _connected():
        distributed.destroy_process_group()


def barrier() -> None:
    """Wait until every process of the training is here; return at once in a single process."""
    if _connected():
        distributed.barrier()


def any_rank(flag: bool) -> bool:
    """Tell whether ``flag`` is true in any process of the training."""
    if not _connected():
        return flag
    flags = torch.tensor([int(flag)], device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
    return bool(flags.item())


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def rows_of(batch: Any, rank: int, world: int) -> Any:
    """Return every ``world``-th row of a batch from ``rank`` on; a tensor with fewer rows goes to every process."""
    return map_tensors(batch, lambda x: x[rank::world] if len(x) >= world else x)


def rows_of_batches(batches: Iterable[Any], process: Process, seed: int, epoch: int, skip: int) -> Iterator[Any]:
    """Yield this process's rows of each batch of an epoch after the first ``skip``.

    The batches draw from random numbers that are the same in every process; between them the model draws from those
    of this process.
    """
    take = getattr(batches, "part", rows_of)
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


def _seeded(*entropy: int) -> dict[str, Any]:
    """Return the state of all generators that these numbers stand for; the current state stays."""
    before = random_state()
    number = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
    seeded = random_state()
    set_random_state(before)
    return seeded
