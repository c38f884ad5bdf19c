"""What ``whyact reproduce`` asks of a study, and what every study does with it: compute its cells, write its tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.reproduce.grid import finished_cells
from whyact.reproduce.results import Header, Row, to_json, to_markdown, write_results

CPU = "cpu"


@dataclass(frozen=True)
class Study:
    """The options of ``whyact reproduce``.

    Attributes:
        root: The folder that holds the data, where the study needs any.
        quick: A few cells with short training, ten minutes at most.
        seeds: How many seeds, worlds or splits; ``None`` is the study's own number.
        jobs: Worker processes, one thread each.
        out: Where the results go; ``None`` prints only.
        as_json: Print the document as JSON, and no progress.
        stored: Compute nothing: write the tables of the cells that an earlier run finished.
        device: Where cells train, as :func:`whyact.devices.resolve_device` takes it. They are answered on the CPU.
    """

    root: Path | None = None
    quick: bool = False
    seeds: int | None = None
    jobs: int = 1
    out: Path | None = None
    as_json: bool = False
    stored: bool = False
    device: str = CPU

    @property
    def progress(self) -> bool:
        """Tell whether to show how far the work is."""
        return not self.as_json

    def cells(
        self,
        cells: Sequence[dict[str, Any]],
        function: Callable[[dict[str, Any]], dict[str, Any]],
        folder: Path,
        *,
        optional: bool = False,
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return cells with their results, as :func:`whyact.reproduce.grid.finished_cells` does.

        A cell of another device than the CPU has the parameter ``device``, and is stored apart: its numbers differ.
        """
        if self.device != CPU:
            cells = [{**cell, "device": self.device} for cell in cells]
        return finished_cells(
            cells,
            function,
            folder,
            jobs=self.jobs,
            progress=self.progress,
            stored=self.stored,
            optional=optional,
        )

    def command(self, name: str, seeds: int | None = None) -> str:
        """Return the command of this study as its document names it, without the paths of this machine."""
        parts = ["whyact reproduce", name, "--root DIR" if self.root is not None else "", "--quick" * self.quick]
        parts += [f"--seeds {seeds}" if seeds and not self.quick else "", "--stored" * self.stored]
        return " ".join(filter(None, [*parts, f"--device {self.device}" if self.device != CPU else ""]))

    def publish(self, name: str, head: Header, rows: Sequence[Row]) -> None:
        """Write ``name.md`` and ``name.json`` where that is asked for, and print the document."""
        if self.out is not None:
            for path in write_results(name, head, rows, self.out):
                print(f"written: {path}", file=sys.stderr)
        print(to_json(head, rows) if self.as_json else to_markdown(head, rows))
