"""``whyact report A --against B``: what two runs differ in, on the terminal and as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "report"))

from sample_prediction import answered

from whyact.ablation.compare import compare_runs
from whyact.cli import main
from whyact.prediction import to_json

TARGETS = ["pick", "pick", "take_out", "place"]
A = answered(["pick", "open", "open", "place"], TARGETS)
B = answered(["pick", "pick", "take_out", "open"], TARGETS)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, run in (("a", A), ("b", B)):
        (tmp_path / f"{name}.json").write_text(to_json(run), encoding="utf-8")
    return [str(tmp_path / "a.json"), "--against", str(tmp_path / "b.json")]


def test_two_runs_are_told_class_by_class_and_clip_by_clip(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *files]) == 0
    said = capsys.readouterr().out
    assert "4 clips in both, 3 answered differently: 2 gained, 1 lost." in said
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines() if line.startswith(("take out", "place "))}
    assert rows["take out"][2:6] == ["1", "0.00", "1.00", "+1.00"]
    assert rows["place"][1:5] == ["1", "1.00", "0.00", "-1.00"]
    assert "clip 2 (annotated: take out)\n  A open 0.60. " in said
    assert "clip 0" not in said


def test_as_json_it_is_what_the_studio_answers(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asdict(compare_runs(A, B))))


@pytest.mark.parametrize("more", [["--out", "x.html"], ["--export", "csv"]])
def test_a_comparison_writes_no_file(files: list[str], more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *files, *more]) == 2
    assert "the comparison is printed" in capsys.readouterr().err
