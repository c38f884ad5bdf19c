"""CLIP weight files whose right activation is known, their identity, and where they are looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from whyact.errors import UserError

open_clip = pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

from safetensors.torch import save_file  # noqa: E402

import zero_shot_trees as trees  # noqa: E402
from whyact.features.clip import load_clip, load_named_clip  # noqa: E402
from whyact.features.clip_weights import find_weights, uses_quick_gelu, weights_name  # noqa: E402

FRAME = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
MARKS = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    trees.add_tiny_clip(tmp_path_factory.mktemp("models"))


def made(quick: bool) -> torch.nn.Module:
    """Build a model with large weights, so that its activation shows."""
    torch.manual_seed(1)
    model = open_clip.create_model(trees.CLIP, force_quick_gelu=quick).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "mlp" in name:
                weight.mul_(8)
    return model


def vector(model: torch.nn.Module) -> torch.Tensor:
    clip = load_clip(trees.CLIP, "random")
    with torch.no_grad():
        return model.encode_image(clip.prepare(FRAME[0])[None])


class Scripted(torch.nn.Module):
    """The tree of a model's tensors with OpenAI's marks, which TorchScript can save."""

    def __init__(self, state: dict[str, torch.Tensor], marks: dict[str, int]) -> None:
        super().__init__()
        for name, value in {**state, **{k: torch.tensor(v) for k, v in marks.items()}}.items():
            place: torch.nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if not hasattr(place, part):
                    place.add_module(part, torch.nn.Module())
                place = getattr(place, part)
            place.register_buffer(last, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def write(path: Path, kind: str, state: dict[str, torch.Tensor]) -> Path:
    state = {name: value.clone() for name, value in state.items() if name != "attn_mask"}
    if kind == "archive":
        torch.jit.script(Scripted(state, MARKS)).save(str(path))
    elif kind == "marked":
        torch.save({**state, **{name: torch.tensor(value) for name, value in MARKS.items()}}, path)
    else:
        save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "quick"),
    [
        ("ViT.pt", "archive", True),
        ("weights.pt", "marked", True),
        ("weights.safetensors", "plain", False),
    ],
)
def test_a_file_runs_with_the_activation_that_its_weights_were_trained_with(
    name: str, kind: str, quick: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / name, kind, made(quick).state_dict())
    assert uses_quick_gelu(trees.CLIP, str(path)) is quick
    found = load_clip(trees.CLIP, str(path)).encode_frames(FRAME)
    torch.testing.assert_close(found, vector(made(quick)), rtol=1e-5, atol=1e-5)
    assert (found - vector(made(not quick))).abs().max() > 1e-3, "the two activations must be told apart here"


@pytest.mark.parametrize("quick", [True, False])
def test_the_configuration_beside_a_file_decides(quick: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "open_clip_model.safetensors", "plain", made(quick).state_dict())
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"quick_gelu": quick}}))
    found = load_clip(trees.CLIP, str(path)).encode_frames(FRAME)
    torch.testing.assert_close(found, vector(made(quick)), rtol=1e-5, atol=1e-5)


def test_a_broken_configuration_beside_a_file_is_no_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "weights.safetensors", "plain", made(False).state_dict())
    (tmp_path / "open_clip_config.json").write_text("{")
    assert not uses_quick_gelu(trees.CLIP, str(path))


@pytest.mark.parametrize(
    ("name", "tag", "quick"),
    [
        ("ViT-B-16", "openai", True),
        ("RN50", "openai", True),
        ("ViT-B-16", "dfn2b", True),
        ("ViT-B-16", "metaclip_400m", True),
        ("ViT-B-16", "metaclip_fullcc", True),
        ("ViT-B-16", "laion2b_s34b_b88k", False),
        ("ViT-B-16", "datacomp_xl_s13b_b90k", False),
        ("ViT-B-16-quickgelu", "random", True),
        ("ViT-B-16", "random", False),
    ],
)
def test_every_tag_has_its_own_activation(name: str, tag: str, quick: bool) -> None:
    assert uses_quick_gelu(name, tag) is quick


def test_a_tag_in_a_files_name_decides_where_nothing_else_does(tmp_path: Path) -> None:
    for name, quick in (("vit_b_16_dfn2b.safetensors", True), ("vit_b_16_laion2b_s34b_b88k.safetensors", False)):
        path = write(tmp_path / name, "plain", made(False).state_dict())
        assert uses_quick_gelu("ViT-B-16", str(path)) is quick


def test_a_file_is_named_by_what_it_holds_and_found_wherever_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", "plain", made(False).state_dict())
    semantics = load_clip(trees.CLIP, str(path)).semantics
    moved = tmp_path / "elsewhere" / "b.safetensors"
    moved.parent.mkdir()
    shutil.copyfile(path, moved)
    assert load_clip(trees.CLIP, str(moved)).semantics == semantics
    assert str(tmp_path) not in semantics
    path.unlink()
    for places, given in (((path, moved), None), ((), moved)):
        torch.testing.assert_close(
            load_named_clip(semantics, places, given).encode_frames(FRAME), vector(made(False)), rtol=1e-5, atol=1e-5
        )
    with pytest.raises(UserError, match="the run was trained with"):
        load_named_clip(semantics, (path,))
    other = write(tmp_path / "other.safetensors", "plain", made(True).state_dict() | {"logit_scale": torch.ones(())})
    with pytest.raises(UserError, match="the run"):
        load_named_clip(semantics, (), other)


def test_a_changed_file_has_another_name_and_tags_need_no_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"one")
    first = weights_name(str(path))
    path.write_bytes(b"two!")
    assert weights_name(str(path)) != first
    assert weights_name("openai") == "openai"
    assert find_weights("openai") == "openai"
    assert find_weights("random weights") == "random"
    assert find_weights("old/ViT-B-16.pt", (), path) == str(path), "a run of an older version"
    with pytest.raises(UserError, match="reads frames and names with openai"):
        find_weights("openai", (), path)
