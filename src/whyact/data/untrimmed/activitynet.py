"""ActivityNet 1.2 and 1.3: the W-TALC packaging in both spellings, and the benchmark's own JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whyact.data.definition import Dataset
from whyact.data.io.tables import refuse_alike
from whyact.data.untrimmed.feature_files import FeatureFolder, open_folder
from whyact.data.untrimmed.feature_split import FeatureSplit, check_set, read_named, split_of
from whyact.data.untrimmed.sets import (
    SUBSETS,
    Annotation,
    UntrimmedSet,
    annotations_from_arrays,
    evaluated_subset,
    read_arrays,
)
from whyact.errors import UserError, malformed
from whyact.files import without_mark, write_atomic

VERSIONS = ("1.2", "1.3")
Scored = tuple[float, float, str, float]  # start s, end s, label, score


class _Segment(msgspec.Struct):
    segment: tuple[float, float]
    label: str


class _Scored(_Segment):
    score: float


class _Video(msgspec.Struct):
    subset: str
    duration: float = 0.0
    annotations: list[_Segment] = []


class _Truth(msgspec.Struct):
    database: dict[str, _Video]


class _Found(msgspec.Struct):
    results: dict[str, list[_Scored]]


PUBLISHED_FOLDERS = ("features", "annet", "data/annet")  # as the authors' README and their code have them


def load(root: Path | str, version: str = "1.3") -> UntrimmedSet:
    """Read the annotations of one ActivityNet version.

    Args:
        root: The folder of the arrays, or one that holds ``ActivityNet<version>-Annotations``
            (itself possibly under ``ActivityNet<version>``).
        version: ``1.2`` (100 classes) or ``1.3`` (200 classes).

    Raises:
        UserError: On an unknown version, or missing, misaligned or broken arrays.
    """
    if version not in VERSIONS:
        raise UserError("ActivityNet version", version, f"one of {', '.join(VERSIONS)}")
    root, name = Path(root), f"ActivityNet{version}"
    places = (root, *(root / place for place in PUBLISHED_FOLDERS))
    inside = (Path("."), Path(f"{name}-Annotations"), Path(name, f"{name}-Annotations"))
    for folder in (place / below for place in places for below in inside):
        if (folder / "videoname.npy").is_file():
            classes, videos = annotations_from_arrays(folder, read_arrays(folder))
            return UntrimmedSet(f"activitynet-{version}", classes, videos, "train", "validation")
    for path in (root / f"activity_net.v{version.replace('.', '-')}.min.json", root / "annotations.json"):
        if path.is_file():
            found = read_json(path)
            return UntrimmedSet(f"activitynet-{version}", found.classes, found.videos, "train", found.test_subset)
    raise UserError(root, None, f"the {name} annotation arrays (videoname.npy, ...)", "point --root at their folder")


def feature_folder(root: Path | str, version: str = "1.3") -> FeatureFolder:
    """Find the published features: I3D under ``ActivityNet<version>/{train,test}``, CLIP under ``Anet_CLIP``.

    A folder in our own layout (``features/``) does as well.
    """
    root = Path(root)
    places = (root, *(root / place for place in PUBLISHED_FOLDERS))
    bases = (base for place in places for base in (place / f"ActivityNet{version}", place))
    i3d = next((found for base in bases if (found := _parts(base))), ())
    if not i3d:
        return open_folder(root)
    clip = _clip(root)
    return FeatureFolder((i3d,), (clip,) if clip.is_dir() else ())


def _parts(base: Path) -> tuple[Path, ...]:
    return tuple(folder for part in ("train", "test") if (folder := base / part).is_dir())


def _clip(root: Path) -> Path:
    """Return the folder of CLIP features: beside the others, or where the authors' two layouts have it."""
    places = (root / "Anet_CLIP", *(root / place / "Anet_CLIP" for place in PUBLISHED_FOLDERS))
    return next((folder for folder in places if folder.is_dir()), places[0])


def prompt_name(name: str) -> str:
    """Turn a class name into the words of its prompt: lower case."""
    return name.lower()


def read_json(path: Path | str, classes: Sequence[str] | None = None) -> UntrimmedSet:
    """Read ActivityNet's ground-truth JSON: ``{"database": {NAME: {"subset", "duration", "annotations"}}}``.

    Videos of the subset ``testing`` without annotations, as the benchmark publishes them, are skipped. What is tested
    on are the videos of ``test`` if there are any, else those of ``validation``.

    Args:
        path: The file.
        classes: The classes of a trained model; by default the sorted labels found.

    Raises:
        UserError: On malformed JSON, a subset or class never declared, or a segment that ends before it starts.
    """
    path = Path(path)
    database = _decode(path, _Truth, "ActivityNet's ground truth").database
    kept = {name: video for name, video in database.items() if video.subset != "testing" or video.annotations}
    named = [(f"{path}, {name}", one.label) for name, video in kept.items() for one in video.annotations]
    refuse_alike(named)
    found = {label for _, label in named}
    known = tuple(classes) if classes is not None else tuple(sorted(found))
    index = {label: i for i, label in enumerate(known)}
    videos = []
    for name, video in kept.items():
        where = f"{path}, {name}"
        if video.subset not in SUBSETS:
            raise UserError(where, video.subset, f"a subset out of {', '.join(SUBSETS)}")
        rows = []
        for one in video.annotations:
            start, end = one.segment
            if one.label not in index:
                raise UserError(where, one.label, f"one of the classes {', '.join(known[:8])}")
            if not 0 <= start <= end:
                raise UserError(where, [start, end], "a segment [start, end] in seconds")
            rows.append((start, end, index[one.label]))
        labels = tuple(sorted({c for _, _, c in rows}))
        videos.append(Annotation(name, SUBSETS[video.subset], video.duration, labels, tuple(rows)))
    return UntrimmedSet(path.stem, known, tuple(videos), "train", evaluated_subset(videos))


def write_predictions(path: Path, found: Mapping[str, Sequence[Scored]]) -> None:
    """Write scored segments as ActivityNet's evaluators read them, best first."""
    results = {
        name: [
            {"label": label, "score": score, "segment": [start, end]}
            for start, end, label, score in sorted(rows, key=lambda row: -row[3])
        ]
        for name, rows in found.items()
    }
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    write_atomic(path, msgspec.json.format(msgspec.json.encode(document), indent=1))


def read_predictions(path: Path | str) -> dict[str, list[Scored]]:
    """Read what :func:`write_predictions`, or anybody else for that benchmark, wrote.

    Raises:
        UserError: On malformed JSON, a segment without a score, or one that ends before it starts.
    """
    found = _decode(Path(path), _Found, "ActivityNet's predictions, each segment with a label and a score").results
    for name, rows in found.items():
        for number, row in enumerate(rows):
            if not row.segment[0] <= row.segment[1]:
                raise UserError(f"{path}, {name}[{number}]", list(row.segment), "a segment [start, end] in seconds")
    return {name: [(*row.segment, row.label, row.score) for row in rows] for name, rows in found.items()}


def _decode(path: Path, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(without_mark(path.read_bytes()), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise malformed(path, error, f"{what} as JSON") from error


def _dataset(version: str) -> Dataset:
    def read(root: Path, fold: int) -> FeatureSplit:
        found = load(root, version)
        prompts = tuple(prompt_name(name) for name in found.classes)
        return split_of(found, feature_folder(root, version), prompts, "published", _clip(root))

    def check(root: Path) -> dict[str, Any]:
        return check_set(load(root, version), lambda: feature_folder(root, version))

    return Dataset(
        f"activitynet-{version}",
        f"""\
ActivityNet{version}-Annotations/    or the root itself; also below features/ or data/annet/
└── videoname.npy, classlist.npy, subset.npy, segments.npy, labels.npy, labels_all.npy, duration.npy
    or activity_net.v{version.replace(".", "-")}.min.json in the root
ActivityNet{version}/
├── train/VIDEO.npy             or features/VIDEO.npy in the root
└── test/VIDEO.npy
Anet_CLIP/VIDEO.npy             image-language features; without them: --clip none
""",
        check=check,
        features=read,
        annotations=lambda root: load(root, version),
        videos=lambda root, names: read_named(load(root, version), feature_folder(root, version), names),
    )


DATASETS = tuple(_dataset(version) for version in VERSIONS)
