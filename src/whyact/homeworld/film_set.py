"""Film a world: every video in a scene, with the scenes skewed by what happens where the world is to deceive.

As in Charades there is a training part and a test part, and five folds by scene. A fold trains on the
training part outside its scenes and tests on the test part in them, so test scenes are always unseen.
With ``rho`` above 0, a training video is with that probability in one of the two scenes that its class
prefers; in the test part the scene does not depend on the class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.homeworld.annotate import observe, read_clips
from whyact.homeworld.render import render
from whyact.homeworld.scenes import SCENES, Scene, draw_scene, through_camera
from whyact.homeworld.scripts import ACTIVITIES
from whyact.homeworld.states import FPS, WorldVideo
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.homeworld.write import (
    Folds,
    Recording,
    check_at_least,
    draw_fresh,
    draw_world,
    whole_folder,
    write_annotations,
)
from whyact.video.write import write_video

FOLDS = 5
_CASTING = 2  # the stream of chance that chooses scenes, beside those of write.py


@dataclass(frozen=True)
class Filmed:
    """A recording as its scene's camera sees it: boxes and pixels agree, frame by frame.

    ``index`` is the scene's place in :data:`~whyact.homeworld.scenes.SCENES`, ``fold`` (1 to 5) the fold
    that tests on it.
    """

    recording: Recording
    scene: Scene
    index: int
    part: Literal["train", "test"]

    @property
    def fold(self) -> int:
        """Return the fold that tests on this scene."""
        return fold_of(self.index)


def fold_of(scene: int) -> int:
    """Return the fold (1 to 5) that tests on a scene: two scenes each."""
    return scene % FOLDS + 1


def cast_scene(rng: np.random.Generator, label: int, *, rho: float, part: str) -> int:
    """Draw the scene of a video whose class has this number.

    The two preferred scenes lie in different folds, so that no fold loses most of a class.
    """
    prefers = part == "train" and rng.random() < rho
    spread = int(rng.integers(len(SCENES)))
    return (label * 3 + int(rng.random() < 0.5)) % len(SCENES) if prefers else spread


def film_world(
    *,
    seed: int,
    subjects: int = 4,
    videos_per_subject: int = 7,
    rho: float = 0.0,
    every: int = 1,
    clips: bool = False,
) -> Iterator[Filmed]:
    """Yield the videos of a world, each filmed in a scene. The same arguments give the same films.

    Args:
        seed: Of the world and its scenes.
        subjects: How many people.
        videos_per_subject: How many videos each; every third is of the test part.
        rho: How strongly training scenes depend on the class, 0 to 1.
        every: Keep every n-th frame of the 30 a second; annotations follow.
        clips: Make every clip a video of its own, whose class is its action; else the class is the activity.

    Raises:
        UserError: On numbers out of range.
    """
    check_at_least("every", every, 1)
    if not 0.0 <= rho <= 1.0:
        raise UserError("rho", rho, "a number from 0 to 1")
    world = draw_world(seed=seed, subjects=subjects, videos_per_subject=videos_per_subject)
    scenes = [draw_scene(name, seed) for name in SCENES]
    activities = list(ACTIVITIES)
    for i, recording in enumerate(world):
        part: Literal["train", "test"] = "test" if i % videos_per_subject % 3 == 2 else "train"
        pieces = [(recording.id, recording.video, activities.index(recording.video.activity))]
        if clips:
            pieces = [
                (f"{recording.id}{k:02d}", recording.video.cut(c.start, c.stop), VOCABULARY.actions.index(c.action))
                for k, c in enumerate(recording.clips)
            ]
        for k, (id_, video, label) in enumerate(pieces):
            rng = np.random.default_rng((seed, _CASTING, i, k))
            index = cast_scene(rng, label, rho=rho, part=part)
            seen = through_camera(thin(video, every), scenes[index])
            found = read_clips(seen)
            filmed = Recording(id_, seen, found, observe(seen, found, rng), FPS / every)
            yield Filmed(filmed, scenes[index], index, part)


def thin(video: WorldVideo, every: int) -> WorldVideo:
    """Return every n-th frame of a video; its spans are counted in the frames that are left."""
    if every == 1:
        return video
    frames = slice(None, None, every)
    kept = {
        name: getattr(video, name)[frames]
        for name in ("head", "torso", "hands", "hidden", "upright", "center", "size", "openness", "holder")
    }
    spans = tuple((-(-a // every), -(-b // every)) for a, b in video.spans)
    return replace(video, **kept, spans=spans)


def render_frames(
    video: WorldVideo | Recording, scene: Scene, frames: Sequence[int], size: tuple[int, int] = (320, 240)
) -> NDArray[np.uint8]:
    """Render only these frames (0-based) of a film, shape (T,H,W,3).

    The states are drawn where they are: pass a video that :func:`film_world` or
    :func:`~whyact.homeworld.scenes.through_camera` has brought into the scene.
    """
    states = video.video if isinstance(video, Recording) else video
    if not len(frames):
        return np.zeros((0, size[1], size[0], 3), dtype=np.uint8)
    return np.stack([render(states[int(t)], scene, size) for t in frames])


def write_videos(
    root: Path,
    *,
    seed: int,
    subjects: int = 4,
    videos_per_subject: int = 7,
    rho: float = 0.0,
    every: int = 1,
    clips: bool = False,
    size: tuple[int, int] | None = (320, 240),
    done: Callable[[str], object] = lambda name: None,
) -> Path:
    """Write a filmed world: ``videos/ID.mp4``, the CAD-120 layout under ``annotations``, and ``scenes.json``.

    Frame n of an annotation (1-based) is frame n of the video. Annotated boxes are in 640 x 480 pixels
    whatever ``size`` is. The subject names of the annotations say person, part and scene
    (``Subject1-train-s03``), and the five splits are the folds by scene.

    Args:
        root: A folder that is not there yet, or empty; it appears whole or not at all.
        seed: The same seed gives the same annotations, byte for byte.
        subjects: As for :func:`film_world`, like all options but the last.
        videos_per_subject: See there.
        rho: See there.
        every: See there; the videos have 30 / every frames a second.
        clips: See there.
        size: (width, height) of the videos; None writes annotations only.
        done: Called with the name of every video that is finished.

    Returns:
        ``root``.

    Raises:
        UserError: On numbers out of range, or where ``root`` exists and is not empty.
    """
    films = film_world(
        seed=seed, subjects=subjects, videos_per_subject=videos_per_subject, rho=rho, every=every, clips=clips
    )
    cast: dict[str, dict[str, object]] = {}

    def shoot(draft: Path) -> Iterator[Recording]:
        for film in films:
            recording, video = film.recording, film.recording.video
            if size is not None:
                pictures = (render(video[t], film.scene, size) for t in range(len(video)))
                write_video(draft / "videos" / f"{recording.id}.mp4", pictures, recording.fps)
            cast[recording.id] = scene_entry(film.index, film.part, rho)
            done(recording.id)
            name = f"{video.person}-{film.part}-s{film.index:02d}"
            yield replace(recording, video=replace(video, person=name))

    with whole_folder(Path(root)) as draft:
        write_annotations(draft / "annotations", shoot(draft), _scene_folds)
        scenes = {"seed": seed, "rho": rho, "fps": FPS / every, "scenes": list(SCENES), "videos": cast}
        (draft / "scenes.json").write_text(json.dumps(scenes, indent=1) + "\n", encoding="utf-8")
    return Path(root)


def scene_entry(index: int, part: str, rho: float) -> dict[str, object]:
    """Return what ``scenes.json`` says of a video."""
    return {"scene": SCENES[index], "index": index, "rho": rho, "part": part, "fold": fold_of(index)}


def _scene_folds(people: list[str]) -> Folds:
    of = {p: fold_of(int(p.rpartition("-s")[2])) for p in people}
    return [
        ([p for p in people if "-train-" in p and of[p] != f], [p for p in people if "-test-" in p and of[p] == f])
        for f in range(1, FOLDS + 1)
    ]


def film_fresh(path: Path, *, seed: int, action: str | None = None, size: tuple[int, int] = (640, 480)) -> Scene:
    """Film :func:`~whyact.homeworld.write.draw_fresh`'s video in a scene of the seed's choice; return the scene.

    Args:
        path: The video file.
        seed: The same seed gives the same film.
        action: What happens in it; anything but null by default.
        size: (width, height) of the pictures.

    Raises:
        UserError: On a negative seed or an action that the world does not have.
    """
    recording = draw_fresh(seed=seed, action=action)
    scene = draw_scene(SCENES[int(np.random.default_rng((seed, _CASTING)).integers(len(SCENES)))], seed)
    video = through_camera(recording.video, scene)
    write_video(Path(path), (render(video[t], scene, size) for t in range(len(video))), FPS)
    return scene
