"""Extraction on an engine: the same bytes as in one process, and nothing that is done is done again."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import made_encoders
from made_videos import write_clip
from whyact.data.untrimmed.feature_files import Encoder, Recipe
from whyact.data.untrimmed.records import verify_features
from whyact.data.untrimmed.snippet_files import Streams, extract, find_videos
from whyact.data.untrimmed.snippet_jobs import Sources, extract_on
from whyact.engines.work import Engine
from whyact.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))  # spawn hands sys.path to the workers


@dataclass(frozen=True)
class Made(Sources):
    """Loads an encoder that costs nothing, in a worker too; one that dies over a film where told."""

    deadly: bool = False
    marks: str = ""

    def load(self) -> Streams:
        if self.marks:
            Path(self.marks, f"{os.getpid()}").touch()
        recipe = Recipe(self.seconds, (4, 0), (Encoder("s3d", "random"),), None)
        return Streams((Deadly() if self.deadly else made_encoders.load("s3d", "random"),), None, recipe)


class Deadly(made_encoders.Brightness):
    """Dies over a film of 48 columns."""

    def prepare(self, frames: Any) -> Any:
        if frames.shape[2] == 48:
            os._exit(9)
        return super().prepare(frames)


@pytest.fixture
def films(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "films"
    folder.mkdir()
    for name, frames in (("a", 40), ("b", 24), ("c", 40)):
        write_clip(folder / f"{name}.mp4", frames)
    (folder / "bad.mp4").write_text("no video")
    return find_videos([folder])


def made(**more: Any) -> Made:
    return Made(("s3d",), ("random",), None, 0.4, **more)


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_engine_writes_the_same_files_and_redoes_none(films: dict[str, Path], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = extract(films, one, made().load())
    told: list[str] = []
    split = extract_on(Engine("local", 2), films, two, made(), told.append)
    assert tree(two) == tree(one)
    assert split == alone
    assert sorted(told) == list(films)
    assert verify_features(two) == []
    before = {path: path.stat().st_mtime_ns for path in (two / "features").iterdir()}
    (two / "videos" / "b.json").unlink()
    again = extract_on(Engine("local", 1), films, two, made())
    assert (again.new, again.kept, list(again.broken)) == (["b"], ["a", "c"], ["bad"])
    assert tree(two) == tree(one)
    assert {path.name for path, at in before.items() if path.stat().st_mtime_ns != at} == {"b.npy"}
    data = bytearray((two / "features" / "c.npy").read_bytes())
    data[-1] ^= 4
    (two / "features" / "c.npy").write_bytes(data)
    (two / "features" / "a.npy").unlink()
    missing, changed = verify_features(two)
    assert "a.npy: missing" in missing
    assert "c.npy: other bytes" in changed


def test_a_video_that_kills_workers_costs_itself_alone(
    films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyact.data.untrimmed.snippet_jobs.TRIES", 1)  # a worker takes seconds to start
    write_clip(tmp_path / "films" / "d.mp4", 24, size=(48, 32))
    found = extract_on(Engine("local", 1), find_videos([tmp_path / "films"]), tmp_path / "out", made(deadly=True))
    assert found.new == ["a", "b", "c"]
    assert list(found.broken) == ["bad", "d"]
    assert found.broken["d"] == "the worker process died"
    assert verify_features(tmp_path / "out") == []


def test_another_recipe_is_refused_before_any_worker_starts(films: dict[str, Path], tmp_path: Path) -> None:
    extract(films, tmp_path / "out", made().load())
    other = Made(("s3d",), ("random",), None, 0.8, marks=str(tmp_path))
    with pytest.raises(UserError, match="made otherwise"):
        extract_on(Engine("local", 1), films, tmp_path / "out", other)
    assert (tmp_path / str(os.getpid())).exists()
    assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 1
