"""The rows of ``laiar-cad120`` by name, and its paired differences, from made-up results."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from laiar_samples import SMALL
from whyact.data.relations.packed import PackedClips
from whyact.laiar.answers import answer_clips
from whyact.laiar.config import Config, DataConfig, OptimConfig, SelectConfig
from whyact.laiar.task import train_run
from whyact.reproduce import laiar_cad120 as module
from whyact.reproduce import laiar_cells
from whyact.reproduce.laiar_cells import COMPARED, JOINED, PRETRAINED, RESAMPLED, predict_over_samplings, settings

CONFIG = Config(
    data=DataConfig(frames=3, slots=4),
    model=SMALL,
    select=SelectConfig(temporal=False, spatial=False),
    optim=OptimConfig(batch=4, epochs=2),
)


def changed(row: str) -> dict[str, tuple[object, object]]:
    """Return the settings in which a row differs from the network alone: the plain value, and the row's."""
    parts = [
        {
            f"{section}.{name}": value
            for section, values in asdict(settings(r, None)).items()
            for name, value in values.items()
        }
        for r in ("video-boxes", row)
    ]
    return {name: (value, parts[1][name]) for name, value in parts[0].items() if parts[1][name] != value}


@pytest.mark.parametrize("row", COMPARED)
def test_a_compared_row_changes_the_one_thing_that_it_says(row: str) -> None:
    found = changed(row)
    if row in (PRETRAINED, RESAMPLED):  # it begins elsewhere, or is asked in another way, and is the same model
        assert not found
        return
    ((name, (plain, other)),) = found.items()
    if row == "video-boxes-longer":
        assert isinstance(plain, int)
        assert (name, other) == ("optim.epochs", 2 * plain)
    elif row == "video-boxes-averaged":
        assert (name, plain, other) == ("optim.average", 0.0, 0.99)
    else:
        assert (name, plain, other) == ("model.numbers", "periodic", row.removeprefix("video-boxes-numbers-"))


def test_what_users_get_differs_by_the_forest_alone() -> None:
    assert changed(JOINED) == {"model.box_forest": (False, True)}


def test_differences_are_of_the_folds_that_both_rows_have() -> None:
    results: module.Results = defaultdict(dict)
    for fold, mine, other in ((1, 0.75, 0.5), (2, 0.5, 0.75), (3, 0.9, None)):
        results["video-boxes-longer"][fold, 0] = {"mAR": mine}
        if other is not None:
            results["video-boxes"][fold, 0] = {"mAR": other}
    results["video-boxes"][1, 1] = {"mAR": 0.0}  # a second seed, which the compared rows do not have
    rows = {(row.row, row.metric): row for row in module._compared(results)}
    gain = rows["video-boxes-longer", "mAR difference"]
    assert (gain.mean, gain.n) == (0.0, 2)
    assert "better in 1 of 2 pairs" in gain.note
    assert rows["video-boxes", "mAR"].n == 2
    assert ("video-boxes", "mAR difference") not in rows
    assert not any(name == "video-boxes-averaged" for name, _ in rows), "a row without a cell is left out"


def test_an_answer_over_samplings_is_their_mean_and_unmoved_ones_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = ("fffhhhhh", "hhhhfffff", "hhhfffhhffhfh", "fffff", "hfhfhfhfhfhf")
    clips = [clip(row, action="pick" if i % 2 else "place", id=str(i)) for i, row in enumerate(rows)]
    data = replace(CONFIG.data, frames=3, time_jitter=0.0)
    run = train_run(clips, VOCABULARY, replace(CONFIG, data=data), seed=0, progress=False)
    plain = np.array([a.predicted for a in answer_clips(run, clips, explain=False)])
    np.testing.assert_array_equal(predict_over_samplings(run, clips, seed=0), plain)
    run.config = replace(run.config, data=replace(data, time_jitter=0.5))

    drawn = np.random.default_rng(4)
    packed = PackedClips(clips, slots=data.slots, window=data.window)
    index, total = np.arange(len(clips)), np.zeros((len(clips), len(VOCABULARY.actions)))
    moved = [packed.jittered_positions(index, 3, 0.5, drawn) for _ in range(2)]
    for positions in (packed.even_positions(index, 3), *moved):
        with torch.no_grad():
            total += run.model.video(packed.batch(index, positions)).logits.softmax(-1).numpy()
    monkeypatch.setattr(laiar_cells, "SAMPLINGS", 2)
    run.temperature = 1.0
    np.testing.assert_array_equal(predict_over_samplings(run, clips, seed=4), total.argmax(-1))
