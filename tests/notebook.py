"""Execute a notebook in this process, without Jupyter: its code, what it prints and what last lines show."""

from __future__ import annotations

import ast
import base64
from pathlib import Path
from typing import Any

from page_steps import Outcome, run_python


def execute_cells(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the notebook with new outputs; the cells share one session and a folder of their own.

    Raises:
        AssertionError: When a cell fails, with its text and what it printed.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number = 1 + sum(done["cell_type"] == "code" for done in cells)
            cell = {
                **cell,
                "execution_count": number,
                "outputs": _outputs("".join(cell["source"]), folder, names, number),
            }
        cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(code: str, folder: Path, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    body = ast.parse(code).body
    names.pop("_shown", None)
    if body and isinstance(body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        lines = code.splitlines()
        start = body[-1].lineno - 1
        code = "\n".join([*lines[:start], "_shown = (" + "\n".join(lines[start:]) + "\n)"])
    outcome: Outcome = run_python(code, folder, names)
    assert outcome.code == 0, outcome.describe(code)
    outputs: list[dict[str, Any]] = []
    if outcome.stdout:
        outputs.append({"output_type": "stream", "name": "stdout", "text": outcome.stdout.splitlines(keepends=True)})
    shown = names.get("_shown")
    if shown is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _display(shown)}
        )
    return outputs


def _display(value: object) -> dict[str, Any]:
    """Return what Jupyter would show: a JPEG where the value has one, and its text."""
    jpeg = getattr(value, "_repr_jpeg_", lambda: None)()
    if jpeg:
        return {"image/jpeg": base64.b64encode(jpeg).decode(), "text/plain": ["a picture"]}
    return {"text/plain": repr(value).splitlines(keepends=True)}
