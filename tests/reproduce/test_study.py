"""What every study does with the options of ``whyact reproduce``."""

from __future__ import annotations

import json
from pathlib import Path

import grid_cells
import pytest

from whyact.reproduce import grid
from whyact.reproduce.results import header, row
from whyact.reproduce.study import Study


def test_cells_of_another_device_carry_it_and_are_stored_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(grid, "run_cells", lambda cells, *_, **__: asked.append(cells) or [{} for _ in cells])
    cells, _ = Study().cells([{"x": 1}], grid_cells.square, tmp_path)
    assert cells == [{"x": 1}]
    cells, _ = Study(device="cuda:1").cells([{"x": 1}], grid_cells.square, tmp_path)
    assert cells == [{"x": 1, "device": "cuda:1"}]
    assert asked == [[{"x": 1}], [{"x": 1, "device": "cuda:1"}]]


@pytest.mark.parametrize(
    ("study", "command"),
    [
        (Study(), "whyact reproduce toy --seeds 3"),
        (Study(root=Path("data"), quick=True), "whyact reproduce toy --root DIR --quick"),
        (Study(stored=True, device="cuda"), "whyact reproduce toy --seeds 3 --stored --device cuda"),
    ],
)
def test_a_document_names_the_command_that_makes_it(study: Study, command: str) -> None:
    assert study.command("toy", 3) == command


def test_a_document_is_printed_and_written_only_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, rows = header("toy", "whyact reproduce toy"), [row("main", "ours", "accuracy", [0.5])]
    Study(as_json=True).publish("toy", head, rows)
    printed, told = capsys.readouterr()
    assert json.loads(printed)["rows"][0]["mean"] == 0.5
    assert told == ""
    Study(out=tmp_path).publish("toy", head, rows)
    printed, told = capsys.readouterr()
    assert printed.startswith("# toy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.json", "toy.md"]
    assert str(tmp_path / "toy.md") in told
