"""The official Charades CSVs: what they may hold, and what is said to a broken one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from action_genome_layout import CLASS_LINES, CSV_HEADER, row, write_charades

from whyact.data.relations import charades
from whyact.errors import UserError

REAL = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "charades"


def read(root: Path, rows: list[str]) -> charades.Video:
    return charades.read(write_charades(root, train=rows)).train[0]


def test_a_row_with_everything(tmp_path: Path) -> None:
    video = read(tmp_path, [row("AAAA1", "c002 1.00 2.00;c000 0.00 99.00;c000 3.00 4.00")])
    assert video.script == 'A person, with a "cup".'
    assert video.descriptions == ("Somebody stands", "then sits, slowly.")
    assert video.intervals == ((2, 1.0, 2.0), (0, 0.0, 99.0), (0, 3.0, 4.0))  # an end beyond the length is kept
    assert (video.targets, video.length, video.quality, video.verified) == ((0, 2), 10.5, 6.0, True)


def test_empty_actions_and_absent_ratings(tmp_path: Path) -> None:
    video = read(tmp_path, [row("AAAA1", "", quality="", relevance="-100", verified="No")])
    assert (video.intervals, video.targets, video.quality, video.relevance) == ((), (), None, None)
    assert not video.verified


def test_a_quoted_field_may_run_over_lines_and_errors_name_the_line_it_ends_on(tmp_path: Path) -> None:
    first = row("AAAA1", script='"one\ntwo\u2028three"')
    assert read(tmp_path, [first]).script == "one\ntwo\u2028three"
    with pytest.raises(UserError, match=r"train\.csv line 4, actions: found c9 1 2"):
        read(tmp_path, [first, row("BBBB9", "c9 1 2")])


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    root = write_charades(tmp_path)
    path = root / charades.TRAIN
    before = charades.read(root)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert charades.read(root) == before


def test_the_mapping_joins_the_classes(tmp_path: Path) -> None:
    root = write_charades(tmp_path)
    (root / charades.MAPPING).write_text("c001 o002 v001\nc000 o001 v000\nc002 o000 v002\n")
    assert [(a.name, a.object, a.verb) for a in charades.read(root).classes][:2] == [
        ("Holding a cup", "o001", "v000"),
        ("Opening a box", "o002", "v001"),
    ]


BROKEN: dict[str, tuple[str, str]] = {
    "unknown class": (row("AAAA1", "c003 1 2"), r"line 2, actions: found c003 1 2, expected a class c000 to c002"),
    "no end": (row("AAAA1", "c000 1"), "line 2, actions"),
    "word for a time": (row("AAAA1", "c000 1 soon"), "line 2, actions, 'c000 1 soon': found 'soon', expected seconds"),
    "infinite time": (row("AAAA1", "c000 1 inf"), "seconds"),
    "negative time": (row("AAAA1", "c000 -1 2"), "seconds"),
    "no length": (row("AAAA1", length=""), "line 2, length"),
    "nan length": (row("AAAA1", length="nan"), "line 2, length"),
    "rating": (row("AAAA1", quality="8"), "line 2, quality: found '8'"),
    "verified": (row("AAAA1", verified="maybe"), "Yes or No"),
    "path for an id": (row("../../x"), "line 2, id"),
    "twelve fields": (row("AAAA1") + ",more", "line 2: found 12 fields"),
    "open quotation": (row("AAAA1", script='"never closed'), "train.csv line"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_row_is_named(tmp_path: Path, name: str) -> None:
    text, said = BROKEN[name]
    with pytest.raises(UserError) as caught:
        read(tmp_path, [text])
    assert charades.TRAIN in str(caught.value)
    assert said in str(caught.value)


def spoil(name: str, text: str | bytes) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(text if isinstance(text, bytes) else text.encode()) and None


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no header": (spoil(charades.TRAIN, row("AAAA1") + "\n"), "line 1"),
    "columns in another order": (
        spoil(charades.TRAIN, CSV_HEADER.replace("id,subject", "subject,id") + "\n"),
        "line 1",
    ),
    "empty list": (spoil(charades.TRAIN, ""), "line 1"),
    "header alone": (spoil(charades.TEST, CSV_HEADER + "\n"), "at least one video"),
    "a video twice": (spoil(charades.TRAIN, "\n".join([CSV_HEADER, row("A"), row("A")])), "line 3: found 'A'"),
    "a video in both lists": (spoil(charades.TEST, "\n".join([CSV_HEADER, row("AAAA1")])), "test.csv: found 'AAAA1'"),
    "not text": (spoil(charades.TRAIN, b"id,\xff\xfe"), "UTF-8"),
    "no list": (lambda root: (root / charades.TEST).unlink(), "Charades_v1_test.csv"),
    "no classes": (spoil(charades.CLASSES, "\n"), "at least one class"),
    "a class missing": (spoil(charades.CLASSES, "\n".join([CLASS_LINES[0], CLASS_LINES[2]])), "line 2"),
    "a class without a name": (spoil(charades.CLASSES, "c000"), "line 1"),
    "mapping of an unknown class": (spoil(charades.MAPPING, "c009 o1 v1"), "mapping.txt line 1"),
    "mapping with a hole": (spoil(charades.MAPPING, "c000 o1 v1"), "no line for c001"),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    root = write_charades(tmp_path)
    change, said = FILES[name]
    change(root)
    with pytest.raises(UserError) as caught:
        charades.read(root)
    assert said in str(caught.value)


@pytest.mark.skipif(not (REAL / charades.TRAIN).is_file(), reason="the Charades lists are not beside the repository")
def test_the_real_lists_read_completely() -> None:
    found = charades.summary(charades.read(REAL))
    assert (found["train"], found["test"], found["classes"], found["intervals"]) == (7985, 1863, 157, 66500)
    assert len(found["scenes"]) == 16  # type: ignore[arg-type]
    assert found["subjects_on_both_sides"] == 0
    assert (found["videos_without_action"], found["intervals_that_end_before_they_start"]) == (223, 7)
