"""Seeds, the state of the random generators, and the numeric mode that makes results repeat to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from whyact.errors import UserError


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (CUDA's included).

    Raises:
        UserError: When ``seed`` is not in 0..2**32-1, which is what numpy accepts.
    """
    if not 0 <= seed < 2**32:
        raise UserError("seed", seed, "an integer from 0 to 4294967295")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of every global generator."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what :func:`random_state` returned."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])


@contextmanager
def numerics(threads: int | None = 1) -> Iterator[None]:
    """Set torch's CPU threads, and flush denormal numbers to zero: they can be 100 times slower than others.

    A context manager or a decorator. Both settings belong to the whole process and are restored on exit.
    """
    threads_before = torch.get_num_threads()
    flushed_before = float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
        torch.set_num_threads(threads_before)
