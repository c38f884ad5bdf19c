"""What a training logs: means over an epoch, one row an epoch in ``history.csv``, and any experiment loggers."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from whyact.files import write_atomic
from whyact.training.trainable import StepOutput

MEASURED = ("seconds", "memory_mib", "gpu_memory_mib")  # columns that differ between two runs with the same bits
Row = dict[str, Any]


class MetricLogger(Protocol):
    """What whyact uses of lightning's loggers."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log numbers at a step."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Log the settings of the training."""

    def finalize(self, status: str) -> None:
        """Write what is left."""


class Means:
    """Weighted means of what the steps of an epoch log.

    Tensors are read in batches, because reading each one would make the CPU wait for a GPU at every step.
    """

    def __init__(self, sums: Mapping[str, Sequence[float]]) -> None:
        self._sums = {name: (value, weight) for name, (value, weight) in sums.items()}
        self._pending: list[tuple[Mapping[str, Tensor | float], int]] = []

    def add(self, output: StepOutput) -> None:
        """Add what one step logs; its loss is a term of its own."""
        terms = {"loss": output.loss, **output.terms}
        detached = {name: v.detach() if isinstance(v, Tensor) else v for name, v in terms.items()}
        self._pending.append((detached, output.rows))
        if len(self._pending) >= 100:
            self.sums()

    def sums(self) -> dict[str, tuple[float, float]]:
        """Return the weighted sum and the weight of each term so far."""
        for terms, rows in self._pending:
            for name, value in terms.items():
                total, weight = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + float(value) * rows, weight + rows)
        self._pending.clear()
        return self._sums

    def values(self) -> dict[str, float]:
        """Return the mean of each term so far."""
        return {name: total / weight for name, (total, weight) in self.sums().items()}


class History:
    """The rows of all stages of a run, in a CSV file that grows with the training, and in experiment loggers.

    Args:
        path: The file; ``None`` writes none.
        loggers: They receive every new row.
    """

    def __init__(self, path: Path | None = None, loggers: Sequence[MetricLogger] = ()) -> None:
        self.path, self.loggers = path, loggers
        self.rows: list[Row] = [] if path is None or not path.is_file() else read_history(path)

    def start(self, stage: str, rows: Sequence[Row]) -> None:
        """Replace the rows of a stage by those that its training resumes with."""
        self.rows = [row for row in self.rows if row["stage"] != stage]
        self.rows += [{"stage": stage, **row} for row in rows]
        self._write()

    def append(self, stage: str, row: Row) -> None:
        """Add a row: one line of the file, or the whole file anew where the row brings new columns."""
        columns = self._columns()
        self.rows.append({"stage": stage, **row})
        if columns != self._columns() or len(self.rows) == 1:
            self._write()
        elif self.path is not None:
            with self.path.open("a", encoding="utf-8", newline="") as stream:
                csv.DictWriter(stream, columns, lineterminator="\n").writerow(self.rows[-1])
        metrics = {f"{stage}/{name}": float(value) for name, value in row.items() if name not in ("epoch", "step")}
        for logger in self.loggers:
            logger.log_metrics(metrics, step=int(row["step"]))

    def text(self) -> str:
        """Return the whole file."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, self._columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _write(self) -> None:
        if self.path is not None and self.rows:
            write_atomic(self.path, self.text())


def read_history(path: Path) -> list[Row]:
    """Return the rows of a ``history.csv``; a last line that a killed training left incomplete is dropped."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    rows = []
    for line in lines[1:]:
        if len(line) != len(lines[0]):
            continue
        row: Row = {name: _number(text) for name, text in zip(lines[0], line, strict=True) if text}
        if "stage" in row:
            rows.append({**row, "stage": str(row["stage"])})
    return rows


def memory_peaks(device: torch.device) -> dict[str, float]:
    """Return the highest use of memory so far in MiB: of this process, and of the GPU that it computes on."""
    peaks: dict[str, float] = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peaks["memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
    if device.type == "cuda":
        peaks["gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peaks


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
