"""Several processes train what one trains: the same batches split, equal weights everywhere, one that writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ddp_training
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyact.training.checkpoint import load_checkpoint
from whyact.training.fit import fit
from whyact.training.numerics import random_state, set_random_state
from whyact.training.processes import Process, rows_of, rows_of_batches, this_process


def torchrun(folder: Path, epochs: int, processes: int) -> None:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [*command, ddp_training.__file__, str(folder), str(epochs)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def weights(folder: Path, rank: int) -> np.ndarray:
    return np.array([float(line) for line in (folder / f"rank{rank}.txt").read_text().split()])


def rows(folder: Path, rank: int) -> list[float]:
    return [float(line) for line in (folder / f"rows{rank}.txt").read_text().split()]


def test_two_processes_do_what_one_does_and_go_on_after_a_stop(tmp_path: Path) -> None:
    torchrun(tmp_path, 2, 2)
    every = ddp_training.Shuffled().x[:, 0].tolist()
    assert sorted(rows(tmp_path, 0)[:12] + rows(tmp_path, 1)[:12]) == pytest.approx(sorted(every))
    torchrun(tmp_path, 4, 2)  # a longer training goes on from the state of the shorter
    assert len(rows(tmp_path, 0)) == 2 * 4 * 3
    assert np.array_equal(weights(tmp_path, 0), weights(tmp_path, 1))
    alone = ddp_training.Plain()
    fit(alone, ddp_training.Shuffled(fixed=True), epochs=4, seed=5, device="cpu", progress=False)
    split = load_checkpoint(tmp_path / "run")
    assert split.config == {"rank": 0}
    for name, value in alone.net.state_dict().items():
        torch.testing.assert_close(split.tensors[name], value, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 9), st.integers(1, 4))
def test_the_parts_of_a_batch_are_the_batch(length: int, world: int) -> None:
    batch = (torch.arange(length), None, [torch.arange(length) * 2])
    found = [rows_of(batch, rank, world) for rank in range(world)]
    together = sorted(int(x) for first, _, _ in found for x in first)
    assert together == (list(range(length)) if length >= world else sorted(list(range(length)) * world))
    assert all(torch.equal(second[0], 2 * first) and none is None for first, none, second in found)


@pytest.mark.parametrize("skip", [0, 2])
def test_every_process_draws_the_same_batches_whatever_its_model_draws(skip: int) -> None:
    seen: list[Any] = []
    for rank in range(2):
        torch.manual_seed(rank)
        mine = []
        for batch in rows_of_batches(ddp_training.Shuffled(), Process(rank, 2, 2), 3, 1, skip):
            torch.rand(5 + rank)
            mine.append(batch[0])
        seen.append(mine)
    before = random_state()
    (whole, again) = (list(rows_of_batches(ddp_training.Shuffled(), Process(0, 1, 1), 3, 1, 0)) for _ in range(2))
    set_random_state(before)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole, again, strict=True))
    for (x, _), a, b in zip(whole[skip:], *seen, strict=True):
        assert torch.equal(x[0::2], a)
        assert torch.equal(x[1::2], b)


def test_a_process_is_alone_unless_torchrun_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "3")
    assert this_process() == Process(0, 1, 1)
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert (this_process(), this_process().local_rank, this_process().is_rank_zero) == (Process(3, 8, 4), 3, False)
