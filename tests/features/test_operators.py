"""The operators are torchvision's, to the bit, and come without torchvision."""

from __future__ import annotations

import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from whyact.features.operators import batched_nms, nms, roi_align


def boxes(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    corners, sizes = torch.rand(count, 2) * 50, torch.rand(count, 2) * 20
    return torch.cat([corners, corners + sizes], 1), torch.rand(count), torch.randint(0, 3, (count,))


@given(seed=st.integers(0, 10**6), count=st.sampled_from([0, 1, 2, 17, 60, 1200]), iou=st.floats(0.0, 1.0))
def test_nms_is_torchvisions(seed: int, count: int, iou: float) -> None:
    from torchvision import ops

    found, scores, classes = boxes(seed, count)
    assert torch.equal(nms(found, scores, iou), ops.nms(found, scores, iou))
    assert torch.equal(batched_nms(found, scores, classes, iou), ops.batched_nms(found, scores, classes, iou))


@given(seed=st.integers(0, 10**6), side=st.integers(1, 7), samples=st.integers(1, 3))
def test_roi_align_is_torchvisions(seed: int, side: int, samples: int) -> None:
    from torchvision import ops

    found, _, _ = boxes(seed, 5)
    maps = torch.rand(2, 3, 24, 32, requires_grad=True)
    rois = torch.cat([torch.randint(0, 2, (5, 1)).float(), found * 0.4], 1)
    ours = roi_align(maps, rois, side, samples)
    assert torch.equal(ours, ops.roi_align(maps, rois, side, 1.0, samples, True))
    assert torch.autograd.grad(ours.sum(), maps)[0].abs().sum() > 0  # it can be trained through


def test_they_come_without_torchvision() -> None:
    code = (
        "import sys, torch\nfrom whyact.features.operators import nms\n"
        "nms(torch.zeros(1, 4), torch.zeros(1), 0.5)\nsys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
