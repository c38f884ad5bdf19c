"""What a page may say about where it was made: file names and checksums, no folder and no machine."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec

from whyact.prediction import Prediction

_ABSOLUTE = re.compile(r"(?<![\w./\\:~-])(?:~?/|[A-Za-z]:[\\/]|\\\\)[^\s'\"<>|;,()“”‘’]+")
_NAMES = frozenset(("label", "subject", "object", "from_state", "to_state", "action", "target", "title", "columns"))


def replace_path(text: str, path: Path | str, name: str) -> str:
    """Return a text with ``name`` in place of a path and of what lies below it; other words that hold it stay whole."""
    pattern = rf"(?<![\w./\\-]){re.escape(str(path))}(?:[/\\][^\s'\"<>|:;,]*|(?![\w-]))"
    return re.sub(pattern, lambda _: name, text)


def without_paths(predictions: list[Prediction]) -> list[Prediction]:
    """Return copies of predictions that name files without their folders; labels and names of things stay as they are.

    A prediction that is known by its path keeps as many folders as it takes to tell it from the others.
    """
    paths = {p.id for p in predictions if _is_absolute(p.id) or p.id == p.video.path}
    short = _shortest([p.id for p in predictions], paths)
    return [_clean(p, id_) for p, id_ in zip(predictions, short, strict=True)]


def _clean(prediction: Prediction, id_: str) -> Prediction:
    known = {name: _last(name) for name in (prediction.video.path, prediction.provenance.checkpoint) if name}

    def shown(value: Any, key: str = "") -> Any:
        if isinstance(value, str) and key not in _NAMES:
            for path, name in known.items():
                if path != name:
                    value = replace_path(value, path, name)
            return _ABSOLUTE.sub(lambda found: _last(found[0]), value)
        if isinstance(value, list):
            return [shown(item, key) for item in value]
        if isinstance(value, dict):
            return {name: shown(item, name) for name, item in value.items()}
        return value

    kept = {"labels", "segments", "tracks", "curves"}  # names and numbers only, and most of a long answer
    fields = {name: getattr(prediction, name) for name in prediction.__struct_fields__ if name not in kept}
    plain = {name: shown(msgspec.to_builtins(value), name) for name, value in fields.items()}
    made = msgspec.convert({**plain, "labels": []}, Prediction)
    made.labels, made.segments, made.tracks = prediction.labels, prediction.segments, prediction.tracks
    made.curves, made.id = prediction.curves, id_
    made.video.path = _last(prediction.video.path)
    made.provenance.checkpoint = _last(prediction.provenance.checkpoint)
    return made


def _last(path: str) -> str:
    """Return the last part of a path of either kind; a name without folders is its own last part."""
    return (PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name) or path


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "~")) or PureWindowsPath(path).is_absolute()


def _shortest(ids: list[str], paths: set[str]) -> list[str]:
    """Return ids, those that are paths without the folders that they do not need to be told apart."""
    parts = {id_: re.split(r"[\\/]+", id_) for id_ in ids if id_ in paths}
    out = []
    for id_ in ids:
        if id_ not in parts:
            out.append(id_)
            continue
        own, others = parts[id_], [p for other, p in parts.items() if other != id_]
        depth = next(n for n in range(1, len(own) + 1) if n == len(own) or all(p[-n:] != own[-n:] for p in others))
        out.append("/".join(own[-depth:]).lstrip("/"))
    return out
