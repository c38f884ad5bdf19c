"""CSV files and label lists: every dialect that people save is read alike, or refused with the line."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.data.io.tables import read_label_names, read_table, refuse_alike, spelling
from whyact.data.relations.clip_folder import list_clips
from whyact.data.untrimmed.feature_files import read_labels
from whyact.errors import UserError

ROWS = [("monday", "pour;stir", "train"), ("tuesday", "listen (e.g., to music)", "val"), ("d1/clip", 'a "b"', "")]
READ = [{"name": a, "labels": b, "subset": c} for a, b, c in ROWS]
ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be with a mark": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16-le without a mark": lambda text: text.encode("utf-16-le"),
}


def table(delimiter: str = ",", newline: str = "\n", header: tuple[str, ...] = ("name", "labels", "subset")) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    writer.writerows([header, *ROWS])
    return out.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_dialect_is_read_alike(tmp_path: Path, encoding: str, delimiter: str, newline: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(ENCODINGS[encoding](table(delimiter, newline)))
    rows = read_table(path, ("name", "labels"), ("subset",))
    assert [row.values for row in rows] == READ
    assert [row.line for row in rows] == [2, 3, 4]


def test_the_headers_case_and_spaces_empty_lines_and_empty_columns_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(" Name , LABELS,\n\n a , x ,,\n,,\nb,y\n")
    rows = read_table(path, ("name", "labels"), ("subset",))
    assert [(row.line, row["name"], row["labels"], row["subset"]) for row in rows] == [
        (3, "a", "x", ""),
        (5, "b", "y", ""),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"name,labels\nmonday,pour,stir\n", r"t\.csv:2.*3 columns.*2.*double quotes"),
        (b"name,labels\na,x\nb,y,z,\n", r"t\.csv:3.*3 columns"),
        (b"name,labels\na,x\nb\n", r"t\.csv:3.*1 column.*labels"),
        (b'name,labels\na,x\nb,"y\nc,z\n', r"t\.csv:3"),
        (b'name,labels\na,"x" y\n', r"t\.csv:2"),
        (b"name,labels\na,x\nb,caf\xe9\n", r"t\.csv:3.*UTF-8"),
        (b"name,labels\na,x\0y\n", r"t\.csv:2.*NUL"),
        (b"video,labels\na,x\n", "name,labels"),
        (b"name,labels,labels\na,x,y\n", r"t\.csv:1.*labels.*once"),
        (b"name,labels,subste\na,x,train\n", r"t\.csv:1.*Did you mean subset"),
        (b"", "no rows"),
        (b"\n\n", "no rows"),
    ],
)
def test_what_is_no_such_table_is_refused_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(UserError, match=said):
        read_table(tmp_path / "t.csv", ("name", "labels"), ("subset",))


field = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8).map(str.strip)


@given(st.lists(st.tuples(field.filter(bool), field), max_size=6), st.sampled_from([",", ";", "\t"]))
def test_what_a_spreadsheet_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows, delimiter) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("name", "labels"), *rows])
    path.write_bytes(out.getvalue().encode())
    assert [(row["name"], row["labels"]) for row in read_table(path, ("name", "labels"))] == rows


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.csv"
    path.write_bytes(b"name,labels\n" + data)
    refused = ""
    try:
        rows = read_table(path, ("name", "labels"))
    except UserError as error:
        refused = str(error)
    assert "noise.csv" in refused if refused else all(set(row.values) == {"name", "labels"} for row in rows)


@pytest.mark.parametrize("other", ["pour", "POUR", " Pour", "po ur", "po_ur"])
def test_labels_that_differ_in_case_spaces_or_underscores_only_are_refused(tmp_path: Path, other: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"name,labels\na,Pour\nb,stir;{other}\n")
    if other.strip() == "Pour":
        assert read_labels(path).classes == ("Pour", "stir")
        return
    with pytest.raises(UserError, match=r"labels\.csv:3.*labels\.csv:2"):
        read_labels(path)


def test_spellings_meet_only_where_they_should() -> None:
    assert spelling("High Jump") == spelling("high_jump") == spelling("highjump")
    assert spelling("pour-in") != spelling("pour in")
    refuse_alike([("a", "x"), ("b", "x"), ("c", "y")])
    with pytest.raises(UserError, match="'X' of a"):
        refuse_alike([("a", "X"), ("b", "x")])


def test_a_repeated_video_is_named_with_both_lines(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,labels\na,x\nb,y\na,x\n")
    with pytest.raises(UserError, match=r"labels\.csv:4.*line 2.*every video named once"):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("pour, stir", ("pour", "stir")),
        ('pour, "listen (e.g., to music)"', ("pour", "listen (e.g., to music)")),
        ('"say ""hi""",pour', ('say "hi"', "pour")),
        ("pour", ("pour",)),
    ],
)
def test_labels_on_the_command_line_have_a_quoting_rule(given: str, names: tuple[str, ...]) -> None:
    assert read_label_names("--labels", given) == names


@pytest.mark.parametrize(
    ("file", "data", "names"),
    [
        ("l.txt", "\ufeffpour\nstir\n\n".encode(), ("pour", "stir")),
        ("l.txt", "pour\r\nstir".encode("utf-16"), ("pour", "stir")),
        ("l.txt", b'listen (e.g., to music)\n"quoted"\n', ("listen (e.g., to music)", '"quoted"')),
        ("l.csv", b'pour,"listen (e.g., to music)"\nstir\n', ("pour", "listen (e.g., to music)", "stir")),
        ("l.csv", b"Label\npour\nstir\n", ("pour", "stir")),
        ("l.csv", b"id;label\n1;pour\n2;stir\n", ("pour", "stir")),
        ("l.csv", b"name,labels\na,pour;stir\nb,stir\n", ("pour", "stir")),
        ("l.CSV", b"\xef\xbb\xbfpour\nstir\n", ("pour", "stir")),
    ],
)
def test_labels_come_from_text_and_csv_files(tmp_path: Path, file: str, data: bytes, names: tuple[str, ...]) -> None:
    (tmp_path / file).write_bytes(data)
    assert read_label_names("--labels", str(tmp_path / file)) == names


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pour,pour", "every label once"),
        ("Pour,pour", "one spelling"),
        ('pour,"stir', "double quotes"),
        (" , ", "at least one"),
        ("none.csv", "a file that exists"),
        ("none.txt", "a file that exists"),
    ],
)
def test_wrong_label_lists_are_named(given: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_label_names("--labels", given)


def test_a_header_without_the_required_columns_is_not_told_about_quotes(tmp_path: Path) -> None:
    file = tmp_path / "clips.csv"
    file.write_text("file,lbl\nx.mp4,a\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_table(file, ["file", "label"], ["group"])
    assert "file,lbl" in str(error.value)
    assert "file,label[,group]" in str(error.value)
    assert "quotes" not in str(error.value)


def test_all_wrong_lines_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,labels\na,x,y\nb,x\nc\n")
    with pytest.raises(UserError, match="2 mistakes") as caught:
        read_table(path, ("name", "labels"))
    assert "line 2: found 3 columns" in str(caught.value)
    assert "line 4: found 1 column, expected a value for labels" in str(caught.value)
    assert str(caught.value).count("t.csv") == 1


def test_all_wrong_clips_of_a_list_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    path = tmp_path / "clips.csv"
    path.write_text("file,label,start,end\na.mp4,,0,1\nb.mp4,x,0,1\na.mp4,x,soon,1\na.mp4,x,2,1\n")
    with pytest.raises(UserError, match="4 mistakes") as caught:
        list_clips(path)
    for said in ("line 2, label", "line 3, file", "line 4, start: found 'soon'", "line 5: found start 2, end 1"):
        assert said in str(caught.value)
