"""The perception of a LaIAR run: opened for a training, stored with the run, opened again to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from whyact.data.types import Vocabulary
from whyact.devices import device_of
from whyact.errors import UserError
from whyact.features.roi import identity
from whyact.files import SHIPPED
from whyact.laiar.config import DataConfig, PredictOptions
from whyact.laiar.extraction import ClipSettings
from whyact.laiar.geometry import mask_side
from whyact.laiar.runs import Run
from whyact.perception.classes import COCO_TO_HOMEWORLD, PERSON_NOTE, default_map, read_class_map
from whyact.perception.open import OWN, SHIPPED_NAME, copy_detector, open_detector, open_encoder, own_detector
from whyact.perception.perception import Perception
from whyact.perception.types import Detector

PUT_BACK = "put back what it was trained with"


def check_data_config(config: DataConfig) -> DataConfig:
    """Return the settings with what they imply: frames of one's own are there for RoI features."""
    return replace(config, pixels=True) if config.frames_dir else config


def needs_pixels(config: DataConfig) -> bool:
    """Tell whether the settings ask for anything but annotated boxes."""
    return config.pixels or config.boxes == "detected"


def open_perception(config: DataConfig, vocabulary: Vocabulary) -> Perception | None:
    """Open detector and encoder for a training; ``None`` when the settings ask for annotated boxes alone.

    Args:
        config: The settings.
        vocabulary: That of the data set.

    Raises:
        UserError: When one of them cannot be opened, or the detector knows none of the data set's things.
    """
    if not needs_pixels(config):
        return None
    shipped = config.detector == SHIPPED_NAME
    has_shipped = (SHIPPED / "laiar" / OWN).is_dir()
    needed = config.boxes == "detected" or config.encoder == OWN
    if shipped and needed and not has_shipped:
        expected = "a small detector's folder or a detector's file: none is bundled with this installation"
        raise UserError("--data.detector", SHIPPED_NAME, expected, "--data.detector FOLDER")
    if shipped and not needed:
        return _perception(config, vocabulary, None)
    return _perception(config, vocabulary, open_detector(config.detector, names=config.names or None))


def run_perception(run: Run, vocabulary: Vocabulary) -> Perception | None:
    """Open what a run was trained with, to extract more clips in the same way.

    Raises:
        UserError: When its encoder or its detector is not what it was.
    """
    config, path = run.config.data, Path(run.path)
    if not needs_pixels(config):
        return None
    detector, trained = _own_or_named(config, path), _stored(run)
    if detector is not None and config.boxes == "detected":
        _check_detector(run, detector)
        _check_classes(run, detector)
    perception = _perception(config, vocabulary, detector, stored=trained)
    encoder = "" if perception.encoder is None else identity(perception.encoder)
    if encoder and trained.get("encoder", encoder) != encoder:
        raise UserError(f"{run.path}: encoder", encoder, str(trained["encoder"]), PUT_BACK)
    return perception.to(device_of(run.model))


def clip_settings(config: DataConfig, mask_size: int, folder: Path, *, labelled_only: bool = False) -> ClipSettings:
    """Return how the clips of a run are extracted.

    Args:
        config: The settings.
        mask_size: Of the model's masks.
        folder: Where features and tracks are kept, unless the settings say.
        labelled_only: Of detected pairs, keep those with labels alone (training).
    """
    return ClipSettings(
        folder=Path(config.features or folder),
        num_frames=config.looks,
        slots=config.slots,
        side=mask_side(mask_size),
        detect=config.boxes == "detected",
        labelled_only=labelled_only,
        scene=config.scene,
        roi=config.box_pixels == "yes",
    )


def answer_perception(run: Run, options: PredictOptions) -> Perception:
    """Open the detector that ``options`` name, or the run's own, and the run's encoder, to answer videos.

    Raises:
        UserError: When a file is missing, or the run has no detector of its own and none is named.
    """
    config, path = run.config.data, Path(run.path)
    own = own_detector(path)
    encodes = bool(run.config.model.roi[0] or run.config.model.scene_width)
    if encodes and own is None and config.encoder == OWN:
        raise UserError(run.path, "no detector folder", "the detector whose backbone encodes boxes for this model")
    encoder = open_encoder(config.encoder, own) if encodes else None
    if options.tracks is not None:
        return Perception(encoder=encoder).to(device_of(run.model))
    name = options.detector
    stored = _stored(run)
    detector: Detector | None = own
    if name:
        detector = open_detector(name, names=None if options.names is None else str(options.names))
    elif own is None and stored.get("detector"):
        detector = _own_or_named(config, path)
        if detector is not None:
            _check_detector(run, detector)
    if detector is not None and not name:
        _check_classes(run, detector)
    if detector is None:
        raise UserError(
            "--detector",
            None,
            f"a detector, as {run.path} has none of its own",
            "--detector shipped, --detector FILE.onnx, or --tracks FILE",
        )
    target = run.vocabulary.objects
    notes: tuple[str, ...] = ()
    names: Mapping[str, str]
    if class_map := options.class_map:
        names = read_class_map(class_map, detector.classes, target)
    elif not name:
        names = _class_map(config, detector, target, stored)
    else:
        names = class_map_of(run, detector.classes, detector.name)
    if names.get("person") == COCO_TO_HOMEWORLD["person"] and not class_map:
        notes = (f"Boxes by {detector.name}: {PERSON_NOTE}.",)
    if not names:
        raise UserError(
            "--detector",
            name,
            f"a detector that knows one of {', '.join(target)}",
            "--class-map FILE says which is which",
        )
    perception = Perception(detector, names, run.vocabulary.at_most, encoder, bool(config.clean), notes)
    return perception.to(device_of(run.model))


def _check_detector(run: Run, detector: Detector) -> None:
    """Refuse another detector than the one that a run was trained with."""
    trained = _stored(run).get("detector", detector.name)
    if trained != detector.name:
        raise UserError(f"{run.path}: detector", detector.name, str(trained), PUT_BACK)


def _check_classes(run: Run, detector: Detector) -> None:
    """Refuse other names of a detector's classes than a run was trained with.

    Cards of earlier versions list none; those that the run's class map mentions must be there.
    """
    trained, names = _stored(run), list(detector.classes)
    where, expected = f"{run.path}: classes of {detector.name}", trained.get("classes", names)
    for number, (now, then) in enumerate(zip_longest(names, expected), 1):
        if now != then:
            raise UserError(where, f"{now or 'none'} as number {number}", str(then or "none"), PUT_BACK)
    if gone := [name for name in trained.get("class_map", {}) if name not in names]:
        raise UserError(where, f"no {gone[0]}", "the names that its class map has", PUT_BACK)


def _own_or_named(config: DataConfig, run: Path) -> Detector | None:
    """Open the detector inside a run, or the one that its settings name."""
    detector: Detector | None = own_detector(run)
    if detector is None and config.boxes == "detected":
        detector = open_detector(config.detector, names=config.names or None)
    return detector


def _perception(
    config: DataConfig, vocabulary: Vocabulary, detector: Detector | None, stored: Mapping[str, Any] | None = None
) -> Perception:
    encoder = open_encoder(config.encoder, detector) if config.pixels else None
    named = {} if detector is None else _class_map(config, detector, vocabulary.objects, stored or {})
    if config.boxes == "detected" and not named:
        raise UserError(
            "--data.detector",
            config.detector,
            f"a detector that knows one of {', '.join(vocabulary.objects)}",
            "--data.class_map FILE says which of its classes is which",
        )
    return Perception(detector, named, vocabulary.at_most, encoder, config.clean)


def _class_map(
    config: DataConfig, detector: Detector, target: tuple[str, ...], stored: Mapping[str, Any]
) -> Mapping[str, str]:
    """Return detector class -> class of the vocabulary: as stored with the run, as its settings say, or by name."""
    if isinstance(kept := stored.get("class_map"), dict):
        return {str(name): str(word) for name, word in kept.items()}
    if config.class_map:
        return read_class_map(config.class_map, detector.classes, target)
    return default_map(detector.classes, target)


def class_map_of(run: Run, classes: Sequence[str], source: str) -> Mapping[str, str]:
    """Return class of boxes -> class of the vocabulary, as a run was trained.

    Boxes by another source than the run's detector may also bear names of the vocabulary. A run that stores no map has
    the built-in one.

    Args:
        run: The run.
        classes: Of the boxes.
        source: Who found them: the name of a detector, or what a tracks file says.
    """
    target, stored = run.vocabulary.objects, _stored(run)
    if not isinstance(kept := stored.get("class_map"), dict):
        return default_map(classes, target)
    trained = {str(name): str(word) for name, word in kept.items() if name in classes}
    return trained if source == stored.get("detector") else trained | {name: name for name in classes if name in target}


def describe_perception(perception: Perception, config: DataConfig) -> dict[str, Any]:
    """Return what a run's card says of the perception that it was trained with."""
    out: dict[str, Any] = {}
    if perception.encoder is not None:
        out["encoder"] = identity(perception.encoder)
    if config.boxes == "detected" and perception.detector is not None:
        out["detector"] = perception.detector.name
        out["classes"] = list(perception.detector.classes)
        out["class_map"] = dict(perception.class_map)
    return out


def _stored(run: Run) -> Mapping[str, Any]:
    """Return what the card says of the perception; runs of earlier versions say it under another name."""
    extra = (run.card or {}).get("extra", {})
    found = extra.get("perception", extra.get("sight", {}))
    return found if isinstance(found, dict) else {}


def keep_detector(perception: Perception, config: DataConfig, run: Path) -> None:
    """Copy the detector into the folder of the run where it is small enough: the run then answers videos by itself."""
    if perception.detector is not None:
        named = SHIPPED / "laiar" / OWN if config.detector == SHIPPED_NAME else Path(config.detector)
        copy_detector(perception.detector, named, run / OWN)
