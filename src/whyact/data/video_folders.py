"""The published video layouts as lists of files with a class each, and a frozen CLIP's features of them.

What a list names and the disk lacks is counted and listed, never skipped in silence.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whyact.data.types import FeatureSequence
from whyact.data.zero_shot import ZeroShotData
from whyact.errors import UserError
from whyact.features.clip import load_clip
from whyact.features.store import FeatureStore
from whyact.video.decode import decode

ENDINGS = {".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg"}
STORED_FRAMES = 32
STORE = ".whyact-features"


@dataclass(frozen=True)
class Listed:
    """One video file with its class name; ``group`` names the source that several clips are cut from."""

    path: Path
    label: str
    group: str = ""


def class_folders(folder: Path) -> list[Listed]:
    """List ``folder/<class>/*`` (UCF101, HMDB51, Olympic Sports, Kinetics, and one's own videos), sorted.

    The group is what UCF101 writes into the file name (``v_Archery_g07_c02`` is of group g07 of its class).

    Raises:
        UserError: When no subfolder holds a video.
    """
    found = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in ENDINGS:
            group = re.search(r"_(g\d+)_c\d+$", path.stem)
            found.append(Listed(path, path.parent.name, f"{path.parent.name}/{group[1]}" if group else ""))
    if not found:
        raise UserError(folder, "no video", "a folder per class with videos in it", "point --root at that folder")
    return found


def first_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the first of ``root/name`` that exists, else ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def missing_of(expected: Iterable[str], found: Iterable[Listed]) -> tuple[str, ...]:
    """Return the file names of a list that are not on disk, sorted."""
    present = {video.path.name for video in found}
    return tuple(sorted(set(expected) - present))


def encode(
    name: str,
    videos: Sequence[Listed],
    said: dict[str, str],
    prompt: str,
    root: Path,
    backbone: str,
    weights: str,
    missing: tuple[str, ...] = (),
    auxiliary: tuple[str, ...] = (),
    progress: bool = True,
) -> ZeroShotData:
    """Encode each video's frames once into the store beside the data, and every class name.

    Args:
        name: The data set.
        videos: What to encode; a class of ``said`` without a video stays a class.
        said: Class name -> words for the prompt, in the order of the classes.
        prompt: The sentence around the words.
        root: Where the store goes.
        backbone: A CLIP, see :func:`whyact.features.clip.load_clip`.
        weights: Its weights.
        missing: What a published list names and the disk lacks.
        auxiliary: Words of classes that only densify the graph.
        progress: Say on stderr how far it is, if that is a terminal.

    Raises:
        UserError: When not one video decodes, or two class names give the same prompt.
    """
    clip = load_clip(backbone, weights)
    position = {label: i for i, label in enumerate(said)}
    encoder = f"{clip.semantics}, {STORED_FRAMES} frames"
    folder = root / STORE / re.sub(r"[^A-Za-z0-9]+", "-", clip.semantics)
    sequences, broken = [], list(missing)
    with FeatureStore(folder, encoder) as store:
        for i, video in enumerate(videos):
            identity = video.path.relative_to(root).as_posix() if video.path.is_relative_to(root) else video.path.name
            facts = video.path.stat()
            key = f"{facts.st_size}-{facts.st_mtime_ns}"
            if not store.has(identity, key):
                try:
                    clip_frames = decode(video.path, STORED_FRAMES)
                except UserError:
                    broken.append(video.path.name)
                    continue
                features = clip.encode_frames(clip_frames.frames).numpy()
                store.add(identity, key, features, clip_frames.times, clip_frames.rate, clip_frames.facts.degraded)
            if progress and sys.stderr.isatty():
                print(f"\rfeatures: {i + 1} of {len(videos)}", end="", file=sys.stderr)
        for video in videos:
            identity = video.path.relative_to(root).as_posix() if video.path.is_relative_to(root) else video.path.name
            if video.path.name not in broken:
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
    texts = clip.encode_texts([prompt.format(words) for words in (*said.values(), *auxiliary)]).numpy()
    return ZeroShotData(
        name=name,
        classes=tuple(said),
        text=texts[: len(said)],
        videos=tuple(sequences),
        semantics=clip.semantics,
        prompt=prompt,
        auxiliary=auxiliary,
        auxiliary_text=np.ascontiguousarray(texts[len(said) :]),
        missing=tuple(broken),
    )
