"""``whyact predict`` and ``whyact report``."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from made_videos import write_clip
from whyact import api
from whyact.cli import main
from whyact.errors import UserError, for_each
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, VideoFacts, from_json, to_json
from whyact.sentences import format_answer


@pytest.fixture
def run(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["train", "fake", "--data", "toy", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    fake.calls.clear()
    return tmp_path / "run"


def test_predict_says_action_score_and_reason(fake: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.mp4", "b.mp4", "--model", str(run)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("a.mp4", "b.mp4"):
        assert f"{name}: drink 0.75" in out
    assert "holding" in out
    assert "cup" in out
    assert "the last 3 frames are broken" in out
    assert "trained on generated clips" in out
    (call,) = fake.calls
    expected = {"inputs": ["a.mp4", "b.mp4"], "run": run, "options": {}, "data": None, "root": None, "progress": True}
    assert call == expected


@pytest.mark.parametrize(
    ("label", "unsure", "told"),
    [
        ("take_food", False, "a.mp4: take food 0.99"),
        ("take_food", True, "a.mp4: unsure, perhaps take food, score 0.99"),
        ("null", False, "a.mp4: null (none of its actions) 0.99"),
        ("null", True, "a.mp4: unsure, perhaps null (none of its actions), score 0.99"),
        ("", True, "a.mp4: no answer"),
    ],
)
def test_an_answer_in_text_says_how_it_is_to_be_taken(label: str, unsure: bool, told: str) -> None:
    labels = [LabelScore(label=label, score=0.99)] if label else []
    answer = Prediction(video=VideoFacts(path="a.mp4"), labels=labels, provenance=Provenance(method="x"), unsure=unsure)
    assert format_answer(answer).splitlines()[0] == told


def test_predict_json_is_always_a_list(fake: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.mp4", "--model", str(run), "--json"]) == 0
    (prediction,) = from_json(capsys.readouterr().out)
    assert (prediction.label, prediction.video.path) == ("drink", "a.mp4")
    assert fake.calls[0]["progress"] is False


def test_without_a_model_the_bundled_one_answers(fake: Any) -> None:
    assert main(["predict", "a.mp4", "--json"]) == 0
    assert fake.calls[0]["run"] == api.BUNDLED


def test_options_reach_the_method_and_unknown_ones_do_not(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", "toy", "--root", str(tmp_path), "--names", "jump,run"]
    assert main(["predict", "clip 1", "--model", str(run), *options]) == 0
    call = fake.calls[0]
    assert (call["data"], call["root"], call["options"]) == ("toy", tmp_path, {"names": "jump,run"})
    capsys.readouterr()
    assert main(["predict", "a.mp4", "--model", str(run), "--nams", "x"]) == 2
    assert "--names" in capsys.readouterr().err
    assert main(["predict", "a.mp4", "--modle", str(run)]) == 2
    assert "Did you mean --model" in capsys.readouterr().err
    assert len(fake.calls) == 1


def test_predict_needs_an_input(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict"]) == 2
    assert "INPUT" in capsys.readouterr().err


def test_help_shows_the_methods_own_options(fake: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--model", str(run), "--help"]) == 0
    assert "comma-separated action names" in capsys.readouterr().out


def test_help_without_a_model_shows_the_options_of_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--draw FILE", "--detector NAME", "--tracks FILE", "--window SECONDS", "--stride SECONDS"):
        assert f"  {option}" in out


def test_report_from_predict_and_from_its_json_are_the_same_page(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct, file = tmp_path / "out" / "direct.html", tmp_path / "p.json"
    assert main(["predict", "a.mp4", "--model", str(run), "--report", str(direct), "--json"]) == 0
    text = capsys.readouterr().out
    file.write_text(text)
    assert main(["report", str(file)]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'p.html'}\n"
    assert (tmp_path / "p.html").read_text() == direct.read_text()
    assert "drink" in direct.read_text()

    stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["report", "-", "--out", str(tmp_path / "piped.html"), "--json"]) == 0
    assert (tmp_path / "piped.html").read_text() == direct.read_text()


def test_a_report_that_cannot_be_written_stops_before_the_work(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "x.html"):
        assert main(["predict", "a.mp4", "--model", str(run), "--report", str(path)]) == 2
        assert "--report" in capsys.readouterr().err
    assert fake.calls == []


def test_a_run_can_be_named_by_a_dot_and_not_by_nothing(
    fake: Any, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert main(["predict", "a.mp4", "--model", "."]) == 0
    assert fake.calls[-1]["run"] == run.resolve()
    assert main(["eval", "."]) == 0
    assert fake.calls[-1]["run"] == run.resolve()
    capsys.readouterr()
    for argv in (["predict", "a.mp4", "--model", ""], ["eval", ""], ["train", "fake", "--data", "toy", "--out", ""]):
        assert main(argv) == 2
        assert "expected the path of a run folder" in capsys.readouterr().err
    assert main(["train", "fake", "--data", "toy", "--out", "."]) == 2
    assert "the folder that you are in" in capsys.readouterr().err
    assert len(fake.calls) == 2


def test_what_else_was_written_is_said(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "a.mp4", "--model", str(run), "--draw", "why.mp4"]) == 0
    assert "\ndraw: why.mp4\n" in capsys.readouterr().out


def test_a_report_never_replaces_the_video_that_it_is_about(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a film")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "a.mp4", "--model", str(run), "--report", str(tmp_path / "a.mp4")]) == 2
    assert "--report" in capsys.readouterr().err
    assert (tmp_path / "a.mp4").read_bytes() == b"a film"
    assert fake.calls == []


def test_an_empty_input_is_not_the_folder_that_one_is_in(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a film")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "", "--model", str(run)]) == 2
    assert "INPUT" in capsys.readouterr().err
    assert fake.calls == []


@pytest.mark.parametrize("export", ["html", "csv"])
def test_a_report_never_replaces_the_json_that_it_is_made_from(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], export: str
) -> None:
    assert main(["predict", "a.mp4", "--model", str(run), "--json"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "p.json").write_text(text)
    assert main(["report", str(tmp_path / "p.json"), "--export", export, "--out", str(tmp_path / "p.json")]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "p.json").read_text() == text


def test_a_name_too_long_and_a_place_closed_to_us_are_one_line(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("a" * 300 + ".html")
    assert main(["predict", "a.mp4", "--model", str(run), "--report", str(long)]) == 2
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "locked")
    assert main(["predict", "a.mp4", "--model", str(run), "--report", str(tmp_path / "locked" / "new" / "x.html")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("whyact: --report: ") for line in lines] == [True, True]
    assert "too long" in lines[0]
    assert "cannot" in lines[1]
    assert fake.calls == []
    assert not (tmp_path / "locked" / "new").exists()


def test_a_page_from_json_has_the_pictures_of_the_video(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "a.mp4", 40, rate=10)
    answer = Prediction(
        id="a",
        video=VideoFacts(path=str(film), fps=10.0, duration=4.0, width=64, height=48),
        labels=[LabelScore(label="pick", score=1.0)],
        provenance=Provenance(method="fake"),
        evidence=[
            Evidence(kind="frame", text="", start=1.0, end=1.1, contribution=0.2, rank=1),
            Evidence(kind="snippet", text="", start=2.0, end=3.0, contribution=0.1, rank=2),
        ],
    )
    (tmp_path / "p.json").write_text(to_json([answer]))
    assert main(["report", str(tmp_path / "p.json")]) == 0
    assert (tmp_path / "p.html").read_text().count("data:image/jpeg;base64,") == 2


@pytest.mark.parametrize(("inputs", "code"), [(["bad", "a"], 2), (["bad", "odd", "a"], 1)])
def test_the_exit_code_tells_a_bad_input_from_a_failure_of_ours(
    fake: Any,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    inputs: list[str],
    code: int,
) -> None:
    answer = type(fake).predict

    def predict(loaded: Any, names: list[str], **rest: Any) -> list[Any]:
        def one(name: str) -> list[Any]:
            if name == "bad":
                raise UserError(name, None, "a video")
            if name == "odd":
                raise ZeroDivisionError("division by zero")
            return answer(fake, loaded, [name], **rest)

        return for_each(names, one)

    monkeypatch.setattr(fake, "predict", predict)
    assert main(["predict", *inputs, "--model", str(run)]) == code
    out, err = capsys.readouterr()
    assert "a: drink 0.75" in out
    assert [line.split()[1][:3] for line in err.splitlines()] == [name[:3] for name in inputs[:-1]]


@pytest.mark.parametrize("content", ["", "[", "{}", "[]", '[{"labels": 3}]', '[{"unknown": 1}]'])
def test_report_refuses_what_is_no_list_of_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "p.json").write_text(content)
    assert main(["report", str(tmp_path / "p.json")]) == 2
    assert "p.json" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()
    assert main(["report", str(tmp_path / "missing.json")]) == 2


def test_an_empty_list_from_stdin_makes_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[]")))
    assert main(["report", "-", "--out", str(tmp_path / "p.html")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("whyact: stdin: found '[]', expected at least one prediction")
    assert not (tmp_path / "p.html").exists()


def test_open_shows_the_page(
    fake: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    page, file = tmp_path / "why.html", tmp_path / "p.json"
    assert main(["predict", "a.mp4", "--model", str(run), "--report", str(page), "--open", "--json"]) == 0
    file.write_text(capsys.readouterr().out)
    assert main(["report", str(file), "--open"]) == 0
    assert shown == [page.as_uri(), (tmp_path / "p.html").as_uri()]
    assert main(["predict", "a.mp4", "--model", str(run), "--open"]) == 2
    assert "--open: expected --report FILE beside it" in capsys.readouterr().err
    assert main(["report", str(file), "--export", "csv", "--open"]) == 2
    assert len(shown) == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [(["broken.mp4"], "broken.mp4: found cut short, or no video file"), (["missing.mp4"], "missing.mp4: no such file"),
     (["broken.mp4", "--device", "cuda:7"], "--device: found 'cuda:7'")],
)  # fmt: skip
def test_what_is_at_fault_is_refused_before_torch_is_imported(tmp_path: Path, words: list[str], named: str) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    code = (
        "import sys; from whyact import devices; devices._has_gpu_driver = lambda: False; from whyact.cli import main; "
        "code = main(['predict', *sys.argv[1:]]); sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    made = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (made.returncode, named in made.stderr) == (2, True), made.stderr
