"""Homeworld as a study sees it: filmed clips with annotated and with detected boxes, looked into, kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.relations import cad120
from whyact.data.types import RelationClip, RoiFeatures, Vocabulary
from whyact.files import sha256, write_atomic
from whyact.homeworld.film_set import FOLDS, cast_scene, fold_of, render_frames
from whyact.homeworld.scenes import SCENES, draw_scene, through_camera
from whyact.homeworld.states import IMAGE_SIZE
from whyact.homeworld.train_detector import train_homeworld_detector
from whyact.homeworld.vocabulary import AT_MOST, VOCABULARY
from whyact.homeworld.write import Recording, draw_world, record, write_annotations
from whyact.laiar.clips import detected_clip, with_roi_features
from whyact.laiar.config import PRESETS
from whyact.laiar.geometry import mask_side
from whyact.perception.link import LinkSettings, link
from whyact.perception.open import DetectorEncoder
from whyact.perception.small import SmallDetector, load_detector
from whyact.perception.types import Detector
from whyact.training.checkpoint import read_card

SIZE = (320, 240)
SIDE = mask_side(PRESETS["default"].model.mask_size)
FRAMES = 16  # of each clip, evenly spaced with both ends: training jitters among them
KINDS = ("oracle", "detected")  # of boxes
RHO = 0.6  # how strongly training scenes depend on the action
TEST_WORLDS = 50_000  # test people come from worlds with seeds from here on; no detector trains on them
TEST_VIDEOS = 4  # for each of four people


@dataclass(frozen=True)
class World:
    """Clips to train on and to test on: the tests in scenes, and of people, that training never saw."""

    vocabulary: Vocabulary
    train: list[RelationClip]
    test: list[RelationClip]


def film_clips(
    seed: int, fold: int, part: str, rho: float = RHO
) -> Iterator[tuple[RelationClip, NDArray[np.uint8], str]]:
    """Yield (annotated clip, its frames (T,H,W,3), scene) of one part of a world.

    Every clip is a film of its own. Training scenes are those outside the fold and go with the action by chance
    ``rho``; test scenes are the fold's, and say nothing about the action.
    """
    train = part == "train"
    world = draw_world(seed=seed if train else TEST_WORLDS + seed, videos_per_subject=7 if train else TEST_VIDEOS)
    random = np.random.default_rng((seed, fold, train))
    films = []
    for recording in world:
        for k, clip in enumerate(recording.clips):
            label = VOCABULARY.actions.index(clip.action)
            while (fold_of(index := cast_scene(random, label, rho=rho, part=part)) == fold) is train:
                pass
            scene = draw_scene(SCENES[index], seed)
            seen = through_camera(recording.video.cut(clip.start, clip.stop), scene)
            films.append((record(f"{recording.id}{k:02d}", seen, random), scene))
    clips = {clip.id.split("/")[2]: clip for clip in _annotated([recording for recording, _ in films])}
    for recording, scene in films:
        if recording.id in clips:  # a clip whose change the camera does not show clearly is none
            whole = clips[recording.id]
            at = np.rint(np.linspace(0, len(whole.times) - 1, FRAMES)).astype(np.intp)
            frames = render_frames(recording, scene, (whole.frames[at] - 1).tolist(), SIZE)
            yield _scaled(whole.at(at)), frames, scene.name


def prepare(
    folder: Path, *, seed: int, fold: int, detector: SmallDetector, kinds: Sequence[str], rho: float = RHO
) -> dict[str, tuple[Path, Path]]:
    """Film a world and write its clips once; return the files of the training and the test part by kind of boxes.

    Args:
        folder: Where the files are kept.
        seed: Of the world.
        fold: Its test scenes.
        detector: What finds boxes; its backbone looks into them, into annotated ones too.
        kinds: ``oracle``, ``detected`` or both.
        rho: How strongly training scenes go with the action.
    """
    encoder = DetectorEncoder(detector)

    def path(part: str, kind: str) -> Path:
        key = sha256(f"{seed} {fold} {part} {kind} {FRAMES} {rho} {detector.sha256}".encode())[:16]
        return folder / f"world-{seed}-{part}-{kind}-{key}.safetensors"

    for part in ("train", "test"):
        made: dict[str, list[RelationClip]] = {kind: [] for kind in kinds if not path(part, kind).exists()}
        if not made:
            continue
        for clip, frames, scene in film_clips(seed, fold, part, rho):  # filming costs most: once for all kinds
            for kind, clips in made.items():
                seen = clip
                if kind == "detected":
                    seen = _detected(clip, frames, detector, labelled_only=part == "train")
                if seen.slots:
                    seen = with_roi_features(seen, list(frames), encoder, SIDE)
                clips.append(replace(seen, group=scene))
        for kind, clips in made.items():
            write_clips(path(part, kind), clips)
    return {kind: (path("train", kind), path("test", kind)) for kind in kinds}


def _detected(
    clip: RelationClip, frames: NDArray[np.uint8], detector: Detector, *, labelled_only: bool
) -> RelationClip:
    settings = LinkSettings(most=AT_MOST)
    tracks = link(
        detector(frames), clip.times, classes=detector.classes, image_size=SIZE, frames=clip.frames, settings=settings
    ).filled()
    return detected_clip(clip, tracks, VOCABULARY, slots=28, labelled_only=labelled_only)


def _annotated(recordings: Sequence[Recording]) -> tuple[RelationClip, ...]:
    """Return the annotated clips by way of the layout on disk, the very path that any data takes."""
    with tempfile.TemporaryDirectory() as folder:
        write_annotations(Path(folder) / "annotations", recordings)
        return cad120.read(Path(folder)).clips


def _scaled(clip: RelationClip) -> RelationClip:
    scale = np.array([SIZE[i % 2] / IMAGE_SIZE[i % 2] for i in range(4)], np.float32)
    return replace(
        clip, subject_boxes=clip.subject_boxes * scale, object_boxes=clip.object_boxes * scale, image_size=SIZE
    )


_ARRAYS = ("subject_boxes", "object_boxes", "subject_class", "object_class", "valid", "times", "frames", "relations")


def write_clips(path: Path, clips: Sequence[RelationClip]) -> None:
    """Write clips with their features, in half precision, as one safetensors file."""
    from safetensors.numpy import save

    heads: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for i, clip in enumerate(clips):
        heads.append(
            {"id": clip.id, "slots": clip.slots, "size": clip.image_size, "target": clip.target, "group": clip.group}
        )
        arrays |= {f"{i}.{name}": np.ascontiguousarray(getattr(clip, name)) for name in _ARRAYS}
        if clip.pixels is not None:
            parts = {"subject": clip.pixels.subject, "object": clip.pixels.object, "union": clip.pixels.union}
            arrays |= {f"{i}.pixels.{name}": np.ascontiguousarray(x, dtype=np.float16) for name, x in parts.items()}
    write_atomic(path, save(arrays, metadata={"clips": msgspec.json.encode(heads).decode()}))


def read_clips(path: Path) -> list[RelationClip]:
    """Read what :func:`write_clips` wrote."""
    from safetensors import safe_open

    clips = []
    with safe_open(path, framework="numpy") as file:
        heads = msgspec.json.decode(file.metadata()["clips"])
        names = set(file.keys())
        for i, head in enumerate(heads):
            pixels = None
            if f"{i}.pixels.union" in names:
                pixels = RoiFeatures(*(file.get_tensor(f"{i}.pixels.{n}") for n in ("subject", "object", "union")))
            clips.append(
                RelationClip(
                    id=head["id"],
                    slots=tuple((a, b) for a, b in head["slots"]),
                    image_size=tuple(head["size"]),
                    target=head["target"],
                    group=head["group"],
                    pixels=pixels,
                    **{name: file.get_tensor(f"{i}.{name}") for name in _ARRAYS},
                )
            )
    return clips


def fold_detector(folder: Path, fold: int) -> SmallDetector:
    """Return the detector that has not seen a fold's scenes; it is trained once and kept in the folder."""
    path = folder / f"detector-{fold}"
    if (path / "card.json").exists():
        return load_detector(path)
    seen = [name for i, name in enumerate(SCENES) if fold_of(i) != fold]
    unseen = [name for name in SCENES if name not in seen]
    return train_homeworld_detector(path, fold, worlds=4, epochs=8, scenes=seen, fresh_scenes=unseen)


def fold_metrics(folder: Path, fold: int) -> dict[str, float]:
    """Return what a fold's detector finds in scenes that it has not seen."""
    metrics: dict[str, float] = read_card(folder / f"detector-{fold}")["metrics"]
    return metrics


def world(folder: Path, seed: int, boxes: str) -> World:
    """Return a world's clips; the fold of unseen scenes goes with the seed."""
    fold = seed % FOLDS + 1
    paths = prepare(folder, seed=seed, fold=fold, detector=fold_detector(folder, fold), kinds=KINDS)
    train, test = paths[boxes]
    return World(VOCABULARY, read_clips(train), read_clips(test))
