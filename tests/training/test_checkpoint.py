"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.training import checkpoint
from whyact.training.checkpoint import load_checkpoint, read_card, save_checkpoint

TENSORS = {
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7,
    "a.half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 4),
}
CONFIG = {"model": {"width": 64, "rate": 1e-5, "kinds": ["a", "é"]}, "note": None}
CARD = {
    "method": "laiar",
    "data": "homeworld",
    "split_sha256": "ab" * 32,
    "metrics": {"mAR": {"mean": 0.5, "sd": 0.125, "n": 3}, "keep_ratio": 0.25, "ece": None},
    "licence": "Apache-2.0",
    "seed": 3,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("runs") / "run", TENSORS, CONFIG, {**CARD, "extra": {"x": [1, "y"]}})


def copy_of(run: Path, to: Path) -> Path:
    to.mkdir()
    for entry in run.iterdir():
        (to / entry.name).write_bytes(entry.read_bytes())
    return to


def test_round_trip(saved: Path) -> None:
    got = load_checkpoint(saved)
    assert set(got.tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert got.tensors[name].dtype == tensor.dtype
        assert got.tensors[name].shape == tensor.shape
        assert torch.equal(got.tensors[name], tensor)
    assert got.config == CONFIG
    assert {key: got.card[key] for key in CARD} == CARD
    assert got.card["extra"] == {"x": [1, "y"]}
    assert set(got.card["versions"]) == {"python", "torch", "numpy", "whyact"}
    assert sorted(p.name for p in saved.iterdir()) == ["card.json", "config.yaml", "model.safetensors"]


def test_hash_is_that_of_the_tensor_bytes_in_name_order(saved: Path) -> None:
    raw = b"".join(
        TENSORS[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name in ("a.half", "b.weight", "count", "empty", "mask")
    )
    expected = hashlib.sha256(raw).hexdigest()
    assert load_checkpoint(saved).sha256 == expected
    assert json.loads((saved / "card.json").read_text())["tensors_sha256"] == expected


def test_tied_and_strided_tensors_are_saved(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    tensors = {"tied": weight, "again": weight, "transposed": weight.T, "learned": torch.nn.Parameter(weight)}
    got = load_checkpoint(save_checkpoint(tmp_path / "run", tensors, {}, CARD)).tensors
    assert all(torch.equal(got[name], tensor.detach()) for name, tensor in tensors.items())


@given(data=st.data(), name=st.sampled_from(["model.safetensors", "config.yaml"]), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_and_the_file_named(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, bit: int
) -> None:
    run = copy_of(saved, tmp_path_factory.mktemp("flip") / "run")
    content = bytearray((run / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    (run / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_checkpoint(run)


@given(data=st.data(), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_card_never_changes_what_it_says(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, bit: int
) -> None:
    run = copy_of(saved, tmp_path_factory.mktemp("flip") / "run")
    content = bytearray((run / "card.json").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    (run / "card.json").write_bytes(content)
    said = ""
    try:
        card = read_card(run)
    except UserError as error:
        said = str(error)
    # white space between tokens may change: the card is then still the same card
    assert "card.json" in said or card == read_card(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "card.json"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_named(saved: Path, tmp_path: Path, name: str, part: float) -> None:
    run = copy_of(saved, tmp_path / "run")
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: int(len(content) * part)])
    with pytest.raises(UserError, match=name):
        load_checkpoint(run)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "card.json"])
def test_a_missing_file_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    run = copy_of(saved, tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(UserError, match=name):
        load_checkpoint(run)


def test_a_missing_folder_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="whyact train"):
        load_checkpoint(tmp_path / "nowhere")


def test_weights_of_another_run_are_refused(saved: Path, tmp_path: Path) -> None:
    other = save_checkpoint(tmp_path / "other", {"b.weight": torch.zeros(2, 3)}, CONFIG, CARD)
    run = copy_of(saved, tmp_path / "run")
    (run / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_checkpoint(run)


def test_an_unknown_card_key_is_refused_on_both_sides(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="author"):
        save_checkpoint(tmp_path / "run", TENSORS, CONFIG, {**CARD, "author": "me"})
    assert list(tmp_path.iterdir()) == []
    run = copy_of(saved, tmp_path / "run")
    card = json.loads((run / "card.json").read_text())
    (run / "card.json").write_text(json.dumps({**card, "author": "me"}))
    with pytest.raises(UserError, match="author"):
        load_checkpoint(run)


def test_a_card_that_lacks_its_method_or_has_a_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method"):
        save_checkpoint(tmp_path / "run", TENSORS, CONFIG, {k: v for k, v in CARD.items() if k != "method"})
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path / "run", TENSORS, CONFIG, {**CARD, "metrics": {"mAR": float("nan")}})
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """Stands for the power going at this very call."""


@pytest.mark.parametrize("step", ["write_synced", "sync_folder", "rename", "rmtree"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_kill_at_any_step_leaves_the_old_run_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    run = save_checkpoint(tmp_path / "run", {"w": torch.zeros(3)}, {"v": 1}, CARD)
    (run / "notes.txt").write_text("mine")
    owner = {"rename": os, "rmtree": checkpoint.shutil}.get(step, checkpoint)
    real, calls = getattr(owner, step), []

    def die(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) >= call:  # dead processes clean nothing up: every later call fails, too
            raise Killed
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        if step != "rmtree":
            patch.setattr(checkpoint.shutil, "rmtree", lambda *args, **kwargs: None)
        try:
            save_checkpoint(run, {"w": torch.ones(3)}, {"v": 2}, CARD)
            finished = True
        except Killed:
            finished = False
    got = load_checkpoint(run)
    assert (got.config["v"], float(got.tensors["w"].sum())) in {(1, 0.0), (2, 3.0)}
    if finished:
        assert got.config["v"] == 2
    assert (run / "notes.txt").read_text() == "mine"
    save_checkpoint(run, {"w": torch.full((3,), 5.0)}, {"v": 3}, CARD)
    assert load_checkpoint(run).config["v"] == 3


def test_replacing_drops_the_training_state_and_keeps_foreign_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "state").mkdir(parents=True)
    save_checkpoint(run, TENSORS, CONFIG, CARD)
    assert not (run / "state").exists()
    (run / "eval.json").write_text("{}")
    save_checkpoint(run, TENSORS, CONFIG, {**CARD, "seed": 4})
    assert load_checkpoint(run).card["seed"] == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    assert (run / "eval.json").exists()


def test_a_folder_that_is_no_run_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(UserError, match=r"holiday\.jpg"):
        save_checkpoint(tmp_path, TENSORS, CONFIG, CARD)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="a file"):
        save_checkpoint(tmp_path / "file", TENSORS, CONFIG, CARD)
    with pytest.raises(UserError, match="a file"):
        save_checkpoint(tmp_path / "file" / "run", TENSORS, CONFIG, CARD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "holiday.jpg"]


def test_nothing_written_is_a_pickle(saved: Path) -> None:
    for path in saved.iterdir():
        assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"))


def test_a_run_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run.pth").touch()
    for name, found in (("run.pth", "found a file, "), ("none", r"none: no such folder \(")):
        with pytest.raises(UserError, match=f"{found}expected a run folder.*whyact train"):
            read_card(tmp_path / name)
