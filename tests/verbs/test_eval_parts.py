"""``whyact eval`` in 1, 2 and 3 shards and on Ray, for all three methods: equal files, equal numbers."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whyact.cli import main
from whyact.data.relations.relation_data import RelationData
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.data.zero_shot.types import ZeroShotData
from whyact.training.numerics import numerics

SMALL = {
    "pvlr": "--data synthetic --train.iterations 2",
    "locate-gat": "--data synthetic --preset synthetic --epochs 1 --gat_steps 2 --gat_hidden 8"
    " --mixer none --mix 0.4 --calibration 0.2",
    "laiar": "--data homeworld --optim.epochs 1 --data.frames 5 --model.width 16 --model.layers 2 --model.heads 2",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from whyact.homeworld.write import write_world

    return write_world(tmp_path_factory.mktemp("world") / "world", seed=3, subjects=2, videos_per_subject=4)


@pytest.mark.parametrize("method", sorted(SMALL))
def test_shards_and_ray_give_the_files_and_numbers_of_one_process(
    method: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    root = ["--root", str(world)] if method == "laiar" else []
    run, parts = tmp_path / "run", {count: tmp_path / f"{count}" for count in (1, 2, 3)}

    def said(*words: str | Path) -> str:
        with numerics(1):  # as a worker has: the last bits depend on how many threads compute
            assert main([*map(str, words), *root, "--json"]) == 0
        return capsys.readouterr().out

    said("train", method, *SMALL[method].split(), "--out", run)
    whole = said("eval", run)
    for count, folder in parts.items():
        shares = []
        for index in range(1, count + 1):
            share = json.loads(said("eval", run, "--parts", folder, "--shard", f"{index}/{count}"))
            shares.append(share["parts"])
            assert share["shard"] == f"{index}/{count}"
            assert sum(shares) == len(files(folder))
        assert sum(shares) == share["of"] >= 2
    assert files(parts[1]) == files(parts[2]) == files(parts[3])
    assert said("eval", run, "--parts", parts[3]) == whole
    assert said("eval", run, "--parts", tmp_path / "ray", "--engine", "ray", "--workers", "2") == whole
    assert files(tmp_path / "ray") == files(parts[1])


def altered_pvlr(split: FeatureSplit) -> FeatureSplit:
    """Return the data with other features of one test video."""
    first, *rest = split.test
    return replace(split, test=[replace(first, features=first.features[::-1] + np.float32(1)), *rest])


def altered_zero_shot(data: tuple[ZeroShotData, Any]) -> tuple[ZeroShotData, Any]:
    """Return the data with other features of the videos of one unseen class."""
    found, split = data
    c = found.index(split.unseen)[0]
    videos = [replace(v, features=-v.features) if v.target[0] == c else v for v in found.videos]
    return replace(found, videos=tuple(videos)), split


def altered_relations(found: RelationData) -> RelationData:
    """Return the data with other boxes in every clip."""
    clips = [replace(clip, subject_boxes=clip.subject_boxes[::-1] * np.float32(0.5)) for clip in found.clips]
    return replace(found, clips=tuple(clips))


@pytest.mark.parametrize(
    ("method", "reader", "altered"),
    [
        ("pvlr", "load_features", altered_pvlr),
        ("locate-gat", "load_zero_shot", altered_zero_shot),
        ("laiar", "read_relations", altered_relations),
    ],
)
def test_answers_about_what_was_there_before_are_not_taken_again(
    method: str, reader: str, altered: Any, world: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same names with other features or boxes under them are other videos."""
    root = ["--root", str(world)] if method == "laiar" else []
    options = [*SMALL[method].split(), *(["--optim.calibrate", "false"] if method == "laiar" else [])]
    run, parts = str(tmp_path / "run"), str(tmp_path / "parts")

    for module in ("task", "parts") if method == "laiar" else ():  # forests learn nothing from what is asked here
        monkeypatch.setattr(f"whyact.laiar.{module}.measure_rivals", lambda *sides: {"majority": 0.1})

    def said(*words: str) -> Any:
        assert main([*words, *root, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    said("train", method, *options, "--out", run)
    before = said("eval", run, "--parts", parts)
    task = importlib.import_module(f"whyact.{method.replace('-', '_')}.task")
    read = getattr(task, reader)
    monkeypatch.setattr(task, reader, lambda *args, **options: altered(read(*args, **options)))
    after = said("eval", run)
    assert after != before, "or the comparison below says nothing"
    assert said("eval", run, "--parts", parts) == after


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--shard", "1/2"], "--parts DIR"),
        (["--shard", "3/2", "--parts", "x"], "share such as 1/3"),
        (["--shard", "two", "--parts", "x"], "share such as 1/3"),
        (["--workers", "2"], "--engine local"),
        (["--engine", "local", "--workers", "0"], "at least 1"),
        (["--engine", "local", "--address", "a:1"], "--engine ray"),
        (["--engine", "slurm"], "one of local, ray"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path: Path, words: list[str], expected: str, capsys: Any) -> None:
    assert main(["eval", str(tmp_path), *words]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1
