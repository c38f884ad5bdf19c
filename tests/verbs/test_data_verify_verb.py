"""``whyact data verify``: a flipped bit is found in whatever whyact wrote, and the file is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from whyact.cli import main
from whyact.features.store import FeatureStore
from whyact.training.checkpoint import BestWeights, save_checkpoint


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 16
    path.write_bytes(data)


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = main(["data", "verify", str(folder), "--json"])
    return code, json.loads(capsys.readouterr().out)["wrong"]


def test_a_flipped_bit_in_a_store_names_the_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FeatureStore(tmp_path, "tiny", 2) as store:
        for i in range(6):
            store.add(f"v{i}", "k", np.full((3, 4), i), np.arange(3.0), 1.0)
    assert verify(tmp_path, capsys) == (0, [])
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) == 3
    for shard in shards:
        flip(shard, -5)
        code, (wrong,) = verify(tmp_path, capsys)
        assert code == 1
        assert shard.name in wrong
        flip(shard, -5)
    assert main(["data", "verify", str(tmp_path)]) == 0
    assert "every byte" in capsys.readouterr().out


def test_a_flipped_bit_in_a_run_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = {"method": "fake", "data": "toy", "split_sha256": "", "licence": "", "seed": 0}
    run = save_checkpoint(tmp_path / "run", {"w": torch.ones(3)}, {}, card)
    assert verify(run, capsys) == (0, [])
    flip(run / "model.safetensors", -1)
    code, (wrong,) = verify(run, capsys)
    assert code == 1
    assert "model.safetensors" in wrong


def test_a_flipped_bit_in_the_best_weights_names_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = {"method": "fake", "data": "toy", "split_sha256": "", "licence": "", "seed": 0}
    best = BestWeights({"w": torch.zeros(3)}, card)
    run = save_checkpoint(tmp_path / "run", {"w": torch.ones(3)}, {}, card, best=best)
    assert verify(run, capsys) == (0, [])
    flip(run / "best" / "model.safetensors", -1)
    code, (wrong,) = verify(run, capsys)
    assert code == 1
    assert str(Path("best", "model.safetensors")) in wrong


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", str(tmp_path)]) == 2
    assert "feature store" in capsys.readouterr().err
    assert main(["data", "verify", str(tmp_path / "none")]) == 2
    assert "a folder that exists" in capsys.readouterr().err
