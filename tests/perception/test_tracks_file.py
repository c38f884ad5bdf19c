"""The tracks file: what is written reads back equal, every broken rule is named, and no bytes break the reader."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from whyact.errors import UserError
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks, write_tracks

DOCUMENT: dict[str, Any] = {
    "format": "whyact-tracks",
    "version": 1,
    "source": "by hand",
    "image_size": [640, 480],
    "times": [0.0, 0.5, 1.25],
    "frames": [1, 16, 38],
    "tracks": [
        {
            "name": "mug_1",
            "class": "mug",
            "boxes": [[10, 20, 40, 54.5], None, [12, 20, 42, 54]],
            "scores": [0.9, None, 0.8],
        },
        {"name": "hand_1", "class": "hand", "boxes": [[1, 2, 3, 4], [2, 2, 4, 4], None], "seen": [True, False, False]},
    ],
}


def written(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "tracks.json"
    path.write_text(json.dumps(document))
    return path


def test_a_file_becomes_slots(tmp_path: Path) -> None:
    tracks = read_tracks(written(tmp_path, DOCUMENT))
    assert tracks.names == ("mug_1", "hand_1")
    assert tracks.classes == ("mug", "hand")
    assert_array_equal(tracks.seen, [[True, True], [False, False], [True, False]])
    assert_array_equal(tracks.known, [[True, True], [False, True], [True, False]])
    np.testing.assert_allclose(tracks.scores, [[0.9, 1.0], [0.0, 0.0], [0.8, 0.0]], rtol=1e-6)
    assert_array_equal(tracks.boxes[0, 0], [10, 20, 40, 54.5])
    assert (tracks.image_size, tracks.source) == ((640, 480), "by hand")
    assert_array_equal(tracks.frames, [1, 16, 38])


def test_what_may_be_left_out(tmp_path: Path) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key not in ("source", "frames")}
    tracks = read_tracks(written(tmp_path, document))
    assert_array_equal(tracks.frames, [1, 2, 3])
    assert tracks.source.endswith("tracks.json")


def changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]

    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("tracks.0.boxes.2", [12, 20, float("nan"), 54], r"nan at \$\.tracks\[0\]\.boxes\[2\]\[2\]"),
        ("tracks.0.boxes.2", [12, 20, float("inf"), 54], r"inf at \$\.tracks\[0\]\.boxes\[2\]\[2\]"),
        ("times.1", float("nan"), r"nan at \$\.times\[1\]"),
        ("tracks.0.boxes.0", [40, 20, 10, 54], r"tracks\[0\]\.boxes\[0\].*x1 < x2"),
        ("tracks.0.boxes.0", [10, 20, 10, 54], r"tracks\[0\]\.boxes\[0\].*x1 < x2"),
        ("tracks.1.boxes.1", [2, 2, 4, 2], r"tracks\[1\]\.boxes\[1\].*y1 < y2"),
        ("tracks.0.boxes.0", [1e30, 0, 2e30, 5], r"tracks\[0\]\.boxes\[0\]"),
        ("tracks.0.boxes.0", [700, 20, 740, 54], r"tracks\[0\]\.boxes\[0\].*640 x 480"),
        ("tracks.0.boxes.0", [10, 20, 40], r", tracks\[0\]\.boxes\[0\]: .*length 4"),
        ("tracks.0.boxes", [[10, 20, 40, 54]], r"tracks\[0\]\.boxes.*1 entries.*3"),
        ("tracks.0.scores", [0.5], r"tracks\[0\]\.scores.*3"),
        ("tracks.0.scores.0", 1.5, r"tracks\[0\]\.scores\[0\].*0 to 1"),
        ("tracks.1.seen.2", True, r"tracks\[1\]\.seen\[2\]"),
        ("tracks.1.name", "mug_1", r"tracks\[1\]\.name"),
        ("tracks.1.class", "", r"tracks\[1\]\.class"),
        ("tracks.1.colour", "red", r"tracks\[1\]: found an unknown field 'colour'"),
        ("fps", 30, r"unknown field 'fps'"),
        ("times.1", 0.0, r"times\[1\].*later"),
        ("times.0", -1.0, r"times\[0\]"),
        ("frames", [1, 2], r"frames.*2 numbers.*3"),
        ("frames.2", 3, r"frames\[2\]"),
        ("frames.0", 0, r"frames\[0\]"),
        ("image_size", [0, 480], r"image_size"),
        ("version", 2, r"version.*2.*expected 1"),
        ("format", "coco", r"whyact-tracks|format"),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, path: str, value: Any, said: str) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    changed(path, value)(document)
    with pytest.raises(UserError, match=said) as caught:
        read_tracks(written(tmp_path, document))
    assert "tracks.json" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{" * 5000, b"[" * 100_000, b'{"format": "whyact-tracks"'])
def test_what_is_no_tracks_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json"):
        read_tracks(tmp_path / "x.json")


def test_a_missing_file_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_tracks(tmp_path / "none.json")


@st.composite
def any_tracks(draw: st.DrawFn) -> Tracks:
    t, k = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = rng.uniform(-5, 600, (t, k, 2))  # some reach past the image, and are clipped
    boxes = np.concatenate([low, low + rng.uniform(6, 500, (t, k, 2))], axis=-1).astype(np.float32)
    known = rng.random((t, k)) < 0.7
    seen = known & (rng.random((t, k)) < 0.8)
    return Tracks(
        names=tuple(f"mug_{i}" for i in range(k)),
        classes=("mug",) * k,
        boxes=boxes * known[..., None],
        seen=seen,
        scores=(rng.random((t, k)) * seen).astype(np.float32),
        times=np.cumsum(rng.uniform(0.01, 1, t)),
        frames=np.cumsum(rng.integers(1, 30, t)).astype(np.int64),
        image_size=(640, 640),
        source=draw(st.text(min_size=1, max_size=5)),
    )


@given(any_tracks())
def test_written_tracks_read_back_equal(tracks: Tracks) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_tracks(Path(folder) / "t.json", tracks)
        again = read_tracks(path)
        first = path.read_bytes()
        assert write_tracks(path, again).read_bytes() == first
    for field in ("names", "classes", "image_size", "source"):
        assert getattr(again, field) == getattr(tracks, field)
    tracks = replace(tracks, boxes=np.clip(tracks.boxes, 0, 640))
    for field in ("boxes", "seen", "scores", "times", "frames"):
        assert_array_equal(getattr(again, field), getattr(tracks, field))
        assert getattr(again, field).dtype == getattr(tracks, field).dtype


def test_broken_tracks_are_not_written(tmp_path: Path) -> None:
    tracks = read_tracks(written(tmp_path, DOCUMENT))
    for wrong in (np.nan, np.inf, -1e9):
        boxes = tracks.boxes.copy()
        boxes[0, 0, 2] = wrong
        with pytest.raises(UserError, match=r"tracks\[0\]\.boxes\[0\]"):
            write_tracks(tmp_path / "out.json", replace(tracks, boxes=boxes))
    assert not (tmp_path / "out.json").exists()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
PLACES = [
    "format",
    "version",
    "source",
    "image_size",
    "image_size.0",
    "times",
    "times.1",
    "frames",
    "frames.0",
    "tracks",
    "tracks.0",
    "tracks.0.name",
    "tracks.0.class",
    "tracks.0.boxes",
    "tracks.0.boxes.0",
    "tracks.0.boxes.0.2",
    "tracks.0.scores",
    "tracks.0.scores.0",
    "tracks.1.seen",
    "tracks.1.seen.0",
]


@settings(max_examples=300)
@given(st.sampled_from(PLACES), json_values)
def test_any_value_in_any_place_is_read_or_refused(place: str, value: Any) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    changed(place, value)(document)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), document)
        try:
            tracks = read_tracks(path)
        except UserError as error:
            refused = str(error)
        else:
            refused = "tracks.json"
            assert np.isfinite(tracks.boxes).all()
            assert (tracks.boxes[tracks.known][:, 2:] > tracks.boxes[tracks.known][:, :2]).all()
            assert not (tracks.seen & ~tracks.known).any()
        assert "tracks.json" in refused


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 600))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    data = json.dumps(DOCUMENT).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.json"
        path.write_bytes(data[:at] + noise + data[at + len(noise) :])
        with contextlib.suppress(UserError):
            read_tracks(path)
