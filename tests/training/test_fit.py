"""A training is seeded, silent, and resumes to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.training.fit import fit, numerics, seed_everything


class Tiny(LightningModule):
    """A model that uses every kind of state a training has."""

    def __init__(self, schedule: str = "epoch", stop_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))
        self.schedule, self.stop_at = schedule, stop_at
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        if self.stop_at == self.global_step:
            raise RuntimeError("the power went")
        self.seen.append((self.current_epoch, self.global_step))
        x, y = batch
        noise = float(np.random.rand()) + random.random()
        loss = (self.net(x + 0.01 * noise) - y).square().mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05, amsgrad=True)
        if self.schedule == "step":
            scheduler: Any = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
        else:
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.7**epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.schedule}}


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
@pytest.mark.parametrize(("stop_at", "every"), [(5, 1), (12, 1), (19, 1), (12, 2), (3, 1)])
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, schedule: str, stop_at: int, every: int
) -> None:
    whole = Tiny(schedule)
    expected = fit(whole, Shuffled(), **options())

    broken = Tiny(schedule, stop_at)
    with pytest.raises(RuntimeError, match="power"):
        fit(broken, Shuffled(), **options(resume_dir=tmp_path, save_every=every))
    resumed = Tiny(schedule)
    got = fit(resumed, Shuffled(), **options(resume_dir=tmp_path, save_every=every))

    start = stop_at // (5 * every) * every  # epochs that the state holds
    assert resumed.seen == [(step // 5, step) for step in range(5 * start, 20)]
    assert same(whole, resumed)
    assert got.history == expected.history
    assert len(got.history) == 4


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
    setup = plain.configure_optimizers()
    optimizer, scheduler = setup["optimizer"], setup["lr_scheduler"]["scheduler"]
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
        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            self.log("index", float(index), on_step=False, on_epoch=True, batch_size=1)
            return super().training_step(batch, index)

    result = fit(Counts(), Shuffled(), **options(epochs=2))
    assert [row["index"] for row in result.history] == [2.0, 2.0]
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
        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            self.found = (float(torch.tensor(1e-310, dtype=torch.float64) * 1.0), torch.get_num_threads())
            return super().training_step(batch, index)

    module = Looks()
    fit(module, Shuffled(), **options(epochs=1, threads=1))
    assert module.found == (0.0, 1)


def test_ctrl_c_stays_ctrl_c(tmp_path: Path) -> None:
    class Interrupted(Tiny):
        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            if self.global_step == 7:
                raise KeyboardInterrupt
            return super().training_step(batch, index)

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(), Shuffled(), **options(resume_dir=tmp_path))
    whole, resumed = Tiny(), Tiny()
    fit(whole, Shuffled(), **options())
    fit(resumed, Shuffled(), **options(resume_dir=tmp_path))
    assert same(whole, resumed)
    assert resumed.seen[0] == (1, 5)


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
