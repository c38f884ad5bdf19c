"""The authors' checkpoints: every key is accounted for."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from made_arrays import write
from whyact.cli import main
from whyact.errors import UserError
from whyact.features.clip import ClipTower, tower_from_state
from whyact.features.towers import StandInTower
from whyact.pvlr.config import PRESETS
from whyact.pvlr.model import PVLR, PromptedText
from whyact.pvlr.published import RENAMED, convert
from whyact.pvlr.task import load
from whyact.training.checkpoint import load_checkpoint

SIZES = {"rgb_width": 6, "flow_width": 6, "hidden": 4, "fused": 12, "width": 64}


def ours(benchmark):
    preset = PRESETS["official" if benchmark == "thumos14" else "official-activitynet"]
    hidden = {"variance_hidden": 5} if preset.model.variance_hidden else {}
    cfg = replace(preset.model, **SIZES, **hidden)
    return PVLR(cfg, PromptedText(StandInTower(), ["long jump"], cfg)).eval()


def theirs(state, benchmark):
    """Write a state as the authors' file would, CLIP and the dead branch included."""
    back = {name: pattern.replace("\\", "") for pattern, name in RENAMED[benchmark]}
    made = {}
    for key, value in state.items():
        prefix = max((name for name in back if key.startswith(name)), key=len)
        made[back[prefix] + key[len(prefix) :]] = value
    made["clipmodel.visual.proj"] = torch.zeros(1)
    if benchmark == "thumos14":
        made["vAttn.AE_d.0.weight"] = made["fAttn.AE_d.0.bias"] = torch.zeros(1)
    return made


@pytest.mark.parametrize("benchmark", ["thumos14", "activitynet-1.3"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_round_trip_gives_the_same_model(benchmark, prefix):
    state = ours(benchmark).state_dict()
    published = {prefix + key: value for key, value in theirs(state, benchmark).items()}
    back = convert(published, state, benchmark, "file")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_the_names_are_those_of_the_published_file():
    keys = theirs(ours("thumos14").state_dict(), "thumos14")
    for name in (
        "vAttn.AE_e.0.weight", "fAttn.bit_wise_attn.0.bias", "vAttn.attention.5.weight", "fusion.0.weight",
        "fusion2.0.bias", "snippet_prob_encoder.fc_mean.weight", "snippet_prob_encoder.fc_var.bias", "embedding.weight",
    ):  # fmt: skip
        assert name in keys


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("fusion.0.weight"), "fusion1.0.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra"),
        (lambda state: state.update({"fusion2.0.bias": torch.zeros(3)}), r"fusion2.0.bias \(3,\)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_a_key_that_does_not_fit_is_named(change, message):
    state = ours("thumos14").state_dict()
    published = theirs(state, "thumos14")
    change(published)
    with pytest.raises(UserError, match=message):
        convert(published, state, "thumos14", "file")


def test_the_command_line_converts_a_checkpoint_into_a_run(tmp_path, monkeypatch, capsys):
    official = replace(PRESETS["official"], model=replace(PRESETS["official"].model, **SIZES))
    monkeypatch.setitem(PRESETS, "official", official)
    tower = StandInTower()
    monkeypatch.setattr("whyact.pvlr.published.load_clip", lambda name, weights: SimpleNamespace(tower=tower))
    root = write(tmp_path / "features" / "Thumos14reduced-Annotations").parent
    cfg = official.model
    model = PVLR(cfg, PromptedText(tower, ["a", "b"], cfg)).eval()
    torch.save(theirs(model.state_dict(), "thumos14"), tmp_path / "init.pth")
    words = ["data", "convert", str(tmp_path / "init.pth"), "pvlr-thumos14", "--root", str(root)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "a run of 2 classes" in capsys.readouterr().out
    run = load(tmp_path / "run")
    x = torch.randn(1, 9, cfg.rgb_width + cfg.flow_width)
    with torch.no_grad():
        torch.testing.assert_close(run.model(x).cas, model(x).cas)
    assert not any("clip" in name for name in load_checkpoint(tmp_path / "run").tensors)
    assert main([*words[:2], "absent.pth", *words[3:], "--out", str(tmp_path / "x")]) == 2
    assert "PVLR_init.pth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "benchmark", "layout"),
    [
        ("PVLR_init.pth", "thumos14", "features/Thumos14reduced-Annotations"),
        ("init_thumos.pth", "thumos14", "data/thumos/Thumos14reduced-Annotations"),
        ("Best_model.pkl", "thumos14", "data/thumos/Thumos14reduced-Annotations"),
        ("init_annet.pth", "activitynet-1.3", "data/annet/ActivityNet1.3/ActivityNet1.3-Annotations"),
        ("Best_model.pkl", "activitynet-1.3", "features/ActivityNet1.3/ActivityNet1.3-Annotations"),
    ],
)
def test_a_checkpoint_that_holds_clip_is_imported_with_it_and_without_a_network(
    name, benchmark, layout, tmp_path, monkeypatch
):
    open_clip = pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

    def refuse(*asked):
        raise AssertionError("no other CLIP is loaded")

    monkeypatch.setattr("whyact.pvlr.published.load_clip", refuse)
    preset = "official" if benchmark == "thumos14" else "official-activitynet"
    sizes = SIZES | ({"variance_hidden": 5} if benchmark != "thumos14" else {}) | {"width": 24}
    cfg = replace(PRESETS[preset].model, **sizes)
    monkeypatch.setitem(PRESETS, preset, replace(PRESETS[preset], model=cfg))
    torch.manual_seed(0)
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
    clip = open_clip.CLIP(24, {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1}, text, quick_gelu=True)
    tower = ClipTower(clip.eval(), open_clip.SimpleTokenizer(context_length=77))
    model = PVLR(cfg, PromptedText(tower, ["a", "b"], cfg)).eval()
    frozen = {f"clipmodel.{key}": value.half() for key, value in clip.state_dict().items() if key != "attn_mask"}
    published = theirs(model.state_dict(), benchmark) | frozen
    torch.save(published, tmp_path / name)
    subsets = ("validation", "test") if benchmark == "thumos14" else ("train", "val")
    write(tmp_path / layout, subsets=subsets)
    words = ["data", "convert", str(tmp_path / name), f"pvlr-{benchmark}", "--root", str(tmp_path)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    run = load(tmp_path / "run")
    with torch.no_grad():  # the file's half precision moves the texts by its own rounding
        torch.testing.assert_close(run.text, model.text(), rtol=0.02, atol=0.02)
    assert not any("clip" in key for key in load_checkpoint(tmp_path / "run").tensors)


def test_a_checkpoint_of_the_other_benchmark_names_the_right_command(tmp_path, capsys):
    torch.save(theirs(ours("activitynet-1.3").state_dict(), "activitynet-1.3"), tmp_path / "init_annet.pth")
    root = write(tmp_path / "features" / "Thumos14reduced-Annotations").parent
    words = ["data", "convert", str(tmp_path / "init_annet.pth"), "pvlr-thumos14", "--root", str(root)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert "pvlr-activitynet-1.3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_clip_weights_belong_to_checkpoints_alone(tmp_path, capsys):
    words = ["data", "convert", "thumos14", "features", "--root", str(tmp_path), "--out", str(tmp_path / "x")]
    assert main([*words, "--clip-weights", "w.pt"]) == 2
    assert "--clip-weights" in capsys.readouterr().err


def test_a_clip_that_lacks_a_tensor_is_named():
    pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    with pytest.raises(UserError, match="positional_embedding"):
        tower_from_state({"token_embedding.weight": torch.zeros(9, 64)})
