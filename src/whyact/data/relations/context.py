"""Clip vectors of any video encoder from feature files, joined to relation clips (the R101-I3D-NL rows of LaIAR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from whyact.arrays import Float32
from whyact.data.io.pickles import load_array
from whyact.data.types import RelationClip
from whyact.data.untrimmed.feature_files import read_features, read_recipe
from whyact.errors import UserError

_NAMED = 8  # missing files that an error names


def with_context(clips: Sequence[RelationClip], root: Path | str) -> list[RelationClip]:
    """Return the clips with ``context`` filled from ``root``.

    A clip's vector is ``root/ID.npy``: (D,) as it is, or (T,D) averaged. Where that is missing and the id ends in
    frame numbers (``.../VIDEO/START-END``), the whole video's ``root/.../VIDEO.npy`` (T,D) is averaged over the
    snippets that the clip's times touch; ``root/features.json`` says how long a snippet is, as for feature folders.

    Raises:
        UserError: When files are missing (all are listed), broken, or of different widths.
    """
    root = Path(root)
    snippet = read_recipe(root / "features.json").snippet_seconds
    files = [_file(root, clip) for clip in clips]
    if absent := sorted({clip.id for clip, path in zip(clips, files, strict=True) if path is None}):
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise UserError(root, f"{len(absent)} clips without a file", f"ID.npy for {', '.join(absent[:_NAMED])}{more}")
    found: list[RelationClip] = []
    for clip, path in zip(clips, files, strict=True):
        assert path is not None
        vector = _vector(path, clip, snippet, whole=path.stem != Path(clip.id).name)
        if found and found[0].context is not None and len(vector) != len(found[0].context):
            raise UserError(path, f"width {len(vector)}", f"width {len(found[0].context)}, as the files before have")
        found.append(replace(clip, context=vector))
    return found


def _file(root: Path, clip: RelationClip) -> Path | None:
    own, video = root / f"{clip.id}.npy", root / f"{clip.id.rpartition('/')[0]}.npy"
    return next((path for path in (own, video) if path.is_file()), None)


def _vector(path: Path, clip: RelationClip, snippet: float, whole: bool) -> Float32:
    array = load_array(path)
    if array.ndim == 1 and not whole:
        if not len(array) or not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise UserError(path, f"{array.dtype} {array.shape}", "a finite floating-point vector (D,)")
        return array.astype(np.float32)
    rows = read_features(path)
    if whole:
        first, last = (int(t / snippet + 1e-9) for t in (clip.times.min(), clip.times.max()))
        rows = rows[min(first, len(rows) - 1) : last + 1]
    vector: Float32 = rows.astype(np.float64).mean(0).astype(np.float32)
    return vector
