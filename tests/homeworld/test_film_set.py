"""Filmed worlds: pixels, boxes and scenes agree, and scenes deceive in training only."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from whyact.data.relations import cad120
from whyact.errors import UserError
from whyact.homeworld.film_set import FOLDS, cast_scene, film_world, fold_of, render_frames, thin, write_videos
from whyact.homeworld.scenes import SCENES
from whyact.homeworld.write import draw_world


def test_videos_annotations_and_scenes_correspond(tmp_path: Path) -> None:
    size = (64, 48)
    root = write_videos(tmp_path / "w", seed=1, subjects=2, videos_per_subject=1, every=10, size=size)
    films = list(film_world(seed=1, subjects=2, videos_per_subject=1, every=10))
    told = json.loads((root / "scenes.json").read_text())
    assert {f.recording.id for f in films} == set(told["videos"])
    for film in films:
        said = told["videos"][film.recording.id]
        assert (said["scene"], said["index"], said["part"]) == (film.scene.name, film.index, film.part)
        assert SCENES[film.index] == film.scene.name
        with av.open(str(root / "videos" / f"{film.recording.id}.mp4")) as container:
            frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
        assert len(frames) == len(film.recording.video)
        note = next((root / "annotations").rglob(f"{film.recording.id}.json"))
        tracks = json.loads(note.read_text())["locations"]
        assert {len(track["loc_list"]) for track in tracks} == {len(frames)}
        some = [0, len(frames) // 2]
        for t, picture in zip(some, render_frames(film.recording, film.scene, some, size), strict=True):
            assert np.abs(picture - frames[t]).mean() < 8
    assert len(cad120.read(root).clips) == sum(len(f.recording.clips) for f in films)


@pytest.mark.parametrize("every", [1, 3])
def test_the_reader_knows_the_rate_of_thinned_films(tmp_path: Path, every: int) -> None:
    root = write_videos(tmp_path / "w", seed=1, subjects=2, videos_per_subject=1, every=every, size=None)
    for file in (root / "annotations" / "all").rglob("*.json"):
        assert json.loads(file.read_text()).get("fps") == (None if every == 1 else 30 / every)  # as published at 30
    for clip in cad120.read(root).clips:
        np.testing.assert_allclose(np.diff(clip.times), every / 30)
        assert clip.times[-1] == pytest.approx((clip.frames[-1] - clip.frames[0]) * every / 30)
    (_, _, spans), *_ = cad120.annotated_videos(root)[0]
    assert spans
    assert {video.rate for _, video, _ in cad120.annotated_videos(root)[0]} == {30 / every}


def test_folds_test_on_unseen_scenes_of_the_test_part() -> None:
    films = list(film_world(seed=3, subjects=3, videos_per_subject=6))
    for fold in range(1, FOLDS + 1):
        train = {f.index for f in films if f.part == "train" and f.fold != fold}
        test = {f.index for f in films if f.part == "test" and f.fold == fold}
        assert not train & test
    assert sorted(fold_of(i) for i in range(len(SCENES))) == sorted([*range(1, FOLDS + 1)] * 2)


@pytest.mark.parametrize(("rho", "share"), [(0.0, 0.2), (0.3, 0.44), (0.6, 0.68)])
def test_preferred_scenes_are_as_frequent_as_rho_says_and_only_in_training(rho: float, share: float) -> None:
    rng = np.random.default_rng(0)
    for label in (0, 7):
        favourites = {label * 3 % 10, (label * 3 + 1) % 10}
        assert len({fold_of(i) for i in favourites}) == 2
        train = [cast_scene(rng, label, rho=rho, part="train") in favourites for _ in range(3000)]
        test = [cast_scene(rng, label, rho=rho, part="test") in favourites for _ in range(3000)]
        assert np.mean(train) == pytest.approx(share, abs=0.04)
        assert np.mean(test) == pytest.approx(0.2, abs=0.04)


def test_clips_as_videos_have_one_span_and_their_own_scene() -> None:
    films = list(film_world(seed=1, subjects=2, videos_per_subject=1, clips=True))
    assert len({f.recording.id for f in films}) == len(films)
    assert all(len(f.recording.video.spans) == 1 for f in films)
    assert len({f.index for f in films}) > 3


def test_thinning_keeps_every_nth_frame() -> None:
    video = next(draw_world(seed=0, subjects=2, videos_per_subject=1)).video
    few = thin(video, 4)
    np.testing.assert_array_equal(few.center, video.center[::4])
    assert len(few) == -(-len(video) // 4)
    assert all(0 <= a < b <= len(few) for a, b in few.spans)


@pytest.mark.parametrize("options", [{"rho": -0.1}, {"every": 0}, {"subjects": 1}], ids=["rho", "every", "subjects"])
def test_numbers_out_of_range_leave_no_folder(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UserError):
        write_videos(tmp_path / "w", seed=0, size=None, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
