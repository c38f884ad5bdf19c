"""Clip vectors from feature files: one of the clip itself, or the mean of a video's snippets at its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_clips import clip
from whyact.data.relations.context import with_context
from whyact.data.types import RelationClip
from whyact.errors import UserError


def test_a_clips_own_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    np.save(tmp_path / "v/1-2.npy", np.arange(3, dtype=np.float32))
    np.save(tmp_path / "v/3-4.npy", np.array([[1, 2, 3], [3, 4, 5]], np.float16))
    own, mean = with_context([clip("ff", id="v/1-2"), clip("ff", id="v/3-4")], tmp_path)
    assert own.context is not None
    assert mean.context is not None
    assert own.context.tolist() == [0, 1, 2]
    assert mean.context.tolist() == [2, 3, 4]


def test_a_videos_snippets_are_averaged_over_the_clip(tmp_path: Path) -> None:
    rows = np.arange(10, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "features.json").write_text('{"snippet_seconds": 0.5}')
    asked = [cut("v", 31, 64), cut("v", 1501, 1531), cut("v", 1, 16), cut("v", 121, 121)]  # at 30 frames a second
    found = [c.context.tolist() for c in with_context(asked, tmp_path) if c.context is not None]
    assert found == [[3, 3], [9, 9], [0.5, 0.5], [8, 8]]  # snippets 2 to 4; behind the end; 0 and 1; 8 alone


def cut(video: str, first: int, last: int) -> RelationClip:
    """Return a clip as the readers cut it: its times count from its own first frame."""
    frames = np.unique([first, last])
    return clip("f" * len(frames), id=f"{video}/{first}-{last}", frames=frames, times=(frames - first) / 30)


def test_a_single_frame_of_unknown_rate_and_a_file_of_the_folder_are_no_guess(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((4, 2), np.float32))
    with pytest.raises(UserError, match=r"clip v/9-9.*rate"):
        with_context([cut("v", 9, 9)], tmp_path)
    with pytest.raises(UserError, match="1 clips without a file"):
        with_context([clip("ff", id="v/pour")], tmp_path)  # a film in the folder v, not a part of a video v


def test_files_that_are_missing_or_differ_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    np.save(tmp_path / "b.npy", np.ones(4))
    np.save(tmp_path / "c.npy", np.array([np.nan]))
    with pytest.raises(UserError, match=r"2 clips without a file.*d\.npy|2 clips.*ID\.npy for d, e"):
        with_context([clip("f", id=name) for name in "aed"], tmp_path)
    with pytest.raises(UserError, match="width 4"):
        with_context([clip("f", id="a"), clip("f", id="b")], tmp_path)
    with pytest.raises(UserError, match="finite"):
        with_context([clip("f", id="c")], tmp_path)
