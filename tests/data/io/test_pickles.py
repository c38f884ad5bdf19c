"""The restricted unpickler reads plain data and nothing that could run."""

import os
import pickle

import numpy as np
import pytest
import torch

from whyact.data.io.pickles import load_array, load_pickle, load_torch
from whyact.errors import UserError


class Attack:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize("protocol", range(5))
def test_plain_data_survives_every_protocol(tmp_path, protocol):
    data = {
        "a": [1, 2.5, None, True],
        "b": ("x", b"y\xff"),
        "c": np.arange(6.0).reshape(2, 3),
        "d": np.float64(3),
        "e": {1},
        "f": b"",
    }
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    read = load_pickle(path)
    np.testing.assert_array_equal(read.pop("c"), data.pop("c"))
    assert read == data


@pytest.mark.parametrize(
    "payload",
    [Attack(), os.getcwd, getattr, np.load, {"deep": [Attack()]}],
    ids=["attack", "getcwd", "getattr", "load", "deep"],
)
def test_a_callable_is_refused_by_name(tmp_path, payload):
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(payload))
    with pytest.raises(UserError, match="plain data"):
        load_pickle(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="this system tells no memory use")
def test_a_pickle_cannot_ask_for_more_memory_than_its_size_warrants(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    path = tmp_path / "bomb.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")  # memo entry 2**31 - 1: a table of 32 GiB
    with pytest.raises(UserError, match="MemoryError"):
        load_pickle(path)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_an_object_array_with_an_attack_inside_is_refused(tmp_path):
    path = tmp_path / "bad.npy"
    np.save(path, np.array([1, Attack()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="system"):
        load_array(path)


def test_object_arrays_of_lists_are_read(tmp_path):
    path = tmp_path / "lists.npy"
    rows = np.empty(3, dtype=object)
    rows[:] = [[[1.0, 2.0]], [], [[3.0, 4.0], [5.0, 6.0]]]
    np.save(path, rows, allow_pickle=True)
    assert load_array(path).tolist() == rows.tolist()


def test_numeric_arrays_are_mapped_on_request(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.ones((4, 2), np.float32))
    assert isinstance(load_array(path, mmap=True), np.memmap)


@pytest.mark.parametrize("content", [b"", b"no array", np.lib.format.MAGIC_PREFIX], ids=["empty", "text", "cut"])
def test_broken_arrays_are_named(tmp_path, content):
    path = tmp_path / "broken.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.npy"):
        load_array(path)


def test_a_truncated_pickle_is_named(tmp_path):
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps(list(range(1000)))[:50])
    with pytest.raises(UserError, match=r"cut\.pkl"):
        load_pickle(path)


def test_missing_files_are_named(tmp_path):
    for reader in (load_pickle, load_array, load_torch):
        with pytest.raises(UserError, match="none"):
            reader(tmp_path / "none")


def test_torch_files_give_tensors_only(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "good.pth")
    torch.save({"w": Attack()}, tmp_path / "bad.pth")
    assert load_torch(tmp_path / "good.pth")["w"].tolist() == [1.0, 1.0]
    with pytest.raises(UserError, match="weights only"):
        load_torch(tmp_path / "bad.pth")
