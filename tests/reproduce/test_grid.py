"""Cells are computed once, stored at once, and one bad cell costs only itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.reproduce.grid import CellsFailed, cell_name, cell_path, finished_cells, run_cells, stored_cells

sys.path.insert(0, str(Path(__file__).parent))  # spawn hands sys.path to the workers
import grid_cells

T = TypeVar("T")


def cells(tmp_path: Path, n: int, **more: Any) -> list[dict[str, Any]]:
    return [{"x": x, "marks": str(tmp_path / "marks"), **more} for x in range(n)]


def calls(tmp_path: Path) -> int:
    return len(list((tmp_path / "marks").iterdir()))


def test_results_come_in_order_from_other_processes_with_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    got = run_cells(cells(tmp_path, 4), grid_cells.square, tmp_path / "run", jobs=2)
    assert [row["square"] for row in got] == [0, 1, 4, 9]
    assert {row["threads"] for row in got} == {"1"}
    assert os.getpid() not in {row["pid"] for row in got}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_rerun_computes_only_what_is_missing_or_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = run_cells(cells(tmp_path, 3), grid_cells.square, folder)
    assert calls(tmp_path) == 3
    assert run_cells(cells(tmp_path, 3), grid_cells.square, folder) == first
    assert calls(tmp_path) == 3
    stored = sorted(folder.iterdir())
    assert len(stored) == 3
    stored[0].write_text(stored[0].read_text()[:20])
    stored[1].unlink()
    again = run_cells(cells(tmp_path, 4), grid_cells.square, folder, jobs=2)
    assert [row["square"] for row in again] == [0, 1, 4, 9]
    assert calls(tmp_path) == 3 + 2 + 1


@pytest.mark.parametrize(("trouble", "said"), [("raise", "RuntimeError: no luck"), ("die", "the worker process died")])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_cell_is_tried_twice_and_named_and_the_others_are_kept(
    tmp_path: Path, trouble: str, said: str, jobs: int
) -> None:
    grid = cells(tmp_path, 4, trouble="")
    grid[1]["trouble"] = trouble
    with pytest.raises(CellsFailed) as caught:
        run_cells(grid, grid_cells.troubled, tmp_path / "run", jobs=jobs)
    assert caught.value.failed == {cell_name(grid[1]): said}
    assert "x=1" in str(caught.value)
    assert len(list((tmp_path / "run").iterdir())) == 3
    assert len(list((tmp_path / "marks").glob("1-*"))) == 2


@pytest.mark.parametrize("trouble", ["raise once", "die once"])
def test_a_cell_that_fails_once_is_forgiven(tmp_path: Path, trouble: str) -> None:
    grid = cells(tmp_path, 3, trouble=trouble)
    for cell in grid[1:]:
        cell["trouble"] = ""
    assert [row["x"] for row in run_cells(grid, grid_cells.troubled, tmp_path / "run")] == [0, 1, 2]


def test_a_result_that_json_cannot_hold_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CellsFailed, match="JSON"):
        run_cells([{"x": 1}], grid_cells.not_a_number, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_function_that_a_worker_cannot_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="module's own function"):
        run_cells([{"x": 1}], lambda cell: cell, tmp_path)


PARAMETERS = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans(), max_size=4)


@given(a=PARAMETERS, b=PARAMETERS)
def test_a_file_name_belongs_to_the_parameters_alone(a: dict[str, Any], b: dict[str, Any]) -> None:
    folder = Path("run")
    assert cell_path(folder, "m:f", a) == cell_path(folder, "m:f", dict(reversed(a.items())))
    assert cell_path(folder, "m:f", a) != cell_path(folder, "m:g", a)
    same = {k: (type(v), v) for k, v in a.items()} == {k: (type(v), v) for k, v in b.items()}
    assert (cell_path(folder, "m:f", a) == cell_path(folder, "m:f", b)) == same


def test_workers_end_when_the_study_is_killed(tmp_path: Path) -> None:
    mark, run = tmp_path / "mark", tmp_path / "run.py"
    run.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import grid_cells\n"
        "from pathlib import Path\n"
        "from whyact.reproduce.grid import run_cells\n"
        "if __name__ == '__main__':\n"
        f"    run_cells([{{'marks': {str(mark)!r}}}], grid_cells.sleep, Path({str(tmp_path / 'cells')!r}))\n"
    )
    with subprocess.Popen([sys.executable, str(run)]) as study:
        worker = int(eventually(lambda: mark.read_text() if mark.exists() else ""))
        study.kill()
    assert eventually(lambda: not alive(worker))


def eventually(ask: Callable[[], T], seconds: float = 20.0) -> T:
    """Return the first true answer, or the last one after ``seconds``."""
    until = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] if Path("/proc").exists() else True


def test_what_is_stored_is_read_without_computing_anything(tmp_path: Path) -> None:
    four = cells(tmp_path, 4)
    run_cells(four[:2], grid_cells.square, tmp_path / "run")
    got = stored_cells(four, grid_cells.square, tmp_path / "run")
    assert [row and row["square"] for row in got] == [0, 1, None, None]
    assert calls(tmp_path) == 2


def test_finished_cells_are_computed_or_those_that_are_stored(tmp_path: Path) -> None:
    four, folder = cells(tmp_path, 4), tmp_path / "run"
    with pytest.raises(UserError, match="stored: found"):
        finished_cells(four, grid_cells.square, folder, stored=True)
    assert finished_cells(four, grid_cells.square, folder, stored=True, optional=True) == ([], [])
    run_cells(four[1:3], grid_cells.square, folder)
    kept, found = finished_cells(four, grid_cells.square, folder, stored=True)
    assert (kept, [row["square"] for row in found]) == (four[1:3], [1, 4])
    assert calls(tmp_path) == 2
    kept, found = finished_cells(four, grid_cells.square, folder)
    assert (kept, [row["square"] for row in found]) == (four, [0, 1, 4, 9])
