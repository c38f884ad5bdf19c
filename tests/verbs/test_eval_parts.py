"""``whyact eval`` in 1, 2 and 3 shards and on an engine, for all three methods: equal files, equal numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hand_clips import VOCABULARY, clip
from whyact.cli import main
from whyact.training.evaluation import Evaluation, Shard, answer_parts, score_all, score_parts

Opened = tuple[Callable[[Any], Evaluation], Any]


@pytest.fixture(scope="module")
def pvlr_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from whyact.pvlr import task

    folder = tmp_path_factory.mktemp("runs") / "pvlr"
    default = task.PRESETS["default"]
    config = replace(default, train=replace(default.train, iterations=2))
    task.train("synthetic", None, folder, config=config, progress=False)
    return folder


def pvlr(run: Path) -> Opened:
    from whyact.pvlr import task

    return task.open_evaluation, (run, "synthetic", None, None)


@pytest.fixture(scope="module")
def locate_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from whyact.locate_gat import task

    folder = tmp_path_factory.mktemp("runs") / "locate"
    tiny = replace(
        task.PRESETS["synthetic"], epochs=1, gat_steps=2, gat_hidden=8, mixer="none", mix=0.4, calibration=0.2
    )
    task.train("synthetic", None, folder, config=tiny, progress=False)
    return folder


def laiar() -> Opened:
    from laiar_small import CONFIG
    from whyact.laiar.parts import Parts
    from whyact.laiar.task import train_run

    words = ("fffhhh", "hhhfff", "aaannn", "sssooo", "ooosss")
    actions = ("pick", "place", "drink", "open", "close")
    clips = [
        clip(word[n % 2 :], other, action=action, id=f"{action}{n}")
        for n in range(8)
        for (word, action), other in zip(zip(words, actions, strict=True), ("......", "aaaaaa"[:6]) * 3, strict=False)
        if len(word[n % 2 :]) == len(other)
    ]
    run = train_run(clips, VOCABULARY, CONFIG, seed=0)
    parts = Parts(run, clips, clips, {}, {"run": "x"}, chunk=8)
    return (lambda settings: parts), None


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("method", ["pvlr", "locate-gat", "laiar"])
def test_one_two_and_three_shards_are_one_evaluation(
    method: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if method == "pvlr":
        opened, settings = pvlr(request.getfixturevalue("pvlr_run"))
    elif method == "laiar":
        opened, settings = laiar()
    else:
        from whyact.locate_gat import task

        opened, settings = task.open_evaluation, (request.getfixturevalue("locate_run"), "synthetic", None, None)
    expected = json.dumps(score_all(opened(settings)), sort_keys=True)
    found = []
    for count in (1, 2, 3):
        folder = tmp_path / str(count)
        for index in range(count):
            evaluation = answer_parts(opened, settings, folder, Shard(index + 1, count))
        assert json.dumps(score_parts(evaluation, folder), sort_keys=True) == expected
        found.append(files(folder))
    assert len(found[0]) > 2
    assert found[0] == found[1] == found[2]


def test_the_command_splits_the_work(locate_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", str(locate_run), "--json"]
    assert main(words) == 0
    whole = capsys.readouterr().out
    shards = [*words, "--parts", str(tmp_path / "parts")]
    assert main([*shards, "--shard", "2/2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["shard"], said["parts"]) == ("2/2", said["of"] // 2)
    assert len(files(tmp_path / "parts")) == said["parts"] > 0
    assert main(shards) == 0
    assert capsys.readouterr().out == whole
    assert len(files(tmp_path / "parts")) == said["of"]


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
def test_mistakes_end_in_one_line(locate_run: Path, words: list[str], expected: str, capsys: Any) -> None:
    assert main(["eval", str(locate_run), *words]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1
