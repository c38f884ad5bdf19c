"""The published video layouts: what is on disk, what the lists name, which splits there are. No pixel is read here.

Split files are compared with checksums written here: a changed split is an error and not a different result.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from whyact.arrays import Float32
from whyact.data.io.tables import refuse_alike
from whyact.data.zero_shot import split_files as zero_shot_files
from whyact.data.zero_shot import video_folders
from whyact.data.zero_shot.types import ClassSplit, seeded_split
from whyact.data.zero_shot.video_folders import Listed
from whyact.errors import UserError
from whyact.files import canonical_json, read_text, sha256
from whyact.video import VIDEO_SUFFIXES
from whyact.video.inputs import Inputs, videos_in

Order = Literal["label", "ascii"]
OWN_SPLITS = 10
GRAPH_NAMES = "graph-names.txt"  # optional; the published graphs hold the 400 names of Kinetics-400 besides
SPLITS_SHA256: dict[str, str] = {
    "ucf101": "2b34a64a2ab88f26b941edc980b487decf52e6eeedfcb408013ee563671368f9",
    "hmdb51": "67d394d494361aef81fd874cc98a5fbe5010f948bea01d64dcfb96cd77631f2d",
    "olympic-sports": "30e33e3907747fbcde178d61e66e0ab6f739e04cfdca683644eae345d55d7b17",
    "truze-ucf101": "e27e40294dd5ec4a0295ce629ad1d1466ffc15a8b54f8a63b0e11da57b28dc93",
    "truze-hmdb51": "f9ac6ae77b13bb1535388d54f6548de138ecf3cf033595e929f811058293cfc0",
    "activitynet": "c1f2d2aba4a65bd74a4d571bf5c6644b1b7789ab52d1b2efcf52b3e9beb77006",
    "kinetics": "76e9e4f54e87a44fa1a711485251d1536c4f7589a095d0b4923ea75db7a7c9d8",
}
"""Data set -> checksum over all its published class splits, see :func:`splits_sha256`."""


@dataclass(frozen=True)
class Layout:
    """A data set on disk: its classes and splits, the videos that are there, and those that are not.

    ``missing`` are videos that a list names and the disk lacks, ``corrupt`` those that a published list of corrupt
    videos names; neither is in ``videos``. ``words`` (C,300) are the classes' word vectors where the set has them.
    ``auxiliary`` are the names of :data:`GRAPH_NAMES`, which densify the class graph and have no videos. ``skipped``
    counts what lies beside the videos and is not read, folders of no class among it.
    """

    name: str
    classes: tuple[str, ...]
    splits: tuple[ClassSplit, ...]
    videos: tuple[Listed, ...]
    missing: tuple[Listed, ...] = ()
    corrupt: tuple[Listed, ...] = ()
    words: Float32 | None = None
    auxiliary: tuple[str, ...] = ()
    skipped: Inputs = field(default_factory=Inputs)

    def of(self, videos: Iterable[Listed], split: ClassSplit) -> list[Listed]:
        """Return the videos that a split uses: of its classes, from the part of the data that fits their side."""
        sides = {"train": split.seen, "validate": split.validation, "test": split.unseen}
        every = {*split.seen, *split.validation, *split.unseen}
        return [video for video in videos if video.label in (sides[video.part] if video.part else every)]


def splits_sha256(splits: Iterable[ClassSplit]) -> str:
    """Return one checksum of many splits, in their order."""
    return sha256(canonical_json([split.sha256 for split in splits]))


def read(name: str, root: Path, order: Order = "label") -> Layout:
    """Read the layout of a data set.

    Args:
        name: One of ``LAYOUTS``.
        root: The folder that holds it.
        order: Which class the indices of Split.mat count: the label file's own order, or the ASCII order of the
            public code, which for UCF101 gives most splits another partition than the file defines.

    Raises:
        UserError: When a list is missing, broken or changed, or there is no video.
    """
    layout = LAYOUTS[name](name, root, order)
    if not layout.videos:
        raise UserError(root, "0 videos", f"the videos of {name}", f"whyact data check {name} --root DIR")
    path = root / GRAPH_NAMES
    if not path.is_file():
        return layout
    names = [line.strip() for line in read_text(path, "a text file with one name a line").splitlines()]
    return replace(layout, auxiliary=tuple(dict.fromkeys(n for n in names if n and n not in layout.classes)))


def _videos(name: str, root: Path, order: Order) -> Layout:
    """Read one's own videos, a folder per class; every split is another seeded half of the classes."""
    skipped = Inputs()
    videos = video_folders.class_folders(root, skipped, deep=True)
    classes = tuple(sorted({video.label for video in videos}))
    refuse_alike(((root / label, label) for label in classes), "class folder")
    if len(classes) < 4:
        raise UserError(root, f"{len(classes)} classes", "at least four: two to train on, two unseen")
    half = (len(classes) + 1) // 2
    splits = tuple(seeded_split(f"videos-{seed}", classes, half, seed) for seed in range(1, OWN_SPLITS + 1))
    return Layout(name, classes, splits, tuple(videos), skipped=skipped)


def _split_mat(name: str, root: Path, order: Order) -> Layout:
    """Read UCF101, HMDB51 or Olympic Sports; ``truze-`` has one split of its own."""
    base = name.removeprefix("truze-")
    dataset, folders, lists = _MAT[base]
    table = zero_shot_files.read_labels(_folder(root, lists, "Label.mat"), dataset)
    if name == base:
        folder = _folder(root, lists, "Split.mat")
        splits = _verified(name, zero_shot_files.read_splits(folder, dataset))
        splits = zero_shot_files.read_splits(folder, dataset, order) if order == "ascii" else splits
    else:
        folder = _folder(root, lists, "truze_ZSL.txt")
        found = zero_shot_files.read_truze(folder, "UCF101" if base == "ucf101" else "HMDB51", table.classes)
        splits = _verified(name, (found,))
    skipped = Inputs()
    videos = video_folders.class_folders(video_folders.first_folder(root, folders), skipped)
    expected = [
        Listed(Path(video), table.classes[label]) for video, label in zip(table.videos, table.labels, strict=True)
    ]
    known = [video for video in videos if video.label in table.classes]
    for place in dict.fromkeys(video.path.parent for video in videos if video.label not in table.classes):
        skipped.skip("a folder of no class in Label.mat", str(place))
    return _sorted_out(name, root, table.classes, splits, known, expected, skipped, table.words)


def _activitynet(name: str, root: Path, order: Order) -> Layout:
    """Read ActivityNet: one flat folder of videos, classes from the list; trimmed nowhere, as published."""
    splits, listed = zero_shot_files.read_activitynet(
        _folder(root, ("zero-shot", "ActivityNet_v_1_3"), "anet_splits.npy")
    )
    folder = video_folders.first_folder(
        root, ("ActivityNet_v_1_3/Anet_videos_15fps_short256", "Anet_videos_15fps_short256")
    )
    expected = [Listed(Path(video), label) for label, videos in listed.items() for video in videos]
    label_of = {video.path.name: video.label for video in expected}
    skipped = Inputs()
    there = _listed_only(videos_in(folder, skipped, deep=False), label_of, skipped)
    videos = [Listed(path, label_of[path.name]) for path in there]
    return _sorted_out(name, root, tuple(listed), _verified(name, splits), videos, expected, skipped)


def _kinetics(name: str, root: Path, order: Order) -> Layout:
    """Read Kinetics: trained on the 400 classes, validated on 60 and tested on 160 others of Kinetics-600."""
    lists = ("zero-shot", "kinetics-600/zsar_kinetics_600", "zsar_kinetics_600")
    published = zero_shot_files.read_kinetics(_folder(root, lists, "zsar_tst_k600_s0.csv"))
    sides = [ClassSplit(f"kinetics-{i}", s.validation_classes, s.test_classes) for i, s in enumerate(published)]
    _verified(name, sides)
    skipped = Inputs()
    place = video_folders.first_folder(root, ("kinetics-400/train_256", "train_256"))
    train = video_folders.class_folders(place, skipped, part="train")
    # folder names have underscores where class names of Kinetics-600 have spaces
    seen = tuple(sorted({video.label for video in train}))
    splits = tuple(ClassSplit(side.name, seen, side.unseen, validation=side.seen) for side in sides)
    videos, expected = list(train), []
    for part, rows in (
        ("validate", {row for s in published for row in s.validation}),
        ("test", {row for s in published for row in s.test}),
    ):
        folder = video_folders.first_folder(root, (f"kinetics-600/{part}", part))
        there = sorted(folder.glob("*/*")) if folder != root else []
        on_disk = {path.name: path for path in _listed_only(there, {video for video, _ in rows}, skipped)}
        expected += [Listed(Path(video), label, part=part) for video, label in sorted(rows)]
        videos += [Listed(on_disk[video], label, part=part) for video, label in sorted(rows) if video in on_disk]
    classes = (*seen, *sorted({*splits[0].unseen, *splits[0].validation}))
    return _sorted_out(name, root, classes, splits, videos, expected, skipped)


def _listed_only(paths: Iterable[Path], names: Container[str], skipped: Inputs) -> list[Path]:
    """Return the files whose names a published list has; other videos are counted."""
    found = []
    for path in paths:
        if path.name in names:
            found.append(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            skipped.skip("a video that no list names", str(path))
    return found


def _sorted_out(
    name: str,
    root: Path,
    classes: tuple[str, ...],
    splits: Sequence[ClassSplit],
    videos: Sequence[Listed],
    expected: Sequence[Listed],
    skipped: Inputs,
    words: Float32 | None = None,
) -> Layout:
    """Take out what a published list calls corrupt, by base name, and find what is missing."""
    lists = [path for folder in _LISTS for path in sorted((root / folder).glob("*corrupt*.npy"))]
    named = frozenset[str]().union(*(zero_shot_files.read_corrupt(path) for path in lists))
    present = {(video.part, video.path.stem) for video in videos}  # a set may be stored in another container format
    return Layout(
        name,
        classes,
        tuple(splits),
        tuple(video for video in videos if video.path.name not in named),
        tuple(video for video in expected if (video.part, video.path.stem) not in present),
        tuple(video for video in videos if video.path.name in named),
        words,
        skipped=skipped,
    )


def _verified(name: str, splits: Sequence[ClassSplit]) -> tuple[ClassSplit, ...]:
    found, expected = splits_sha256(splits), SPLITS_SHA256.get(name)
    if found != expected:
        raise UserError(
            f"splits of {name}",
            f"SHA-256 {found[:12]}",
            f"{(expected or 'none')[:12]}: the published split file was changed",
            "get the published file again; classes of your own: --data videos",
        )
    return tuple(splits)


def _folder(root: Path, names: Sequence[str], file: str) -> Path:
    """Return the first folder of ``root/name`` and ``root`` that has the file, else the first one for its error."""
    folders = [root / name for name in names] + [root]
    return next((folder for folder in folders if (folder / file).is_file()), root)


_LISTS = (".", "zero-shot", "kinetics-400/zsar_kinetics_400", "kinetics-600/zsar_kinetics_600")
_MAT = {
    "ucf101": ("UCF101", ("ucf/UCF-101", "ucf/UCF101", "UCF-101", "UCF101"), ("zero-shot", "ucf")),
    "hmdb51": ("HMDB51", ("hmdb/hmdb51_org", "hmdb51_org"), ("zero-shot", "hmdb")),
    "olympic-sports": ("OlympicSports", ("olympic_sports_video",), ("zero-shot",)),
}
LAYOUTS: dict[str, Callable[[str, Path, Order], Layout]] = {
    "videos": _videos,
    **dict.fromkeys((*_MAT, "truze-ucf101", "truze-hmdb51"), _split_mat),
    "activitynet": _activitynet,
    "kinetics": _kinetics,
}
