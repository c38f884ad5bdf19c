"""A training is seeded, silent, and resumes to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.training.fit import fit
from whyact.training.numerics import numerics, seed_everything
from whyact.training.trainable import Optimization, StepOutput, Trainable


class Tiny(Trainable):
    """A model that uses every kind of state a training has."""

    def __init__(self, schedule: str = "epoch", stop_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))
        self.schedule, self.stop_at = schedule, stop_at
        self.seen: list[int] = []

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
        if self.stop_at == step:
            raise RuntimeError("the power went")
        self.seen.append(step)
        x, y = batch
        noise = float(np.random.rand()) + random.random()
        return StepOutput((self.net(x + 0.01 * noise) - y).square().mean(), {"noise": noise}, len(x))

    def configure_optimizers(self) -> Optimization:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05, amsgrad=True)
        if self.schedule == "step":
            return Optimization(optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20))
        return Optimization(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 0.7**e), "epoch")


class Shuffled:
    """Five batches whose order is drawn eagerly, in ``__iter__`` itself, from torch's global generator."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(20, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True)

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(20)
        return iter([(self.x[i], self.y[i]) for i in order.split(4)])


def options(**more: Any) -> dict[str, Any]:
    return {"epochs": 4, "seed": 5, "device": "cpu", "progress": False, **more}


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("schedule", ["epoch", "step"])
@pytest.mark.parametrize("stop_at", [3, 5, 12, 19])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, schedule: str, stop_at: int, seconds: float
) -> None:
    whole = Tiny(schedule)
    expected = fit(whole, Shuffled(), **options())

    broken = Tiny(schedule, stop_at)
    with pytest.raises(RuntimeError, match="power"):
        fit(broken, Shuffled(), **options(resume_dir=tmp_path, save_seconds=seconds))
    resumed = Tiny(schedule)
    got = fit(resumed, Shuffled(), **options(resume_dir=tmp_path, save_seconds=seconds))

    written_after_each_step = seconds == 0
    start = stop_at if written_after_each_step else min(5, stop_at // 5 * 5)  # the first epoch is always written
    assert resumed.seen == list(range(start, 20))
    assert same(whole, resumed)
    assert got.history == expected.history
    assert len(got.history) == 4


def test_the_state_is_written_as_rarely_as_its_size_demands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whyact.training import fit as module

    clock, writes = [0.0], []

    def slow_write(*_: Any) -> int:
        writes.append(clock[0])
        clock[0] += 3.0  # seconds that a large state takes
        return 0

    class Slow(Tiny):
        def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
            clock[0] += 1.0
            return super().training_step(batch, step)

    monkeypatch.setattr(module, "save_state", slow_write)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    fit(Slow(), Shuffled(), **options(epochs=40, resume_dir=tmp_path))
    assert writes[:3] == [2.0, 5.0 + 60, 68.0 + 60]  # within the first epoch; then 20 times what a write took
    assert writes[-1] == clock[0] - 3.0, "the end is always written"
    assert len(writes) == 5


def test_a_finished_training_is_not_run_again_and_can_be_prolonged(tmp_path: Path) -> None:
    first = Tiny()
    done = fit(first, Shuffled(), **options(epochs=2, resume_dir=tmp_path))
    again = Tiny()
    assert fit(again, Shuffled(), **options(epochs=2, resume_dir=tmp_path)).history == done.history
    assert again.seen == []
    assert same(first, again)
    longer, whole = Tiny(), Tiny()
    fit(longer, Shuffled(), **options(epochs=3, resume_dir=tmp_path))
    fit(whole, Shuffled(), **options(epochs=3))
    assert same(longer, whole)


@pytest.mark.parametrize("stopped_at", [13, 20])
def test_a_state_beyond_the_epochs_asked_for_is_refused(tmp_path: Path, stopped_at: int) -> None:
    """Else the weights of a longer training would pass for those of a short one."""
    with pytest.raises(RuntimeError, match="power"):
        fit(Tiny(stop_at=stopped_at), Shuffled(), resume_dir=tmp_path, save_seconds=0, **options(epochs=6))
    with pytest.raises(UserError, match="remove it to train from the start"):
        fit(Tiny(), Shuffled(), resume_dir=tmp_path, **options(epochs=2))
    fit(Tiny(), Shuffled(), resume_dir=tmp_path, **options(epochs=4))


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    one, two, three = Tiny(), Tiny(), Tiny()
    torch.rand(3)
    a = fit(one, Shuffled(), **options())
    torch.rand(7)  # whatever was drawn before the training does not count
    b = fit(two, Shuffled(), **options())
    fit(three, Shuffled(), **options(seed=6))
    assert same(one, two)
    assert a.history == b.history
    assert not same(one, three)


def test_it_equals_a_plain_loop_from_the_definition() -> None:
    module, batches = Tiny(), Shuffled()
    fit(module, batches, **options(clip=0.1))

    plain = Tiny()
    plain.train()
    optimizer, scheduler, _ = plain.configure_optimizers()
    assert scheduler is not None
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    with numerics(1):  # the bits depend on the number of threads
        for _ in range(4):
            for x, y in batches:
                noise = float(np.random.rand()) + random.random()
                loss = (plain.net(x + 0.01 * noise) - y).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
                optimizer.step()
            scheduler.step()
    assert same(module, plain)


def test_history_is_the_mean_over_the_epoch() -> None:
    class Counts(Tiny):
        def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
            loss, _, _ = super().training_step(batch, step)
            self.losses.append(loss.item())
            terms = {"index": float(step % 5), **({"late": torch.tensor(4.0)} if step % 5 == 4 else {})}
            return StepOutput(loss, terms, 1 + step % 5)

    module = Counts()
    module.losses = []
    result = fit(module, Shuffled(), **options(epochs=2))
    weights = np.arange(1, 6)
    assert [row["index"] for row in result.history] == pytest.approx([np.average(np.arange(5), weights=weights)] * 2)
    assert [row["late"] for row in result.history] == [4.0, 4.0]  # a mean over the steps that log it
    assert [row["loss"] for row in result.history] == pytest.approx(
        [np.average(module.losses[:5], weights=weights), np.average(module.losses[5:], weights=weights)]
    )
    assert [(row["epoch"], row["step"]) for row in result.history] == [(1, 5), (2, 10)]
    assert [row["lr"] for row in result.history] == pytest.approx([0.05, 0.05 * 0.7])
    assert result.seconds > 0


def test_it_says_nothing_and_leaves_the_process_as_it_was(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    kept = float(tiny * 1.0)
    fit(Tiny(), Shuffled(), **options(epochs=1, progress=True))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [str(warning.message) for warning in recwarn.list] == []
    assert list(tmp_path.iterdir()) == []
    assert torch.get_num_threads() == threads
    assert float(tiny * 1.0) == kept


def test_denormals_are_zero_and_threads_are_set_while_fitting() -> None:
    class Looks(Tiny):
        def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
            self.found = (float(torch.tensor(1e-310, dtype=torch.float64) * 1.0), torch.get_num_threads())
            return super().training_step(batch, step)

    module = Looks()
    fit(module, Shuffled(), **options(epochs=1, threads=1))
    assert module.found == (0.0, 1)


def test_ctrl_c_stays_ctrl_c(tmp_path: Path) -> None:
    class Interrupted(Tiny):
        def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
            if step == 7:
                raise KeyboardInterrupt
            return super().training_step(batch, step)

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(), Shuffled(), **options(resume_dir=tmp_path))
    whole, resumed = Tiny(), Tiny()
    fit(whole, Shuffled(), **options())
    fit(resumed, Shuffled(), **options(resume_dir=tmp_path))
    assert same(whole, resumed)
    assert resumed.seen[0] == 5


@pytest.mark.parametrize("change", [{"seed": 6}, {"fingerprint": "lr 2"}])
def test_the_state_of_another_training_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    fit(Tiny(), Shuffled(), **options(epochs=1, resume_dir=tmp_path))
    with pytest.raises(UserError, match=next(iter(change))):
        fit(Tiny(), Shuffled(), **options(resume_dir=tmp_path, **change))


def test_of_a_hundred_settings_the_one_that_differs_is_named(tmp_path: Path) -> None:
    settings = {f"setting{i}": i for i in range(100)}
    fit(Tiny(), Shuffled(), **options(epochs=1, resume_dir=tmp_path, fingerprint=repr(settings)))
    with pytest.raises(UserError, match=r"'setting50': 50,.*expected.*'setting50': 7,") as caught:
        fit(Tiny(), Shuffled(), **options(resume_dir=tmp_path, fingerprint=repr(settings | {"setting50": 7})))
    assert "setting10" not in str(caught.value)
    assert "setting90" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 9, 500, 3000])
def test_a_truncated_state_is_named(tmp_path: Path, keep: int) -> None:
    fit(Tiny(), Shuffled(), **options(epochs=1, resume_dir=tmp_path))
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=path.name):
        fit(Tiny(), Shuffled(), **options(resume_dir=tmp_path))


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    fit(Tiny(), Shuffled(), **options(epochs=1, resume_dir=tmp_path))
    other = Tiny()
    other.net[4] = nn.Linear(8, 2)
    with pytest.raises(UserError, match="weights of this model"):
        fit(other, Shuffled(), **options(resume_dir=tmp_path))


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x"])
def test_an_absent_device_is_a_user_error(device: str) -> None:
    with pytest.raises(UserError, match="device"):
        fit(Tiny(), Shuffled(), **options(device=device))


def test_no_batches_is_a_user_error() -> None:
    with pytest.raises(UserError, match="at least one batch"):
        fit(Tiny(), [], **options())


def test_seeds_out_of_range_are_refused_and_in_range_cover_all_generators() -> None:
    seed_everything(3)
    first = (torch.rand(2).tolist(), np.random.rand(), random.random())
    seed_everything(3)
    assert first == (torch.rand(2).tolist(), np.random.rand(), random.random())
    with pytest.raises(UserError, match="seed"):
        seed_everything(-1)
