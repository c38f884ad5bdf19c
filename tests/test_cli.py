"""The command: exit codes, one line for a mistake, and a help that comes at once."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import pytest

from whyact import cli
from whyact.errors import UserError


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "whyact", *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch):
    """Put one verb into the table whose function is given by the test."""

    def put(function) -> None:
        monkeypatch.setattr(sys.modules[__name__], "_function", function, raising=False)
        monkeypatch.setitem(cli.VERBS, "fake", (f"{__name__}:_function", "a fake"))

    return put


def test_help_and_version() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name, (_, text) in cli.VERBS.items():
        assert f"  {name} " in done.stdout
        assert text in done.stdout
    version = command("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("whyact ")


def test_no_verb_prints_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "verbs:" in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "meant"), [("pred", "predict"), ("trian", "train"), ("evaluate", "eval")])
def test_an_unknown_verb_suggests_the_nearest(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([typed]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"Did you mean {meant!r}" in err


def test_help_takes_at_most_20_times_an_empty_python() -> None:
    def seconds(*words: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, timeout=60)
        return time.perf_counter() - started

    seconds("-m", "whyact", "--help")  # warm the file cache and the byte code
    pairs = [(seconds("-c", "pass"), seconds("-m", "whyact", "--help")) for _ in range(7)]
    empty, helped = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert helped <= 20 * empty


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom whyact.cli import main\nmain(['--help'])\nmain(['nonsense'])\n"
        "slow = {'torch', 'numpy', 'lightning', 'yaml', 'msgspec', 'rich', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(cli.VERBS))
def test_every_verb_has_its_own_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(cli.VERBS[name][0].partition(":")[0], reason=f"the verb {name} is not in this installation")
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: whyact {name}")
    assert "--json" in out
    assert f"whyact {name}" in out.partition("examples:")[2]


def test_a_users_mistake_is_one_line_and_exit_2(verb, capsys: pytest.CaptureFixture[str]) -> None:
    def mistaken(argv: list[str]) -> int:
        raise UserError("clip.json", "a\nb", "an object", "look at it")

    verb(mistaken)
    assert cli.main(["fake", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "whyact: clip.json: found 'a\\nb', expected an object. Try: look at it\n"


def test_another_error_is_one_line_and_exit_1(verb, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(argv: list[str]) -> int:
        raise RuntimeError("first\nsecond")

    verb(failing)
    assert cli.main(["fake"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "whyact: RuntimeError: first second (--debug shows where)\n"
    assert cli.main(["--debug", "fake"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_debug_is_not_handed_to_the_verb(verb) -> None:
    seen: list[str] = []
    verb(lambda argv: seen.extend(argv) or 0)
    assert cli.main(["fake", "a", "--debug", "b"]) == 0
    assert seen == ["a", "b"]


def test_ctrl_c_is_130(verb, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(argv: list[str]) -> int:
        raise KeyboardInterrupt

    verb(interrupted)
    assert cli.main(["fake"]) == 130
    assert capsys.readouterr().err == "whyact: interrupted\n"


def test_ctrl_c_says_where_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.main(["train", "laiar"]) == 130
    assert "run the same command to resume" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently on Windows")
def test_a_reader_that_goes_away_gets_no_traceback() -> None:
    code = "import whyact.cli as c\nc._help = lambda: 'x' * 10**6\nraise SystemExit(c.main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert said == b""
