"""``whyact predict`` on engines: the bytes of one process alone, whoever dies on the way."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_eval_parts import SMALL
from test_extract_engines import killing

import whyact
from made_videos import write_clip
from whyact.cli import main
from whyact.engines.work import Engine
from whyact.errors import InternalError, PartialFailure, UserError, for_each
from whyact.training.numerics import numerics


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with films whose base names repeat, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("films")
    for name, frames in (("x/a", 12), ("x/b", 8), ("y/a", 16), ("y/c", 12), ("c", 8)):
        (folder / name).parent.mkdir(exist_ok=True)
        write_clip(folder / f"{name}.mp4", frames)
    (folder / "x" / "bad.mp4").write_text("no video")
    return folder


def reader_of(folder: Path) -> int:
    """Return another process that has a film of the folder open, or 0."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if folder in link.readlink().parents and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:  # closed meanwhile, or somebody else's
            continue
    return 0


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_answers_are_those_of_one_process_even_when_a_worker_is_killed(
    engine: str, films: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    capsys.readouterr()
    words = ["predict", str(films), "--json", "--device", "cpu"]
    with numerics(1):  # as a worker has: the last bits depend on how many threads compute
        assert main(words) == 2
    alone = capsys.readouterr()
    assert len(json.loads(alone.out)) == 5
    assert "bad.mp4" in alone.err
    watch = killing(lambda: reader_of(films)) if Path("/proc").is_dir() else nullcontext([0])
    with watch as killed:
        assert main([*words, "--engine", engine, "--workers", "2"]) == 2
    assert len(killed) == 1
    shared = capsys.readouterr()
    assert shared.out == alone.out
    assert [line for line in shared.err.splitlines() if "bad.mp4" in line] == alone.err.splitlines()


@pytest.mark.parametrize("method", ["pvlr", "locate-gat"])
def test_feature_files_keep_the_names_that_they_have_among_all(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert main(["train", method, *SMALL[method].split(), "--out", str(run), "--json"]) == 0
    config = whyact.load(run, device="cpu").run
    width = config.known.video_width if method == "locate-gat" else config.config.model.rgb_width * 2
    names = ["x/a.npy", "x/b.npy", "y/a.npy"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.random.default_rng(number).normal(size=(9, width)).astype(np.float32))
    monkeypatch.chdir(tmp_path)  # relative paths mean the same to a worker
    capsys.readouterr()
    words = ["predict", *names, "--model", "run", "--json", "--device", "cpu"]
    out = {}
    for engine in ([], ["--engine", "local", "--workers", "2"]):
        more = ["--vtt", f"vtt{len(engine)}"] if method == "pvlr" else []
        with numerics(1):
            assert main([*words, *more, *engine]) == 0
        out[len(engine)] = capsys.readouterr().out
    assert out[0] == out[4]
    if method == "pvlr":
        first, second = (
            {p.relative_to(f): p.read_bytes() for p in f.rglob("*.vtt")} for f in map(Path, ("vtt0", "vtt4"))
        )
        assert first == second
        assert len(first) == 3
        assert main([*words, "--activitynet", "all.json", "--engine", "local"]) == 2
        assert "--activitynet: found 'all.json', expected no --engine beside it" in capsys.readouterr().err
    found = whyact.load("run", device="cpu").predict(*names, engine=Engine("local", 2))
    assert whyact.prediction.to_json(found) == out[0].rstrip("\n")


def test_a_mistake_that_concerns_all_inputs_is_said_once(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (films / "classes.csv").write_text("nothing,of,use\n")
    words = ["predict", str(films / "x/a.mp4"), str(films / "c.mp4"), "--class-map", str(films / "classes.csv")]
    assert main([*words, "--json"]) == 2
    alone = capsys.readouterr().err
    assert main([*words, "--json", "--engine", "local", "--workers", "2"]) == 2
    assert capsys.readouterr().err == alone
    assert alone.count("\n") == 1


def test_one_input_that_kills_workers_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of six inputs kills whoever takes it; a share that was lost is tried one by one."""
    from whyact import methods
    from whyact.engines import run as engine_run
    from whyact.engines.work import LOST, Failure

    tried: list[list[int]] = []

    def fake_run(engine: Any, job: Any, shares: list[list[int]], on_result: Any) -> list[Any]:
        tried.extend(shares)
        return [Failure(LOST) if 1 in share else ([f"answer {i}" for i in share], []) for share in shares]

    monkeypatch.setattr(engine_run, "run", fake_run)
    monkeypatch.setattr(methods, "SHARE", 3)
    monkeypatch.setattr(methods.math, "ceil", lambda x: 3)
    asked = methods.Request("laiar", Path("run"), "cpu", tuple("abcdef"), None, None, None, ".")
    with pytest.raises(PartialFailure) as found:
        methods.predict_on(Engine("local", 2), asked)
    assert tried == [[0, 1, 2], [3, 4, 5], [0], [1], [2]]
    assert found.value.done == [f"answer {i}" for i in (0, 2, 3, 4, 5)]
    (error,) = found.value.failed
    assert isinstance(error, InternalError)
    assert (error.where, error.value) == ("b", LOST)


def test_some_of_several_fail_as_some_of_all() -> None:
    def answer(name: str) -> list[str]:
        if name == "b":
            raise UserError("b", None, "another")
        return [name]

    assert for_each("abc", answer, [0, 2]) == ["a", "c"]
    with pytest.raises(PartialFailure):
        for_each("abc", answer, [1])
    with pytest.raises(UserError, match=r"^b: expected another$"):
        for_each("b", answer)
