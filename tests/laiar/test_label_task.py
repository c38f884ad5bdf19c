"""Train, evaluate and predict on generated Action Genome files and on own data, through the method's front door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import whyact
from laiar_samples import SMALL
from whyact.errors import UserError
from whyact.homeworld.action_genome import write_action_genome
from whyact.laiar import task
from whyact.laiar.config import Config, DataConfig, OptimConfig
from whyact.laiar.datasets import read_relations

CONFIG = Config(
    data=DataConfig(frames=5, slots=4), model=SMALL, optim=OptimConfig(lr=5e-3, batch=8, epochs=2, calibrate=True)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_action_genome(tmp_path_factory.mktemp("ag") / "world", seed=1, videos=24, every=3, pixels=False)


def test_the_generated_world_reads_as_the_published_files_do(world: Path) -> None:
    found = read_relations("action-genome", world, CONFIG.data)
    train, test = found.fold(1)
    assert len(train) + len(test) == 24
    assert found.facts["videos_not_annotated"] >= 1
    assert found.facts["frames_without_person"] >= 1
    assert found.facts["objects_with_an_empty_box"] >= 1
    assert any(not clip.targets for clip in found.clips)
    assert all(len(clip.slots) <= 4 for clip in found.clips)
    tokens = sum(int(clip.valid.sum()) for clip in found.clips)
    named = sum(int(clip.relations.any(-1).sum()) for clip in found.clips if clip.relations is not None)
    assert tokens == named > 1000


def test_train_evaluate_predict(world: Path, tmp_path: Path) -> None:
    card = task.train("action-genome", world, tmp_path / "run", config=CONFIG, progress=False)
    assert 0 < card["metrics"]["mAP"] <= 100
    scores = task.evaluate(tmp_path / "run", "action-genome", world, progress=False)
    assert scores["mAP"] == pytest.approx(card["metrics"]["mAP"])
    assert {"wAP", "mAP_annotated", "objects_only_mAP", "language_mAP", "videos_without_token"} <= set(scores)
    assert (scores["boxes"], scores["relations"]) == ("oracle", "label")
    test = read_relations("action-genome", world, CONFIG.data).fold(1)[1]
    name = next(clip.id for clip in test if clip.valid.any())
    (answer,) = whyact.load(tmp_path / "run").predict(name, root=str(world))
    assert answer.id == name
    assert answer.unsure == (answer.labels[0].score < 0.5)
    assert answer.evidence


def test_scene_folds_and_contact_only(world: Path) -> None:
    found = read_relations("action-genome-scenes", world, replace(CONFIG.data, contact_only=True))
    assert sorted(found.folds) == [1, 2, 3, 4, 5]
    assert len(found.vocabulary.relations) == 17
    tested = [i for _, test in found.folds.values() for i in test]
    assert sorted(tested) == sorted(read_relations("action-genome", world, CONFIG.data).folds[1][1])


@pytest.mark.parametrize("name", ["own", "cad120", "action-genome"])
def test_a_root_that_is_not_given_is_asked_for(name: str) -> None:
    with pytest.raises(UserError, match=f"root: expected the folder that holds {name}. Try: .* with root=DIR$"):
        read_relations(name, None, CONFIG.data)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("action-genome", {"rgb_relations": True}, "no relation scores"),
        ("action-genome", {"frames_dir": "rgb"}, "videos of their own"),
        ("kinetics", {}, "one of cad120"),
    ],
)
def test_what_the_data_do_not_have_is_refused(world: Path, name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_relations(name, world, replace(CONFIG.data, **options))  # type: ignore[arg-type]
