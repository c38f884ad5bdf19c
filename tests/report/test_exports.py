"""Exports: read back by the rules of their formats, with names and numbers that try to break them."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import xml.etree.ElementTree as Xml
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_prediction import pick

from whyact.cli import main
from whyact.errors import UserError
from whyact.prediction import Evidence, LabelScore, Prediction, Segment, to_json
from whyact.report.elan import to_elan
from whyact.report.exports import export, to_csv, to_fiftyone, unique_names, write_exports
from whyact.report.webvtt import to_webvtt


def nasty() -> Prediction:
    """A prediction whose words are markup, formulas and control characters, with segments that overlap."""
    p = pick(3)
    p.id = "=cmd()"
    p.labels = [LabelScore(label="<b>&\"'\x01", score=0.5), LabelScore(label="+1", score=-0.25)]
    p.segments = [
        Segment(start=2.0, end=4.0, label="b & <c>", score=0.7),
        Segment(start=0.0, end=3.0, label="a --> b", score=0.8, interval=(0.1, 0.2)),
        Segment(start=3.0, end=3.0, label="a --> b", score=0.1),
    ]
    return p


class TestTable:
    def test_every_fact_is_a_row(self) -> None:
        p = nasty()
        rows = list(csv.DictReader(io.StringIO(to_csv([p, pick(2)]))))
        assert len(rows) == sum(len(q.labels) + len(q.segments) + len(q.evidence) for q in (p, pick(2)))
        own = [r for r in rows if r["id"] == "'=cmd()"]
        first = min(p.evidence, key=lambda e: e.rank or 99)
        found = next(r for r in own if r["row"] == "transition")
        assert (found["from_state"], found["to_state"]) == (first.from_state, first.to_state)
        assert float(found["contribution"]) == first.contribution
        assert [float(r["start"]) for r in own if r["row"] == "segment"] == [0.0, 2.0, 3.0]

    def test_no_cell_of_text_is_a_formula_and_numbers_stay_numbers(self) -> None:
        rows = list(csv.DictReader(io.StringIO(to_csv([nasty()]))))
        assert {r["label"] for r in rows if r["row"] == "action"} == {"<b>&\"'\x01", "'+1"}
        assert float(next(r for r in rows if r["label"] == "'+1")["score"]) == -0.25


@pytest.mark.parametrize("names", [["clip", "clip-2", "clip", "clip-2"], ["clip-2", "clip", "clip", "clip"]])
def test_the_same_films_of_two_runs_never_write_one_file(names: list[str], tmp_path: Path) -> None:
    answers = []
    for name in names:
        p = pick(2)
        p.id = p.video.path = f"{name}.mp4"
        answers.append(p)
    written = write_exports(answers, "vtt", tmp_path)
    assert len({*written}) == len(list(tmp_path.iterdir())) == 4
    assert [path.stem[: len(name)] for path, name in zip(written, names, strict=True)] == names


class TestElan:
    def test_each_tier_has_a_name_of_its_own(self) -> None:
        p = pick(3)
        p.tracks += [msgspec.structs.replace(track, slot=90 + track.slot) for track in p.tracks]
        p.tracks.append(msgspec.structs.replace(p.tracks[0], slot=89, subject="answer", object="answer"))
        titles = [tier.get("TIER_ID") for tier in Xml.fromstring(to_elan(p).encode()).iter("TIER")]
        assert len(set(titles)) == len(titles)
        assert {"answer", "answer (2)", "evidence"} <= {*titles}

    def test_the_document_is_whole(self) -> None:
        """As its schema asks: unique ids, references that resolve, rising times, no overlap within a tier."""
        for p in (nasty(), pick(8)):
            root = Xml.fromstring(to_elan(p).encode())
            assert [child.tag for child in root][:2] == ["HEADER", "TIME_ORDER"]
            slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.iter("TIME_SLOT")}
            assert list(slots.values()) == sorted(slots.values())
            ids = [a.get("ANNOTATION_ID") for a in root.iter("ALIGNABLE_ANNOTATION")]
            assert len(set(ids)) == len(ids) > 0
            assert root.findtext("HEADER/PROPERTY") == str(len(ids))
            names = [tier.get("TIER_ID") for tier in root.iter("TIER")]
            assert len(set(names)) == len(names)
            types = {t.get("LINGUISTIC_TYPE_ID") for t in root.iter("LINGUISTIC_TYPE")}
            for tier in root.iter("TIER"):
                assert tier.get("LINGUISTIC_TYPE_REF") in types
                spans = [
                    (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")])
                    for a in tier.iter("ALIGNABLE_ANNOTATION")
                ]
                assert all(a < b for a, b in spans)
                assert all(b[0] >= a[1] for a, b in itertools.pairwise(spans))

    def test_what_is_in_it(self) -> None:
        p = pick(3)
        root = Xml.fromstring(to_elan(p).encode())
        tiers = {tier.get("TIER_ID"): [v.text for v in tier.iter("ANNOTATION_VALUE")] for tier in root.iter("TIER")}
        assert tiers["answer"][0].startswith("pick 0.")
        assert "1. hand_1 – cup_1: not holding → holding (+0.72)" in tiers["evidence"]
        assert tiers["hand_1 – cup_1"] == ["not holding", "holding"]
        url = next(root.iter("MEDIA_DESCRIPTOR")).get("RELATIVE_MEDIA_URL", "")
        assert re.fullmatch(r"\./[^/]+", url)


def test_fiftyone_labels_have_the_documented_form() -> None:
    p, q = nasty(), pick(2)
    p.video.path, q.video.path = "clips/one.mp4", "other/one.mp4"
    q.video.start = 0.25  # its sound starts first
    found = json.loads(to_fiftyone([p, q]))
    assert set(found) == {"classes", "labels"}
    assert set(found["labels"]) == {"clips/one", "other/one"}  # two videos of one name stay two
    for own in found["labels"].values():
        for one in own:
            assert found["classes"][one["label"]]
            start, end = one["timestamps"]
            assert 0 <= start <= end
            assert set(one) <= {"label", "timestamps", "confidence", "attributes"}
    kinds = [one["attributes"]["kind"] for one in found["labels"]["clips/one"]]
    assert kinds.count("answer") == 3
    assert kinds.count("transition") == sum(e.kind == "transition" for e in p.evidence)
    answer = found["labels"]["other/one"][0]
    assert (answer["timestamps"], answer["confidence"]) == ([0.25, q.video.duration], q.score)


def test_subtitles_with_evidence() -> None:
    p = pick(3)
    p.labels[0].score = 0.996
    p.evidence.append(msgspec.structs.replace(p.evidence[1], contribution=0.019, rank=4))
    text = to_webvtt(p, evidence=True)
    cues = re.findall(r"^(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})$", text, re.M)
    assert "\npick 0.996\n" in text
    assert "\n2. head_1 – cup_1: apart → contacting (+0.06)\n" in text
    assert "\n4. " not in text  # worth too little to cover the picture
    assert len(cues) == len(p.evidence)
    for h, m, s, h2, m2, s2 in cues:
        assert 3600 * int(h) + 60 * int(m) + float(s) < 3600 * int(h2) + 60 * int(m2) + float(s2)
    assert to_webvtt(p) == "WEBVTT\n"  # without segments and unasked, nothing else


def test_an_answer_about_nothing_is_exported_all_the_same() -> None:
    empty = msgspec.structs.replace(pick(2), labels=[], evidence=[], tracks=[], segments=[], curves=[])
    for kind in ("csv", "vtt", "eaf", "fiftyone"):
        assert export([empty], kind)
    neighbour = Evidence(kind="neighbour", text="x", start=0, end=0, contribution=0.1, label="run")
    assert "ALIGNABLE_ANNOTATION" not in to_elan(msgspec.structs.replace(empty, evidence=[neighbour]))


def test_one_file_a_video_where_a_format_holds_one(tmp_path: Path) -> None:
    p, q = pick(2), pick(2)
    p.id, q.id = "a/one", "b/one"
    with pytest.raises(UserError, match="a file of eaf is about one video"):
        export([p, q], "eaf")
    out = tmp_path / "out"
    assert write_exports([p, q], "eaf", out) == [out / "a" / "one.eaf", out / "b" / "one.eaf"]
    assert write_exports([p, q], "csv", tmp_path / "t.csv") == [tmp_path / "t.csv"]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a.b", "c"]), min_size=1, max_size=3), max_size=6))
def test_names_of_inputs_are_unique_and_do_not_depend_on_the_order(parts: list[list[str]]) -> None:
    paths = sorted({"/".join(["films", *folders, last + end]) for *folders, last in parts for end in (".mp4", ".mkv")})
    names = unique_names(paths)
    assert len(set(names)) == len(paths)
    assert unique_names(paths[::-1]) == names[::-1]
    for path, name in zip(paths, names, strict=True):  # it says which file it means
        assert path.endswith((name, f"{name}.mp4", f"{name}.mkv"))
        assert ".." not in name


def test_names_of_inputs() -> None:
    assert unique_names(["d1/clip.npy", "d2/clip.npy"]) == ["d1/clip", "d2/clip"]
    assert unique_names(["d1/clip.npy"]) == ["clip"]
    assert unique_names(["x/a.mp4", "x/b.mp4"]) == ["a", "b"]
    assert unique_names(["a.mp4", "a.mkv", "b.mp4"]) == ["a.mp4", "a.mkv", "b"]
    assert unique_names(["../a.mp4", "./a.mp4", "a.mp4"])[1:] == [f"{Path.cwd().name}/a"] * 2


def test_every_export_of_several_inputs_keeps_them_apart(tmp_path: Path) -> None:
    p, q = pick(2), pick(3)
    p.video.path, q.video.path = "d1/clip.mp4", "d2/clip.mp4"
    p.id = q.id = "clip"
    assert {row["id"] for row in csv.DictReader(io.StringIO(to_csv([p, q])))} == {"d1/clip", "d2/clip"}
    for kind in ("vtt", "eaf"):
        files = write_exports([p, q], kind, tmp_path)
        assert files == [tmp_path / "d1" / f"clip.{kind}", tmp_path / "d2" / f"clip.{kind}"]
        assert all(file.is_file() for file in files)
    p.id, q.id, q.video.path = "clip/1-8", "clip/9-20", p.video.path  # two clips of one video: one file for FiftyOne
    found = json.loads(to_fiftyone([p, q]))["labels"]
    assert list(found) == ["clip"]
    assert len(found["clip"]) == sum(len(x.evidence) + max(1, len(x.segments)) for x in (p, q))


@pytest.mark.parametrize(
    ("kind", "out"),
    [("csv", "p.csv"), ("vtt", "p.vtt"), ("eaf", "p.eaf"), ("fiftyone", "p-fiftyone/labels.json"), ("html", "p.html")],
)
def test_the_verb_writes_beside_its_input(
    kind: str, out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.json").write_text(to_json([pick(2)]), encoding="utf-8")
    assert main(["report", str(tmp_path / "p.json"), "--export", kind]) == 0
    assert capsys.readouterr().out == f"{'report' if kind == 'html' else kind}: {tmp_path / out}\n"
    assert (tmp_path / out).stat().st_size > 100
    assert main(["report", str(tmp_path / "p.json"), "--export", "doc"]) == 2
    assert "one of html, csv" in capsys.readouterr().err
