"""The feature store: what goes in comes out, an interruption costs one shard, and tampering is found."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.errors import DiskFullError, UserError
from whyact.features.store import INDEX, STORE, FeatureStore, feature_key, verify_store


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
    assert any("other bytes" in wrong for wrong in FeatureStore(tmp_path, "tiny").verify())
    (tmp_path / STORE).write_text("{")
    with pytest.raises(UserError, match="label"):
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


def test_several_arrays_a_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = {}
    with FeatureStore(tmp_path, "roi", 2) as store:
        for i, slots in enumerate((2, 5, 1)):
            made[i] = {
                "subject": rng.standard_normal((3, slots, 6)).astype(np.float16),
                "union": rng.standard_normal((3, slots, 4, 2, 2)).astype(np.float16),
            }
            store.add_arrays(f"v{i}", "k", made[i], np.arange(3.0), 1.0)
        with pytest.raises(UserError, match="width 4x3x3"):
            store.add_arrays("bad", "k", {**made[0], "union": np.zeros((3, 2, 4, 3, 3))}, np.arange(3.0), 1.0)
        with pytest.raises(UserError, match="subject of width"):
            store.add_arrays("bad", "k", {"union": made[0]["union"]}, np.arange(3.0), 1.0)
    store = FeatureStore(tmp_path, "roi")
    assert store.verify() == []
    for i, arrays in made.items():
        found = store.get(f"v{i}").arrays
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def test_what_is_stored_is_not_made_again(tmp_path: Path) -> None:
    made = []

    def make() -> tuple[dict[str, np.ndarray], np.ndarray, float]:
        made.append(1)
        return {"a": np.ones((2, 3))}, np.arange(2.0), 1.0

    key = feature_key("sha", "uniform 2", "tiny", "weights")
    assert key != feature_key("sha", "uniform 2", "tiny", "other weights")
    assert key != feature_key("sha", "uniform 2", "tiny", "weights", boxes="others")
    for _ in range(3):
        with FeatureStore(tmp_path, "tiny") as store:
            np.testing.assert_array_equal(store.get_or_add("v", key, make).arrays["a"], np.ones((2, 3)))
    assert len(made) == 1


def test_large_videos_fill_a_shard_early(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, "tiny", 64, shard_bytes=100) as store:
        store.add("a", "k", *features(0, 7), rate=1.0)  # 112 bytes
        assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("harm", ["index gone", "index empty", "tail cut", "middle changed", "all gone"])
def test_the_index_is_made_again_from_the_shards(tmp_path: Path, harm: str) -> None:
    fill(tmp_path, 5)
    index = tmp_path / INDEX
    data = bytearray(index.read_bytes())
    assert len(data) == 5 * 48
    if harm in ("index gone", "all gone"):
        index.unlink()
    elif harm == "index empty":
        index.write_bytes(b"")
    elif harm == "tail cut":
        index.write_bytes(data[:-7])
    else:
        data[48 + 30] ^= 1
        index.write_bytes(data)
    if harm in ("tail cut", "middle changed"):
        (wrong,) = FeatureStore(tmp_path, "tiny").verify()
        assert f"{INDEX}: found 1 damaged" in wrong
    if harm == "all gone":
        (tmp_path / STORE).unlink()
        with pytest.raises(UserError, match="another folder"):
            FeatureStore(tmp_path, "large")
    fill(tmp_path, 6)
    assert verify_store(tmp_path) == []
    assert len(index.read_bytes()) == 6 * 48
    store = FeatureStore(tmp_path, "tiny")
    assert len(store) == 6
    np.testing.assert_array_equal(store.get("video 3").features, features(3, 4)[0])
    with pytest.raises(UserError, match="another folder"):
        FeatureStore(tmp_path, "large")


def test_what_a_kill_left_half_written_goes(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    shard = next(tmp_path.glob("*.safetensors")).name
    old, young, other = (tmp_path / name for name in (f".{shard}.00000000.tmp", f".{shard}.1a111111.tmp", "mine.tmp"))
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    FeatureStore(tmp_path, "tiny")
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


def test_a_video_stored_again_is_the_last_one(tmp_path: Path) -> None:
    for key in ("k", "k2", "k3"):
        with FeatureStore(tmp_path, "tiny") as store:
            for i in range(3):
                store.add(f"video {i}", key, np.full((2, 8), len(key) + int(key[1:] or 0)), np.arange(2.0), 1.0)
            assert len(store) == 3
    store = FeatureStore(tmp_path, "tiny")
    assert len(store) == 3
    assert [store.has("video 1", key) for key in ("k", "k2", "k3")] == [False, False, True]
    assert (store.get("video 1").features == 5).all()


def test_a_reader_sees_a_whole_store_while_another_process_writes(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "store"), str(tmp_path / "log")])
    lengths = []
    while process.poll() is None:
        reader = FeatureStore(tmp_path / "store", "tiny")
        lengths.append(len(reader))
        for i in range(lengths[-1]):
            assert (reader.get(f"v{i}").features == i).all()
        time.sleep(0.02)
    assert process.returncode == 0
    assert lengths == sorted(lengths)
    assert len(FeatureStore(tmp_path / "store", "tiny")) == 90


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 2)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("whyact.files.write_synced", full)
        store = FeatureStore(tmp_path, "tiny")
        store.add("video 9", "k", *features(9), rate=2.0)
        with pytest.raises(DiskFullError, match=r"No space left.*make room"):
            store.flush()
    assert verify_store(tmp_path) == []
    assert len(FeatureStore(tmp_path, "tiny")) == 2
    assert not list(tmp_path.glob(".*"))
    store.flush()  # nothing was dropped either
    assert FeatureStore(tmp_path, "tiny").has("video 9", "k")


@pytest.fixture(scope="module")
def sound_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    fill(folder, 5)
    return folder


@settings(max_examples=60)
@given(st.data())
def test_a_flipped_bit_is_found_wherever_it_is(sound_store: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(sound_store.iterdir())))
    before = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(before)
    changed[position] ^= 1 << bit
    try:
        path.write_bytes(changed)
        try:
            wrong = FeatureStore(sound_store, "tiny").verify()
        except UserError as error:
            wrong = [str(error)]
        assert wrong
    finally:
        path.write_bytes(before)
    assert FeatureStore(sound_store, "tiny").verify() == []


WRITER = """
import sys, time
import numpy as np
from whyact.features.store import FeatureStore
with FeatureStore(sys.argv[1], "tiny", 3) as store, open(sys.argv[2], "a", buffering=1) as log:
    for i in range(90):
        if not store.has(f"v{i}", "k"):
            log.write(f"{i}\\n")
            time.sleep(0.002)
            store.add(f"v{i}", "k", np.full((4, 8), i), np.arange(4.0), 1.0)
"""


def test_a_killed_extraction_is_resumed_and_no_finished_shard_redone(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    log.touch()
    rng, kills = random.Random(0), 0
    done: set[str] = set()
    for attempt in range(6):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(log)])
        began = len(log.read_text().split())
        if attempt < 5:
            while process.poll() is None and len(log.read_text().split()) == began:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        kills += process.wait(timeout=60) != 0
        assert not done & {f"v{line}" for line in log.read_text().split()[began:]}
        left = FeatureStore(store, "tiny")
        assert left.verify() == []
        assert all(left.has(video, "k") for video in done)
        done = {f"v{i}" for i in range(90) if left.has(f"v{i}", "k")}
    assert kills >= 3
    assert len(done) == 90
    whole = FeatureStore(store, "tiny")
    assert len(whole) == 90
    for i in range(90):
        assert (whole.get(f"v{i}").features == i).all()
