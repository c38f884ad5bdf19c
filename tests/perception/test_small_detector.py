"""The small detector: targets and boxes by their definition, learning on toy frames, checkpoints, feature maps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from whyact.errors import UserError
from whyact.homeworld.detector_samples import Sample
from whyact.homeworld.train_detector import augmented, measure, train_detector
from whyact.perception.centre import STRIDE, CentreNet, Targets, box_loss, boxes_from, centre_loss, peaks, targets_of
from whyact.perception.small import SmallDetector, load_detector, prepare
from whyact.training.checkpoint import save_checkpoint
from whyact.training.numerics import seed_everything

BOXES = torch.tensor([[10.0, 10, 30, 26], [12, 10, 28, 26], [40, 4, 60, 44]])
SHAPE = (2, 3, 6, 8)


def targets(clear: tuple[bool, ...] = (True, True, True)) -> Targets:
    frame, classes = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    return targets_of(BOXES, classes, torch.tensor(clear), frame, SHAPE)


def test_a_centre_is_one_in_its_own_cell_and_falls_off_around_it() -> None:
    made = targets()
    for i, (frame, number) in enumerate([(0, 0), (0, 1), (1, 2)]):
        heat = made.heat[frame, number]
        middle = (BOXES[i, :2] + BOXES[i, 2:]) / 2
        size = BOXES[i, 2:] - BOXES[i, :2]
        for row, column in itertools.product(range(6), range(8)):
            away = torch.tensor([column + 0.5, row + 0.5]) * STRIDE - middle
            value = math.exp(-0.5 * float((away / (0.1 * size + 0.4 * STRIDE)).square().sum()))
            own = (column, row) == tuple((middle // STRIDE).int().tolist())
            assert float(heat[row, column]) == pytest.approx(1.0 if own else min(value, 0.98), abs=1e-5)
    assert (made.heat.flatten(2).amax(2) == 1).sum() == 3


def test_a_hand_and_what_it_holds_share_a_cell_and_both_have_their_box() -> None:
    made = targets()
    here = [tuple(place) for place in made.where[:, [0, 2, 3]].tolist()]
    first, second = (
        {place for place, number in zip(here, made.where[:, 1].tolist(), strict=True) if number == n} for n in (0, 1)
    )
    assert first & second
    for place, box in zip(made.where.tolist(), made.boxes, strict=True):
        assert_array_equal(box, BOXES[place[1]])


def test_a_covered_thing_is_not_asked_for_and_not_held_against_the_detector() -> None:
    made = targets((True, False, True))
    assert not made.heat[0, 1].any()
    assert 1 not in made.where[:, 1]
    assert (made.care[0, 1] == 0).any()
    assert (made.care[0, 0] == 1).all()
    logits = torch.zeros(SHAPE)
    sure = logits.clone()
    sure[0, 1][made.care[0, 1] == 0] = 9.0  # finds it all the same
    assert float(centre_loss(sure, made)) == pytest.approx(float(centre_loss(logits, made)))
    asked = replace(made, care=torch.ones(SHAPE))
    assert float(centre_loss(sure, asked)) > float(centre_loss(logits, asked)) + 1


def test_losses_vanish_at_the_truth_and_grow_away_from_it() -> None:
    made = targets()
    perfect = torch.where(made.heat == 1, 20.0, -20.0)
    assert float(centre_loss(perfect, made)) < 1e-6
    assert float(centre_loss(-perfect, made)) > 1
    reach = torch.full((2, 3, 4, 6, 8), 8.0)
    for (f, c, row, column), box in zip(made.where.tolist(), made.boxes, strict=True):
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        reach[f, c, :, row, column] = torch.stack([x - box[0], y - box[1], box[2] - x, box[3] - y])
    assert float(box_loss(reach, made)) < 1e-5
    assert float(box_loss(reach + 3, made)) > 0.1
    (boxes, scores, classes), (others, _, _) = peaks(perfect, reach, 0.5)
    assert_allclose(boxes[classes.argsort()], BOXES[:2], atol=1e-4)
    assert_allclose(others, BOXES[2:], atol=1e-4)
    assert (scores > 0.99).all()


def test_reaches_become_boxes() -> None:
    reach = torch.zeros(1, 4, 2, 3)
    reach[0, :, 1, 2] = torch.tensor([1.0, 2, 3, 4])
    assert_array_equal(boxes_from(reach)[0, 1, 2], [20 - 1, 12 - 2, 20 + 3, 12 + 4])


def toy(n: int, seed: int) -> list[Sample]:
    """Return frames (96,128) with one red and one green square, 14 to 30 pixels, on a grey ground."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        frame = np.full((96, 128, 3), 90, np.uint8) + rng.integers(0, 20, (96, 128, 3)).astype(np.uint8)
        boxes = []
        for channel in (0, 1):
            side = int(rng.integers(14, 30))
            x, y = int(rng.integers(0, 60 - side)) + 64 * channel, int(rng.integers(0, 96 - side))
            frame[y : y + side, x : x + side] = (230 * (channel == 0), 230 * (channel == 1), 30)
            boxes.append([x, y, x + side, y + side])
        out.append(Sample(frame, np.array(boxes, np.float32), np.array([0, 1]), np.array([True, True])))
    return out


@pytest.fixture(scope="module")
def trained() -> SmallDetector:
    return train_detector(
        toy(64, 0), ("red", "green"), seed=0, epochs=10, batch=16, lr=6e-3, long_side=128, progress=False
    )


def test_it_learns_to_find_squares_by_colour(trained: SmallDetector) -> None:
    assert measure(trained, toy(12, 1)).mean > 0.8


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    a, b, c = (
        train_detector(toy(4, 0), ("r", "g"), seed=s, epochs=1, batch=4, long_side=64, progress=False)
        for s in (0, 0, 1)
    )
    assert a.name == b.name != c.name


def test_a_checkpoint_finds_the_same_boxes_in_half_the_bytes(trained: SmallDetector, tmp_path: Path) -> None:
    trained.save(tmp_path / "run", data="toy", seed=0, metrics={"mAP50": 0.9})
    again = load_detector(tmp_path / "run")
    assert (again.name, again.classes) == (trained.name, ("red", "green"))
    frames = np.stack([sample.frame for sample in toy(3, 2)])
    for one, two in zip(trained(frames), again(frames), strict=True):
        assert_array_equal(one.boxes, two.boxes)
        assert_array_equal(one.scores, two.scores)
    weights = sum(p.numel() for p in trained.net.parameters())
    assert weights <= 1_200_000
    assert (tmp_path / "run" / "model.safetensors").stat().st_size < 2.1 * weights + 50_000


def test_a_changed_byte_or_another_method_is_refused(trained: SmallDetector, tmp_path: Path) -> None:
    trained.save(tmp_path / "run", data="toy", seed=0, metrics={})
    data = bytearray((tmp_path / "run" / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "run" / "model.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="SHA-256"):
        load_detector(tmp_path / "run")
    card = {"method": "laiar", "data": "", "split_sha256": "", "licence": "", "seed": 0}
    save_checkpoint(tmp_path / "other", {"x": torch.zeros(1)}, {"classes": ["a"]}, card)
    with pytest.raises(UserError, match="checkpoint of laiar"):
        load_detector(tmp_path / "other")
    with pytest.raises(UserError, match="none"):
        train_detector([], ("a",), seed=0)


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (97, 61), (16, 16), (1, 3)])
def test_any_size_of_frame_has_a_map_and_boxes_in_its_own_pixels(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    detector = SmallDetector(CentreNet(2), ("a", "b"), score=0.01)
    frames = np.random.default_rng(0).integers(0, 255, (3, *size, 3), dtype=np.uint8)
    maps, scale = detector.feature_map(frames)
    assert maps.shape[:2] == (3, 64)
    assert maps.shape[2] >= size[0] * scale - 1
    assert maps.shape[3] >= size[1] * scale - 1
    for found in detector(frames):
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [size[1], size[0]] * 2).all()


def test_batches_do_not_mix_and_no_frames_give_no_boxes() -> None:
    torch.manual_seed(0)
    net = CentreNet(2)
    frames = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    one, all_ = (SmallDetector(net, ("a", "b"), score=0.01, batch=b)(frames) for b in (1, 8))
    for a, b in zip(one, all_, strict=True):
        assert_allclose(a.boxes, b.boxes, atol=1e-2)
    detector = SmallDetector(net, ("a", "b"))
    assert detector(frames[:0]) == []
    assert detector.feature_map(frames[:0])[0].shape[:2] == (0, 64)


def test_boxes_follow_the_picture_when_it_is_changed() -> None:
    seed_everything(3)
    samples = toy(6, 5)
    images, boxes, classes, clear, frame = augmented(samples)
    assert clear.any()
    for box, number, ok, i in zip(boxes, classes, clear, frame, strict=True):
        if not ok:
            continue
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        picture = images[i]
        colour = picture[number] - picture[1 - number]  # high on the square of this class
        inside = colour[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
        assert float((inside > 0.15).float().mean()) > 0.9
    plain, scale = prepare(np.stack([s.frame for s in samples]))
    assert images.shape == plain.shape
    assert scale == 320 / 128
