"""The report as its reader gets it: the HTML is parsed and asked what it says."""

from __future__ import annotations

import ast
import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
import sample_prediction as sample
from hypothesis import given, settings
from hypothesis import strategies as st
from parsed_page import Page

import whyact.report
from whyact.errors import UserError
from whyact.prediction import Curve, Evidence, Prediction, Table
from whyact.report import render, write_report

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(40))


def everything() -> list[Prediction]:
    return [sample.pick(8), sample.frames(), sample.snippets(), sample.empty()]


def test_the_page_needs_nothing_from_outside() -> None:
    html = render(everything(), stills={("kitchen-07/pick-3", 37): JPEG})
    for _, attrs, _, _ in Page(html).elements:
        for key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert key not in attrs or attrs[key].startswith(("#", "data:"))
    assert "//" not in re.sub(r"data:image/jpeg;base64,[\w+/=]*", "", html)
    assert "@import" not in html
    assert "url(" not in html


def test_the_answer_and_its_reason_stand_first() -> None:
    page = Page(render([sample.pick(8)]))
    assert page.text("h1") == "pick"
    assert page.text("p", class_="score").startswith("0.93")
    assert page.text("p", class_="because") == (
        "Because hand_1 went from not holding cup_1 to holding cup_1 between 1.2 s and 1.5 s; "
        "without it the score of pick falls from 0.93 to 0.21."
    )


# A note without slashes: of a path a shared page keeps the file's name alone, which tests/report tests by itself.
@given(st.text(), st.text(min_size=1), st.text(st.characters(exclude_characters="/\\"), min_size=1))
@settings(max_examples=12, deadline=None)
def test_any_name_is_shown_as_text(label: str, subject: str, note: str) -> None:
    prediction = sample.pick(2)
    prediction.labels[0].label = label
    prediction.tracks[0].subject = prediction.evidence[0].subject = f"<script>{subject}"
    prediction.notes = [note]
    page = Page(render([prediction]))
    assert len(page.all("script")) == 1
    assert page.text("h1") == (" ".join(label.replace("_", " ").split()) or "No answer")
    assert " ".join(f"<script>{subject}".split()) in page.text("p", class_="because")
    assert " ".join(note.split()) in page.text("p", class_="callout")


def test_attributes_cannot_be_broken_out_of() -> None:
    prediction = sample.snippets()
    prediction.segments[0].label = '"><script>alert(1)</script>'
    prediction.curves[0].name = "</title></svg><script>alert(1)</script>"
    prediction.provenance.versions = {"<img src=x onerror=alert(1)>": "1"}
    html = render([prediction])
    assert len(Page(html).all("script")) == 1
    assert not Page(html).all("img")
    assert "alert(1)</script>" not in html


def test_the_least_prediction_and_no_prediction_still_make_a_page() -> None:
    page = Page(render([sample.empty()]))
    assert page.text("h1") == "No answer"
    assert page.text("p", class_="because") == "No evidence is recorded for this answer."
    assert "There is no prediction to report." in Page(render([])).text("main")


def test_many_lanes_stay_small() -> None:
    assert len(render([sample.pick(28)]).encode()) < 400_000


@pytest.mark.parametrize("predictions", [[sample.pick(8)], everything()], ids=["one", "several"])
def test_headings_ids_and_drawings_are_in_order(predictions: list[Prediction]) -> None:
    page = Page(render(predictions))
    levels = [int(tag[1]) for tag, _, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [attrs["id"] for _, attrs, _, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    titles = {attrs["id"]: text for attrs, text in page.all("title") if "id" in attrs}
    for attrs, _ in page.all("svg"):
        if attrs.get("aria-hidden") == "true":
            continue  # tokens, which the page has in numbers too
        assert attrs["role"] == "img"
        assert titles[attrs["aria-labelledby"]].strip()
    for attrs, _ in page.all("a"):
        assert attrs["href"].removeprefix("#") in ids
    for attrs, _ in page.all("div", class_="strip"):
        assert attrs.get("data-tokens", ids[0]) in ids


def test_several_predictions_have_an_index() -> None:
    page = Page(render(everything()))
    rows = [" ".join(text.split()) for _, text in page.all("a")]
    assert len(rows) == 4
    assert "pick" in rows[0]
    assert "hand_1 – cup_1: not holding → holding, 1.2 – 1.5 s" in rows[0]
    assert "unsure, wrong" in rows[1]


def test_numbers_that_are_not_finite_never_reach_the_page() -> None:
    prediction = sample.pick(4)
    prediction.labels[1].score = math.nan
    prediction.evidence[1].contribution = math.nan
    prediction.evidence[2].similarity = math.inf
    prediction.tracks[0].points[2].similarity = math.nan
    prediction.tracks[0].points[4].subject_box = (math.nan, 0.0, 1.0, 1.0)
    prediction.tracks[1].points[0].time = math.nan
    prediction.curves = [Curve(name="c", times=[0.0, 1.0, 2.0], values=[0.1, math.nan, math.inf])]
    page = Page(render([prediction]))
    words = re.findall(r"\b(?:nan|inf)\b", page.text("main").lower())
    words += [v for _, attrs, _, _ in page.elements for v in attrs.values() if re.search(r"\b(nan|inf)\b", v.lower())]
    assert not words


def test_scores_list_the_ten_best_and_the_target_after_them() -> None:
    prediction = sample.pick(1)
    prediction.target = "pour"
    rows = [" ".join(text.split()) for attrs, text in Page(render([prediction])).all("ol", class_="scores")]
    assert re.findall(r"[a-z]+ annotated place 11", rows[0]) == ["pour annotated place 11"]
    assert "microwave food" in rows[0]
    prediction.target = "pick"
    assert "pour" not in Page(render([prediction])).text("ol", class_="scores")


def test_the_evidence_table_has_every_row_in_rank_order() -> None:
    prediction = sample.pick(4)
    template = prediction.evidence[0]
    prediction.evidence = [
        Evidence(**{**{f: getattr(template, f) for f in template.__struct_fields__}, "rank": r, "contribution": 1 / r})
        for r in range(40, 0, -1)
    ]
    page = Page(render([prediction]))
    tables = [text.split() for _, text in page.all("table", class_="evidence")]
    ranks = [int(text) for attrs, text in page.all("td", role="cell") if text.strip().isdigit()]
    assert ranks == list(range(1, 13))
    assert len(tables) == 1
    (tail,) = [element for element in page.elements if element[1].get("class") == "lines"]
    assert tail[1]["start"] == "13"  # the long tail is folded away, a line each
    assert "".join(tail[2]).count("hand_1 – cup_1 · not holding → holding") == 28
    assert "details" in tail[3]


def test_naming_is_left_out_where_nothing_was_named() -> None:
    assert "Naming" in Page(render([sample.pick(1)])).text("main")
    assert "Naming" not in Page(render([sample.snippets()])).text("main")


def test_the_file_is_written_whole_and_folders_are_made(tmp_path: Path) -> None:
    path = write_report([sample.pick(2)], tmp_path / "a" / "b" / "report.html")
    assert path.read_text(encoding="utf-8") == render([sample.pick(2)])
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("whyact.report.page.os.replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_report([sample.pick(2)], path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder"):
        write_report([sample.empty()], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_report([sample.empty()], tmp_path / "file" / "report.html")


def test_a_still_that_is_not_a_jpeg_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    stills = {("kitchen-07/pick-3", 37): b"\x89PNG"}
    with pytest.raises(UserError, match=r"frame 37.*JPEG"):
        write_report([sample.pick(2)], tmp_path / "report.html", stills=stills)
    assert not list(tmp_path.iterdir())


def test_rendering_changes_nothing_and_repeats_itself() -> None:
    first, second = sample.pick(8), sample.pick(8)
    assert render([first]) == render([second]) == render([first])
    assert first == second


def test_the_report_knows_only_predictions_and_the_lowest_floor() -> None:
    folder = Path(whyact.report.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            own = [name for name in names if name.startswith("whyact")]
            below = ("prediction", "errors", "exports", "files", "report", "wording", "sentences")
            assert all(name == "whyact" or name.split(".")[1] in below for name in own), file


def test_every_token_can_be_read_in_numbers_without_a_script() -> None:
    prediction = sample.pick(5)
    page = Page(render([prediction]))
    for track in prediction.tracks:
        lines = next(text for attrs, text in page.all("pre") if attrs.get("id") == f"p1-t{track.slot}").splitlines()
        assert len(lines) == 1 + len(track.points)
        for p, line in zip(track.points, lines[1:], strict=True):
            cells = [f"{p.time:g} s", f"{p.frame}", p.label.replace("_", " "), "yes" if p.kept else "no"]
            cells += [f"{x:.2f}" for x in (p.keep_probability, p.similarity, p.margin)]
            assert line.split("\t") == cells


def test_tables_of_a_method_stand_in_the_answer_escaped() -> None:
    prediction = sample.pick(2)
    rows: list[list[str | int | float]] = [["pour_coffee", 3, 0.51234], ["<b>", 1, -0.25]]
    prediction.tables = [Table(title="Names that move", columns=["label", "rank", "share"], rows=rows, text="Why.")]
    page = Page(render([prediction]))
    cells = ["".join(parts) for tag, _, parts, _ in page.elements if tag in ("th", "td")]
    first = cells.index("rank") - 1
    assert cells[first : first + 9] == ["label", "rank", "share", "pour coffee", "3", "0.51", "<b>", "1", "−0.25"]
    assert Page(render([sample.pick(2)])).text("body").count("Names that move") == 0
