"""``whyact eval --report``: a page for a run of each method, whose mistakes are what ``predict`` answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_eval_parts import SMALL

import whyact
from whyact.cli import main
from whyact.errors import UserError
from whyact.report import evaluation_page
from whyact.report.diagnostics import EvaluatedRun
from whyact.training.checkpoint import CARD, load_checkpoint, read_card, save_checkpoint
from whyact.training.evaluation import mark_watched, was_watched


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from whyact.homeworld.write import write_world

    return write_world(tmp_path_factory.mktemp("world") / "world", seed=3, subjects=2, videos_per_subject=4)


@pytest.fixture(scope="module", params=sorted(SMALL))
def trained(request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    root = ["--root", str(world)] if request.param == "laiar" else []
    run = tmp_path_factory.mktemp(request.param) / "run"
    words = ["train", request.param, *SMALL[request.param].split(), "--out", str(run), "--json", *root]
    assert main(words) == 0
    return run, root


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[EvaluatedRun]:
    """Return the runs that pages are made of, as they are made."""
    seen: list[EvaluatedRun] = []
    render = evaluation_page.render_evaluation

    def keep(runs: Any, links: Any = ()) -> str:
        seen.extend(runs)
        return render(runs, links)

    monkeypatch.setattr(evaluation_page, "render_evaluation", keep)
    return seen


def test_a_page_for_every_method(trained: Any, tmp_path: Path, capsys: Any, shown: list[EvaluatedRun]) -> None:
    run, root = trained
    capsys.readouterr()
    assert main(["eval", str(run), *root, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    page = tmp_path / "out" / "eval.html"
    parts = ["--parts", str(tmp_path / "parts")]
    assert main(["eval", str(run), *root, "--json", "--report", str(page), "--against", str(run), *parts]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both.pop("against") == both == plain
    text = page.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert str(run.parent) not in text

    first, second = shown
    assert (first.name, first.history.keys() != set()) == ("run", True)
    ours = {figure.name: figure for figure in first.diagnostics.figures}
    names = {"mAR": "mAR", "average mAP": "avg_mAP", "classification mAP": "classification_mAP", "top-1": "zsl_top1"}
    names |= {"H": "gzsl_h", "seen": "gzsl_seen", "unseen": "gzsl_unseen", "mean per class": "zsl_per_class"}
    names |= {"precision of reasons": "reason_precision", "coverage of reasons": "reason_coverage", "ECE": "ece"}
    names |= {"accuracy": "mAR_weighted", "AURC": "aurc", "top-5": "zsl_top5"}
    assert ours.keys() <= names.keys()
    for name, figure in ours.items():
        value = plain[names[name]]
        assert figure.value == pytest.approx(float("nan") if value is None else value, nan_ok=True, abs=1e-9), name
        interval = figure.interval
        assert interval is None or interval[0] <= interval[1]
    assert len({"mAR", "average mAP", "top-1"} & ours.keys()) == 1
    for figure, other in zip(first.diagnostics.figures, second.diagnostics.figures, strict=True):
        assert figure.difference(other) in (None, (0.0, 0.0)), "a run against itself"

    pages = sorted((tmp_path / "out" / "eval-mistakes").iterdir())
    assert len(pages) == 2 * len(first.diagnostics.mistakes) == 2 * len(first.evidence) > 0
    for mistake, prediction in zip(first.diagnostics.mistakes, first.evidence, strict=True):
        if prediction.provenance.method == "pvlr":
            assert any(label.label == mistake.answered.split(",")[0] for label in prediction.labels)
            continue
        assert prediction.labels[0].label == mistake.answered != mistake.annotated == prediction.target
        assert prediction.labels[0].score == pytest.approx(mistake.confidence, abs=1e-5)
    sure = [mistake.confidence for mistake in first.diagnostics.mistakes]
    assert sure == sorted(sure, reverse=True)


def test_python_writes_the_same_page(trained: Any, tmp_path: Path, capsys: Any) -> None:
    run, root = trained
    assert main(["eval", str(run), *root, "--json", "--report", str(tmp_path / "command.html")]) == 0
    metrics = json.loads(capsys.readouterr().out)
    place = root[1] if root else None
    if place is None:  # generated data has no folder
        from whyact.verbs.data_make import generated_root

        with generated_root("synthetic", None) as folder:
            found = whyact.load(run).evaluate(root=folder, report=tmp_path / "python.html")
    else:
        found = whyact.load(run).evaluate(root=place, report=tmp_path / "python.html")
    assert json.loads(json.dumps(found)) == metrics
    command, python = ((tmp_path / f"{name}.html").read_text() for name in ("command", "python"))
    assert command == python.replace("python-mistakes", "command-mistakes")


def test_a_watched_run_says_so_in_numbers_table_and_page(
    trained: Any, tmp_path: Path, capsys: Any, shown: list[EvaluatedRun]
) -> None:
    run, root = trained
    watched = tmp_path / "watched"
    checkpoint = load_checkpoint(run)
    card = {k: v for k, v in checkpoint.card.items() if not k.endswith("sha256") or k == "split_sha256"}
    card["extra"] = {**card["extra"], "watched_test": True}
    save_checkpoint(watched, checkpoint.tensors, checkpoint.config, card)
    assert was_watched(read_card(watched))
    assert not was_watched(read_card(run))
    assert (watched / CARD).is_file()
    assert main(["eval", str(watched), *root, "--report", str(tmp_path / "eval.html")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The test part was watched while this run trained: these figures are no results.\n")
    assert "watched_test" in said
    assert "Test part watched" in (tmp_path / "eval.html").read_text()
    assert mark_watched({"a": 1}, {"extra": {}}) == {"a": 1}
    assert list(mark_watched({"a": 1}, read_card(watched))) == ["watched_test", "a"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--against", "other"], "--against: expected --report FILE beside it"),
        (["--open"], "--open: expected --report FILE beside it"),
        (["--report", "x.html", "--parts", "x", "--shard", "1/2"], "no --shard beside it"),
        (["--report", "."], "--report"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path: Path, words: list[str], expected: str, capsys: Any) -> None:
    assert main(["eval", str(tmp_path), *words]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_runs_that_cannot_be_compared_are_refused(fake: Any, tmp_path: Path, capsys: Any) -> None:
    card = {"method": "fake", "data": "toy", "split_sha256": "0" * 64, "licence": "", "seed": 0}
    for name, method in (("a", "fake"), ("b", "laiar")):
        save_checkpoint(tmp_path / name, {"w": torch.zeros(2)}, {}, {**card, "method": method})
    page = tmp_path / "eval.html"
    assert main(["eval", str(tmp_path / "a"), "--report", str(page), "--against", str(tmp_path / "b")]) == 2
    assert "a run of laiar, expected a run of fake" in capsys.readouterr().err
    assert not page.exists()
    with pytest.raises(UserError, match="report=FILE beside it"):
        whyact.load(tmp_path / "a").evaluate(against=tmp_path / "b")


def test_runs_on_other_test_items_are_refused(tmp_path: Path) -> None:
    from whyact.training.evaluation_report import check_comparable

    first, second = SimpleNamespace(names=("a", "b")), SimpleNamespace(names=("b", "c"))
    with pytest.raises(UserError, match="2 test items, 1 of them among the 2 of the first run"):
        check_comparable(first, second, tmp_path)  # type: ignore[arg-type]
    check_comparable(first, first, tmp_path)  # type: ignore[arg-type]
