"""From a tree of videos to an answer about a new one, through a tiny CLIP: names by words, frames with patches."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import whyact
import zero_shot_trees as trees
from whyact.cli import main
from whyact.errors import PartialFailure, UserError
from whyact.locate_gat import task
from whyact.locate_gat.config import PRESETS, Config

pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

QUICK = {"backbone": trees.CLIP, "backbone_weights": "random", "epochs": 1, "frames": 4, "mix": 0.5}
GRAPH = {"gat_steps": 2, "gat_hidden": 8, "gat_heads": (1, 1, 1)}
NARROW = Config(width=24, heads=4, grid=(6, 2, 2), mixer="none", **QUICK, **GRAPH)
SETTINGS = {
    "clip": NARROW,
    "patches": replace(NARROW, mixer="patch-lca", patch_side=4, branches=((1, 4, 16, 16), (2, 4, 16, 8))),
    "words": replace(PRESETS["words"], **QUICK, **GRAPH),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trees.add_tiny_clip(tmp_path_factory.mktemp("clip"))
    return trees.write_ucf(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    with pytest.MonkeyPatch.context() as patched:
        trees.trust(patched, "ucf101")
        for name, config in SETTINGS.items():
            found[name] = tmp_path_factory.mktemp("runs") / name
            task.train("ucf101", root, found[name], config=config, progress=False)
    return found


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_video_is_answered_and_the_answer_says_what_read_it(
    name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = trees.write_video(tmp_path / "new.mp4", frames=9, level=140)
    page = tmp_path / "why.html"
    asked = ["predict", str(video), "--model", str(runs[name]), "--labels", "yo yo, hammering, Archery"]
    assert main([*asked, "--report", str(page), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    assert {one["label"] for one in answer["labels"]} == {"yo yo", "hammering", "Archery"}
    assert sum(one["score"] for one in answer["labels"]) == pytest.approx(1, abs=1e-5)
    said = " ".join(answer["notes"])
    assert "random weights: this shows that the parts work together" in said
    if name == "words":
        assert "Class names read by word vectors of Label.mat; frames read by CLIP whyact-tiny-video" in said
    else:
        assert "Frames and class names read by CLIP whyact-tiny-video random weights" in said
        assert answer["provenance"]["prompts"]["yo yo"] == "a video of a person yo yo"
    frames = [one for one in answer["evidence"] if one["kind"] == "frame"]
    assert frames
    assert page.read_text().count("data:image/jpeg") == min(len(frames), 4), "the frames that decided are shown"


def test_patches_travel_with_their_frames_and_take_part(runs: dict[str, Path], root: Path) -> None:
    loaded = task.load(runs["patches"])
    known, model, card = loaded.known, loaded.model, loaded.card
    assert known.video_width == 24 * (1 + 16)
    assert card["extra"]["parameters"]["frozen_backbone"] > 0
    assert sum(p.numel() for p in model.encoder.mixer.parameters()) > 0


def test_new_names_need_an_encoder_and_word_vectors_are_none(runs: dict[str, Path], tmp_path: Path) -> None:
    video = trees.write_video(tmp_path / "new.mp4", frames=9)
    labels = {"labels": "pouring coffee, YoYo"}
    answer = whyact.load(runs["clip"]).predict(str(video), **labels)[0]
    assert answer.provenance.prompts["pouring coffee"] == "a video of a person pouring coffee"
    with pytest.raises(UserError, match="its texts are word vectors"):
        whyact.load(runs["words"]).predict(str(video), **labels)


def test_one_bad_input_does_not_cost_the_other_answers(runs: dict[str, Path], tmp_path: Path) -> None:
    video = trees.write_video(tmp_path / "new.mp4", frames=9)
    np.save(tmp_path / "narrow.npy", np.ones((4, 7), np.float32))
    with pytest.raises(PartialFailure, match="width 7") as some:
        whyact.load(runs["clip"]).predict(str(tmp_path / "narrow.npy"), str(video))
    assert [answer.id for answer in some.value.done] == [str(video)]


def test_a_single_label_is_said_to_be_no_choice_and_a_missing_list_is_named(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    video = trees.write_video(tmp_path / "new.mp4", frames=9)
    answer = whyact.load(runs["clip"]).predict(str(video), labels="YoYo")[0]
    assert any("its score is 1 whatever the video shows" in note for note in answer.notes)
    with pytest.raises(UserError, match="a file that exists"):
        whyact.load(runs["clip"]).predict(str(video), labels="labels.txt")


def test_evaluation_reports_the_backbone_beside_the_trained_parameters(
    runs: dict[str, Path], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.trust(monkeypatch, "ucf101")
    assert main(["eval", str(runs["clip"]), "--root", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    parameters = found.get("parameters") or found["metrics"]["parameters"]
    assert parameters["trained"] == parameters["locate"] + parameters["gat"]
    assert parameters["frozen_backbone"] > 0


def test_a_run_moves_with_its_folder_and_knows_its_weight_file_by_what_it_holds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip
    from safetensors.torch import save_file

    trees.trust(monkeypatch, "ucf101")
    data, weights = tmp_path / "data", tmp_path / "here" / "clip.safetensors"
    shutil.copytree(root, data, ignore=shutil.ignore_patterns(".whyact-features"))
    weights.parent.mkdir()

    def write(seed: int) -> None:
        torch.manual_seed(seed)
        state = open_clip.create_model(trees.CLIP).state_dict()
        save_file({name: tensor.clone() for name, tensor in state.items() if name != "attn_mask"}, weights)

    write(1)
    config = replace(NARROW, backbone_weights=str(weights), graph=False, calibration=0.0, mix=0.0)
    task.train("ucf101", data, tmp_path / "run", config=config, progress=False)
    known = task.load(tmp_path / "run").known
    assert str(tmp_path) not in known.pixels + known.semantics
    assert "sha256" in known.pixels
    video = trees.write_video(tmp_path / "new.mp4", frames=9, level=140)
    labels = {"labels": "pouring coffee, YoYo"}
    first = whyact.load(tmp_path / "run").predict(str(video), **labels)[0]
    stores = {folder.name for folder in (data / ".whyact-features").iterdir()}
    write(2)  # another file in the same place: another store, and no answer of the first run
    task.train("ucf101", data, tmp_path / "other", config=config, progress=False)
    assert len({folder.name for folder in (data / ".whyact-features").iterdir()} - stores) == 1
    with pytest.raises(UserError, match="the run was trained with"):
        whyact.load(tmp_path / "run").predict(str(video), **labels)
    with pytest.raises(UserError, match="the run's"):
        whyact.load(tmp_path / "run").predict(str(video), clip_weights=str(weights), **labels)
    write(1)
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(tmp_path / "run", moved)
    kept = tmp_path / "kept.safetensors"
    shutil.move(weights, kept)
    again = whyact.load(moved).predict(str(video), clip_weights=str(kept), **labels)[0]
    shutil.move(kept, moved / "clip.safetensors")
    beside = whyact.load(moved).predict(str(video), **labels)[0]
    assert [(x.label, x.score) for x in again.labels] == [(x.label, x.score) for x in first.labels]
    assert [(x.label, x.score) for x in beside.labels] == [(x.label, x.score) for x in first.labels]
