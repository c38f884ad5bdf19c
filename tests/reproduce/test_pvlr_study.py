"""The study of PVLR: its cells, its rows, its words."""

import msgspec
import pytest

from whyact.errors import UserError
from whyact.reproduce import pvlr
from whyact.reproduce.pvlr_references import snippet_labels
from whyact.reproduce.results import from_json


def fake(cells, function, folder, **_):
    return [{"avg_mAP": 50.0 + c["seed"], "mAP_50": 40.0, "classification_mAP": 90.0, "split": "x"} for c in cells]


def test_the_oracle_loses_nothing_on_the_generated_world():
    params = {"table": "synthetic", "row": "oracle", "seed": 0, "root": None}
    found = pvlr.cell({**params, "config": msgspec.to_builtins(pvlr.settings("oracle"))})
    assert found["avg_mAP"] == pytest.approx(100)


def test_an_untrained_network_finds_next_to_nothing():
    params = {"table": "synthetic", "row": "untrained", "seed": 0, "root": None}
    found = pvlr.cell({**params, "config": msgspec.to_builtins(pvlr.settings("untrained"))})
    assert found["avg_mAP"] <= 3


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
    monkeypatch.setattr(pvlr, "run_cells", fake)
    pvlr.run(root=tmp_path, out=tmp_path / "results", as_json=True)
    document = from_json(capsys.readouterr().out)
    assert (tmp_path / "results" / "pvlr.json").is_file()
    for table, seeds in (("synthetic", 3), ("gym", 5)):
        found = {row.row: row for row in document.rows if row.table == table and row.metric == "avg_mAP"}
        assert {"full", "mil-only", "untrained", "oracle", "negative-control", "per-snippet-labels"} <= found.keys()
        assert found["full"].n == seeds
    assert all("composed" in row.note for row in document.rows if row.table == "gym")
    published = {row.row: row for row in document.rows if row.table == "published-thumos14"}
    assert {name: row.paper for name, row in published.items()} == {
        "best": 50.27,
        "last": 48.47,
        "mean-of-last-20": 48.6,
    }
    assert str(tmp_path) not in (tmp_path / "results" / "pvlr.json").read_text()


def test_quick_is_one_generated_world_and_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pvlr, "run_cells", fake)
    monkeypatch.chdir(tmp_path)
    pvlr.run(root=None, quick=True, as_json=True)
    document = from_json(capsys.readouterr().out)
    assert document.header.seeds == [0]
    assert {row.table for row in document.rows} == {"synthetic", "published-thumos14"}
    assert not list(tmp_path.iterdir())


def test_the_whole_study_needs_a_root():
    with pytest.raises(UserError, match="gym-i3d"):
        pvlr.run(root=None)
