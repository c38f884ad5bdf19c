"""The study of PVLR: its cells, its rows, its words."""

from dataclasses import replace

import msgspec
import pytest

from whyact.data.datasets import load_features
from whyact.errors import UserError
from whyact.pvlr import config as pvlr_config
from whyact.pvlr.config import PRESETS
from whyact.pvlr.sets import resolve
from whyact.reproduce import grid, pvlr
from whyact.reproduce.pvlr_references import snippet_labels
from whyact.reproduce.results import from_json
from whyact.reproduce.study import Study


def tiny_world():
    """Return eight short generated videos, four a side."""
    split = load_features("synthetic", None, 0)
    return replace(split, train=split.train[:8], test=split.test[:4])


def fake(cells, function, folder, **_):
    if function is pvlr.long_cell:
        return [{"avg_mAP": [10.0 + c["seed"], 20.0, 30.0]} for c in cells]
    return [{"avg_mAP": 50.0 + c["seed"], "mAP_50": 40.0, "classification_mAP": 90.0, "split": "x"} for c in cells]


def test_the_oracle_loses_nothing_on_the_generated_world():
    params = {"table": "synthetic", "row": "oracle", "seed": 0, "root": None}
    found = pvlr.cell({**params, "config": msgspec.to_builtins(pvlr.settings("oracle"))})
    assert found["avg_mAP"] == pytest.approx(100)


def test_an_untrained_network_finds_next_to_nothing():
    params = {"table": "synthetic", "row": "untrained", "seed": 0, "root": None}
    found = pvlr.cell({**params, "config": msgspec.to_builtins(pvlr.settings("untrained"))})
    assert found["avg_mAP"] <= 6  # all classes are proposed in all videos: some stretches are right by chance


def test_snippets_are_labelled_by_their_centre():
    split = pvlr.load_features("synthetic", None, 0)
    video = split.test[0]
    labels = snippet_labels(video, 8)
    for start, end, c in video.segments:
        inside = labels[round(start * video.rate) : round(end * video.rate)]
        assert set(inside.tolist()) == {c}
    covered = sum(round((end - start) * video.rate) for start, end, _ in video.segments)
    assert (labels < 8).sum() == covered


def test_rows_differ_from_full_in_what_they_say():
    full, mil = pvlr.settings("full").loss, pvlr.settings("mil-only").loss
    changed = {name for name in full.__dataclass_fields__ if getattr(full, name) != getattr(mil, name)}
    assert changed == set(pvlr.MIL_ONLY)
    assert mil.classification == full.classification
    assert pvlr.settings("negative-control").loss.distillation == 0
    assert pvlr.settings("no-sampling").model.noise == 0
    assert pvlr.settings("official").loss.inner > pvlr.settings("official").loss.outer


def test_the_whole_document_has_both_tables_and_the_published_numbers_apart(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(grid, "run_cells", fake)
    pvlr.run(Study(root=tmp_path, out=tmp_path / "results", as_json=True))
    document = from_json(capsys.readouterr().out)
    assert (tmp_path / "results" / "pvlr.json").is_file()
    for table, seeds in (("synthetic", 3), ("gym", 10)):
        found = {row.row: row for row in document.rows if row.table == table and row.metric == "avg_mAP"}
        assert {"full", "mil-only", "untrained", "oracle", "negative-control", "per-snippet-labels"} <= found.keys()
        assert found["full"].n == seeds
    (gain,) = (row for row in document.rows if row.row == "gym, full over mil-only")
    assert (gain.table, gain.mean, gain.n) == ("paired gains", 0.0, 10)
    (term,) = (row for row in document.rows if row.row == "gym, full over official")
    assert term.n == pvlr.FEWER, "pairs are of the splits that both rows have"
    for table in ("plateau, synthetic", "plateau, gym"):
        long = {row.metric: row for row in document.rows if row.table == table and row.row == "official"}
        assert {name: row.mean for name, row in long.items()} == {
            "avg_mAP after 100": 12.0, "avg_mAP after 200": 20.0, "avg_mAP after 300": 30.0,
        }  # fmt: skip
    assert all("composed" in row.note for row in document.rows if row.table == "gym")
    published = {row.row: row for row in document.rows if row.table == "published-thumos14"}
    assert {name: row.paper for name, row in published.items()} == {
        "best": 50.27,
        "last": 48.47,
        "mean-of-last-20": 48.6,
    }
    assert str(tmp_path) not in (tmp_path / "results" / "pvlr.json").read_text()


def test_a_gain_is_bounded_pair_by_pair():
    full, theirs = ({seed: {"avg_mAP": v} for seed, v in enumerate(of)} for of in ((5.0, 7.0, 12.0), (4.0, 5.0, 9.0)))
    (row,) = pvlr.paired("gym", "mil-only", {**full, 8: {"avg_mAP": 0.0}}, {9: {"avg_mAP": 99.0}, **theirs})
    assert (row.mean, row.n) == (2.0, 3)
    half = 4.3026527 * 1.0 / 3**0.5  # t of 2 degrees of freedom, sd of 1, 2, 3
    assert f"interval {2 - half:+.1f} to {2 + half:+.1f}" in row.note
    assert "better in 3 of 3" in row.note
    assert pvlr.paired("gym", "mil-only", {0: full[0]}, theirs) == []


def test_what_is_stored_is_written_and_what_lacks_is_counted(monkeypatch, tmp_path, capsys):
    def some(cells, function, folder):
        found = fake(cells, function, folder)
        kept = {"full": 10, "mil-only": 4}  # so many seeds of these rows on gym, and nothing else
        return [
            r if c.get("table") == "gym" and c["seed"] < kept.get(c["row"], 0) else None
            for c, r in zip(cells, found, strict=True)
        ]

    monkeypatch.setattr(grid, "stored_cells", some)
    pvlr.run(Study(root=tmp_path, as_json=True, stored=True))
    document = from_json(capsys.readouterr().out)
    assert {(row.table, row.row): row.n for row in document.rows if row.metric == "avg_mAP" and row.table == "gym"} == {
        ("gym", "full"): 10, ("gym", "mil-only"): 4,
    }  # fmt: skip
    (gain,) = (row for row in document.rows if row.table == "paired gains")
    assert gain.n == 4
    assert document.header.command.endswith("--stored")
    everything = len(pvlr._cells(tmp_path, False, None)) + len(pvlr._long_cells(tmp_path, None))
    monkeypatch.setattr(grid, "stored_cells", lambda cells, *_: [None] * len(cells))
    with pytest.raises(UserError, match="stored"):
        pvlr.run(Study(root=tmp_path, stored=True))
    assert f"{everything - 14} cells of the study are not done" in document.header.data


def test_a_row_without_a_term_lacks_that_term_alone():
    full = pvlr.settings("full").loss
    for row, names in pvlr.TERMS.items():
        loss = pvlr.settings(row).loss
        assert {name for name in full.__dataclass_fields__ if getattr(full, name) != getattr(loss, name)} == set(names)


def test_a_long_training_is_measured_on_the_way(monkeypatch):
    monkeypatch.setattr(pvlr, "PLATEAU_ITERATIONS", 100)
    monkeypatch.setattr(pvlr, "PLATEAU_EVERY", 50)
    monkeypatch.setattr(pvlr, "load_features", lambda *_: tiny_world())
    found = pvlr.long_cell({"row": "mil-only", "seed": 0, "config": pvlr.long_settings("mil-only")})
    assert len(found["avg_mAP"]) == 2
    assert all(0 <= value <= 100 for value in found["avg_mAP"])


def test_a_cell_is_known_by_every_number_it_is_trained_with(monkeypatch):
    """No preset's own iterations stand for those of the small size: a change of either is another cell."""
    split = load_features("synthetic", None, 0)
    for row, preset in (("full", "default"), ("official", "official")):
        config = pvlr.settings(row)
        assert resolve(config, split).train == config.train == resolve(PRESETS[preset], split).train
        assert resolve(config, split).loss == config.loss == resolve(PRESETS[preset], split).loss
    monkeypatch.setitem(pvlr_config._SMALL["train"], "iterations", 77)
    assert {c["config"]["train"]["iterations"] for c in pvlr._cells(None, True, None)} == {77}


def test_quick_is_one_generated_world_and_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(grid, "run_cells", fake)
    monkeypatch.chdir(tmp_path)
    pvlr.run(Study(quick=True, as_json=True))
    document = from_json(capsys.readouterr().out)
    assert document.header.seeds == [0]
    assert {row.table for row in document.rows} == {"synthetic", "published-thumos14"}
    assert not list(tmp_path.iterdir())


def test_the_whole_study_needs_a_root():
    with pytest.raises(UserError, match="gym-i3d"):
        pvlr.run(Study())
