"""The data sets of relation clips by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from whyact.data.relations import action_genome_clips, cad120, own
from whyact.data.relations.relation_data import RelationData
from whyact.errors import UserError
from whyact.laiar.clips import measure_clip
from whyact.laiar.config import DataConfig

NAMES = ("cad120", "homeworld", "action-genome", "action-genome-scenes", "own")


def read_relations(name: str, root: Path | None, config: DataConfig, *, only: str | None = None) -> RelationData:
    """Read a data set of relation clips.

    Args:
        name: ``cad120`` (any set in its layout, such as ``homeworld``, which whyact generates);
            ``action-genome``, with the official split, or ``action-genome-scenes``, with folds of unseen scenes;
            ``own``, videos and one JSON of the reader's own.
        root: The folder that holds it.
        config: Which modalities and relations to read, and at most how many pairs a clip.
        only: Read just this clip.

    Raises:
        UserError: For an unknown name, a missing root, damaged data, or a modality that the data do not have.
    """
    if name not in NAMES:
        raise UserError("--data", name, f"one of {', '.join(NAMES)}")
    if config.rgb_relations and name != "cad120":
        raise UserError("--data.rgb_relations", "true", f"false: {name} brings no relation scores from RGB")
    if config.frames_dir and name != "cad120":
        raise UserError("--data.frames_dir", config.frames_dir, "--data cad120: other sets have videos of their own")
    if (asked := _asked(config)) and name in ("cad120", "homeworld") and not config.frames_dir:
        found, step = asked
        frames = "the folder of its RGB frames" if name == "cad120" else "a data set with videos"
        next_step = "--data.frames_dir DIR" if name == "cad120" else "whyact data make homeworld --help, and --data own"
        raise UserError(found, step, f"{frames}: {name} travels without pixels", next_step)
    if root is None:
        raise UserError("--root", None, f"the folder that holds {name}", "the same command with --root DIR")
    if name.startswith("action-genome"):
        return action_genome_clips.read(
            root,
            slots=config.slots,
            contact_only=config.contact_only,
            filter_small=config.filter_small,
            scenes=name == "action-genome-scenes",
            only=only,
        )
    if name == "own":
        data = own.read(root, slots=config.slots, only=only)
        measured = data.vocabulary.measured and config.boxes == "oracle"
        return replace(data, clips=tuple(measure_clip(clip) for clip in data.clips)) if measured else data
    images = Path(config.frames_dir) if config.frames_dir else None
    return cad120.read(root, rgb_relations=config.rgb_relations, max_pairs=config.slots, only=only, frames_dir=images)


def _asked(config: DataConfig) -> tuple[str, str] | None:
    """Return the option that asks for pixels, and its value."""
    if config.pixels:
        return "--data.pixels", "true"
    return ("--data.boxes", config.boxes) if config.boxes == "detected" else None
