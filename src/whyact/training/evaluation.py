"""Evaluation in parts: answers about chunks of a test set, computed anywhere and kept in files, then scored together.

A method says what a chunk's answers are and how all of them are scored. A chunk is always the same videos, whatever the
number of shards or workers, so the files and the numbers are the same too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whyact.engines.run import run
from whyact.engines.work import Engine, Failure, Job
from whyact.errors import UserError
from whyact.files import canonical_json, sha256, write_atomic

if TYPE_CHECKING:
    from whyact.prediction import Prediction
    from whyact.report.diagnostics import Diagnostics

Record = dict[str, NDArray[Any]]
"""What a method says about one video, as arrays."""


class Evaluation(Protocol):
    """A run held against a test set.

    ``identity`` (plain values) changes with anything that changes an answer, what is answered about included (see
    :func:`inputs_sum`); ``names`` are the test videos in order, ``chunk`` of which are answered together.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """Return what it is."""

    @property
    def names(self) -> Sequence[str]:
        """Return the test videos."""

    @property
    def chunk(self) -> int:
        """Return how many are answered together."""

    def answer(self, first: int, last: int) -> list[Record]:
        """Return a record of each of the videos first to last - 1."""

    def score(self, records: Sequence[Record]) -> dict[str, Any]:
        """Return the metrics of all videos' records, in order."""

    def diagnose(self, records: Sequence[Record]) -> Diagnostics:
        """Return what the evaluation page shows of all videos' records."""

    def explain(self, item: int, record: Record) -> Prediction:
        """Return the answer about one test video, with its evidence."""


Open = Callable[[Any], Evaluation]


@dataclass(frozen=True)
class Shard:
    """Which chunks are this process's: number ``index`` of ``count``, from 1."""

    index: int = 1
    count: int = 1

    def of(self, chunks: int) -> list[int]:
        """Return the positions of its chunks."""
        return list(range(self.index - 1, chunks, self.count))


def score_all(evaluation: Evaluation) -> dict[str, Any]:
    """Answer everything here and now, and return the metrics."""
    return evaluation.score(answer_all(evaluation))


def answer_all(evaluation: Evaluation) -> list[Record]:
    """Answer everything here and now, and return the records of all test videos."""
    return [record for first, last in chunks(evaluation) for record in evaluation.answer(first, last)]


def was_watched(card: Mapping[str, Any]) -> bool:
    """Return whether a training measured the test part, by the card of its run."""
    return bool(card.get("extra", {}).get("watched_test"))


def mark_watched(metrics: dict[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics that say first of all that the test part was watched, where it was."""
    return {"watched_test": True, **metrics} if was_watched(card) else metrics


def chunks(evaluation: Evaluation) -> list[tuple[int, int]]:
    """Return first and last + 1 of every chunk."""
    count, step = len(evaluation.names), evaluation.chunk
    return [(first, min(first + step, count)) for first in range(0, count, step)]


def answer_parts(
    opened: Open, settings: Any, folder: Path, shard: Shard = Shard(), engine: Engine | None = None
) -> Evaluation:
    """Compute the parts of a shard that the folder lacks, a file a chunk.

    Args:
        opened: A module's own function that opens the evaluation from ``settings``, here and in every worker.
        settings: Its argument.
        folder: Where the parts are; other evaluations may keep theirs there too.
        shard: Which parts.
        engine: Where they are computed, this process if none.

    Returns:
        The evaluation, opened here.

    Raises:
        UserError: When the run or the data are at fault, or the disk is full.
        RuntimeError: When a chunk fails for another reason.
    """
    evaluation = opened(settings)
    parts = chunks(evaluation)
    # A worker is told the name: pixels may differ in their last bits on its machine, and the name with them.
    todo = [
        (*parts[number], part_path(folder, evaluation, number).name)
        for number in shard.of(len(parts))
        if _read_chunk(folder, evaluation, number) is None
    ]
    if engine is None:
        for item in todo:
            _work((evaluation, folder), item)
        return evaluation
    for result in run(engine, Job(_open, _work, (opened, settings, folder.absolute())), todo):
        if isinstance(result, Failure):
            raise result.mistake or RuntimeError(f"a part of the evaluation failed: {result.message}")
    return evaluation


def score_parts(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Return the metrics of all parts.

    Raises:
        UserError: When parts are missing.
    """
    return evaluation.score(read_parts(evaluation, folder))


def read_parts(evaluation: Evaluation, folder: Path) -> list[Record]:
    """Return the records of all parts.

    Raises:
        UserError: When parts are missing.
    """
    found = [_read_chunk(folder, evaluation, number) for number in range(len(chunks(evaluation)))]
    missing = sum(part is None for part in found)
    if missing:
        step = "run the other shards, or this command without --shard"
        raise UserError(folder, f"{missing} of {len(found)} parts missing or damaged", "all parts", step)
    return [record for part in found for record in part or []]


def part_path(folder: Path, evaluation: Evaluation, number: int) -> Path:
    """Return the file of a chunk's records, named by what the evaluation is and which videos the chunk has."""
    first, last = chunks(evaluation)[number]
    what = {"evaluation": evaluation.identity, "names": list(evaluation.names[first:last])}
    return Path(folder) / f"{sha256(canonical_json(what))[:16]}-{number:06d}.safetensors"


def inputs_sum(values: Iterable[object]) -> str:
    """Return a checksum of what answers are computed from, for an evaluation's ``identity``.

    Arrays count with their type, shape and bytes, dataclasses with all of their fields, anything else as it prints.
    """
    digest = blake2b(digest_size=16)

    def add(value: object) -> None:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif is_dataclass(value):
            for item in fields(value):
                add(getattr(value, item.name))
        else:
            digest.update(f"{value!r} ".encode())

    for value in values:
        add(value)
    return digest.hexdigest()


def write_part(path: Path, records: Sequence[Record]) -> None:
    """Write records, whole or not at all, with a checksum."""
    from safetensors.numpy import save

    arrays = {f"{i}/{name}": np.asarray(a, order="C") for i, record in enumerate(records) for name, a in record.items()}
    facts = {"records": len(records), "sum": _sum(arrays)}
    write_atomic(path, save(arrays, metadata={"whyact": json.dumps(facts, sort_keys=True)}))


def read_part(path: Path) -> list[Record] | None:
    """Return the records of a file, or ``None`` where it is absent or damaged: such a part is computed again."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as stream:
            facts = json.loads((stream.metadata() or {})["whyact"])
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        if _sum(arrays) != facts["sum"]:
            return None
        records: list[Record] = [{} for _ in range(facts["records"])]
        for name, array in arrays.items():
            number, _, field = name.partition("/")
            records[int(number)][field] = array
        return records
    except (OSError, SafetensorError, ValueError, KeyError, IndexError):
        return None


def _read_chunk(folder: Path, evaluation: Evaluation, number: int) -> list[Record] | None:
    """Return the records of a chunk, or ``None`` where its file is absent, damaged or has another number of them."""
    first, last = chunks(evaluation)[number]
    part = read_part(part_path(folder, evaluation, number))
    return part if part is not None and len(part) == last - first else None


def _open(settings: tuple[Open, Any, Path]) -> tuple[Evaluation, Path]:
    opened, inner, folder = settings
    return opened(inner), folder


def _work(state: tuple[Evaluation, Path], item: tuple[int, int, str]) -> None:
    evaluation, folder = state
    first, last, name = item
    write_part(Path(folder) / name, evaluation.answer(first, last))


def _sum(arrays: dict[str, NDArray[Any]]) -> str:
    digest = blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
