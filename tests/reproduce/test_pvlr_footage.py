"""Untrimmed videos of real films: exact times, nothing of one group on both sides, order where there is one."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whyact.cli import main
from whyact.errors import UserError
from whyact.reproduce import grid, pvlr, pvlr_footage
from whyact.reproduce.pvlr_footage import Film, compose
from whyact.reproduce.results import from_json


def films(table: str, groups: int = 10) -> list[Film]:
    """Return films whose rows name them: (film's number, row within the film)."""
    labels = ("fight", "play") if table == "hockey" else tuple(f"Step_{i}" for i in range(1, 6))
    out = []
    for group in range(groups):
        for place, label in enumerate(labels):
            number = len(out)
            rows = np.array([[number, t] for t in range(3 + number % 3)], dtype=np.float32)
            out.append(Film(f"film{number}", label, f"g{group}", place, rows))
    return out


@pytest.mark.parametrize(("table", "seconds"), [("hockey", 0.32), ("handwash", 0.64)])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_snippet_lies_in_a_segment_of_its_film_and_no_group_is_on_both_sides(
    table: str, seconds: float, seed: int
) -> None:
    made = films(table)
    split = compose(table, made, seed)
    groups = []
    for side in (split.train, split.test):
        groups.append({made[int(n)].group for video in side for n in video.features[:, 0]})
        for video in side:
            assert [end for _, end, _ in video.segments[:-1]] == [start for start, _, _ in video.segments[1:]]
            assert video.segments[-1][1] == pytest.approx(len(video.features) * seconds)
            for moment, number in zip(video.times + seconds / 2, video.features[:, 0], strict=True):
                (label,) = [c for start, end, c in video.segments if start <= moment < end]
                assert split.classes[label] == made[int(number)].label.replace("_", " ").lower()
            assert set(video.target) == {c for *_, c in video.segments}
    assert not groups[0] & groups[1]
    assert compose(table, made, seed).sha256 == split.sha256
    assert compose(table, made, seed + 7).sha256 != split.sha256


def test_steps_of_a_recording_keep_their_order() -> None:
    made = films("handwash")
    for video in compose("handwash", made, 3).train:
        numbers = list(dict.fromkeys(int(n) for n in video.features[:, 0]))
        assert all(made[a].group == made[b].group and made[b].place == made[a].place + 1 for a, b in pairwise(numbers))


def test_a_class_without_a_film_on_one_side_is_refused() -> None:
    lonely = [f for f in films("hockey") if f.label == "play" or f.group == "g0"]
    with pytest.raises(UserError, match="no film of fight"):
        compose("hockey", lonely, 0)


def test_the_study_needs_its_films(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "pvlr-footage"]) == 2
    assert "hockey/ and handwash/" in capsys.readouterr().err


def test_films_that_were_all_seen_need_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded: list[object] = []
    monkeypatch.setattr(pvlr_footage, "load_streams", lambda *given: loaded.append(given))
    monkeypatch.setattr(pvlr_footage, "extract", lambda *_: None)
    films = tmp_path / "hockey"
    records = pvlr_footage.RUNS / "hockey" / "videos"
    for folder in (films, records):
        folder.mkdir(parents=True)
    for name in ("a", "b"):
        (films / f"{name}.mp4").write_bytes(b"")
    (records / "a.json").write_bytes(b"{}")
    pvlr_footage._extract("hockey", films, progress=False)
    assert len(loaded) == 1, "one film was not seen"
    (records / "b.json").write_bytes(b"{}")
    pvlr_footage._extract("hockey", films, progress=False)
    assert len(loaded) == 1
    os.utime(films / "b.mp4", (4e9, 4e9))  # another film of that name
    pvlr_footage._extract("hockey", films, progress=False)
    assert len(loaded) == 2


def test_what_is_stored_is_written_without_a_look_at_the_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hockey").mkdir()
    monkeypatch.setattr(pvlr_footage, "_extract", lambda *_, **__: pytest.fail("films are read"))
    value = {"avg_mAP": 50.0, "mAP_50": 40.0, "classification_mAP": 90.0, "split": "x"}
    some = {("full", 0), ("full", 1), ("mil-only", 0), ("mil-only", 1), ("oracle", 1)}

    def stored(cells: list[dict[str, Any]], function: object, _: Path) -> list[dict[str, Any] | None]:
        if function is pvlr_footage.long_cell:
            return [{"avg_mAP": [60.0, 40.0]} if c["row"] == "full" and c["seed"] < 2 else None for c in cells]
        return [value if (c["row"], c["seed"]) in some else None for c in cells]

    monkeypatch.setattr(grid, "stored_cells", stored)
    assert (
        main(["reproduce", "pvlr-footage", "--root", str(tmp_path), "--stored", "--json", "--out", str(tmp_path)]) == 0
    )
    document = from_json(capsys.readouterr().out)
    counts = {row.row: row.n for row in document.rows if row.metric in ("avg_mAP", "avg_mAP difference")}
    assert counts == {"full": 2, "mil-only": 2, "oracle": 1, "hockey, full over mil-only": 2}
    (late,) = (row for row in document.rows if row.table == "plateau, hockey" and row.metric == "avg_mAP after 200")
    assert (late.row, late.mean, late.n) == ("full", 40.0, 2)
    assert "24 cells of the study are not done" in document.header.data


def test_a_long_training_on_footage_is_measured_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    made = [replace(film, rows=rows[film.rows[:, 0].astype(int) * 9]) for film in films("hockey")]
    monkeypatch.setattr(pvlr_footage, "read_films", lambda *_: made)
    monkeypatch.setattr(pvlr, "PLATEAU_ITERATIONS", 100)
    monkeypatch.setattr(pvlr, "PLATEAU_EVERY", 50)
    config = {**pvlr.long_settings("mil-only"), "text": "stand-in"}  # the words' own encoder is an extra
    found = pvlr_footage.long_cell({"table": "hockey", "seed": 0, "root": "films", "config": config})
    assert len(found["avg_mAP"]) == 2
    assert all(0 <= value <= 100 for value in found["avg_mAP"])
