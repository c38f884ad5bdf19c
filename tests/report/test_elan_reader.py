"""The ELAN export, read by a reader that is not ours."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from sample_prediction import pick

from whyact import wording
from whyact.prediction import Evidence, Prediction, Segment
from whyact.report.elan import to_elan

elan = pytest.importorskip("pympi.Elan", reason="needs pympi-ling, of whyact[dev]")


def read(prediction: Prediction, folder: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Return tier -> (start ms, end ms, text), in order of time."""
    path = folder / "answer.eaf"
    path.write_text(to_elan(prediction), encoding="utf-8")
    file = elan.Eaf(str(path))
    return {
        tier: sorted((start, end, text) for start, end, text, *_ in file.get_annotation_data_for_tier(tier))
        for tier in file.get_tier_names()
    }


def ms(start: float, end: float) -> tuple[int, int]:
    return round(1000 * start), round(1000 * end)


def test_answer_evidence_and_relations_come_back_with_their_times(tmp_path: Path) -> None:
    prediction = pick(3)
    found = read(prediction, tmp_path)
    assert found["answer"] == [
        (0, round(1000 * prediction.video.duration), f"pick {wording.format_score(prediction.score)}"),
    ]
    evidence = [row for tier, rows in found.items() if tier.startswith("evidence") for row in rows]
    told = {text.split(". ", 1)[0]: (start, end) for start, end, text in evidence}
    assert told == {str(place): ms(e.start, e.end) for place, e in wording.number_evidence(prediction)}
    for place, e in wording.number_evidence(prediction):
        (text,) = (text for *_, text in evidence if text.startswith(f"{place}. "))
        assert text == wording.format_evidence_line(place, e)
        assert e.subject in text
    pairs = {" – ".join(wording.list_pair(t.subject, t.object)) for t in prediction.tracks}
    assert pairs <= set(found)
    for track in prediction.tracks:
        rows = found[" – ".join(wording.list_pair(track.subject, track.object))]
        for point in track.points[:-1]:
            at = round(1000 * point.time)
            (text,) = {text for start, end, text in rows if start <= at <= end} or {""}
            assert text == wording.format_label(point.label)


def test_overlaps_and_odd_letters_survive(tmp_path: Path) -> None:
    prediction = pick(1)
    prediction.segments = [
        Segment(start=0.5, end=2.0, label="a <b> & “c”", score=0.9),
        Segment(start=1.0, end=3.0, label="été\x00", score=0.5),
        Segment(start=2.0, end=2.5, label="a <b> & “c”", score=0.4),
    ]
    prediction.evidence = [Evidence(kind="neighbour", text="x", start=0, end=0, contribution=0.1, label="y")]
    found = read(prediction, tmp_path)
    assert found["answer"] == [(500, 2000, "a <b> & “c” 0.90"), (2000, 2500, "a <b> & “c” 0.40")]
    assert found["answer (2)"] == [(1000, 3000, "été 0.50")]
    assert not any(tier.startswith("evidence") for tier in found), "a known action has no place in time"


def test_the_reader_finds_the_video_and_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "answer.eaf"
    path.write_text(to_elan(pick(2)), encoding="utf-8")
    file = elan.Eaf(str(path))
    (media,) = file.get_linked_files()
    assert media["RELATIVE_MEDIA_URL"] == "./" + Path(pick(2).video.path).name
    for tier in file.get_tier_names():
        rows = sorted(file.get_annotation_data_for_tier(tier))
        assert all(end > start for start, end, *_ in rows)
        assert all(first[1] <= second[0] for first, second in pairwise(rows)), "no overlaps"
    file.to_file(str(tmp_path / "again.eaf"))
    again = elan.Eaf(str(tmp_path / "again.eaf"))
    names = list(file.get_tier_names())
    assert list(again.get_tier_names()) == names
    for tier in names:
        assert sorted(again.get_annotation_data_for_tier(tier)) == sorted(file.get_annotation_data_for_tier(tier))
