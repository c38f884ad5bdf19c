"""How far long work is: lines in a log now and then, a bar on a terminal, nothing where nothing is wanted."""

from __future__ import annotations

import io
import re
import sys

import pytest

from whyact import progress
from whyact.progress import Bar, print_error


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("whyact.progress.time.monotonic", made)
    return made


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""  # data goes there
    return err.splitlines()


def test_a_log_gets_a_line_now_and_then_with_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("training", 100) as bar:
        for step in range(100):
            clock.now += 7
            bar.advance(f"loss {100 - step}")
    found = lines(capsys)
    assert len(found) == 100 * 7 // 35  # every fifth step: the first one 30 s or more after the last line
    assert found[0] == "training: 5 of 100, loss 96, about 11 min left"  # 95 steps of 7 s
    assert found[-1] == "training: 100 of 100, loss 1, about 0 s left"


def test_short_work_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("videos", 3) as bar:
        for _ in range(3):
            clock.now += 9
            bar.advance()
    assert lines(capsys) == []


def test_what_an_earlier_run_did_took_no_time(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("cells", 40, done=20) as bar:
        clock.now += 60
        bar.advance()
    with progress.progress("training", 40) as bar:
        clock.now += 500  # loading
        bar.start(30)
        clock.now += 60
        bar.advance()
    assert lines(capsys) == ["cells: 21 of 40, about 19 min left", "training: 31 of 40, about 9 min left"]


def test_shares_and_counts_without_an_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("a.mp4", 1) as bar:
        clock.now += 40
        bar.update(0.25)
    with progress.progress("videos") as bar:
        clock.now += 40
        bar.advance("b.mp4")
    assert lines(capsys) == ["a.mp4: 25%, about 2 min left", "videos: 1, b.mp4"]


def test_unwanted_it_counts_and_is_silent(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("videos", 9, wanted=False) as bar:
        clock.now += 1000
        bar.advance("x")
    assert (type(bar), bar.done, bar.text) == (Bar, 1, "x")
    assert lines(capsys) == []


@pytest.mark.parametrize("total", [3, 1, None])
def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, total: float | None) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("videos", total) as bar:
        bar.update(1, "[bold]a.mp4")  # a file may be called anything
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "videos" in shown
    assert "[bold]a.mp4" in shown


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_an_error_is_one_line_coloured_only_where_that_can_be_seen(
    terminal: bool,
    environment: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    print_error("whyact: a.mp4: no such\n file")
    err = capsys.readouterr().err
    assert err.replace("\033[1;31m", "").replace("\033[0m", "") == "whyact: a.mp4: no such file\n"
    assert ("\033" in err) is coloured


def test_a_program_can_listen_in_the_place_of_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, float, float | None]] = []
    notes: list[str] = []
    with progress.progress_to(lambda *more: told.append(more), notes.append):
        with progress.progress("reading", 3, wanted=False) as bar:
            for _ in range(3):
                bar.advance()
        with progress.progress("searching") as bar:
            bar.start(2)
        progress.print_note("two are dropped")
    assert told == [("reading", n, 3) for n in range(4)] + [("searching", 0, None), ("searching", 2, None)]
    assert notes == ["two are dropped"]
    assert lines(capsys) == []
    with progress.progress("reading", 3, wanted=False) as bar:
        bar.advance()
    progress.print_note("one is dropped")
    assert len(told) == 6, "only in the block"
    assert lines(capsys) == ["whyact: note: one is dropped"]
