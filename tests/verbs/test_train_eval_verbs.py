"""``whyact train`` and ``whyact eval``, through the command, with a method that does nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whyact.cli import main
from whyact.errors import UserError
from whyact.files import folder_lock
from whyact.training.options import TrainOptions


def train(out: Path, *more: str) -> int:
    return main(["train", "fake", "--data", "toy", "--out", str(out), *more])


def test_train_hands_over_what_was_typed(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.yaml").write_text("lr: 1e-3\nmodel: {width: 16, channels: [5, 6]}\n")
    options = ["--root", str(tmp_path), "--fold", "2", "--seed", "7", "--config", str(tmp_path / "settings.yaml")]
    how = ["--device", "cpu", "--eval-every", "2", "--watch-test"]
    assert train(tmp_path / "run", *options, "--model.width", "32", "--shared", "false", *how) == 0
    (call,) = fake.calls
    config = call.pop("config")
    assert (config.lr, config.shared, config.epochs) == (0.001, False, 3)  # file, command line, preset
    assert (config.model.width, config.model.channels) == (32, (5, 6))
    out = tmp_path / "run"
    watched = TrainOptions(device="cpu", eval_every=2, watch_test=True)
    expected = {"data": "toy", "root": tmp_path, "out": out, "fold": 2, "seed": 7, "progress": True, "options": watched}
    assert call == expected
    said = capsys.readouterr().out
    assert "0.5 ± 0.1 (n=3)" in said


def test_train_json_prints_the_card_and_asks_for_no_progress(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["method"], card["data"]) == ("fake", "toy")
    assert fake.calls[0]["progress"] is False


def test_a_preset_is_the_start(fake: Any, tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--preset", "wide", "--model.gate=multiply") == 0
    model = fake.calls[0]["config"].model
    assert (model.width, model.gate) == (64, "multiply")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--model.widht", "3"], "--model.width"),
        (["--model.width", "x"], "int"),
        (["--model.width", "1.5"], "int"),
        (["--model.gate", "open"], "mask|multiply"),
        (["--model.channels", "[1]"], "[int, int]"),
        (["--shared", "perhaps"], "true|false"),
        (["--preset", "wid"], "Did you mean 'wide'"),
        (["--fold", "-1"], "whole number"),
        (["--device", "tpu"], "--device: found 'tpu'"),
        (["--eval-every", "often"], "--eval-every: found 'often', expected EPOCHS"),
        (["--watch-test"], "--watch-test: expected --eval-every beside it"),
        (["--seed", "x"], "whole number"),
        (["--seed"], "one value"),
        (["extra"], "no further argument"),
        (["--root", "/no/such/folder"], "a folder that exists"),
        (["--config", "/no/such/file.yaml"], "a YAML file"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], expected: str
) -> None:
    assert train(tmp_path / "run", *typed) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert expected in err
    assert fake.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("model: {widht: 3}", "model.width"),
        ("modle: {width: 3}", "Did you mean"),
        ("model: 3", "a mapping"),
        ("- 1", "a mapping"),
        ("model: {width: wide}", "model.width"),
        ("model: {width: '3', note: 5}", "model.note"),
        ("a: [", "YAML"),
    ],
)
def test_a_wrong_settings_file_is_named_with_its_key(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, expected: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    assert train(tmp_path / "run", "--config", str(file)) == 2
    err = capsys.readouterr().err
    assert "settings.yaml" in err
    assert expected in err


def test_an_empty_settings_file_and_null_are_fine(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("# nothing\n")
    assert train(tmp_path / "run", "--config", str(tmp_path / "s.yaml"), "--model.note", "1e3") == 0
    assert fake.calls[0]["config"].model.note == "1e3"


def test_method_comes_first_and_is_suggested(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "fakke", "--data", "toy"]) == 2
    assert "Did you mean 'fake'" in capsys.readouterr().err
    assert main(["train", "--data", "toy"]) == 2
    assert "before the options" in capsys.readouterr().err


def test_help_of_a_method_lists_its_settings(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "fake", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--model.gate mask|multiply" in out
    assert "(default: true)" in out
    assert "one for all # of them (default: 8)" in " ".join(out.split())
    assert "start from: default, wide" in " ".join(out.split())


@pytest.mark.parametrize("method", ["laiar", "pvlr", "locate-gat"])
def test_help_says_what_every_setting_means(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", method, "--help"]) == 0
    _, _, settings = " ".join(capsys.readouterr().out.split()).partition(" settings")
    options = re.split(r" (?=--[a-z_.]+ )", settings)[1:]
    assert len(options) > 30
    typed = r"--[\w.]+ (?:\[+[^]]*\]+(?:, \.\.\.\])?|\S+) "
    silent = [option for option in options if re.match(typed + r"\(default", option)]
    assert silent == []


def test_train_overwrites_nothing_unasked(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    assert train(tmp_path) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert fake.calls == []
    assert train(tmp_path / "run") == 0
    assert train(tmp_path / "run", "--seed", "9") == 2
    assert "a finished run: fake on toy" in capsys.readouterr().err
    assert len(fake.calls) == 1
    assert train(tmp_path / "run", "--seed", "9", "--overwrite") == 0
    assert json.loads((tmp_path / "run" / "card.json").read_text())["seed"] == 9


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows may write anywhere")
def test_train_checks_that_it_may_write(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        assert train(tmp_path / "run") == 2
    finally:
        tmp_path.chmod(0o700)
    assert "not writable" in capsys.readouterr().err


def test_eval_takes_the_method_and_the_data_from_the_card(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(run)
    capsys.readouterr()
    assert main(["eval", str(run), "--json", "--out", str(tmp_path / "deep" / "m.json")]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"mAR": 0.5, "per_class": {"drink": 1.0}}
    assert (tmp_path / "deep" / "m.json").read_text() == printed
    assert fake.calls[-1] == {"run": run, "data": "toy", "root": None, "fold": None, "progress": False}
    assert main(["eval", str(run), "--data", "other", "--root", str(tmp_path), "--fold", "3"]) == 0
    assert "drink  1" in capsys.readouterr().out
    assert fake.calls[-1] == {"run": run, "data": "other", "root": tmp_path, "fold": 3, "progress": True}


def test_eval_tells_a_person_what_was_not_measured_and_some_of_a_curve(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run")
    curve = [(i / 20, i / 40) for i in range(21)]
    found = {"transition_accuracy": None, "recall": {"drink": None}, "risk_coverage": curve, "names": ["a", "b"] * 4}
    monkeypatch.setattr(type(fake.open_evaluation((None, "", None, None))), "score", lambda *_: found)
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run")]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line != "recall:")
    assert lines["transition_accuracy"].startswith("not measured: ")
    assert lines["drink"].startswith("not measured: ")
    points, of = lines["risk_coverage"].split(" (")
    assert points == "0: 0, 0.25: 0.125, 0.5: 0.25, 0.75: 0.375, 1: 0.5"
    assert of == "5 of 21 points; all with --json)"
    assert lines["names"] == str(found["names"])
    assert main(["eval", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["risk_coverage"] == [list(point) for point in curve]


def test_eval_of_a_damaged_or_missing_run_names_the_file(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    (tmp_path / "run" / "card.json").write_text("{}")
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run")]) == 2
    assert "card.json" in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "nowhere")]) == 2
    assert "whyact train" in capsys.readouterr().err


def test_two_trainings_never_write_one_folder(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    with folder_lock(out):  # what a training holds; a second opening of the folder is refused in any process
        assert train(out) == 2
        err = capsys.readouterr().err
        assert "another training" in err
        assert "choose another --out" in err
        assert fake.calls == []
    assert train(out) == 0
    command = [sys.executable, "-m", "whyact", "train", "pvlr", "--data", "synthetic", "--out", str(out), "--overwrite"]
    with folder_lock(out):
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "another training" in done.stderr


def test_a_training_that_fails_leaves_no_empty_folder(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        assert (tmp_path / "run").is_dir()
        raise UserError("data", None, "clips")

    monkeypatch.setattr(fake, "train", failing)
    assert train(tmp_path / "run") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_training_says_what_it_is_about_before_it_begins(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    original = fake.train

    def listening(*words: Any, **rest: Any) -> Any:
        said.append(capsys.readouterr().err)
        return original(*words, **rest)

    monkeypatch.setattr(fake, "train", listening)
    assert train(tmp_path / "run") == 0
    assert train(tmp_path / "other", "--json") == 0
    assert said == ["whyact: training fake on toy ...\n", ""]


@pytest.mark.parametrize(
    ("method", "setting", "value", "expected"),
    [
        ("laiar", "optim.epochs", "0", "at least 1"),
        ("laiar", "optim.lr", "-1", "a number above 0"),
        ("laiar", "data.frames", "0", "at least 1"),
        ("laiar", "select.share", "1.5", "a share between 0 and 1"),
        ("laiar", "model.heads", "7", "a divisor of model.width"),
        ("pvlr", "train.snippets", "0", "at least 1"),
        ("pvlr", "train.learning_rate", ".nan", "a number above 0"),
        ("pvlr", "model.dropout", "2", "a share between 0 and 1"),
        ("locate-gat", "epochs", "0", "at least 1"),
    ],
)
def test_a_setting_that_no_training_can_use_is_refused(
    method: str, setting: str, value: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", method, "--data", "synthetic", "--out", str(out), f"--{setting}", value]) == 2
    (line,) = [row for row in capsys.readouterr().err.splitlines() if "found" in row]
    assert setting in line
    assert expected in line
    assert not out.exists()


def test_an_unknown_data_set_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from whyact.cli import main\n"
        f"rc = main(['train', 'laiar', '--data', 'cad12', '--out', {str(tmp_path / 'run')!r}])\n"
        "sys.exit(rc + 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Did you mean 'cad120'?" in done.stderr
