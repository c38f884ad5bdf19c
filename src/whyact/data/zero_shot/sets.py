"""The zero-shot data sets: how each is read, one function each; a fold is one split, counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from whyact.data.definition import Dataset
from whyact.data.types import FeatureSequence, ZeroShotOptions
from whyact.data.untrimmed import gym as gym_untrimmed
from whyact.data.untrimmed import synthetic as synthetic_untrimmed
from whyact.data.zero_shot import gym, layouts, synthetic, video_folders
from whyact.data.zero_shot.check import check
from whyact.data.zero_shot.layouts import LAYOUTS
from whyact.data.zero_shot.prompts import TEMPLATE, readable
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData
from whyact.errors import UserError
from whyact.prediction import VideoFacts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Split = TypeVar("Split")


def _synthetic(mode: Literal["appearance", "temporal"]) -> Callable[..., tuple[ZeroShotData, ClassSplit]]:
    def read(root: Path, fold: int, options: ZeroShotOptions) -> tuple[ZeroShotData, ClassSplit]:
        _refuse_pixels(f"synthetic-{mode}", options)
        if fold < 1:
            raise UserError("--fold", fold, "1 or more: each is another generated world")
        return synthetic.generate(mode, fold - 1)

    return read


def _gym(root: Path, fold: int, options: ZeroShotOptions) -> tuple[ZeroShotData, ClassSplit]:
    _refuse_pixels("gym", options)
    data = gym.read(root)
    return data, pick(gym.splits(data.classes), fold)


def _refuse_pixels(name: str, options: ZeroShotOptions) -> None:
    """Refuse options that only data sets of videos can follow."""
    if options.patches:
        raise UserError("patch_side", options.patches, f"0: {name} has no pixels")
    _refuse_words(name, options)


def _refuse_words(name: str, options: ZeroShotOptions) -> None:
    if options.names == "words":
        raise UserError("names", "words", f"clip: {name} has no word vectors (ucf101, hmdb51, olympic-sports have)")


def _filmed(name: str) -> Callable[..., tuple[ZeroShotData, ClassSplit]]:
    """Return the reader of a layout of videos, which encodes those of one split."""

    def read(root: Path, fold: int, options: ZeroShotOptions) -> tuple[ZeroShotData, ClassSplit]:
        if name in ("videos", "activitynet", "kinetics"):
            _refuse_words(name, options)
        layout = layouts.read(name, root, options.order)
        split = pick(layout.splits, fold)
        dataset = name.removeprefix("truze-")
        # all classes of the set, in its own order: what a position means must not depend on the split
        used = {*split.seen, *split.validation, *split.unseen}
        data = video_folders.encode(
            name,
            layout.of(layout.videos, split),
            {label: readable(label, dataset) for label in layout.classes if label in used},
            TEMPLATE,
            root,
            options,
            layout.words if options.names == "words" else None,
            tuple(sorted(video.path.name for video in layout.of((*layout.missing, *layout.corrupt), split))),
            layout.auxiliary,
        )
        return data, split

    return read


def pick(splits: Sequence[Split], fold: int) -> Split:
    """Return one split, counted from 1.

    Raises:
        UserError: When there is no such fold.
    """
    if not 1 <= fold <= len(splits):
        raise UserError("--fold", fold, f"1 to {len(splits)}")
    return splits[fold - 1]


def encode_names(
    names: Sequence[str], prompt: str, semantics: str, places: Sequence[Path] = (), given: Path | None = None
) -> Tensor:
    """Return text vectors (N,D) of new class names, encoded as the run's own were.

    ``places`` and ``given`` say where CLIP's weight file may lie, see
    :func:`whyact.features.clip_weights.find_weights`.

    Raises:
        UserError: When the run's texts come from no encoder, or its weight file is not found.
    """
    import torch

    sentences = [prompt.format(name) for name in names]
    if semantics == "all-MiniLM-L6-v2":
        from whyact.features.text import encode_sentences

        return torch.from_numpy(encode_sentences(sentences))
    if semantics.startswith("CLIP "):
        from whyact.features.clip import load_named_clip

        return load_named_clip(semantics, places, given).encode_texts(sentences)
    raise UserError("--labels", names[0], f"a class that the run knows, for its texts are {semantics}")


def encode_video(
    path: Path,
    pixels: str,
    patches: int = 0,
    device: torch.device | str = "cpu",
    places: Sequence[Path] = (),
    given: Path | None = None,
) -> tuple[FeatureSequence, VideoFacts]:
    """Decode a video at evenly spaced times, as training did, and encode each frame with the run's frozen backbone.

    ``places`` and ``given`` say where its weight file may lie, as for :func:`encode_names`.

    Raises:
        UserError: When the run does not read pixels, or the video cannot be decoded.
    """
    if not path.is_file():
        raise UserError(path, "no such file", "a video, or a clip's name with --data NAME", "check the path")
    if not pixels:
        raise UserError(path, "a video", "a feature file (.npy) or a clip's name, for the run was trained on features")
    from whyact.features.clip import load_named_clip
    from whyact.video.decode import decode

    encoder = load_named_clip(pixels, places, given, device)
    clip = decode(path, video_folders.STORED_FRAMES)
    features = video_folders.frame_features(encoder, clip.frames, patches)
    return FeatureSequence(id=str(path), features=features, times=clip.times, rate=clip.rate), clip.facts


def backbone_parameters(pixels: str, places: Sequence[Path] = ()) -> int | None:
    """Return the size of the frozen backbone that a run needs beside its own parameters, if it reads pixels."""
    if not pixels:
        return None
    from whyact.features.clip import load_named_clip

    return load_named_clip(pixels, places).parameters


_TREES = {
    "videos": """\
pour/                a folder a class, four classes at least
├── 001.mp4
└── 002.mp4
stir/
└── 001.mp4
""",
    "ucf101": """\
zero-shot/           or ucf/, or the root itself
├── Label.mat
└── Split.mat
ucf/UCF-101/         or UCF-101/
└── Archery/v_Archery_g01_c01.avi
""",
    "hmdb51": """\
zero-shot/           or hmdb/, or the root itself
├── Label.mat
└── Split.mat
hmdb/hmdb51_org/     or hmdb51_org/
└── brush_hair/NAME.avi
""",
    "olympic-sports": """\
zero-shot/           or the root itself
├── Label.mat
└── Split.mat
olympic_sports_video/
└── basketball_layup/NAME.avi
""",
    "activitynet": """\
zero-shot/           or ActivityNet_v_1_3/, or the root itself
└── anet_splits.npy, anet_classwise_videos.npy
ActivityNet_v_1_3/Anet_videos_15fps_short256/
└── v_ID.mp4
""",
    "kinetics": """\
zero-shot/           or kinetics-600/zsar_kinetics_600/
└── zsar_val_k600_s0.csv, zsar_tst_k600_s0.csv, ... s2
kinetics-400/train_256/
└── abseiling/ID.mp4
kinetics-600/validate/CLASS/ID.mp4
kinetics-600/test/CLASS/ID.mp4
""",
}


def _layout(name: str) -> str:
    tree = _TREES[name.removeprefix("truze-")]
    if name.startswith("truze-"):
        tree = tree.replace("├── Label.mat\n└── Split.mat", "├── Label.mat\n└── truze_ZSL.txt")
    return tree


DATASETS = (
    replace(synthetic_untrimmed.DATASET, zero_shot=_synthetic("temporal")),
    Dataset("synthetic-appearance", zero_shot=_synthetic("appearance"), generated=True),
    replace(gym_untrimmed.DATASET, zero_shot=_gym),
    *(Dataset(name, _layout(name), check=partial(check, name), zero_shot=_filmed(name)) for name in LAYOUTS),
)
