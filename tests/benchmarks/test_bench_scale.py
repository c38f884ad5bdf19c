"""The benches of scale measure what they say: whole stores, equal outputs, and numbers that add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scale as bench_scale
from benchmarks.run import BENCHES
from benchmarks.video import write_video
from whyact.features.store import FeatureStore


def test_the_benches_are_in_the_table() -> None:
    assert {"scale-engine", "scale-store", "scale-cost", "scale-predict"} <= BENCHES.keys()


def test_a_small_store_is_filled_and_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_scale, "CLIPS", 600 * 50)
    memory, mean, p99 = bench_scale.store(1)
    assert [row.metric for row in (memory, mean, p99)] == ["resident_peak", "access_mean", "access_p99"]
    assert 0 < mean.mean <= p99.mean < 1000
    assert 10 < memory.mean < 300
    bench_scale._fill(tmp_path, 600)
    store = FeatureStore(tmp_path, "bench")
    assert len(store) == 600
    assert store.verify() == []


def test_the_reader_fails_on_a_wrong_answer(tmp_path: Path) -> None:
    bench_scale._fill(tmp_path, 3)
    read = [sys.executable, "-c", bench_scale.READER, str(tmp_path)]
    done = subprocess.run([*read, "3", "5"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout).keys() == {"open", "mb", "mean", "p99"}
    assert subprocess.run([*read, "4", "50"], capture_output=True).returncode != 0


def test_the_plan_follows_from_the_measured_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        stdout = json.dumps({"seconds": [1.0, 3.0], "bytes": [100.0, 156.0], "mb": 512.0, "target": True})

    monkeypatch.setattr("benchmarks.scale.subprocess.run", lambda *a, **k: Done())
    monkeypatch.setattr("benchmarks.video.write_video", lambda path, *a, **k: path)
    found = {(row.row, row.metric): row.mean for row in bench_scale.cost(1)}
    assert found["a million clips, 1 machine", "wall_clock"] == pytest.approx(2e6 / 16 / 86400)
    assert found["a million clips, 100 machines", "wall_clock"] == pytest.approx(2e6 / 1600 / 86400)
    assert found["a million clips", "storage"] == pytest.approx(128 * 1e6 / 2**20)


def test_what_extraction_of_a_clip_costs_is_measured_on_a_real_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "one.mp4", 20, 12)
    bench_scale.extract(str(tmp_path), str(video))
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [len(found[key]) for key in ("seconds", "bytes")] == [1, 1]
    assert min(*found["seconds"], *found["bytes"], found["mb"]) > 0
