"""``whyact doctor`` finds what is broken, says what to do about it, and is content with what works."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.ops

from whyact.cli import main
from whyact.training.checkpoint import MODEL, save_checkpoint
from whyact.verbs import doctor


def states(findings: list[doctor.Finding]) -> list[str]:
    return [finding.state for finding in findings]


def test_a_sound_installation_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert document["ok"] is True
    names = {finding["name"] for finding in document["findings"]}
    assert {"python", "packages", "torch pair", "device", "decoders", "cache", "disk, here", "self-test"} <= names
    assert all(finding["advice"] for finding in document["findings"] if finding["state"] != "ok")


def test_a_broken_one_is_told_with_what_to_do_and_exit_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_nms(*_: object) -> torch.Tensor:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", no_nms)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN  torch pair" in out
    assert "torchvision::nms does not exist" in " ".join(out.split())
    assert "pip install --upgrade --force-reinstall torch torchvision" in out
    assert out.splitlines()[-1].startswith("Broken: torch pair.")
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_an_nms_that_answers_wrongly_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.ops, "nms", lambda *_: torch.tensor([0, 1, 2]))
    (finding,) = doctor.torch_pair()
    assert finding.state == "broken"
    assert "[0, 1, 2]" in finding.found


def test_a_torchvision_made_for_another_torch_is_broken_by_its_own_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch==1.2.3", "numpy"])
    (finding,) = doctor.torch_pair()
    assert finding.state == "broken"
    assert "wants torch==1.2.3" in finding.found
    assert "torch torchvision" in finding.advice


@pytest.mark.parametrize(
    ("need", "said", "advice"),
    [
        ("numpy>=999", f"numpy {np.__version__}", "pip install 'numpy>=999'"),
        ("no-such-package-here>=1", "no-such-package-here missing", "pip install 'no-such-package-here>=1'"),
    ],
)
def test_a_missing_or_old_package_is_named(monkeypatch: pytest.MonkeyPatch, need: str, said: str, advice: str) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: [need, "torch", 'ray>=999; extra == "ray"'])
    python, broken, rest = doctor.packages()
    assert states([python, broken, rest]) == ["ok", "broken", "ok"]
    assert (broken.found, broken.advice) == (said, advice)
    assert "ray" not in rest.found


def test_a_missing_extra_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda name: ["torch", 'no-such-package-here>=1; extra == "clip"', 'numpy; extra == "text"'],
    )

    class Facts:
        def get_all(self, name: str) -> list[str]:
            return ["clip", "text", "dev"]

    monkeypatch.setattr(metadata, "metadata", lambda name: Facts())
    clip, text = doctor.extras()
    assert (clip.name, clip.state) == ("extra clip", "note")
    assert "pip install 'whyact[clip]'" in clip.advice
    assert (text.name, text.state) == ("extra text", "ok")


@pytest.mark.parametrize(("missing", "state"), [("h264", "broken"), ("av1", "note")])
def test_a_missing_decoder_is_told(monkeypatch: pytest.MonkeyPatch, missing: str, state: str) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {missing})
    worst = [finding for finding in doctor.decoders() if finding.state != "ok"]
    assert states(worst) == [state]
    assert worst[0].advice


@pytest.mark.parametrize(("free", "state"), [(10**6, "broken"), (10**9, "note"), (10**12, "ok")])
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    found = doctor.disk()
    assert states(found) == [state, state]
    assert bool(found[0].advice) == (state != "ok")


def test_a_flipped_bit_in_a_shipped_model_is_found_and_the_file_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SHIPPED", tmp_path / "shipped")
    assert states(doctor.shipped()) == ["note"]
    card = {"method": "laiar", "data": "homeworld", "split_sha256": "", "licence": "Apache-2.0", "seed": 0}
    folder = save_checkpoint(tmp_path / "shipped" / "laiar", {"w": torch.zeros(8)}, {}, card)
    (finding,) = doctor.shipped()
    assert finding.state == "ok"
    assert "laiar: 8 numbers" in finding.found
    data = bytearray((folder / MODEL).read_bytes())
    data[-1] ^= 1
    (folder / MODEL).write_bytes(data)
    (finding,) = doctor.shipped()
    assert finding.state == "broken"
    assert MODEL in finding.found
    assert finding.advice


def test_a_decoder_that_shows_other_pictures_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from whyact.video import decode as decoding

    real = decoding.decode

    def dark(*args: object) -> decoding.DecodedVideo:
        video = real(*args)  # type: ignore[arg-type]
        video.frames[:] = 0
        return video

    monkeypatch.setattr(decoding, "decode", dark)
    (finding,) = doctor.self_test()
    assert finding.state == "broken"
    assert "brightness off by" in finding.found


def test_a_cache_that_cannot_be_written_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert states(list(doctor.cache())) == ["ok"]
    monkeypatch.setattr("os.access", lambda *_: False)
    (finding,) = doctor.cache()
    assert finding.state == "note"
    assert "TORCH_HOME" in finding.advice
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(("cuda", "mps", "state"), [(True, False, "ok"), (False, True, "ok"), (False, False, "note")])
def test_the_device_is_named(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, state: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    facts = type("Facts", (), {"name": "Toy GPU", "total_memory": 8 * 2**30})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: facts)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    (finding,) = doctor.device()
    assert finding.state == state
    assert ("Toy GPU, 8 GiB" in finding.found) == cuda
    assert bool(finding.advice) == (state == "note")


def test_a_check_that_fails_itself_is_a_finding() -> None:
    def fail() -> list[doctor.Finding]:
        raise ImportError("libav.so:\nnot found")

    (finding,) = doctor.run_check("decoders", fail)
    assert (finding.name, finding.state, finding.found) == ("decoders", "broken", "ImportError: libav.so: not found")


def test_long_findings_are_wrapped_and_a_command_can_be_copied() -> None:
    text = doctor.format_finding(doctor.Finding("packages", "note", "word " * 60, "pip install " + "word " * 30))
    lines = text.splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 120 for line in lines[:-1])
    assert lines[0].startswith("note    packages")
    assert lines[-1].split() == ["->", "pip", "install", *["word"] * 30]
