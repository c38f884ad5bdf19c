"""Videos to features: each once, broken ones named, the next decoded while one is encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from made_videos import numbers, write_clip
from whyact.features.extract import extract
from whyact.features.store import FeatureStore, feature_key
from whyact.video.decode import DecodedVideo, decode


def test_each_video_is_encoded_once_and_a_changed_one_again(tmp_path: Path) -> None:
    paths = [write_clip(tmp_path / f"{i}.mp4", 10 + 10 * i) for i in range(3)]
    (tmp_path / "bad.mp4").write_text("no video")
    videos = [(path.name, path) for path in [*paths, tmp_path / "bad.mp4", tmp_path / "absent.mp4"]]
    read: list[str] = []
    encoded: list[int] = []

    def reading(path: Path) -> DecodedVideo:
        read.append(path.name)
        return decode(path, 4)

    def encode(frames: np.ndarray) -> np.ndarray:
        encoded.append(len(frames))
        return numbers(frames)[:, None].astype(np.float32)

    def run() -> dict[str, str]:
        store = FeatureStore(tmp_path / "store", "numbers")
        return extract(store, videos, lambda sha: feature_key(sha, "uniform 4", "numbers", ""), reading, encode)

    broken = run()
    assert sorted(broken) == ["absent.mp4", "bad.mp4"]
    assert "no such file" in broken["absent.mp4"]
    assert len(encoded) == 3
    store = FeatureStore(tmp_path / "store", "numbers")
    assert store.get("1.mp4").features[:, 0].tolist() == [2, 7, 12, 17]
    read.clear()
    run()
    assert (sorted(read), len(encoded)) == (["absent.mp4", "bad.mp4"], 3)
    write_clip(paths[1], 40)
    run()
    assert len(encoded) == 4
    assert FeatureStore(tmp_path / "store", "numbers").get("1.mp4").features[:, 0].tolist() == [5, 15, 25, 35]
