"""Where CLIP's weights come from: asked before a download, offline from a file, and a way out when a host is silent."""

from __future__ import annotations

import io
import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import whyact
from whyact.cli import main
from whyact.errors import UserError

open_clip = pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

import zero_shot_trees as trees  # noqa: E402
from whyact.features import clip, clip_weights  # noqa: E402
from whyact.features.clip_weights import pending_download  # noqa: E402

CONNECT = socket.create_connection
LABELS = ["--labels", "pouring coffee, opening a box"]


@pytest.fixture(autouse=True)
def no_weights_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    def begun(*asked: object, **options: object) -> None:
        raise AssertionError("the network was tried")

    trees.add_tiny_clip(tmp_path)
    clip._load_clip.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(clip_weights, "getproxies", dict)
    monkeypatch.setattr(clip_weights.socket, "create_connection", begun)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return trees.write_video(tmp_path / "new.mp4", frames=9, level=140)


def test_a_download_is_announced_with_its_size_and_asked_for_where_nobody_can_answer(
    video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(video), *LABELS]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "CLIP ViT-B-16 openai, about 600 MB from huggingface.co" in captured.err
    assert "--yes" in captured.err
    assert "--clip-weights FILE" in captured.err
    with pytest.raises(UserError, match=r"^yes: found") as caught:
        whyact.load(labels=["a", "b"]).predict(video)
    assert "600 MB" in str(caught.value)
    assert "clip_weights=FILE" in str(caught.value)


@pytest.mark.parametrize(("name", "tag"), [("ViT-B-16", "openai"), ("RN50", "openai"), ("ViT-B-32", "laion2b_e16")])
def test_the_size_is_that_of_the_parameters(name: str, tag: str) -> None:
    pending = pending_download(name, tag)
    assert pending is not None
    model = open_clip.create_model(name)
    assert pending.size == 4 * sum(p.numel() for p in model.parameters())


def test_whoever_sits_at_the_terminal_is_asked(
    video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    monkeypatch.setattr("sys.stderr", asked := Terminal())
    assert main(["predict", str(video), *LABELS]) == 2
    assert "about 600 MB from huggingface.co must be downloaded once. Download it now? [y/N]" in asked.getvalue()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    monkeypatch.setattr(clip_weights, "_answers", lambda url, seconds: False)
    assert main(["predict", str(video), *LABELS]) == 2
    assert "does not answer" in asked.getvalue()


def test_a_download_that_fails_says_so_in_seconds_and_names_the_way_out(
    video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        clip_weights.socket, "create_connection", lambda *asked, **o: socket.socket().connect(("127.0.0.1", 1))
    )
    started = time.monotonic()
    assert main(["predict", str(video), *LABELS, "--yes"]) == 2
    assert time.monotonic() - started < 20  # imports included
    said = capsys.readouterr().err
    assert "huggingface.co does not answer" in said
    assert "--clip-weights FILE" in said


def test_a_proxy_that_leads_nowhere_is_noticed_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_weights, "getproxies", lambda: {"https": "http://127.0.0.1:1"})
    monkeypatch.setattr(clip_weights.socket, "create_connection", CONNECT)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(UserError, match="does not answer"):
        clip_weights.refuse_unreachable("ViT-B-16", "openai", 2.0)
    assert time.monotonic() - started < 5


def test_a_weight_file_answers_offline_as_the_model_that_wrote_it(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    from whyact.clip_zero_shot.texts import TEMPLATES, unit

    torch.manual_seed(3)
    model = open_clip.create_model(trees.CLIP).eval()
    state = {name: value.clone() for name, value in model.state_dict().items() if name != "attn_mask"}
    save_file(state, tmp_path / "clip.safetensors")
    weights = ["--clip", trees.CLIP, "--clip-weights", str(tmp_path / "clip.safetensors")]
    assert main(["predict", str(video), *LABELS, *weights, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    assert answer["provenance"]["checkpoint"].startswith(f"CLIP {trees.CLIP} file sha256:")
    found = {row[0]: row[2] for row in answer["tables"][0]["rows"]}

    _, _, prepare = open_clip.create_model_and_transforms(trees.CLIP)
    from PIL import Image

    from whyact.video.decode import decode

    frames = torch.stack([prepare(Image.fromarray(frame)) for frame in decode(video, 16).frames])
    with torch.no_grad():
        image = unit(unit(model.encode_image(frames).numpy()).mean(0))
        for label in ("pouring coffee", "opening a box"):
            tokens = open_clip.get_tokenizer(trees.CLIP)([template.format(label) for template in TEMPLATES])
            text = unit(unit(model.encode_text(tokens).numpy()).mean(0))
            assert found[label] == pytest.approx(float(image @ text), abs=2e-3)


def test_random_weights_say_what_they_are(video: Path) -> None:
    answer = whyact.load(labels=["a", "b"], clip=trees.CLIP, clip_weights="random").predict(video)[0]
    assert "the answer means nothing" in answer.notes[0]
    assert np.isfinite([one.score for one in answer.labels]).all()


def test_an_unknown_clip_or_tag_is_named(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(video), *LABELS, "--clip", "ViT-Z"]) == 2
    assert "a CLIP that open_clip knows" in capsys.readouterr().err
    assert main(["predict", str(video), *LABELS, "--clip-weights", "nonsense"]) == 2
    assert "weights that open_clip can fetch" in capsys.readouterr().err
