"""Clip vectors of any video encoder from feature files, joined to relation clips (the R101-I3D-NL rows of LaIAR)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.data.io.pickles import load_array
from whyact.data.types import RelationClip
from whyact.data.untrimmed.feature_files import read_features, read_recipe
from whyact.errors import UserError

_NAMED = 8  # missing files that an error names
_FRAMES = re.compile(r"\d+-\d+")


def with_context(clips: Sequence[RelationClip], root: Path | str) -> list[RelationClip]:
    """Return the clips with ``context`` filled from ``root``.

    A clip's vector is ``root/ID.npy``: (D,) as it is, or (T,D) averaged. Where that is missing and the id ends in
    frame numbers (``.../VIDEO/START-END``), the whole video's ``root/.../VIDEO.npy`` (T,D) is averaged over the
    snippets that the clip's frames touch; ``root/features.json`` says how long a snippet is, as for feature folders.

    Raises:
        UserError: When files are missing (all are listed), broken, or of different widths, or nothing tells the seconds
            of a clip in its video.
    """
    root = Path(root)
    snippet = read_recipe(root / "features.json").snippet_seconds
    files = [_file(root, clip) for clip in clips]
    if absent := sorted({clip.id for clip, path in zip(clips, files, strict=True) if path is None}):
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise UserError(root, f"{len(absent)} clips without a file", f"ID.npy for {', '.join(absent[:_NAMED])}{more}")
    rates = {path: rate for clip, path in zip(clips, files, strict=True) if path and (rate := _rate(clip))}
    found: list[RelationClip] = []
    for clip, path in zip(clips, files, strict=True):
        assert path is not None
        vector = _own(path) if path == root / f"{clip.id}.npy" else _part(path, clip, snippet, rates.get(path))
        if found and found[0].context is not None and len(vector) != len(found[0].context):
            raise UserError(path, f"width {len(vector)}", f"width {len(found[0].context)}, as the files before have")
        found.append(replace(clip, context=vector))
    return found


def _file(root: Path, clip: RelationClip) -> Path | None:
    own, (video, _, frames) = root / f"{clip.id}.npy", clip.id.rpartition("/")
    paths = [own, root / f"{video}.npy"] if video and _FRAMES.fullmatch(frames) else [own]
    return next((path for path in paths if path.is_file()), None)


def _rate(clip: RelationClip) -> float:
    """Return frames a second of a clip's numbers; 0 where it is too short to tell."""
    seconds = float(clip.times[-1] - clip.times[0])
    return float(clip.frames[-1] - clip.frames[0]) / seconds if seconds > 0 else 0.0


def _own(path: Path) -> Float32:
    array = load_array(path)
    if array.ndim == 1:
        if not len(array) or not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise UserError(path, f"{array.dtype} {array.shape}", "a finite floating-point vector (D,)")
        return array.astype(np.float32)
    return _mean(read_features(path))


def _part(path: Path, clip: RelationClip, snippet: float, rate: float | None) -> Float32:
    """Return the mean over a clip's frames, whose times count from the clip's first: only numbers tell its place."""
    if not rate:
        raise UserError(f"clip {clip.id}", "one frame", "two or more, which tell the rate", f"write {clip.id}.npy")
    rows = read_features(path)
    first, last = (int((number - 1) / rate / snippet + 1e-9) for number in (clip.frames[0], clip.frames[-1]))
    return _mean(rows[min(first, len(rows) - 1) : last + 1])


def _mean(rows: NDArray[np.floating]) -> Float32:
    vector: Float32 = rows.astype(np.float64).mean(0).astype(np.float32)
    return vector
