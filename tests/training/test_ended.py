"""A training that was told to end, killed anywhere, killed while it wrote or out of disk goes on to the same bits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_fit import Shuffled, Tiny, options, same
from torch import Tensor

from whyact.errors import DiskFullError
from whyact.training.checkpoint import load_checkpoint, save_checkpoint
from whyact.training.fit import fit
from whyact.training.trainable import StepOutput


class Told(Tiny):
    """Sends its own process SIGTERM during one step."""

    def __init__(self, step: int, schedule: str = "epoch") -> None:
        super().__init__(schedule)
        self.step = step

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, step)


@pytest.mark.parametrize("schedule", ["epoch", "step"])
@pytest.mark.parametrize("step", [0, 7, 8, 9, 13, 19])
def test_sigterm_writes_the_state_first_and_no_step_is_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int, schedule: str
) -> None:
    whole, told, resumed = Tiny(schedule), Told(step, schedule), Tiny(schedule)
    expected = fit(whole, Shuffled(), **options())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        fit(told, Shuffled(), **options(resume_dir=tmp_path))
    assert stopped.value.code == 143
    assert "the same command resumes" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert told.seen[-1] == step
    found = fit(resumed, Shuffled(), **options(resume_dir=tmp_path))
    assert resumed.seen == list(range(step + 1, 20))
    assert same(whole, resumed)
    assert found.history == expected.history


@pytest.mark.parametrize("step", [7, 9, 19])
def test_sigterm_ends_a_training_that_keeps_nothing(capsys: pytest.CaptureFixture[str], step: int) -> None:
    told = Told(step)
    with pytest.raises(SystemExit) as stopped:
        fit(told, Shuffled(), **options())
    assert stopped.value.code == 143
    assert told.seen[-1] == step
    assert "terminated" in capsys.readouterr().err


def test_the_state_is_written_within_a_long_epoch_too(tmp_path: Path) -> None:
    whole, broken, resumed = Tiny("step"), Tiny("step", stop_at=13), Tiny("step")
    fit(whole, Shuffled(), **options())
    with pytest.raises(RuntimeError, match="power"):
        fit(broken, Shuffled(), **options(resume_dir=tmp_path, save_seconds=0.0))
    fit(resumed, Shuffled(), **options(resume_dir=tmp_path))
    assert resumed.seen[0] == 13
    assert same(whole, resumed)


def test_a_full_disk_leaves_the_previous_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, resumed = Tiny(), Tiny()
    fit(whole, Shuffled(), **options())
    fit(Tiny(), Shuffled(), **options(epochs=2, resume_dir=tmp_path))
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()

    def full(file: Path, data: bytes) -> None:
        file.write_bytes(data[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("whyact.files.write_synced", full)
        with pytest.raises(DiskFullError, match=r"training.safetensors.*No space left.*make room"):
            fit(Tiny(), Shuffled(), **options(resume_dir=tmp_path))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before
    fit(resumed, Shuffled(), **options(resume_dir=tmp_path))
    assert resumed.seen[0] == 10
    assert same(whole, resumed)


def test_a_full_disk_leaves_the_previous_run(tmp_path: Path) -> None:
    card = {"method": "fake", "data": "toy", "split_sha256": "", "licence": "", "seed": 0}
    run = save_checkpoint(tmp_path / "run", {"w": torch.ones(3)}, {}, card)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may grow beyond: the system refuses, not a stub
    try:
        with pytest.raises(DiskFullError, match=r"run: found File too large.*make room"):
            save_checkpoint(run, {"w": torch.zeros(3000)}, {}, card)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert load_checkpoint(run).tensors["w"].tolist() == [1, 1, 1]


def end_at_random(step: Callable[[], int], seed: int) -> None:
    """Have a thread kill this process with SIGKILL a random while after the first step."""
    import random
    import threading
    import time

    def wait() -> None:
        while step() == 0:
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.05))
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def end_in_write(number: int) -> None:
    """Kill this process with SIGKILL half-way through its n-th file."""
    import whyact.files

    left = [number]

    def half(file: Path, data: bytes) -> None:
        left[0] -= 1
        file.write_bytes(data if left[0] else data[: len(data) // 2])
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    whyact.files.write_synced = half


def main(folder: str) -> None:
    """Train in children that are killed, until one is left to finish; print how they ended and whether bits agree.

    The first child is never killed. This process trains nothing itself: autograd does not outlive a fork.
    """
    from safetensors.torch import load_file, save_file

    expected = Path(folder).with_name("expected.safetensors")
    for attempt in range(-1, 7):
        child = os.fork()
        if child == 0:
            module = Tiny()
            state = Path(folder) if attempt >= 0 else None
            if 0 <= attempt < 3:  # first, while there is sure to be something left to write
                end_in_write(1 + attempt)
            elif 3 <= attempt < 6:
                end_at_random(lambda module=module: len(module.seen), attempt)  # type: ignore[misc]
            fit(module, Shuffled(), **options(resume_dir=state, save_seconds=600.0 if attempt in (4, 6) else 0.0))
            if attempt < 0:
                save_file(module.state_dict(), expected)
                os._exit(0)
            wanted = load_file(expected)
            os._exit(0 if all(torch.equal(wanted[k], v) for k, v in module.state_dict().items()) else 1)
        _, status = os.waitpid(child, 0)
        print(attempt, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)


def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "state")]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=600)
    ends = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(ends) == 8, done.stderr
    assert ends[1:4] == [-signal.SIGKILL] * 3  # half-way through a write
    assert set(ends[4:7]) <= {0, -signal.SIGKILL}  # a quick machine may be done before its random end
    assert (ends[0], ends[7]) == (0, 0)
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["training.safetensors"]


if __name__ == "__main__":
    main(sys.argv[1])
