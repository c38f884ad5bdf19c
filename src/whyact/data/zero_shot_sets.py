"""The zero-shot data sets by name, one function each; a fold is one split, counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whyact.data import gym_zero_shot, synthetic_zero_shot
from whyact.data.types import FeatureSequence
from whyact.data.zero_shot import ClassSplit, ZeroShotData
from whyact.errors import UserError
from whyact.prediction import VideoFacts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Request:
    """What is asked of a data set: where, which fold, and which frozen backbone turns pixels into features."""

    name: str
    root: Path | None
    fold: int
    backbone: str
    weights: str
    progress: bool

    def folder(self) -> Path:
        """Return the root, or say that one is needed."""
        if self.root is None:
            raise UserError("--root", None, f"the folder that holds {self.name}", f"--data {self.name} --root DIR")
        return self.root


def load(
    name: str, root: Path | None, fold: int, backbone: str, weights: str, progress: bool = True
) -> tuple[ZeroShotData, ClassSplit]:
    """Return a data set and one of its class splits.

    Raises:
        UserError: For an unknown name or fold, or files that are missing or broken.
    """
    if name not in SETS:
        raise UserError("--data", name, f"one of: {', '.join(SETS)}")
    return SETS[name](Request(name, root, fold, backbone, weights, progress))


def _synthetic(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    if asked.fold < 1:
        raise UserError("--fold", asked.fold, "1 or more: each is another generated world")
    return synthetic_zero_shot.generate("appearance" if "appearance" in asked.name else "temporal", asked.fold - 1)


def _gym(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    data = gym_zero_shot.read(asked.folder())
    return data, pick(gym_zero_shot.splits(data.classes), asked.fold)


def pick(splits: Sequence[ClassSplit], fold: int) -> ClassSplit:
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


def encode_video(path: Path, semantics: str, frames: int) -> tuple[FeatureSequence, VideoFacts]:
    """Decode a video at evenly spaced times and encode each frame with the run's frozen backbone.

    Raises:
        UserError: When the run does not read pixels, or the video cannot be decoded.
    """
    if not path.is_file():
        raise UserError(path, "no such file", "a video, or a clip's name with --data NAME")
    if not semantics.startswith("CLIP "):
        raise UserError(
            path,
            "a video",
            f"a feature file (.npy) or a clip's name, for the run's features are not CLIP's ({semantics})",
        )
    from whyact.features.clip import load_clip
    from whyact.video.decode import decode

    clip = decode(path, frames)
    features = load_clip(*_clip_name(semantics)).encode_frames(clip.frames)
    sequence = FeatureSequence(id=path.name, features=features.numpy(), times=clip.times, rate=clip.rate)
    return sequence, clip.facts


def backbone_parameters(semantics: str) -> int | None:
    """Return the size of the frozen backbone that a run needs beside its own parameters, if it is known."""
    if not semantics.startswith("CLIP "):
        return None
    from whyact.features.clip import load_clip

    return load_clip(*_clip_name(semantics)).parameters


def _clip_name(semantics: str) -> tuple[str, str]:
    _, name, weights = semantics.split(" ", 2)
    return name, "random" if weights == "random weights" else weights


SETS: dict[str, Callable[[Request], tuple[ZeroShotData, ClassSplit]]] = {
    "synthetic": _synthetic,
    "synthetic-appearance": _synthetic,
    "gym": _gym,
}
