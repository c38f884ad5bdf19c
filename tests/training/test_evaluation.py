"""An evaluation in parts gives the same files and the same numbers for any number of shards and on any engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whyact.engines.work import Engine
from whyact.errors import UserError
from whyact.training.evaluation import (
    Record,
    Shard,
    answer_parts,
    chunks,
    inputs_sum,
    part_path,
    read_part,
    score_all,
    score_parts,
    write_part,
)

sys.path.insert(0, str(Path(__file__).parent))  # spawn hands sys.path to the workers


class Squares:
    """Answers with squares, eleven of them, four at a time."""

    chunk = 4

    def __init__(self, marks: Path) -> None:
        self.marks = marks
        self.identity = {"what": "squares"}
        self.names = [str(i) for i in range(11)]

    def answer(self, first: int, last: int) -> list[Record]:
        (self.marks / f"{first}-{len(list(self.marks.iterdir()))}").touch()
        return [{"square": np.array(i**2), "none": np.zeros((0, 3))} if i else {} for i in range(first, last)]

    def score(self, records: Sequence[Record]) -> dict[str, Any]:
        return {"sum": float(sum(r["square"] for r in records if r)), "count": len(records)}


def opened(marks: Path) -> Squares:
    """Open the evaluation, in a worker too."""
    return Squares(marks)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_write_the_same_files_and_give_the_same_numbers(tmp_path: Path, marks: Path, count: int) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "parts"
    expected = score_parts(answer_parts(opened, marks, whole), whole)
    assert expected == score_all(Squares(marks)) == {"sum": float(sum(i**2 for i in range(11))), "count": 11}
    for index in range(count, 0, -1):
        evaluation = answer_parts(opened, marks, folder, Shard(index, count))
        if index > 1 and count <= 3:
            with pytest.raises(UserError, match="parts missing"):
                score_parts(evaluation, folder)
    assert files(folder) == files(whole)
    assert score_parts(evaluation, folder) == expected


def test_an_engine_computes_only_what_is_missing_or_damaged(tmp_path: Path, marks: Path) -> None:
    folder = tmp_path / "parts"
    evaluation = answer_parts(opened, marks, folder)
    before = files(folder)
    assert len(before) == len(chunks(evaluation)) == 3
    for number, harm in ((0, "gone"), (1, "flipped")):
        path = part_path(folder, evaluation, number)
        if harm == "gone":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[-3] ^= 1
            path.write_bytes(data)
            assert read_part(path) is None
    done = len(list(marks.iterdir()))
    answer_parts(opened, marks, folder, engine=Engine("local", 1))
    assert files(folder) == before
    assert len(list(marks.iterdir())) == done + 2


@pytest.mark.parametrize("position", [0, 9, 40, 200, -1])
def test_a_cut_part_counts_as_missing(tmp_path: Path, marks: Path, position: int) -> None:
    evaluation = answer_parts(opened, marks, tmp_path / "parts")
    path = part_path(tmp_path / "parts", evaluation, 1)
    path.write_bytes(path.read_bytes()[:position])
    assert read_part(path) is None


@pytest.mark.parametrize(
    "names", [["1", "2", "3"], ["0", "1", "2", "3"], ["0", "1"], ["0", "2", "1"], ["0", "1", "2.0"]], ids=repr
)
def test_parts_about_other_videos_are_not_taken(tmp_path: Path, marks: Path, names: list[str]) -> None:
    """A list of videos that was changed has its own answers, all of them, whatever the folder holds."""
    before, after = Squares(marks), Squares(marks)
    before.names, after.names = ["0", "1", "2"], names
    answer_parts(lambda _: before, None, tmp_path / "parts")
    with pytest.raises(UserError, match="1 of 1 parts missing"):
        score_parts(after, tmp_path / "parts")
    answer_parts(lambda _: after, None, tmp_path / "parts")
    assert score_parts(after, tmp_path / "parts") == score_all(after)


def test_a_part_with_another_number_of_records_counts_as_missing(tmp_path: Path, marks: Path) -> None:
    evaluation = answer_parts(opened, marks, tmp_path / "parts")
    write_part(part_path(tmp_path / "parts", evaluation, 1), evaluation.answer(4, 7))
    with pytest.raises(UserError, match="1 of 3 parts missing"):
        score_parts(evaluation, tmp_path / "parts")
    answer_parts(opened, marks, tmp_path / "parts")
    assert score_parts(evaluation, tmp_path / "parts")["count"] == 11


@dataclass(frozen=True)
class Pair:
    """A field that is an array, and one that is not."""

    rows: np.ndarray
    name: str | None = None


def test_a_checksum_of_inputs_changes_with_every_value_shape_and_type() -> None:
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    changed = base.copy()
    changed[1, 2] += 1e-6
    different: list[list[object]] = [
        [base], [changed], [base.reshape(3, 2)], [base.astype(np.float64)], [base[:1], base[1:]], [base.T],
        [Pair(base)], [Pair(base, "a")], [Pair(changed, "a")], ["a", base], [("a", "b")], [("b", "a")], [],
    ]  # fmt: skip
    sums = [inputs_sum(values) for values in different]
    assert len(set(sums)) == len(different)
    assert inputs_sum([np.asfortranarray(base)]) == inputs_sum(iter([base.copy()]))


def test_parts_of_another_evaluation_are_not_taken(tmp_path: Path, marks: Path) -> None:
    evaluation = answer_parts(opened, marks, tmp_path / "parts")
    evaluation.identity = {"what": "other squares"}  # type: ignore[misc]
    with pytest.raises(UserError, match="3 of 3 parts missing"):
        score_parts(evaluation, tmp_path / "parts")
