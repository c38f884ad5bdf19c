"""On a GPU a training learns what it learns on the CPU, up to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from whyact.training.fit import fit
from whyact.training.trainable import Optimization, StepOutput, Trainable


class Line(Trainable):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(4, 1)

    def training_step(self, batch: Tensor, step: int) -> StepOutput:
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
        return StepOutput(loss, rows=len(batch))

    def configure_optimizers(self) -> Optimization:
        return Optimization(torch.optim.SGD(self.parameters(), lr=0.1))


@pytest.mark.gpu
def test_a_gpu_learns_what_a_cpu_learns() -> None:
    batches = list(torch.randn(4, 8, 4, generator=torch.Generator().manual_seed(1)))
    trained = {}
    for device in ("cpu", "cuda"):
        module = Line()
        result = fit(module, batches, epochs=5, seed=0, device=device, progress=False)
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        trained[device] = module.net.weight.detach().cpu()
    torch.testing.assert_close(trained["cuda"], trained["cpu"], atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
def test_torchvisions_operators_are_built_for_the_gpu() -> None:
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], device="cuda")
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7], device="cuda"), 0.5).tolist() == [0, 2]
