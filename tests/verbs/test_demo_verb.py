"""What ``whyact demo`` refuses before it films anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from whyact.cli import main


def test_a_file_is_no_folder_for_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a film")
    assert main(["demo", "--out", str(tmp_path / "a.mp4")]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "a.mp4").read_bytes() == b"a film"


def test_an_action_that_is_misspelt_brings_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--action", "drnk"]) == 2
    assert "Did you mean 'drink'" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_place_closed_to_us_is_refused_before_anything_is_filmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "locked")
    assert main(["demo", "--out", str(tmp_path / "locked" / "d")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("whyact: --out: ")
    assert "can be written to" in line
    assert not (tmp_path / "locked" / "d").exists()
