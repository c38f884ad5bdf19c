"""The zero-shot data sets by name, one function each; a fold is one split, counted from 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whyact.data import gym_zero_shot, synthetic_zero_shot, video_folders, zero_shot_files
from whyact.data.prompts import TEMPLATE, readable
from whyact.data.types import FeatureSequence
from whyact.data.zero_shot import ClassSplit, ZeroShotData, seeded_split
from whyact.errors import UserError
from whyact.prediction import VideoFacts

if TYPE_CHECKING:
    from torch import Tensor

Split = TypeVar("Split")


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


def encode_video(path: Path, semantics: str) -> tuple[FeatureSequence, VideoFacts]:
    """Decode a video at evenly spaced times, as training did, and encode each frame with the run's frozen backbone.

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

    clip = decode(path, video_folders.STORED_FRAMES)
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


def _videos(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    """Read one's own videos, a folder per class; each fold is another seeded half of the classes."""
    videos = video_folders.class_folders(asked.folder())
    classes = sorted({video.label for video in videos})
    if len(classes) < 4:
        raise UserError(asked.folder(), f"{len(classes)} classes", "at least four: two to train on, two unseen")
    split = seeded_split(f"videos-{asked.fold}", classes, (len(classes) + 1) // 2, asked.fold)
    return _encoded(asked, videos, classes), split


def _split_mat(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    """Read UCF101, HMDB51 or Olympic Sports: fold n is row n of Split.mat; ``truze-`` has one fold."""
    name = asked.name.removeprefix("truze-")
    lists, (dataset, folders) = _lists(asked.folder()), _MAT[name]
    table = zero_shot_files.read_labels(lists, dataset)
    if asked.name == name:
        split = pick(zero_shot_files.read_splits(lists, dataset), asked.fold)
    else:
        split = pick(
            [zero_shot_files.read_truze(lists, "UCF101" if name == "ucf101" else "HMDB51", table.classes)], asked.fold
        )
    videos = video_folders.class_folders(video_folders.first_folder(asked.folder(), folders))
    videos = [video for video in videos if video.label in table.classes]
    missing = video_folders.missing_of(table.videos, videos) if name != "olympic-sports" else ()
    return _encoded(asked, videos, table.classes, missing), split


def _activitynet(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    """Read ActivityNet: one flat folder of videos, classes from the list; trimmed nowhere, as published."""
    splits, listed = zero_shot_files.read_activitynet(_lists(asked.folder()))
    folder = video_folders.first_folder(
        asked.folder(), ("ActivityNet_v_1_3/Anet_videos_15fps_short256", "Anet_videos_15fps_short256")
    )
    label_of = {video: label for label, videos in listed.items() for video in videos}
    videos = [
        video_folders.Listed(path, label_of[path.name])
        for path in sorted(folder.glob("*.mp4"))
        if path.name in label_of
    ]
    missing = video_folders.missing_of(label_of, videos)
    return _encoded(asked, videos, tuple(listed), missing), pick(splits, asked.fold)


def _kinetics(asked: Request) -> tuple[ZeroShotData, ClassSplit]:
    """Read Kinetics: trained on the 400 classes' training videos, tested on 160 classes of Kinetics-600."""
    split = pick(zero_shot_files.read_kinetics(_lists(asked.folder())), asked.fold)
    root = asked.folder()
    train = video_folders.class_folders(video_folders.first_folder(root, ("kinetics-400/train_256", "train_256")))
    folder = video_folders.first_folder(root, ("kinetics-600/test", "test"))
    on_disk = {path.name: path for path in sorted(folder.glob("*/*"))}
    test = [video_folders.Listed(on_disk[name], label) for name, label in split.test if name in on_disk]
    missing = tuple(sorted(name for name, _ in split.test if name not in on_disk))
    seen = tuple(sorted({video.label for video in train}))
    classes = ClassSplit(f"kinetics-{asked.fold - 1}", seen, split.test_classes)
    return _encoded(asked, [*train, *test], (*seen, *split.test_classes), missing), classes


def _encoded(
    asked: Request, videos: Sequence[video_folders.Listed], classes: Sequence[str], missing: tuple[str, ...] = ()
) -> ZeroShotData:
    dataset = asked.name.removeprefix("truze-")
    said = {label: readable(label, dataset) for label in classes}
    return video_folders.encode(
        asked.name, videos, said, TEMPLATE, asked.folder(), asked.backbone, asked.weights, missing, (), asked.progress
    )


def _lists(root: Path) -> Path:
    """Return the folder of the published lists: ``root/zero-shot``, ``root/ActivityNet_v_1_3`` or ``root``."""
    return video_folders.first_folder(root, ("zero-shot",))


_MAT = {
    "ucf101": ("UCF101", ("ucf/UCF-101", "ucf/UCF101", "UCF-101", "UCF101")),
    "hmdb51": ("HMDB51", ("hmdb/hmdb51_org", "hmdb51_org")),
    "olympic-sports": ("OlympicSports", ("olympic_sports_video",)),
}

SETS: dict[str, Callable[[Request], tuple[ZeroShotData, ClassSplit]]] = {
    "synthetic": _synthetic,
    "synthetic-appearance": _synthetic,
    "gym": _gym,
    "videos": _videos,
    **dict.fromkeys((*_MAT, "truze-ucf101", "truze-hmdb51"), _split_mat),
    "activitynet": _activitynet,
    "kinetics": _kinetics,
}
