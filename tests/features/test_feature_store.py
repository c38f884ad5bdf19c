"""The feature store: what goes in comes out, an interruption costs one shard, and tampering is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whyact.errors import UserError
from whyact.features.store import MANIFEST, FeatureStore


def features(seed: int, frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(seed).standard_normal((frames, 8)).astype(np.float16), np.arange(frames) * 0.5


def fill(folder: Path, count: int, shard_videos: int = 2) -> None:
    with FeatureStore(folder, "tiny", shard_videos) as store:
        for i in range(count):
            if not store.has(f"video {i}", "k"):
                store.add(f"video {i}", "k", *features(i, i + 1), rate=2.0, degraded="cut" if i == 1 else "")


def test_round_trip_across_shards(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    store = FeatureStore(tmp_path, "tiny")
    assert len(store) == 5
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    for i in (4, 0, 3):
        stored = store.get(f"video {i}")
        np.testing.assert_array_equal(stored.features, features(i, i + 1)[0])
        np.testing.assert_array_equal(stored.times, features(i, i + 1)[1])
    assert store.get("video 1").degraded == "cut"


def test_an_interrupted_extraction_goes_on(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "tiny", 2)
    for i in range(3):
        store.add(f"video {i}", "k", *features(i), rate=2.0)
    del store  # killed: two videos are on disk, the third was pending
    again = FeatureStore(tmp_path, "tiny", 2)
    assert [again.has(f"video {i}", "k") for i in range(3)] == [True, True, False]
    fill(tmp_path, 3)
    assert len(FeatureStore(tmp_path, "tiny")) == 3


def test_a_changed_video_is_not_the_stored_one(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    assert not FeatureStore(tmp_path, "tiny").has("video 0", "another size")


def test_a_store_of_another_encoder_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with pytest.raises(UserError, match="another folder"):
        FeatureStore(tmp_path, "large")


def test_tampering_is_found(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match="other bytes"):
        FeatureStore(tmp_path, "tiny").get("video 0")
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="manifest"):
        FeatureStore(tmp_path, "tiny")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.full((3, 8), np.nan), "finite"),
        (np.full((3, 8), 1e6), "float16"),
        (np.zeros((3, 7)), "width 7"),
        (np.zeros((2, 8)), "3 times"),
    ],
)
def test_features_that_cannot_be_kept_are_refused(tmp_path: Path, bad: np.ndarray, words: str) -> None:
    with FeatureStore(tmp_path, "tiny") as store:
        store.add("good", "k", *features(0), rate=1.0)
        with pytest.raises(UserError, match=words):
            store.add("bad", "k", bad, np.arange(3.0), rate=1.0)
    assert len(FeatureStore(tmp_path, "tiny")) == 1
