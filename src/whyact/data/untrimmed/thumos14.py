"""THUMOS'14 in its "reduced" packaging: 200 validation videos to learn from, 212 test videos, 20 classes."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from whyact.data.io.pickles import load_array
from whyact.data.untrimmed.sets import UntrimmedSet, annotations_from_arrays, read_arrays
from whyact.errors import UserError

SNIPPETS_PER_SECOND = 25 / 16
JOINT_FEATURES = "Thumos14reduced-I3D-JOINTFeatures.npy"
#: Features of the published layout: I3D joint rows (RGB 1024, flow 1024), CLIP RN50 targets of 1024.
RGB_WIDTH, FLOW_WIDTH, CLIP_WIDTH = 1024, 1024, 1024


def load(root: Path | str) -> UntrimmedSet:
    """Read annotations and the ambiguous list.

    Args:
        root: The folder of the ``.npy`` arrays, or one that holds it (``thumos14``,
            ``Thumos14reduced-Annotations``, or the published ``features/`` folder or its parent).

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
    names = [video.id for video in load(root).videos]
    path = next(iter(sorted(root.rglob(JOINT_FEATURES))), root / JOINT_FEATURES)
    rows = load_array(path)
    if len(rows) != len(names):
        raise UserError(path, len(rows), f"{len(names)} rows, one for each annotated video")
    out.mkdir(parents=True, exist_ok=True)
    for name, row in zip(names, rows, strict=True):
        features = np.asarray(row, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != RGB_WIDTH + FLOW_WIDTH:
            raise UserError(path, f"{name} {features.shape}", f"features (T, {RGB_WIDTH + FLOW_WIDTH})")
        temporary = out / f".{name}.npy.tmp"
        with open(temporary, "wb") as file:
            np.save(file, features, allow_pickle=False)
        os.replace(temporary, out / f"{name}.npy")
    return len(names)


def _annotations(root: Path) -> Path:
    name = "Thumos14reduced-Annotations"
    for folder in (root, root / "thumos14", root / name, root / "features" / name):
        if (folder / "videoname.npy").is_file():
            return folder
    raise UserError(
        root, None, "the THUMOS'14 annotation arrays (videoname.npy, segments.npy, ...)", "point --root at their folder"
    )


def _read_ambiguous(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    if not path.is_file():
        # The list changes the mAP: going on without it would be a silent change of protocol.
        raise UserError(path, None, "the list of ambiguous spans", "put Ambiguous_test.txt beside the arrays")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, str(error), "lines of name, start and end") from error
    spans: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            name, start, end = fields[0], float(fields[1]), float(fields[2])
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}:{number}", line, "name, start and end in seconds") from error
        if not (math.isfinite(start) and math.isfinite(end)):
            raise UserError(f"{path}:{number}", line, "finite seconds")
        spans.setdefault(name, []).append((start, end))
    return {name: tuple(values) for name, values in spans.items()}
