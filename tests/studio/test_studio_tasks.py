"""What the workers really do, with a small untrained model: files, names and questions, from a video to its copy."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "laiar"))

from watch_samples import Knowing, film, saved, untrained

import method_runs
from made_videos import write_clip
from whyact.ablation.protocol import RemovalCount, removal_of
from whyact.errors import UserError
from whyact.perception.centre import CentreNet
from whyact.perception.open import OWN
from whyact.perception.perception import Perception
from whyact.perception.small import SmallDetector
from whyact.prediction import from_json
from whyact.report.private import replace_path
from whyact.studio import worker_tasks
from whyact.studio.limits import Limits
from whyact.video.reader import VideoReader


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with an untrained detector."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    made = untrained()
    saved(made, folder)
    torch.manual_seed(0)
    classes = made.vocabulary.objects
    SmallDetector(CentreNet(len(classes)), classes, score=1e-4, long_side=64).save(
        folder / OWN, data="none", seed=0, metrics={"mAP50": 0.0}
    )
    return folder


def told(stages: list[str]) -> Any:
    return lambda stage, share: stages.append(stage) if stage not in stages else None


@pytest.mark.parametrize("sees", [True, False], ids=["hand-and-mug", "nothing"])
def test_from_a_video_to_a_question(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sees: bool) -> None:
    """With a detector that knows what is in each frame, and with the untrained one, which finds nothing."""
    if sees:
        knowing = Perception(Knowing(), {"hand": "hand", "mug": "mug"})
        monkeypatch.setattr("whyact.laiar.predict_videos.answer_perception", lambda *_: knowing)
    film(tmp_path / "upload.mp4")
    stages: list[str] = []
    place = {"folder": str(tmp_path), "model": str(run)}
    found = worker_tasks.answer_tasks(Limits())["answer"](
        told(stages), **place, file="upload.mp4", name="a b.mp4", demo=None
    )
    assert stages == [
        "Loading the model",
        "Finding and following things",
        "Asking the model",
        "Making a copy to play",
        "Writing the report",
    ]
    assert found["playable"]
    (prediction,) = from_json((tmp_path / worker_tasks.PREDICTION).read_bytes())
    assert (prediction.id, prediction.video.path) == ("a b.mp4", "a b.mp4")
    assert found["label"] == prediction.label
    for name in (worker_tasks.PREDICTION, worker_tasks.REPORT):
        assert str(tmp_path) not in (tmp_path / name).read_text(encoding="utf-8")
        assert str(run.parent) not in (tmp_path / name).read_text(encoding="utf-8")

    asked = worker_tasks.ablation_tasks(Limits())
    assert asked["warm"](told([]), **place)
    (tmp_path / worker_tasks.ABLATION).unlink()  # it is in memory now
    kept = asked["without"](told([]), **place, removals=[])
    assert kept["removed"] == [RemovalCount("token", 0, prediction.tokens_valid)]
    assert kept["label"] == prediction.label
    assert [s["score"] for s in kept["scores"]] == [s["before"] for s in kept["scores"]]
    by_label = {label.label: label.score for label in prediction.labels}
    assert {s["label"]: pytest.approx(s["score"], abs=1e-6) for s in kept["scores"]} == by_label
    gone = asked["without"](told([]), **place, removals=[{"kind": "span", "start": 0.0, "end": 99.0}])
    assert gone["removed"][0].count == prediction.tokens_valid
    assert (gone["removed"][0].count > 0) == sees
    with pytest.raises(UserError, match="fly"):
        asked["flip"](told([]), **place, target="fly")
    with pytest.raises(UserError, match="still kept"):
        asked["warm"](told([]), folder=str(tmp_path / "gone"), model=str(run))


@pytest.mark.parametrize("method", ["pvlr", "locate-gat"])
def test_the_other_methods_are_answered_and_questioned_alike(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker knows no method: the same tasks, and each piece of evidence gives back what it states."""
    if method == "locate-gat":
        pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    method_runs.patch(monkeypatch)
    run = {"pvlr": method_runs.pvlr_run, "locate-gat": method_runs.locate_run}[method](tmp_path / "made")
    folder = tmp_path / "job"
    folder.mkdir()
    write_clip(folder / "upload.mp4", 40)
    place = {"folder": str(folder), "model": str(run)}
    found = worker_tasks.answer_tasks(Limits())["answer"](
        told([]), **place, file="upload.mp4", name="mine.mp4", demo=None
    )
    (prediction,) = from_json((folder / worker_tasks.PREDICTION).read_bytes())
    assert found["label"] == prediction.label
    left = {worker_tasks.PREDICTION, worker_tasks.REPORT, worker_tasks.PREVIEW, worker_tasks.ABLATION, "upload.mp4"}
    left |= {worker_tasks.THUMBNAIL, worker_tasks.STRIP}  # pictures for the history and along the timeline
    assert {p.name for p in folder.iterdir()} == left
    for name in (worker_tasks.PREDICTION, worker_tasks.REPORT):
        assert str(tmp_path) not in (folder / name).read_text(encoding="utf-8")
    asked = worker_tasks.ablation_tasks(Limits())
    assert prediction.evidence
    for e in prediction.evidence:
        said = asked["without"](told([]), **place, removals=[asdict(removal_of(e))])
        row = next(s for s in said["scores"] if s["label"] == (prediction.label if e.kind != "snippet" else e.label))
        assert row["before"] - row["score"] == pytest.approx(e.contribution, abs=1e-5)
        assert sum(one.count for one in said["removed"]) >= 1
    flip = asked["flip"](told([]), **place, target=None)
    assert flip["target"] == prediction.labels[1].label
    assert len(flip["texts"]) == len(flip["removals"])
    assert all(flip["texts"])
    if flip["removals"]:
        removals = [asdict(removal) for removal in flip["removals"]]
        assert asked["without"](told([]), **place, removals=removals)["label"] == flip["target"]
    with pytest.raises(UserError, match="removal"):
        asked["without"](told([]), **place, removals=[{"kind": "thing", "object": "cup"}])


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), RuntimeError("unable to open file")])
def test_an_answer_that_goes_while_it_is_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / worker_tasks.ABLATION
    path.touch()

    def load(*_: object) -> None:
        path.unlink(missing_ok=True)
        raise error

    monkeypatch.setattr("whyact.laiar.predict_videos.load_questions", load)
    asked, place = worker_tasks.ablation_tasks(Limits()), {"folder": str(tmp_path), "model": str(run)}
    with pytest.raises(UserError, match="still kept"):
        asked["warm"](told([]), **place)
    monkeypatch.setattr(Path, "exists", lambda self: True)  # there, and cannot be read: not the user's doing
    with pytest.raises(type(error)):
        asked["warm"](told([]), **place)


def test_errors_name_the_users_file_once_and_no_server_path(run: Path, tmp_path: Path) -> None:
    answer = worker_tasks.answer_tasks(Limits())["answer"]
    for content, said in (
        (b"\x00\x00\x00\x18ftypmp42" + bytes(300), ""),
        (b"text", "mine.mp4: found 'text', expected a video file"),
    ):
        (tmp_path / "upload.mp4").write_bytes(content)
        with pytest.raises(UserError) as caught:
            answer(told([]), folder=str(tmp_path), file="upload.mp4", name="mine.mp4", model=str(run), demo=None)
        assert str(caught.value).startswith("mine.mp4: found ")
        assert str(caught.value).count("mine.mp4") == str(caught.value).count("expected") == 1
        assert str(tmp_path) not in str(caught.value)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("correct: no such file", "correct: no such file"),
        ("sect is not a folder", "DIR is not a folder"),
        ("correct/sect/a.json: broken", "correct/sect/a.json: broken"),
        ("sect/a.json: broken", "DIR: broken"),
        ("section and dissect and sect-2", "section and dissect and sect-2"),
    ],
)
def test_a_path_is_replaced_as_a_whole_and_never_inside_a_word(text: str, shown: str) -> None:
    assert replace_path(text, Path("sect"), "DIR") == shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "text"),
        (b"ffconcat version 1.0\nfile 'x.mp4'\n", "text"),
        (b'<?xml version="1.0"?><MPD/>', "text"),
    ],
    ids=["empty", "playlist", "concat", "manifest"],
)
def test_what_cannot_be_a_video_never_meets_a_decoder(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyact.video.reader.VideoReader.__init__", lambda *_, **__: pytest.fail("it was opened"))
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(UserError, match=said):
        worker_tasks.check_video(tmp_path / "x.mp4", Limits())


def test_a_long_video_is_refused_with_the_limit(tmp_path: Path) -> None:
    film(tmp_path / "x.mp4")  # three seconds
    worker_tasks.check_video(tmp_path / "x.mp4", replace(Limits(), seconds=3.5))
    with pytest.raises(UserError, match="at most 2 seconds"):
        worker_tasks.check_video(tmp_path / "x.mp4", replace(Limits(), seconds=2))


@pytest.mark.parametrize("size", [(64, 48), (1280, 720), (962, 540)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_copy_shows_the_same_moments(size: tuple[int, int], tmp_path: Path) -> None:
    write_clip(tmp_path / "x.mkv", 20, rate=10, size=size)
    worker_tasks._preview(tmp_path / "x.mkv", tmp_path / "copy.mp4", lambda share: None)
    moments = [0.05, 0.55, 1.25, 1.85]
    with VideoReader(tmp_path / "x.mkv") as before, VideoReader(tmp_path / "copy.mp4") as after:
        pairs = list(zip(before.frames_at(moments), after.frames_at(moments), strict=True))
        assert after.length == pytest.approx(before.length, abs=0.01)
    assert len(pairs) == len(moments)
    cells = [np.asarray(Image.open(tmp_path / "strip" / f"{i}.jpg").convert("L")) for i in range(20)]
    assert max(cell.shape[1] for cell in cells) <= 160
    assert np.all(np.diff([float(np.median(cell)) for cell in cells]) > 0), "in the order of time, from end to end"
    for a, b in pairs:
        assert b.image.shape[1] <= 960
        assert b.image.shape[1] % 2 == b.image.shape[0] % 2 == 0
        assert b.image.shape[1] / b.image.shape[0] == pytest.approx(size[0] / size[1], rel=0.01)
        assert abs(np.median(a.image) - np.median(b.image)) <= 2  # the brightness is the frame's number
