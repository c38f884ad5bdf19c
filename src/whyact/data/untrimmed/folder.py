"""One's own features: a folder of feature files with a list of labels, or with ActivityNet's JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from whyact.data.definition import Dataset
from whyact.data.untrimmed.activitynet import read_json
from whyact.data.untrimmed.feature_files import open_folder, read_broken, read_labels
from whyact.data.untrimmed.feature_split import FeatureSplit, check_features, split_of
from whyact.data.untrimmed.sets import UntrimmedSet, summary


def read_folder(root: Path) -> UntrimmedSet:
    """Return the labels of one's own data: ``annotations.json`` if there is one, else ``labels.csv``."""
    annotations = root / "annotations.json"
    return read_json(annotations) if annotations.is_file() else read_labels(root / "labels.csv")


def _read(root: Path, fold: int) -> FeatureSplit:
    found, folder = read_folder(root), open_folder(root)
    broken = read_broken(root / "broken.csv")
    skipped = [video.id for video in found.videos if video.id in broken]
    if skipped:  # what cannot be decoded cannot be learned from; the rest can
        found = replace(found, videos=tuple(video for video in found.videos if video.id not in broken))
    prompts = tuple(name.replace("_", " ").lower() for name in found.classes)
    more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    note = f"skipped, because they could not be decoded: {', '.join(skipped[:5])}{more}" if skipped else ""
    return split_of(found, folder, prompts, "small", root / "clip", note)


def _check(root: Path) -> dict[str, Any]:
    """Read labels.csv (or annotations.json) and every feature file that it names."""
    found, folder, left_out = read_folder(root), open_folder(root), read_broken(root / "broken.csv")
    return {**summary(found), **check_features(found, folder, left_out), "left_out": left_out}


DATASET = Dataset(
    "folder",
    """\
features/NAME.npy    (T,D) a row a snippet; or rgb/NAME.npy and flow/NAME.npy
clip/NAME.npy        (T,D2) image-language features; without them: --clip none
labels.csv           name,labels[,subset]; several labels: "run;jump"
annotations.json     instead of labels.csv, with segments
features.json        optional: {"snippet_seconds": 0.64}
""",
    check=_check,
    features=_read,
    annotations=read_folder,
)
