"""The data sets that PVLR knows by name, and the model that fits each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from whyact.data.io.pickles import load_array
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed import activitynet, gym, thumos14
from whyact.data.untrimmed import synthetic as synthetic_untrimmed
from whyact.data.untrimmed.feature_files import (
    Encoder,
    FeatureFolder,
    Recipe,
    open_folder,
    read_broken,
    read_labels,
    sequence,
)
from whyact.data.untrimmed.sets import UntrimmedSet
from whyact.errors import UserError
from whyact.features.towers import StandInTower, TextTower, encode_texts
from whyact.pvlr.config import Config, small
from whyact.pvlr.model import PVLR, ProjectedText, PromptedText


@dataclass(frozen=True)
class Split:
    """Train and test sequences of a data set; ``prompts`` are the words of each class for the text tower."""

    name: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    train: list[FeatureSequence]
    test: list[FeatureSequence]
    widths: tuple[int, int]
    text: str
    size: str
    sha256: str = ""
    note: str = ""
    ambiguous: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    recipe: Recipe | None = None  # how the features were made, where that is known


def load_split(data: str, root: Path | None, fold: int = 1) -> Split:
    """Read or generate a data set.

    Args:
        data: One of :data:`DATA`.
        root: The folder that holds it; ``synthetic`` needs none.
        fold: For generated and composed data the number of the world or composition; else without effect.

    Raises:
        UserError: On an unknown name, a missing root or bad files.
    """
    if data not in DATA:
        raise UserError("--data", data, f"one of {', '.join(DATA)}")
    if root is None and data != "synthetic":
        raise UserError("--root", None, f"the folder that holds {data}", f"--data {data} --root DIR")
    return DATA[data](root or Path(), fold)


def resolve(config: Config, split: Split) -> Config:
    """Fill what the settings leave to the data: text source, size, stream widths."""
    size = split.size if config.size == "auto" else config.size
    config = small(config) if size == "small" else replace(config, size=size)  # type: ignore[arg-type]
    rgb, flow = split.widths
    clip = (split.recipe and split.recipe.target) or Encoder("clip:RN50", "openai")
    return replace(
        config,
        text=split.text if config.text == "auto" else config.text,  # type: ignore[arg-type]
        model=replace(config.model, rgb_width=rgb, flow_width=flow),
        clip=clip.name.removeprefix("clip:") if config.clip == "auto" else config.clip,
        clip_weights=clip.weights if config.clip_weights == "auto" else config.clip_weights,
    )


def build_model(config: Config, prompts: Sequence[str]) -> PVLR:
    """Return an untrained model for resolved settings and these class words, in eval mode.

    Raises:
        UserError: When the text source needs an extra that is not installed, or a name is too long.
    """
    text: nn.Module
    cfg = config.model
    if config.text == "sentence":
        from whyact.features.text import encode_sentences

        text = ProjectedText(torch.from_numpy(encode_sentences(list(prompts))), cfg.width)
    else:
        tower: TextTower = StandInTower()
        if config.text == "clip":
            from whyact.features.clip import load_clip

            tower = load_clip(config.clip, config.clip_weights).tower
        cfg = replace(cfg, width=tower.out_width)
        text = PromptedText(tower, list(prompts), cfg)
    return PVLR(cfg, text).eval()


def stand_in_vectors(prompts: Sequence[str]) -> np.ndarray:
    """Return the stand-in tower's vectors (C,D) of class names, from which the generated world is made."""
    return encode_texts(StandInTower(), prompts).numpy()


def _synthetic(root: Path, fold: int) -> Split:
    classes = synthetic_untrimmed.CLASSES
    train, test = synthetic_untrimmed.generate(stand_in_vectors(classes), fold)
    width = train[0].features.shape[1] // 2
    note = "generated feature sequences; no real video was seen"
    return Split(
        "synthetic", classes, classes, train, test, (width, width), "stand-in", "small", _sha256(train, test), note
    )


def _gym(root: Path, fold: int) -> Split:
    clips = gym.load(root)
    train, test = gym.compose(clips, fold)
    note = "composed: real I3D snippets of trimmed clips, spliced; class words from a sentence encoder; no CLIP"
    widths = (1024, 1024)
    return Split(
        "gym", clips.classes, clips.classes, train, test, widths, "sentence", "small", _sha256(train, test), note
    )


def _thumos14(root: Path, fold: int) -> Split:
    found = thumos14.load(root)
    prompts = tuple(thumos14.prompt_name(name) for name in found.classes)
    target = tuple(sorted(folder for folder in root.glob("**/Thumos14_CLIP/*") if folder.is_dir()))
    joint = next(iter(sorted(root.rglob(thumos14.JOINT_FEATURES))), None)
    converted = (root / "features" / f"{found.videos[0].id}.npy").is_file()
    if joint is None or converted:
        folder = open_folder(root)
        return _joined(found, replace(folder, target=folder.target or target), prompts, "published")
    rows = load_array(joint)
    if len(rows) != len(found.videos):
        raise UserError(joint, len(rows), f"{len(found.videos)} rows, one for each annotated video")
    by_id = {
        video.id: sequence(video, np.asarray(row, dtype=np.float32), target=_clip_rows(target, video.id, len(row)))
        for video, row in zip(found.videos, rows, strict=True)
    }
    train, test = ([by_id[video.id] for video in side] for side in (found.train, found.test))
    widths = (thumos14.RGB_WIDTH, thumos14.FLOW_WIDTH)
    return Split(
        found.name,
        found.classes,
        prompts,
        train,
        test,
        widths,
        "clip",
        "published",
        found.sha256(),
        "",
        found.ambiguous,
    )


def _activitynet(version: str) -> Callable[[Path, int], Split]:
    def read(root: Path, fold: int) -> Split:
        found = activitynet.load(root, version)
        prompts = tuple(activitynet.prompt_name(name) for name in found.classes)
        return _joined(found, activitynet.feature_folder(root, version), prompts, "published")

    return read


def read_folder(root: Path) -> UntrimmedSet:
    """Return the labels of one's own data: ``annotations.json`` if there is one, else ``labels.csv``."""
    annotations = root / "annotations.json"
    return activitynet.read_json(annotations) if annotations.is_file() else read_labels(root / "labels.csv")


def read_annotations(data: str, root: Path) -> UntrimmedSet:
    """Return who is in a data set and when which action happens; features are not needed.

    Raises:
        UserError: On a data set without annotation files, or broken ones.
    """
    if data not in ANNOTATIONS:
        raise UserError("--data", data, f"one of {', '.join(ANNOTATIONS)}")
    return ANNOTATIONS[data](root)


def _folder(root: Path, fold: int) -> Split:
    found = read_folder(root)
    broken = read_broken(root / "broken.csv")
    left_out = [video.id for video in found.videos if video.id in broken]
    if left_out:  # what cannot be decoded cannot be learned from; the rest can
        found = replace(found, videos=tuple(video for video in found.videos if video.id not in broken))
    prompts = tuple(name.replace("_", " ").lower() for name in found.classes)
    note = f"left out, for they could not be decoded: {', '.join(left_out[:5])}" if left_out else ""
    return replace(_joined(found, open_folder(root), prompts, "small"), note=note)


def _joined(found: UntrimmedSet, folder: FeatureFolder, prompts: tuple[str, ...], size: str) -> Split:
    train, test = ([folder.read(video) for video in side] for side in (found.train, found.test))
    if not train:
        raise UserError(found.name, "no training video", "videos of the subset train")
    text = "clip" if size == "published" or folder.target else "sentence"
    widths = folder.widths(found.train[0].id)
    return Split(
        found.name,
        found.classes,
        prompts,
        train,
        test,
        widths,
        text,
        size,
        found.sha256(),
        "",
        found.ambiguous,
        folder.recipe,
    )


def _clip_rows(folders: Sequence[Path], name: str, length: int) -> np.ndarray | None:
    if not folders:
        return None
    path = next((folder / f"{name}.npy" for folder in folders if (folder / f"{name}.npy").is_file()), None)
    if path is None:
        raise UserError(folders[0], name, "a CLIP feature file for every video")
    rows = load_array(path, mmap=True)
    if len(rows) < length:
        raise UserError(path, len(rows), f"at least {length} rows, as the features have")
    return rows[:length]


def _sha256(train: Sequence[FeatureSequence], test: Sequence[FeatureSequence]) -> str:
    digest = hashlib.sha256()
    for side in (train, test):
        for video in side:
            digest.update(json.dumps([video.id, video.segments]).encode())
            digest.update(np.ascontiguousarray(video.features).tobytes())
    return digest.hexdigest()


DATA: dict[str, Callable[[Path, int], Split]] = {
    "synthetic": _synthetic,
    "gym": _gym,
    "thumos14": _thumos14,
    "activitynet-1.2": _activitynet("1.2"),
    "activitynet-1.3": _activitynet("1.3"),
    "folder": _folder,
}
ANNOTATIONS: dict[str, Callable[[Path], UntrimmedSet]] = {
    "thumos14": thumos14.load,
    "activitynet-1.2": lambda root: activitynet.load(root, "1.2"),
    "activitynet-1.3": lambda root: activitynet.load(root, "1.3"),
    "folder": read_folder,
}
