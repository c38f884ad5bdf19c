"""The references that decoding is measured against show the same frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import video as bench_video
from whyact.video.decode import decode


@pytest.mark.parametrize("gop", [5, 100])
def test_scan_seek_and_decode_agree(tmp_path: Path, gop: int) -> None:
    path = bench_video.write_video(tmp_path / "a.mp4", 60, gop, (64, 48))
    moments = (np.arange(16) + 0.5) * 60 / bench_video.RATE / 16
    scanned = bench_video.scan(path, moments)
    np.testing.assert_array_equal(scanned, bench_video.seek(path, moments))
    np.testing.assert_array_equal(scanned, decode(path, 16).frames)


def test_each_file_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_video, "FILES", {"tiny": (20, 5)})
    (row,) = bench_video.decoding(2)
    assert (row.table, row.metric, row.n) == ("video-decoding", "speed_ratio", 2)
    assert "frames equal" in row.note
    assert 0.05 < row.mean < 20
