"""Several inputs: what one of them costs, and what it does not."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from whyact.errors import PartialFailure, UserError, choose, for_each, malformed


def answered(item: str) -> list[str]:
    if item == "bad":
        raise UserError(item, None, "a video")
    if item == "odd":
        raise ZeroDivisionError("division by zero")
    return [item.upper()]


def test_an_input_over_which_something_breaks_is_named_and_does_not_cost_the_others() -> None:
    with pytest.raises(PartialFailure) as caught:
        for_each(["a", "odd", "bad", "b"], answered)
    assert caught.value.done == ["A", "B"]
    odd, bad = caught.value.failed
    assert str(odd).startswith("odd: found ZeroDivisionError: division by zero")
    assert (odd.exit_code, bad.exit_code) == (1, 2)


def test_alone_it_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        for_each(["odd"], answered)
    with pytest.raises(UserError, match=r"^bad: expected a video$"):
        for_each(["bad"], answered)
    assert for_each(["a", "b"], answered) == ["A", "B"]


def test_an_interrupt_is_no_input_at_fault() -> None:
    def stopped(item: str) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_each(["a", "b"], stopped)


def test_a_missing_file_is_said_once_and_can_be_caught_as_such() -> None:
    error = UserError("nofile.mp4", "no such file", "a video", "check the path")
    assert str(error) == "nofile.mp4: no such file (expected a video). Try: check the path"
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, ValueError)
    assert isinstance(UserError("runs/x", "no such folder", "a run folder"), FileNotFoundError)
    assert not isinstance(UserError("a.mp4", "a folder", "a video"), OSError)


@pytest.mark.parametrize(
    ("error", "python", "command"),
    [
        (UserError("--window", -1, "seconds", "--window 5"), "window: found -1, expected seconds. Try: window=5",
         "--window: found -1, expected seconds. Try: --window 5"),
        (UserError("--names", "x", "a --detector", "--detector FILE.onnx, or leave --names out"),
         "names: found 'x', expected a detector. Try: detector=FILE.onnx, or leave names out",
         "--names: found 'x', expected a --detector. Try: --detector FILE.onnx, or leave --names out"),
        (UserError("--class-map m.yaml", "2 classes", "three"), "class_map m.yaml: found 2 classes, expected three",
         "--class-map m.yaml: found 2 classes, expected three"),
        (UserError("--model", None, "a run", "whyact train pvlr --out RUN"),
         "model: expected a run. Try: whyact train pvlr --out RUN",
         "--model: expected a run. Try: whyact train pvlr --out RUN"),
    ],
)  # fmt: skip
def test_python_names_arguments_and_the_command_names_options(error: UserError, python: str, command: str) -> None:
    assert (str(error), error.command_line()) == (python, command)


def test_a_value_is_quoted_where_its_ends_could_be_misread() -> None:
    expectations = {"hand": "'hand'", "": "''", "a\nb": "'a\\nb'", " x y": "' x y'", "3 boxes": "3 boxes"}
    for value, shown in {**expectations, 7: "7"}.items():
        assert str(UserError("clip", value, "another")) == f"clip: found {shown}, expected another"


@pytest.mark.parametrize(
    "error",
    [
        UserError("--fold", 7, "one of 1, 2", "--fold 1"),
        UserError("a.mp4", "no such file", "a video"),
        PartialFailure(["A"], [UserError("b", "no such file", "a video"), UserError("--c", "d", "e")], 3),
    ],
)
def test_errors_travel_between_processes_whole(error: UserError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.command_line()) == (type(error), str(error), error.command_line())


def test_a_nearest_name_is_suggested() -> None:
    with pytest.raises(UserError, match=r"method: found 'larai', expected one of laiar, pvlr\. Did you mean 'laiar'"):
        choose("larai", ["laiar", "pvlr"], "METHOD", "whyact train --help")
    assert choose("pvlr", ["laiar", "pvlr"], "METHOD", "whyact train --help") == "pvlr"


TRACKS = '"format":"whyact-tracks","version":1,"image_size":[2,2],"times":[0]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "f.json: found a list, expected a tracks file"),
        ("{", "f.json: found a text that ends too early, expected a tracks file"),
        ('{"version": x}', "f.json: found broken JSON: invalid character at byte 12, expected a tracks file"),
        ('{"format":"whyact-tracks"}', "f.json: expected the field 'version'"),
        ('{"format":"x"}', "f.json, format: found 'x', expected a value that a tracks file has"),
        (
            f'{{{TRACKS},"tracks":[],"z":1}}',
            "f.json: found an unknown field 'z', expected only fields of a tracks file",
        ),
        (f'{{{TRACKS},"tracks":{{}}}}', "f.json, tracks: found an object {...}, expected a list"),
        (f'{{{TRACKS},"tracks":[{{"name":3}}]}}', "f.json, tracks[0].name: found a whole number, expected a string"),
        (
            f'{{{TRACKS},"tracks":[{{"name":"a","class":"b","boxes":[[1,2,3]]}}]}}',
            "f.json, tracks[0].boxes[0]: expected a list of length 4",
        ),
    ],
)
def test_what_a_decoder_says_becomes_one_plain_sentence(text: str, expected: str) -> None:
    from whyact.perception.tracks_file import _File

    with pytest.raises(msgspec.DecodeError) as raised:
        msgspec.json.decode(text, type=_File)
    error = malformed("f.json", raised.value, "a tracks file", "see docs/tracks.md")
    assert error.command_line() == f"{expected}. Try: see docs/tracks.md"


def test_what_a_decoder_says_of_names_is_about_the_whole_file() -> None:
    with pytest.raises(msgspec.DecodeError) as raised:
        msgspec.json.decode('{"cup": 3}', type=dict[str, str])
    assert str(malformed("f.json", raised.value, "names")) == "f.json: found a whole number in it, expected names"
    assert str(malformed("f.json", ValueError("two words"), "names")) == "f.json: found two words, expected names"
