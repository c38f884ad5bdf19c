"""A run is never measured on clips that it was trained on, whatever fold, folder or name they come under."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from laiar_samples import CONFIG
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.laiar import task
from whyact.laiar.datasets import read_relations
from whyact.laiar.parts import refuse_trained_clips
from whyact.laiar.runs import Run, load_run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "world", seed=3, subjects=2, videos_per_subject=1)


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    config = replace(CONFIG, optim=replace(CONFIG.optim, calibrate=False))
    task.train("cad120", world, out, config=config, progress=False)
    return out


def test_another_fold_than_the_run_s_own_is_refused_with_the_command_for_its_own(run: Path, world: Path) -> None:
    with pytest.raises(UserError) as refused:
        task.open_evaluation((run, "cad120", world, 2))
    tested = len(read_relations("cad120", world, CONFIG.data).fold(2)[1])
    assert f"cad120, fold 2: found {tested} of {tested} test clips that the run was trained on" in str(refused.value)
    assert str(refused.value).endswith(f"whyact eval {run} --fold 1")
    assert len(task.open_evaluation((run, "cad120", world, 1)).names) > 0


def changed(run: Run, **about: Any) -> Run:
    card: Any = run.card
    return replace(run, card={**card, "extra": {**card["extra"], **about}})


def test_a_run_that_lists_no_checksums_is_told_by_the_names_of_its_own_fold(run: Path, world: Path) -> None:
    older, found = changed(load_run(run), train_clips_sums=[]), read_relations("cad120", world, CONFIG.data)
    refuse_trained_clips(older, "cad120", found, 1)
    with pytest.raises(UserError, match="test clips that the run was trained on"):
        refuse_trained_clips(older, "cad120", found, 2)


def test_renamed_clips_are_the_same_clips(run: Path, world: Path) -> None:
    found = read_relations("cad120", world, CONFIG.data)
    renamed = replace(found, clips=tuple(replace(clip, id=f"other/{clip.id}") for clip in found.clips))
    with pytest.raises(UserError, match="test clips that the run was trained on"):
        refuse_trained_clips(load_run(run), "own", renamed, 2)
    refuse_trained_clips(load_run(run), "own", renamed, 1)


def test_other_clips_under_the_same_names_are_new_to_it(run: Path, tmp_path: Path) -> None:
    other = write_world(tmp_path / "world", seed=4, subjects=2, videos_per_subject=1)
    assert len(task.open_evaluation((run, "cad120", other, 2)).names) > 0
