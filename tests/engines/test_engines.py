"""Every engine gives what a plain loop gives, in the items' order, whatever happens to its workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from whyact.engines.run import open_pool, run, run_in
from whyact.engines.work import Engine, Failure, Job
from whyact.errors import DiskFullError, PartialFailure, UserError

sys.path.insert(0, str(Path(__file__).parent))  # spawn hands sys.path to the workers
import engine_jobs


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # workers take one all the same
    return Engine(request.param, 2)


def job(tmp_path: Path, **more: Any) -> Job:
    return Job(engine_jobs.setup, engine_jobs.work, {"folder": str(tmp_path / "marks"), **more})


def test_results_come_in_the_items_order_and_nothing_is_lost(engine: Engine, tmp_path: Path) -> None:
    whats = ["wait", "", "raise once", "mistake", "die once", "die" if engine.name == "local" else "raise", "raise", ""]
    told: list[int] = []
    found = run(engine, job(tmp_path), list(enumerate(whats)), lambda index, result: told.append(index))
    done = {i for i in range(len(whats)) if not isinstance(found[i], Failure)}
    assert done == {0, 1, 2, 4, 7}
    assert [found[i]["answer"] for i in sorted(done)] == [i**2 for i in sorted(done)]
    assert {found[i]["threads"] for i in done} == {"1"}
    assert os.getpid() not in {found[i]["pid"] for i in done}
    died = "the worker process died" if engine.name == "local" else "ValueError: no luck"  # deaths on Ray take seconds
    assert [found[i].message for i in (5, 6)] == [died, "ValueError: no luck"]
    mistake = found[3].mistake
    assert (mistake.where, mistake.value, mistake.next_step) == ("item 3", "mistake", "leave it out")
    assert sorted(told) == list(range(len(whats)))
    if engine.name == "local":  # where starting a worker takes no time to speak of
        assert told.index(1) < told.index(0)  # completion is not the items' order, the results are
    begun = [len(list((tmp_path / "marks").glob(f"item-{i}-*"))) for i in range(len(whats))]
    assert begun == [1, 1, 2, 1, 2, 2, 2, 1]


def test_a_worker_is_set_up_once_and_serves_several_runs(engine: Engine, tmp_path: Path) -> None:
    with open_pool(engine, job(tmp_path), 1) as pool:
        for first in (0, 10):
            found = run_in(pool, [(first + i, "") for i in range(3)])
            assert [one["answer"] for one in found] == [(first + i) ** 2 for i in range(3)]
    assert len(list((tmp_path / "marks").glob("started-*"))) == 1


@pytest.mark.parametrize(("refuse", "error"), [("mistake", UserError), ("fault", RuntimeError)])
def test_workers_that_cannot_start_end_the_run(tmp_path: Path, refuse: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"the weights|OSError: no luck"):
        run(Engine("local", 1), job(tmp_path, refuse=refuse), [(0, ""), (1, "")])


def test_a_result_that_cannot_travel_is_a_failure(tmp_path: Path) -> None:
    (found, other) = run(Engine("local", 1), job(tmp_path), [(0, "unsendable"), (1, "")], tries=1)
    assert isinstance(found, Failure)
    assert other["answer"] == 1


def test_no_items_need_no_workers(tmp_path: Path) -> None:
    assert run(Engine("local", 2), job(tmp_path), []) == []


class NoCluster:
    """A Ray that finds no cluster at the address."""

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        raise ConnectionError(f"nobody answers at {options['address']}\nat all")


def test_a_cluster_that_is_not_there_is_a_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", NoCluster())
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    with pytest.raises(UserError, match=r"nobody answers at a:1\).*ray start"):
        run(Engine("ray", 1, "a:1"), job(tmp_path), [(0, "")])
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_ray_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"whyact\[ray\]"):
        run(Engine("ray", 1), job(tmp_path), [(0, "")])


@pytest.mark.parametrize(
    "error", [UserError("a", [1], "b", "c"), UserError("a", None, "b"), DiskFullError("x", 1, "y")]
)
def test_a_mistake_travels_whole(error: UserError) -> None:
    import copy

    again = copy.copy(error)
    assert (type(again), str(again), again.next_step) == (type(error), str(error), error.next_step)
    some = copy.copy(PartialFailure([1], [error], 2))
    assert (some.done, some.failed, str(some)) == ([1], [error], str(PartialFailure([1], [error], 2)))
