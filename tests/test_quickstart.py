"""The notebook runs, and its stored outputs are what it prints.

After a change that legitimately changes an output: ``WHYACT_NOTEBOOK=1 python -m pytest tests/test_quickstart.py``
stores the new ones.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from notebook import execute_cells

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def printed(notebook: dict[str, Any]) -> str:
    """Return all that the cells print; what they show, pictures included, counts by its text."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in outputs)


def test_the_notebook_prints_what_is_stored_in_it(tmp_path: Path) -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    executed = execute_cells(stored, tmp_path)
    if "WHYACT_NOTEBOOK" in os.environ:
        NOTEBOOK.write_text(json.dumps(executed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.skip("the new outputs are stored")
    before, now = printed(stored), printed(executed)
    assert NUMBER.sub("#", now) == NUMBER.sub("#", before), "store the new outputs: see this file's first lines"
    numbers = [float(number) for number in NUMBER.findall(now)]
    assert numbers == pytest.approx([float(number) for number in NUMBER.findall(before)], rel=0.05, abs=0.05)


def test_stored_outputs_are_small_and_every_cell_was_executed() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert len(text) < 100_000
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code[:5])


def test_a_cell_keeps_its_print_and_shows_its_last_line(tmp_path: Path) -> None:
    cells = ["x = 2", "print('a')\nx + 1", "x;", "(\n    x\n)"]
    notebook = {"cells": [{"cell_type": "code", "source": [text]} for text in cells]}
    done = execute_cells(notebook, tmp_path)["cells"]
    assert [len(cell["outputs"]) for cell in done] == [0, 2, 0, 1]
    assert done[1]["outputs"][0]["text"] == ["a\n"]
    assert done[1]["outputs"][1]["data"] == {"text/plain": ["3"]}
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        execute_cells({"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}, tmp_path)
