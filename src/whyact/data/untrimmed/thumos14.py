"""THUMOS'14 in its "reduced" packaging: 200 validation videos to learn from, 212 test videos, 20 classes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.data.definition import Dataset
from whyact.data.io.pickles import load_array
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import FeatureFolder, open_folder, read_target, sequence
from whyact.data.untrimmed.feature_split import FeatureSplit, check_set, read_named, split_of
from whyact.data.untrimmed.sets import (
    Annotation,
    UntrimmedSet,
    annotations_from_arrays,
    read_arrays,
    summary,
)
from whyact.errors import UserError
from whyact.files import read_text

SNIPPETS_PER_SECOND = 25 / 16
JOINT_FEATURES = "Thumos14reduced-I3D-JOINTFeatures.npy"
#: Features of the published layout: I3D joint rows (RGB 1024, flow 1024), CLIP RN50 targets of 1024.
RGB_WIDTH, FLOW_WIDTH, CLIP_WIDTH = 1024, 1024, 1024


def load(root: Path | str) -> UntrimmedSet:
    """Read annotations and the ambiguous list.

    Args:
        root: The folder of the ``.npy`` arrays, or one that holds it (``thumos14``,
            ``Thumos14reduced-Annotations``, or the published ``features/`` or ``data/thumos/`` or what holds that).

    Raises:
        UserError: When the arrays are missing, misaligned or broken.
    """
    folder = _annotations(Path(root))
    classes, videos = annotations_from_arrays(folder, read_arrays(folder))
    return UntrimmedSet(
        "thumos14", classes, videos, "validation", "test", _read_ambiguous(folder / "Ambiguous_test.txt")
    )


def prompt_name(name: str) -> str:
    """Turn a CamelCase class name into the words of its prompt."""
    return "shot put" if name == "Shotput" else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def convert_features(root: Path | str, out: Path | str) -> int:
    """Split the published joint feature array into one memory-mappable ``.npy`` file a video.

    Args:
        root: The published ``features/`` folder (annotations beside ``Thumos14reduced/``).
        out: A folder to fill with ``<video>.npy``, float32 (T, 2048).

    Returns:
        The number of files written.

    Raises:
        UserError: When the array and the annotations disagree.
    """
    root, out = Path(root), Path(out)
    found = load(root)
    out.mkdir(parents=True, exist_ok=True)
    for video, features in _joint_rows(_joint(root) or root / JOINT_FEATURES, found):
        temporary = out / f".{video.id}.npy.tmp"
        with open(temporary, "wb") as file:
            np.save(file, features, allow_pickle=False)
        os.replace(temporary, out / f"{video.id}.npy")
    return len(found.videos)


def _annotations(root: Path) -> Path:
    name = "Thumos14reduced-Annotations"
    places = (root, *(root / place for place in ("thumos14", "features", "thumos", "data/thumos")))
    for folder in (*places, *(place / name for place in places)):
        if (folder / "videoname.npy").is_file():
            return folder
    raise UserError(
        root, None, "the THUMOS'14 annotation arrays (videoname.npy, segments.npy, ...)", "point --root at their folder"
    )


def _read_ambiguous(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    if not path.is_file():
        # The list changes the mAP: going on without it would be a silent change of protocol.
        raise UserError(path, None, "the list of ambiguous spans", "put Ambiguous_test.txt beside the arrays")
    text = read_text(path, "lines of name, start and end")
    spans: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            name, start, end = fields[0], float(fields[1]), float(fields[2])
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}:{number}", line, "name, start and end in seconds") from error
        if not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise UserError(f"{path}:{number}", line, "finite seconds, the start first")
        spans.setdefault(name, []).append((start, end))
    return {name: tuple(values) for name, values in spans.items()}


def _joint(root: Path) -> Path | None:
    return next(iter(sorted(root.rglob(JOINT_FEATURES))), None)


def _joint_rows(path: Path, found: UntrimmedSet) -> Iterator[tuple[Annotation, NDArray[np.float32]]]:
    """Yield each annotated video with its row of the joint feature array.

    Raises:
        UserError: When the array and the annotations disagree, or a row is empty, of another width or not finite.
    """
    rows = load_array(path)
    if len(rows) != len(found.videos):
        raise UserError(path, len(rows), f"{len(found.videos)} rows, one for each annotated video")
    width = RGB_WIDTH + FLOW_WIDTH
    for number, (video, row) in enumerate(zip(found.videos, rows, strict=True)):
        where = f"{path}, row {number} ({video.id})"
        try:
            features = np.asarray(row, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(where, "no array of numbers", f"features (T, {width})") from error
        if features.ndim != 2 or features.shape[1] != width or not len(features):
            raise UserError(where, f"an array of shape {features.shape}", f"features (T, {width}) with T above 0")
        if not np.isfinite(features).all():
            snippet = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise UserError(where, f"NaN or infinity in snippet {snippet}", "finite features")
        yield video, features


def _clip_folders(root: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder for folder in root.glob("**/Thumos14_CLIP/*") if folder.is_dir()))


def _files(root: Path) -> FeatureFolder | None:
    """Return the folder of converted features; ``None`` where only the joint array is there.

    Raises:
        UserError: When neither is.
    """
    if _joint(root) is not None and not any((root / "features").glob("*.npy")):
        return None
    folder = open_folder(root)
    return replace(folder, target=folder.target or _clip_folders(root))


def _sequences(root: Path, found: UntrimmedSet) -> Iterator[FeatureSequence]:
    path, target = _joint(root), _clip_folders(root)
    assert path is not None
    for video, features in _joint_rows(path, found):
        yield sequence(video, features, target=_clip_rows(target, video.id, len(features)))


def _clip_rows(folders: Sequence[Path], name: str, length: int) -> NDArray[np.floating] | None:
    if not folders:
        return None
    path = next((folder / f"{name}.npy" for folder in folders if (folder / f"{name}.npy").is_file()), None)
    if path is None:
        raise UserError(folders[0], f"no {name}.npy", "a CLIP feature file for every video")
    return read_target(path, length)


def _videos(root: Path, names: Collection[str]) -> list[FeatureSequence]:
    found = load(root)
    if (folder := _files(root)) is not None:
        return read_named(found, folder, names)
    path, target = _joint(root), _clip_folders(root)
    assert path is not None
    return [
        sequence(video, features, target=_clip_rows(target, video.id, len(features)))
        for video, features in _joint_rows(path, found)
        if video.id in names
    ]


def _read(root: Path, fold: int) -> FeatureSplit:
    found = load(root)
    prompts = tuple(prompt_name(name) for name in found.classes)
    clip = root / "Thumos14_CLIP"
    if (folder := _files(root)) is not None:
        return split_of(found, folder, prompts, "published", clip)
    by_id = {video.id: video for video in _sequences(root, found)}
    train, test = ([by_id[video.id] for video in side] for side in (found.train, found.test))
    if not train:
        raise UserError(found.name, "no training video", f"videos of the subset {found.train_subset}")
    return FeatureSplit(
        name=found.name,
        classes=found.classes,
        prompts=prompts,
        train=train,
        test=test,
        widths=(RGB_WIDTH, FLOW_WIDTH),
        text="clip",
        size="published",
        sha256=found.sha256(),
        ambiguous=found.ambiguous,
        clip=clip,
    )


def _check(root: Path) -> dict[str, Any]:
    """Read the annotations, every row of the features and every CLIP file."""
    found = load(root)
    if _joint(root) is None or any((root / "features").glob("*.npy")):
        return check_set(found, lambda: _files(root) or open_folder(root))
    lengths = [len(video.features) for video in _sequences(root, found)]
    return {
        **summary(found),
        "snippets": sum(lengths),
        "shortest": min(lengths, default=0),
        "clip_features": bool(_clip_folders(root)),
    }


DATASET = Dataset(
    "thumos14",
    f"""\
Thumos14reduced-Annotations/    or thumos14/, or the root itself; also below features/ or data/thumos/
├── videoname.npy, classlist.npy, subset.npy, segments.npy, labels.npy, labels_all.npy, duration.npy
└── Ambiguous_test.txt
Thumos14reduced/
└── {JOINT_FEATURES}    or features/VIDEO.npy
Thumos14_CLIP/
└── RN50/VIDEO.npy              image-language features; without them: --clip none
""",
    check=_check,
    features=_read,
    annotations=load,
    videos=_videos,
)
