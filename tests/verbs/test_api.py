"""The verbs from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import whyact
from whyact.cli import main


@pytest.fixture
def model(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> whyact.Model:
    assert main(["train", "fake", "--data", "toy", "--out", str(tmp_path / "run")]) == 0
    fake.calls.clear()
    return whyact.load(tmp_path / "run")


def test_what_predict_is_asked_from_python_is_what_the_verb_would_ask(fake: Any, model: whyact.Model) -> None:
    (answer,) = model.predict(Path("a.mp4"), names="jump,run")
    assert answer.label == "drink"
    asked = {"inputs": ["a.mp4"], "run": model.path, "options": {"names": "jump,run"}}
    assert fake.calls == [{**asked, "data": None, "root": None, "progress": False}]


def test_folders_and_patterns_are_looked_into(fake: Any, model: whyact.Model, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("b.mp4", "a.mp4", "notes.txt"):
        (films / name).write_bytes(b"")
    videos = [str(films / "a.mp4"), str(films / "b.mp4")]
    assert [p.video.path for p in model.predict(films)] == videos
    assert [p.video.path for p in model.predict(films / "*.mp4")] == videos
    with pytest.raises(whyact.UserError, match="a folder with videos"):
        model.predict(tmp_path / "run")
    assert [p.video.path for p in model.predict(str(films), data="toy")] == [str(films)]  # the name of a clip


def test_an_option_that_the_method_does_not_have_is_refused(fake: Any, model: whyact.Model) -> None:
    with pytest.raises(TypeError, match=r"no option 'nams' for fake; it has fps, data, root, names"):
        model.predict("a.mp4", nams="jump")
    assert fake.calls == []
    model.predict("a.mp4", names=None, root=None)
    assert fake.calls[0]["options"] == {}


def test_a_list_is_no_input(fake: Any, model: whyact.Model) -> None:
    with pytest.raises(TypeError, match=r"not list: predict\(\*inputs\)"):
        model.predict(["a.mp4"])  # type: ignore[arg-type]
    assert fake.calls == []


def test_a_file_is_no_run(model: whyact.Model) -> None:
    with pytest.raises(
        whyact.UserError, match=r"card\.json: found a file, expected a run folder.*Try: whyact\.load"
    ) as e:
        whyact.load(model.path / "card.json")
    assert str(model.path) in e.value.next_step
    with pytest.raises(whyact.UserError, match="no such folder"):
        whyact.load(model.path / "none")
