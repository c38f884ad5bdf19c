"""What ``test_processes.py`` starts under torchrun: a tiny training that leaves its weights, a file a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from whyact.training.checkpoint import save_checkpoint
from whyact.training.fit import fit
from whyact.training.processes import this_process
from whyact.training.trainable import Optimization, StepOutput, Trainable


class Plain(Trainable):
    """A regression without noise: in several processes it must do what it does in one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.unused = nn.Linear(2, 2)
        self.rows: list[int] = []

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
        torch.rand(1 + step + this_process().rank)  # noise that differs must not change the batches
        self.rows += batch[0][:, 0].tolist()
        return StepOutput((self.net(batch[0]) - batch[1]).square().mean())

    def configure_optimizers(self) -> Optimization:
        return Optimization(torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9))


class Shuffled:
    """Four batches of six rows, drawn lazily from torch's global generator; or always in the same order."""

    def __init__(self, fixed: bool = False) -> None:
        self.fixed = fixed
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(24, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True)

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in (torch.arange(24) if self.fixed else torch.randperm(24)).split(6):
            yield self.x[rows], self.y[rows]


def main(folder: Path, epochs: int) -> None:
    module = Plain()
    fit(module, Shuffled(fixed=True), epochs=epochs, seed=5, device="cpu", progress=False, resume_dir=folder / "state")
    card = {"method": "fake", "data": "toy", "split_sha256": "", "licence": "", "seed": 0}
    save_checkpoint(folder / "run", module.net.state_dict(), {"rank": this_process().rank}, card)
    rank = this_process().rank
    torch.set_printoptions(precision=10)
    flat = torch.cat([p.detach().reshape(-1) for p in module.net.parameters()])
    (folder / f"rank{rank}.txt").write_text("\n".join(map(repr, flat.tolist())))
    (folder / f"rows{rank}.txt").write_text("\n".join(map(repr, module.rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
