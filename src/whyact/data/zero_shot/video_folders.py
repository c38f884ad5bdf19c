"""The published video layouts as lists of files with a class each, and a frozen CLIP's features of them.

What a list names and the disk lacks is counted and listed, never skipped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.data.types import FeatureSequence, ZeroShotOptions
from whyact.data.zero_shot.types import ZeroShotData
from whyact.devices import resolve_device
from whyact.errors import UserError
from whyact.files import writable_folder
from whyact.progress import progress as show
from whyact.video.decode import decode
from whyact.video.inputs import Inputs, videos_in

if TYPE_CHECKING:
    from whyact.features.clip import ClipEncoder

STORED_FRAMES = 32
STORE = ".whyact-features"
WORDS = "word vectors of Label.mat"


@dataclass(frozen=True)
class Listed:
    """One video file with its class name; ``group`` names the source that several clips are cut from.

    ``part`` is ``train``, ``validate`` or ``test`` where a data set keeps them apart, else empty.
    """

    path: Path
    label: str
    group: str = ""
    part: str = ""


def class_folders(folder: Path, skipped: Inputs, part: str = "", deep: bool = False) -> list[Listed]:
    """List ``folder/<class>/*`` (UCF101, HMDB51, Olympic Sports, Kinetics, and one's own videos), sorted.

    Args:
        folder: What holds a folder for each class.
        skipped: Counts hidden files, links to nothing, files that are no videos, folders without any.
        part: Of a data set that keeps parts apart.
        deep: Also list ``folder/<class>/<group>/*``, clips that belong together, as one's own videos may lie.

    Raises:
        UserError: When no subfolder holds a video.
    """
    listed = []
    for place in sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []:
        if place.name.startswith("."):
            continue
        videos = videos_in(place, skipped, deep=deep)
        for below in sorted(path for path in place.iterdir() if path.is_dir()) if not deep else ():
            skipped.skip("a folder in a class folder", str(below))
        if not videos:
            skipped.skip("a class folder without a video", str(place))
        listed += [Listed(path, place.name, _group(path, place), part) for path in videos]
    if not listed:
        expected = f"a folder per class with videos in it{f'; {skipped.note}' if skipped.note else ''}"
        raise UserError(folder, "no video", expected, "point --root at that folder")
    return listed


def _group(path: Path, place: Path) -> str:
    """Return what tells the source of a video: the folder that it lies in below that of its class, else its name."""
    inside = path.relative_to(place).parent.as_posix()
    return source(path) if inside == "." else f"{place.name}/{inside}"


def source(path: Path) -> str:
    """Return the name of the longer video that a clip was cut from, as its file name tells; empty where it does not.

    UCF101 writes ``v_Archery_g07_c02``, Kinetics and Olympic Sports ``<id>_<start>_<end>``, HMDB51
    ``<film>_<class>_<details>``.
    """
    label, stem = path.parent.name, path.stem
    if found := re.search(r"_(g\d+)_c\d+$", stem) or re.match(r"(.+)_\d{5,6}_\d{5,6}$", stem):
        return f"{label}/{found[1]}"
    film, cut, _ = stem.partition(f"_{label}_")
    return f"{label}/{film}" if cut and film else ""


def path_below(root: Path, path: Path) -> str:
    """Return a file's identity: its path below the root, with ``/``; base names repeat from class to class."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def first_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the first of ``root/name`` that exists, else ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def encode(
    name: str,
    videos: Sequence[Listed],
    said: dict[str, str],
    prompt: str,
    root: Path,
    options: ZeroShotOptions,
    words: Float32 | None = None,
    missing: tuple[str, ...] = (),
    auxiliary: tuple[str, ...] = (),
) -> ZeroShotData:
    """Encode each video's frames once into the store beside the data, and every class name.

    Args:
        name: The data set.
        videos: What to encode; a class of ``said`` without a video stays a class.
        said: Class name -> words for the prompt, in the order of the classes.
        prompt: The sentence around the words.
        root: Where the store goes.
        options: The backbone, and whether names go through it.
        words: Vectors (C,D) that stand for the names instead of CLIP's, in the order of ``said``.
        missing: What a published list names and the disk lacks.
        auxiliary: Names that only densify the graph; none where ``words`` are given.

    Raises:
        UserError: When not one video decodes, two class names give the same prompt, or the store cannot be written.
    """
    from whyact.features.clip import load_clip  # torch is slow to import, and listing videos needs none
    from whyact.features.store import FeatureStore

    sentences: dict[str, str] = {}
    for label, spoken in said.items():
        if spoken in sentences:
            expected = f"a prompt that {sentences[spoken]} has not"
            raise UserError(f"data {name}, class {label}", prompt.format(spoken), expected)
        sentences[spoken] = label
    clip = load_clip(options.backbone, options.weights, resolve_device(options.device))
    position = {label: i for i, label in enumerate(said)}
    grid = f", {options.patches}x{options.patches} patches" if options.patches else ""
    encoder = f"{clip.semantics}, {STORED_FRAMES} frames{grid}"
    folder = root / STORE / re.sub(r"[^A-Za-z0-9]+", "-", clip.semantics + grid)
    sequences, broken, name_of = [], set[str](), dict[Path, str]()
    with FeatureStore(folder, encoder) as store, show("features", len(videos), wanted=options.progress) as bar:
        for video in videos:
            bar.advance(video.path.name)
            name_of[video.path] = identity = path_below(root, video.path)
            facts = video.path.stat()
            key = f"{facts.st_size}-{facts.st_mtime_ns}"
            if not store.has(identity, key):
                writable_folder("--root", folder)  # before the work, which could not be kept
                try:
                    clip_frames = decode(video.path, STORED_FRAMES)
                except UserError:
                    broken.add(identity)
                    continue
                features = frame_features(clip, clip_frames.frames, options.patches)
                store.add(identity, key, features, clip_frames.times, clip_frames.rate, clip_frames.facts.degraded)
        for video in videos:
            identity = name_of[video.path]
            if identity not in broken:
                stored = store.get(identity)
                sequences.append(
                    FeatureSequence(
                        identity,
                        stored.features,
                        stored.times,
                        stored.rate,
                        target=(position[video.label],),
                        group=video.group,
                    )
                )
    by_clip = words is None
    if words is None:
        words = clip.encode_texts([prompt.format(name) for name in (*said.values(), *auxiliary)]).numpy()
    return ZeroShotData(
        name=name,
        classes=tuple(said),
        text=np.ascontiguousarray(words[: len(said)]),
        videos=tuple(sequences),
        semantics=clip.semantics if by_clip else WORDS,
        prompt=prompt if by_clip else "{}",
        said=said,
        pixels=clip.semantics,
        auxiliary=auxiliary if by_clip else (),
        auxiliary_text=np.ascontiguousarray(words[len(said) :]),
        missing=(*missing, *sorted(broken)),
    )


def frame_features(clip: ClipEncoder, frames: NDArray[np.uint8], patches: int) -> Float32:
    """Return (T,D) of frames (T,H,W,3), or (T,D+P*P*D) with P by P patch vectors behind each frame's own."""
    if not patches:
        return clip.encode_frames(frames).numpy()
    from whyact.features.patches import encode_with_patches

    return encode_with_patches(clip, frames, patches).numpy()
