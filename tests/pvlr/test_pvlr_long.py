"""Hours-long input: rows are read as they are needed, and memory does not follow the length."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyact.data.io.row_file import RowFile
from whyact.data.untrimmed.feature_files import SideBySide, read_features
from whyact.pvlr.config import DEFAULT, small
from whyact.pvlr.evidence import Removed
from whyact.pvlr.inference import curves, localise
from whyact.pvlr.model import PVLR, FixedText

WIDTH = 256


@pytest.fixture(scope="module")
def model() -> PVLR:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cfg = replace(small(DEFAULT).model, rgb_width=WIDTH, flow_width=0, hidden=4, fused=8, width=4)
    return PVLR(cfg, FixedText(torch.randn(3, 4))).eval()


def write(path: Path, rows: int) -> Path:
    file = RowFile(path)
    rng = np.random.default_rng(0)
    for start in range(0, rows, 2000):
        file.add(rng.normal(size=(min(2000, rows - start), WIDTH)))
    file.close()
    return path


def test_nine_hours_take_the_memory_of_one_piece_and_of_the_curves(model: PVLR, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        features = read_features(write(tmp_path / f"{rows}.npy", rows))
        tracemalloc.start()
        try:
            found = curves(model, Removed(features, 5, 50), model.text(), 512)
            assert len(found.cas) == rows - 45
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(600)
    short, long = peak(2000), peak(50_000)  # 21 minutes, and 8.9 hours
    of_the_curves = 48_000 * 7 * 8 * 2  # activation and deviation of 3 columns, attention; doubles, and once joined
    assert long - short < 1.2 * of_the_curves < 48_000 * WIDTH * 2 / 3


def test_what_one_piece_says_the_whole_says(model: PVLR, tmp_path: Path) -> None:
    features = read_features(write(tmp_path / "x.npy", 1500))
    mapped, whole = (curves(model, rows, model.text(), chunk) for rows, chunk in ((features, 100), (features[:], 1500)))
    np.testing.assert_allclose(mapped.cas, whole.cas, atol=1e-3)
    assert len(localise(mapped, small(DEFAULT).inference)) > 0


@given(st.integers(1, 12), st.data())
def test_removed_rows_read_as_if_they_had_been_cut_out(length: int, data: st.DataObject) -> None:
    rows = np.arange(2 * length).reshape(length, 2).astype(np.float32)
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start, length))
    expected = np.concatenate([rows[:start], rows[end:]])
    removed = Removed(rows, start, end)
    assert (len(removed), removed.shape) == (len(expected), expected.shape)
    for low in range(len(expected) + 1):
        for high in range(low, len(expected) + 2):
            assert np.array_equal(removed[low:high], expected[low:high])


def test_two_streams_read_as_one() -> None:
    first, second = np.arange(6.0).reshape(3, 2), np.arange(3.0).reshape(3, 1)
    joined = SideBySide(first, second)
    expected = np.concatenate([first, second], axis=1)
    assert (joined.shape, joined.ndim, len(joined)) == ((3, 3), 2, 3)
    for rows in (slice(1, 3), 2, np.array([2, 0, 0])):
        assert np.array_equal(joined[rows], expected[rows])
    assert np.array_equal(np.asarray(joined), expected)
