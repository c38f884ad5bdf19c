"""Class folders of clips as zero-shot data: refused before the work where no training could come of them."""

from __future__ import annotations

from pathlib import Path

from whyact.data.relations.clip_folder import class_places
from whyact.data.zero_shot import layouts
from whyact.data.zero_shot.sets import pick
from whyact.errors import UserError
from whyact.features.clip_weights import pending_download, refuse_unreachable
from whyact.locate_gat.config import Config
from whyact.training.options import PreparedData

SHOWN = 8  # names of classes that a note lists


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
    """Check that a folder of clips can be learned from; CLIP reads its frames during the training.

    Args:
        videos: ``clips/CLASS/*.mp4`` or ``clips/CLASS/GROUP/*.mp4``, four classes or more: half of them stay unseen.
        out: Not used: features are kept below ``videos``, so that another run need not encode them again.
        config: The settings.
        things: Must be ``None``: things are what LaIAR looks for.
        replace_data: Without effect: nothing is written.
        fold: Which half of the classes is seen.
        progress: Without effect.

    Raises:
        UserError: Where no training could come of them: no class folders, too few classes, or no CLIP.
    """
    if things is not None:
        raise UserError("--things", str(things), "--videos alone: locate-gat looks at whole frames", "leave it out")
    if not videos.is_dir():
        found = "a file" if videos.exists() else "no such folder"
        expected = "a folder of class folders, clips/CLASS/*.mp4: locate-gat learns what names mean from whole clips"
        raise UserError(f"--videos {videos}", found, expected, "put the clips into a folder for each class")
    layout = layouts.read("videos", videos)
    class_places(videos)  # one folder under two names would be seen and unseen
    split = pick(layout.splits, fold)
    pending = pending_download(config.backbone, config.backbone_weights)
    if pending is not None:
        refuse_unreachable(config.backbone, config.backbone_weights)
    seen, unseen = (_list(names) for names in (split.seen, split.unseen))
    note = f"fold {fold} learns from {len(split.seen)} classes ({seen}); never trained on: {unseen}"
    skipped = layout.skipped.note
    return PreparedData("videos", videos, config, [note, *([skipped] if skipped else [])])


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
