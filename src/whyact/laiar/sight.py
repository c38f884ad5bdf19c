"""What a model looks with: the detector and the encoder of a training, and the same ones again from its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whyact.data.types import Vocabulary
from whyact.errors import UserError
from whyact.features.roi import RoiEncoder, identity
from whyact.files import SHIPPED
from whyact.laiar.config import DataConfig
from whyact.laiar.geometry import mask_side
from whyact.laiar.pixels import subjects_at_most
from whyact.laiar.runs import Run
from whyact.perception.classes import default_map, read_class_map
from whyact.perception.open import OWN, SHIPPED_NAME, open_detector, open_encoder, own_detector
from whyact.perception.small import SmallDetector
from whyact.perception.types import Detector
from whyact.training.checkpoint import read_card


@dataclass(frozen=True)
class Sight:
    """What looks at the videos of a data set.

    ``encoder`` looks into boxes, ``None`` for a model of boxes alone; ``detector`` is what finds them: its classes, of
    which ``most`` are there at once, are ``words`` -> those of the data set. ``folder`` keeps features and tracks;
    ``side`` is that of the union maps.
    """

    config: DataConfig
    folder: Path
    side: int
    encoder: RoiEncoder | None
    detector: Detector | None
    words: Mapping[str, str]
    most: Mapping[str, int]

    @property
    def detects(self) -> bool:
        """Return whether the boxes are the detector's."""
        return self.config.boxes == "detected"


def wanted(config: DataConfig) -> DataConfig:
    """Return the settings with what they imply: frames of one's own are there to be looked into.

    Raises:
        UserError: For a number of frames below 1.
    """
    if config.looks < 1:
        raise UserError("--data.looks", config.looks, "at least 1 frame")
    return replace(config, pixels=True) if config.frames_dir else config


def open_sight(config: DataConfig, data: str, words: Vocabulary, mask_size: int, folder: Path) -> Sight | None:
    """Open detector and encoder for a training; ``None`` when the settings ask for annotated boxes alone.

    Args:
        config: What to look with.
        data: The data set.
        words: Those of it.
        mask_size: Of the model's masks.
        folder: Where features and tracks are kept, unless the settings say.

    Raises:
        UserError: When one of them cannot be opened, or the detector knows none of the data set's things.
    """
    if not config.pixels and config.boxes != "detected":
        return None
    named = config.detector != SHIPPED_NAME
    needed = config.boxes == "detected" or config.encoder == OWN
    if not named and needed and not (SHIPPED / "laiar" / OWN).is_dir():
        expected = "a small detector's folder or a detector's file: this installation brings none"
        raise UserError("--data.detector", SHIPPED_NAME, expected, "--data.detector FOLDER")
    there = named or (SHIPPED / "laiar" / OWN).is_dir()
    return _opened(config, data, words, mask_size, folder, open_detector(config.detector) if there else None)


def sight_of(run: Run, words: Vocabulary) -> Sight | None:
    """Open what a run was trained with, to look at more clips in the same way.

    Raises:
        UserError: When its encoder or its detector is not what it was.
    """
    config, path = run.config.data, Path(run.path)
    if not config.pixels and config.boxes != "detected":
        return None
    detector: Detector | None = own_detector(path)
    if detector is None and config.boxes == "detected":
        detector = open_detector(config.detector)
    sight = _opened(
        config,
        str((run.card or {}).get("data", "")),
        words,
        run.config.model.mask_size,
        path.parent / "features",
        detector,
    )
    trained = (run.card or {}).get("extra", {}).get("sight", {})
    for what, now in said(sight).items():
        if trained.get(what, now) != now:
            raise UserError(f"{run.path}: {what}", now, str(trained[what]), "put back what it was trained with")
    return sight


def _opened(
    config: DataConfig, data: str, words: Vocabulary, mask_size: int, folder: Path, detector: Detector | None
) -> Sight:
    encoder = open_encoder(config.encoder, detector) if config.pixels else None
    named: Mapping[str, str] = {}
    if detector is not None and config.class_map:
        named = read_class_map(config.class_map, detector.classes, words.objects)
    elif detector is not None:
        named = default_map(detector.classes, words.objects)
    if config.boxes == "detected" and not named:
        raise UserError(
            "--data.detector",
            config.detector,
            f"a detector that knows one of {', '.join(words.objects)}",
            "--data.class_map FILE says which of its classes is which",
        )
    most = subjects_at_most(data, words, named)
    return Sight(config, Path(config.features or folder), mask_side(mask_size), encoder, detector, named, most)


def said(sight: Sight) -> dict[str, str]:
    """Return what a run's card says of the eyes it was trained with."""
    found = {}
    if sight.encoder is not None:
        found["encoder"] = identity(sight.encoder)
    if sight.detects and sight.detector is not None:
        found["detector"] = sight.detector.name
    return found


def keep_detector(sight: Sight, run: Path) -> None:
    """Write a small detector into the folder of the run, so that the run answers videos by itself."""
    if isinstance(sight.detector, SmallDetector):
        shipped = sight.config.detector == SHIPPED_NAME
        card = read_card(SHIPPED / "laiar" / OWN if shipped else Path(sight.config.detector))
        sight.detector.save(
            run / OWN, data=card["data"], seed=card["seed"], metrics=card["metrics"], extra=card.get("extra")
        )
