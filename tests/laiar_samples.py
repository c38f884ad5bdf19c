"""Small models and random batches for the tests of LaIAR."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whyact.data.relations.packed import RelationBatch, RoiBatch
from whyact.laiar.config import Config, DataConfig, ModelConfig, OptimConfig, SelectConfig
from whyact.laiar.model import LaIAR

OBJECTS, RELATIONS, CLASSES, FRAMES, SLOTS = 5, 6, 4, 5, 4
SMALL = ModelConfig(
    width=16,
    layers=3,
    heads=2,
    ffn=2,
    dropout=0.0,
    class_width=4,
    box_width=6,
    mask_size=8,
    mask_channels=(3, 4),
    position="temporal",
    position_std=0.2,
)
CONFIG = Config(data=DataConfig(frames=5, slots=6), model=SMALL, optim=OptimConfig(lr=5e-3, batch=8, epochs=1))


def small_model(seed: int = 0, select: SelectConfig | None = None, **options: Any) -> LaIAR:
    """Return a small model in evaluation mode whose selectors tell tokens apart (as made, they all start equal)."""
    torch.manual_seed(seed)
    model = LaIAR(
        replace(SMALL, **options),
        select or SelectConfig(),
        objects=OBJECTS,
        relations=RELATIONS,
        classes=CLASSES,
        frames=FRAMES,
        slots=SLOTS,
    )
    for name, parameter in model.named_parameters():
        if "selectors" in name and parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.3)  # more would saturate, and tie the tokens of a frame
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after some training
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


def random_batch(
    clips: int = 3, frames: int = FRAMES, slots: int = SLOTS, *, seed: int = 0, appearance: int = 0, gaps: float = 0.2
) -> RelationBatch:
    """Return a batch with invalid tokens, hidden boxes and, in all clips but the first, an empty last slot."""
    g = torch.Generator().manual_seed(seed)
    shape = (clips, frames, slots)
    low = torch.rand(*shape, 2, 2, generator=g) * 0.6
    boxes = torch.cat([low, low + 0.05 + torch.rand(*shape, 2, 2, generator=g) * 0.3], -1)
    valid = torch.rand(shape, generator=g) >= gaps
    if slots > 1:
        valid[1:, :, -1] = False
    valid[:, 0, 0] = True
    seen = (torch.rand(*shape, 2, generator=g) >= gaps / 2) & valid[..., None]
    relations = torch.nn.functional.one_hot(torch.randint(RELATIONS, shape, generator=g), RELATIONS).float()
    return RelationBatch(
        boxes=boxes * seen[..., None],
        seen=seen,
        classes=torch.randint(OBJECTS, (clips, slots, 2), generator=g),
        valid=valid,
        target=torch.randint(CLASSES, (clips,), generator=g),
        relations=relations * valid[..., None],
        appearance=torch.randn(*shape, appearance, generator=g) if appearance else None,
    )


ROI = (3, 5, 2)  # the maps' side is that of SMALL's box-mask encoder


def with_pixels(batch: RelationBatch, seed: int = 0) -> RelationBatch:
    """Return the batch with random RoI features and a clip vector of width 6."""
    g = torch.Generator().manual_seed(seed)
    a, c, side = ROI
    shape = batch.valid.shape
    subject, thing = torch.randn(*shape, a, generator=g), torch.randn(*shape, a, generator=g)
    union = torch.randn(*shape, c, side, side, generator=g)
    return replace(batch, pixels=RoiBatch(subject, thing, union), context=torch.randn(len(batch), 6, generator=g))


def pick(batch: RelationBatch, index: list[int]) -> RelationBatch:
    """Return the clips at these positions."""
    return batch.map(lambda x: x[index])


def random_keep(batch: RelationBatch, seed: int = 0, share: float = 0.5) -> Tensor:
    """Return (B,T,K) a random selection among the valid tokens."""
    g = torch.Generator().manual_seed(seed)
    return ((torch.rand(batch.valid.shape, generator=g) < share) & batch.valid).float()


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=1e-4)


def padded(batch: RelationBatch, extra: int, seed: int = 1) -> RelationBatch:
    """Return the batch with further slots that are invalid and full of garbage."""
    b, t, _ = batch.valid.shape
    g = torch.Generator().manual_seed(seed)

    def more(x: Tensor | None, *shape: int) -> Tensor | None:
        return None if x is None else torch.cat([x, torch.rand(*shape, generator=g).to(x.dtype)], 1 + (x.dim() > 3))

    classes = torch.cat([batch.classes, torch.randint(5, (b, extra, 2), generator=g)], 1)
    return replace(
        batch,
        boxes=torch.cat([batch.boxes, torch.rand(b, t, extra, 2, 4, generator=g)], 2),
        seen=torch.cat([batch.seen, torch.ones(b, t, extra, 2, dtype=torch.bool)], 2),
        classes=classes,
        valid=torch.cat([batch.valid, torch.zeros(b, t, extra, dtype=torch.bool)], 2),
        relations=None if batch.relations is None else more(batch.relations, b, t, extra, batch.relations.shape[-1]),
        appearance=None
        if batch.appearance is None
        else torch.cat([batch.appearance, torch.full((b, t, extra, batch.appearance.shape[-1]), torch.nan)], 2),
    )
