"""Box masks by counting points, box geometry with plain numbers, one pair at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laiar_samples import close, random_batch
from whyact.laiar.geometry import DELTA_WIDTH, LAYOUT_WIDTH, box_geometry, box_masks, endpoint_delta, steps

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15)


def covered(box: list[float], union: list[float], size: int, row: int, column: int, fine: int = 40) -> float:
    """Count the sample points of a cell that the box covers."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = box, union
    hits = 0
    for i in range(fine):
        for j in range(fine):
            y = v0 + (row + (i + 0.5) / fine) / size * (v1 - v0)
            x = u0 + (column + (j + 0.5) / fine) / size * (u1 - u0)
            hits += x0 <= x < x1 and y0 <= y < y1
    return hits / fine**2


class TestBoxMasks:
    def test_by_hand(self) -> None:
        """Union 27 x 27: the subject covers 13.5 columns, the object all but nine rows and columns."""
        boxes = torch.tensor([[[10.0, 20.0, 23.5, 47.0], [19.0, 29.0, 37.0, 47.0]]])
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), 27)
        subject, thing = torch.zeros(27, 27), torch.zeros(27, 27)
        subject[:, :13], subject[:, 13] = 1, 0.5
        thing[9:, 9:] = 1
        close(masks[0], torch.stack([subject, thing]) - 0.5)

    @settings(max_examples=8)
    @given(SEEDS)
    def test_by_counting_points(self, seed: int) -> None:
        boxes = random_batch(1, 1, 1, seed=seed, gaps=0.0).boxes[0, 0]
        size = 4
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), size)[0] + 0.5
        both = boxes[0].tolist()
        union = [min(b[i] for b in both) for i in (0, 1)] + [max(b[i] for b in both) for i in (2, 3)]
        for channel, box in enumerate(both):
            for row in range(size):
                for column in range(size):
                    assert masks[channel, row, column] == pytest.approx(
                        covered(box, union, size, row, column), abs=0.06
                    )

    @FEW
    @given(SEEDS)
    def test_area_is_the_share_of_the_union(self, seed: int) -> None:
        boxes = random_batch(1, 3, 2, seed=seed, gaps=0.0).boxes[0].flatten(0, 1)
        masks = box_masks(boxes, torch.ones(6, 2, dtype=torch.bool), 9) + 0.5
        union = (boxes[..., 2:].amax(1) - boxes[..., :2].amin(1)).prod(-1)
        area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
        close(masks.mean((-1, -2)), area / union[:, None])

    def test_exchanged_boxes_exchange_channels(self) -> None:
        boxes = random_batch(1, 3, 2, gaps=0.0).boxes[0].flatten(0, 1)
        seen = torch.ones(6, 2, dtype=torch.bool)
        assert torch.equal(box_masks(boxes.flip(1), seen, 7), box_masks(boxes, seen, 7).flip(1))

    def test_neither_place_nor_scale_matters(self) -> None:
        boxes = random_batch(1, 3, 2, gaps=0.0).boxes[0].flatten(0, 1)
        seen = torch.ones(6, 2, dtype=torch.bool)
        close(box_masks(boxes * 480 + 17, seen, 7), box_masks(boxes, seen, 7), 1e-4)

    def test_a_hidden_box_covers_nothing_and_does_not_widen_the_union(self) -> None:
        boxes = torch.tensor([[[0.2, 0.2, 0.4, 0.4], [0.0, 0.0, 0.9, 0.9]]])
        masks = box_masks(boxes, torch.tensor([[True, False]]), 5)[0]
        assert (masks[0] == 0.5).all()
        assert (masks[1] == -0.5).all()
        assert (box_masks(boxes, torch.tensor([[False, False]]), 5) == -0.5).all()

    def test_boxes_without_area_are_finite(self) -> None:
        boxes = torch.tensor([[[0.3, 0.3, 0.3, 0.3], [0.3, 0.3, 0.3, 0.3]]])
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), 5)
        assert (masks == -0.5).all()


class Pair:
    """One slot of one clip as plain numbers; None where a box is hidden."""

    def __init__(self, boxes: np.ndarray, seen: np.ndarray) -> None:
        self.boxes = [
            [tuple(box) if there else None for box, there in zip(*row, strict=True)]
            for row in zip(boxes, seen, strict=True)
        ]

    def places(self, t: int) -> list[float | None]:
        """Return centre and logarithmic size of both boxes: eight numbers."""
        out: list[float | None] = []
        for box in self.boxes[t]:
            if box is None:
                out += [None] * 4
            else:
                out += [box[0] + box[2], box[1] + box[3]]
                out += [(math.log(box[i + 2] - box[i]) + 2.5) / 2 for i in (0, 1)]
        return out

    def relation(self, t: int) -> list[float | None]:
        """Return offset, distance, ratio, gap and overlaps: seven numbers."""
        a, b = self.boxes[t]
        if a is None or b is None:
            return [None] * 7
        area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
        mean = (math.sqrt(area[0]) + math.sqrt(area[1])) / 2
        offset = [(b[i] + b[i + 2]) / 2 - (a[i] + a[i + 2]) / 2 for i in (0, 1)]
        gap = math.hypot(*(max(0.0, max(a[i], b[i]) - min(a[i + 2], b[i + 2])) for i in (0, 1)))
        common = math.prod(max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
        return [
            *(max(-8.0, min(8.0, x / mean)) / 4 for x in offset),
            math.hypot(*offset),
            math.log(math.sqrt(area[0] / area[1])),
            min(8.0, gap / mean) / 4,
            common / area[0],
            common / area[1],
        ]


def difference(a: float | None, b: float | None, scale: float = 1.0) -> float:
    return 0.0 if a is None or b is None else scale * (a - b)


def geometry_by_definition(pair: Pair, t: int) -> list[float]:
    frames = range(len(pair.boxes))
    still = [x or 0.0 for part in (pair.places, pair.relation) for x in part(t)]
    still += [float(box is not None) for box in pair.boxes[t]]
    moved, went = [], []
    for part, step, way in ((pair.places, 4.0, 3.0), (pair.relation, 1.0, 1.0)):
        now, every = part(t), [part(f) for f in frames]
        before, after = (every[f] if f in frames else [None] * 8 for f in (t - 1, t + 1))
        moved += [difference(x, y, step) for x, y in zip(now, before, strict=False)]
        moved += [difference(y, x, step) for x, y in zip(now, after, strict=False)]
        known = [[row[i] for row in every if row[i] is not None] or [None] for i in range(len(now))]
        went += [difference(x, k[0], way) for x, k in zip(now, known, strict=True)]
        went += [difference(k[-1], x, way) for x, k in zip(now, known, strict=True)]
    return [*still, *moved, *went]


class TestBoxGeometry:
    @FEW
    @given(SEEDS)
    def test_by_definition(self, seed: int) -> None:
        batch = random_batch(2, 4, 3, seed=seed, gaps=0.4)
        found, short = (box_geometry(batch.boxes, batch.seen, long) for long in (True, False))
        assert found.shape[-1] == LAYOUT_WIDTH + DELTA_WIDTH
        assert torch.equal(short, found[..., :LAYOUT_WIDTH])
        for b in range(2):
            for k in range(3):
                pair = Pair(batch.boxes[b, :, k].numpy().astype(float), batch.seen[b, :, k].numpy())
                for t in range(4):
                    assert found[b, t, k].tolist() == pytest.approx(geometry_by_definition(pair, t), abs=2e-4)

    def test_hidden_boxes_are_not_read(self) -> None:
        batch = random_batch(gaps=0.5)
        garbage = torch.where(batch.seen[..., None], batch.boxes, torch.rand_like(batch.boxes))
        assert torch.equal(box_geometry(garbage, batch.seen, True), box_geometry(batch.boxes, batch.seen, True))

    def test_nothing_moves_in_one_frame(self) -> None:
        batch = random_batch(2, 1, 3)
        assert not box_geometry(batch.boxes, batch.seen, True)[..., 17:].any()

    def test_the_whole_pair_elsewhere_in_the_image_keeps_its_relation(self) -> None:
        batch = random_batch(gaps=0.0)
        moved = box_geometry(batch.boxes * 0.5 + 0.2, batch.seen)[..., 8:15]
        here = box_geometry(batch.boxes, batch.seen)[..., 8:15]
        scaled = [i for i in range(7) if i != 2]  # all but the distance are free of scale
        close(moved[..., scaled], here[..., scaled], 1e-4)
        close(moved[..., 2], here[..., 2] / 2)

    def test_boxes_without_area_are_finite(self) -> None:
        boxes = torch.full((1, 3, 1, 2, 4), 0.3)
        for seen in (torch.ones(1, 3, 1, 2, dtype=torch.bool), torch.zeros(1, 3, 1, 2, dtype=torch.bool)):
            assert torch.isfinite(box_geometry(boxes, seen, True)).all()

    def test_steps_and_endpoint_delta_by_hand(self) -> None:
        x = torch.tensor([1.0, 4.0, 9.0, 2.0]).view(1, 4, 1, 1)
        known = torch.tensor([0.0, 1.0, 1.0, 1.0]).view(1, 4, 1, 1)
        assert steps(x, known).flatten(2).tolist() == [[[0, 0], [0, 5], [5, -7], [-7, 0]]]
        assert endpoint_delta(x, known).flatten(2).tolist() == [[[0, 0], [0, -2], [5, -7], [-2, 0]]]
        assert not endpoint_delta(x, known * 0).any()
