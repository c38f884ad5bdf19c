"""What LaIAR's settings ask of a data set, and the generated world where no folder is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from whyact.data.datasets import load_relations
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationOptions
from whyact.errors import UserError
from whyact.laiar.clips import measure_clip
from whyact.laiar.config import DataConfig


def read_relations(name: str, root: Path | None, config: DataConfig, *, only: str | None = None) -> RelationData:
    """Read a data set of relation clips as the settings say.

    Args:
        name: A data set of :data:`whyact.data.datasets.DATASETS`.
        root: The folder that holds it.
        config: Which modalities and relations to read, and at most how many pairs a clip.
        only: Read just this clip.

    Raises:
        UserError: For an unknown name, a missing root, damaged data, or a modality that the data do not have.
    """
    if config.rgb_relations and name != "cad120":
        raise UserError("--data.rgb_relations", "true", f"false: {name} brings no relation scores from RGB")
    if config.frames_dir and name != "cad120":
        raise UserError("--data.frames_dir", config.frames_dir, "--data cad120: other sets have videos of their own")
    if (asked := _pixel_option(config)) and name in ("cad120", "homeworld") and not config.frames_dir:
        option, value = asked
        frames = "the folder of its RGB frames" if name == "cad120" else "a data set with videos"
        next_step = "--data.frames_dir DIR" if name == "cad120" else "whyact data make homeworld --help, and --data own"
        raise UserError(option, value, f"{frames}: {name} comes without pixels", next_step)
    options = RelationOptions(
        slots=config.slots,
        only=only,
        clip_boxes=config.clip_boxes,
        rgb_relations=config.rgb_relations,
        frames_dir=Path(config.frames_dir) if config.frames_dir else None,
        contact_only=config.contact_only,
        filter_small=config.filter_small,
    )
    if name == "homeworld" and root is None:
        step = "whyact data make homeworld --root DIR, then the same command with --root DIR"
        raise UserError("--root", None, f"the folder that holds {name}", step)
    data = load_relations(name, root, options)
    if data.vocabulary.measured and config.boxes == "oracle":
        return replace(data, clips=tuple(measure_clip(clip) for clip in data.clips))
    return data


def _pixel_option(config: DataConfig) -> tuple[str, str] | None:
    """Return the option that asks for pixels, and its value."""
    if config.pixels:
        return "--data.pixels", "true"
    return ("--data.boxes", config.boxes) if config.boxes == "detected" else None
