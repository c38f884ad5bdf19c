"""The zero-shot data sets by name, one function each; a fold is one split, counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whyact.data.types import FeatureSequence
from whyact.data.zero_shot import gym as gym_zero_shot
from whyact.data.zero_shot import layouts as zero_shot_layouts
from whyact.data.zero_shot import synthetic as synthetic_zero_shot
from whyact.data.zero_shot import video_folders
from whyact.data.zero_shot.layouts import LAYOUTS, Order
from whyact.data.zero_shot.prompts import TEMPLATE, readable
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData
from whyact.data.zero_shot.video_folders import Reading
from whyact.errors import UserError
from whyact.prediction import VideoFacts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Split = TypeVar("Split")


@dataclass(frozen=True)
class Request:
    """What is asked of a data set: where, which fold, and how pixels and names become vectors."""

    name: str
    root: Path | None
    fold: int
    reading: Reading
    order: Order
    progress: bool

    def folder(self) -> Path:
        """Return the root, or say that one is needed."""
        if self.root is None:
            raise UserError("--root", None, f"the folder that holds {self.name}", f"--data {self.name} --root DIR")
        return self.root


def load(
    name: str,
    root: Path | None,
    fold: int,
    reading: Reading | None = None,
    order: Order = "label",
    progress: bool = True,
) -> tuple[ZeroShotData, ClassSplit]:
    """Return a data set and one of its class splits, counted from 1.

    Raises:
        UserError: For an unknown name or fold, files that are missing, broken or changed, or a reading that the
            data set cannot give.
    """
    if name not in SETS:
        raise UserError("--data", name, f"one of: {', '.join(SETS)}")
    reading = reading or Reading()
    if name not in LAYOUTS and reading.patches:
        raise UserError("patch_side", reading.patches, f"0: {name} has no pixels")
    if reading.names == "words" and (name not in LAYOUTS or name in ("videos", "activitynet", "kinetics")):
        raise UserError("names", "words", f"clip: {name} has no word vectors (ucf101, hmdb51, olympic-sports have)")
    return SETS[name](Request(name, root, fold, reading, order, progress))


def _synthetic(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    if asked.fold < 1:
        raise UserError("--fold", asked.fold, "1 or more: each is another generated world")
    return synthetic_zero_shot.generate("appearance" if "appearance" in asked.name else "temporal", asked.fold - 1)


def _gym(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    data = gym_zero_shot.read(asked.folder())
    return data, pick(gym_zero_shot.splits(data.classes), asked.fold)


def _filmed(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    """Read the layout of a data set of videos and encode those of one split."""
    layout = zero_shot_layouts.read(asked.name, asked.folder(), asked.order)
    split = pick(layout.splits, asked.fold)
    dataset = asked.name.removeprefix("truze-")
    words = None
    if asked.reading.names == "words":
        assert layout.words is not None
        words = layout.words
    # all classes of the set, in its own order: what a position means must not depend on the split
    used = {*split.seen, *split.validation, *split.unseen}
    data = video_folders.encode(
        asked.name,
        layout.of(layout.videos, split),
        {label: readable(label, dataset) for label in layout.classes if label in used},
        TEMPLATE,
        asked.folder(),
        asked.reading,
        words,
        tuple(sorted(video.path.name for video in layout.of((*layout.missing, *layout.corrupt), split))),
        layout.auxiliary,
        asked.progress,
    )
    return data, split


def pick(splits: Sequence[Split], fold: int) -> Split:
    """Return one split, counted from 1.

    Raises:
        UserError: When there is no such fold.
    """
    if not 1 <= fold <= len(splits):
        raise UserError("--fold", fold, f"1 to {len(splits)}")
    return splits[fold - 1]


def encode_names(names: Sequence[str], prompt: str, semantics: str) -> Tensor:
    """Return text vectors (N,D) of new class names, encoded as the run's own were.

    Raises:
        UserError: When the run's texts come from no encoder.
    """
    import torch

    sentences = [prompt.format(name) for name in names]
    if semantics == "all-MiniLM-L6-v2":
        from whyact.features.text import encode_sentences

        return torch.from_numpy(encode_sentences(sentences))
    if semantics.startswith("CLIP "):
        from whyact.features.clip import load_clip

        return load_clip(*_clip_name(semantics)).encode_texts(sentences)
    raise UserError("--labels", names[0], f"a class that the run knows, for its texts are {semantics}")


def encode_video(
    path: Path, pixels: str, patches: int = 0, device: torch.device | str = "cpu"
) -> tuple[FeatureSequence, VideoFacts]:
    """Decode a video at evenly spaced times, as training did, and encode each frame with the run's frozen backbone.

    Raises:
        UserError: When the run does not read pixels, or the video cannot be decoded.
    """
    if not path.is_file():
        raise UserError(path, "no such file", "a video, or a clip's name with --data NAME", "check the path")
    if not pixels:
        raise UserError(path, "a video", "a feature file (.npy) or a clip's name, for the run was trained on features")
    from whyact.features.clip import load_clip
    from whyact.video.decode import decode

    clip = decode(path, video_folders.STORED_FRAMES)
    features = video_folders.frame_features(load_clip(*_clip_name(pixels), device), clip.frames, patches)
    return FeatureSequence(id=path.name, features=features, times=clip.times, rate=clip.rate), clip.facts


def backbone_parameters(pixels: str) -> int | None:
    """Return the size of the frozen backbone that a run needs beside its own parameters, if it reads pixels."""
    if not pixels:
        return None
    from whyact.features.clip import load_clip

    return load_clip(*_clip_name(pixels)).parameters


def _clip_name(semantics: str) -> tuple[str, str]:
    _, name, weights = semantics.split(" ", 2)
    return name, "random" if weights == "random weights" else weights


SETS: dict[str, Callable[[Request], tuple[ZeroShotData, ClassSplit]]] = {
    "synthetic": _synthetic,
    "synthetic-appearance": _synthetic,
    "gym": _gym,
    **dict.fromkeys(LAYOUTS, _filmed),
}
