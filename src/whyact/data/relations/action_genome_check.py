"""Look at a copy of Action Genome or Charades: what is there, and what is missing, short or broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from whyact.data.definition import Dataset
from whyact.data.relations import action_genome, charades
from whyact.data.relations.action_genome import CONVERTED, FRAMES, OBJECT_LIST, PERSONS, RELATED, RELATION_LIST
from whyact.data.relations.action_genome_clips import find_layout, read
from whyact.data.relations.action_genome_frames import absent_frames, listed, some
from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS, check_list
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationOptions
from whyact.errors import UserError


def check_action_genome(root: Path) -> dict[str, Any]:
    """Read everything as training does, and count videos and frames.

    Returns:
        Counts; ``missing``, ``short`` and ``broken`` with examples; ``usable``: whether training can start.

    Raises:
        UserError: When neither annotations nor lists are found.
    """
    place = find_layout(root)
    folder = place.annotations
    missing, short, broken = _Notes(), _Notes(), _Notes()
    converted = (folder / CONVERTED).is_file()
    for name in (PERSONS, RELATED, FRAMES, OBJECT_LIST, RELATION_LIST):
        if not (folder / name).is_file() and not (converted and name in (PERSONS, RELATED)):
            missing.add(str(folder / name))
    for name, words in ((OBJECT_LIST, OBJECTS), (RELATION_LIST, RELATIONS)):
        if (folder / name).is_file():
            broken.catch(lambda n=name, w=words: check_list(folder / n, w))  # type: ignore[misc]
    data = broken.catch(lambda: read(root, slots=10**6))
    found = broken.catch(lambda: action_genome.read_annotations(folder)) if data is not None else None
    out: dict[str, Any] = {"data": "action-genome", "usable": data is not None}
    if data is not None and found is not None:
        train, test = data.folds[1]
        out |= {"train": len(train), "test": len(test), **data.facts, "objects": len(found.box)}
        out |= {"relations": int(sum(int(code).bit_count() for code in found.bits)), "converted": converted}
        out["pairs"] = sum(len(clip.slots) for clip in data.clips)
    wanted = broken.catch(lambda: listed(folder)) if (folder / FRAMES).is_file() else None
    if found is not None and wanted is not None:
        ours = {(v, n) for v, numbers in wanted.items() for n in numbers}
        theirs = {(found.videos[v], int(n)) for v, n in zip(found.video, found.number, strict=True)}
        for what, odd in (("listed, not annotated", ours - theirs), ("annotated, not listed", theirs - ours)):
            if odd:
                broken.add(f"{folder / FRAMES}: {len(odd)} frames {what}, such as {action_genome.frame_key(*min(odd))}")
    frames_there = 0
    for video, numbers in (wanted or {}).items():
        if not (place.videos / f"{video}.mp4").is_file():
            missing.add(f"videos/{video}.mp4")
        elif not (place.videos / f"{video}.mp4").stat().st_size:
            broken.add(f"videos/{video}.mp4 is empty")
        absent = absent_frames(place, video, numbers)
        frames_there += len(numbers) - len(absent)
        if absent and len(absent) < len(numbers):
            short.add(f"frames/{video}.mp4: {len(absent)} of {len(numbers)} frames, from {absent[0]}")
    out["frames_extracted"] = frames_there
    return out | some({"missing": missing.lines, "short": short.lines, "broken": broken.lines})


def check_charades(root: Path) -> dict[str, Any]:
    """Read the official lists, and count the videos beside them.

    Returns:
        The summary of the Charades reader, then ``missing`` with examples where there is a folder of videos.

    Raises:
        UserError: For a list that is missing or broken; it names the line.
    """
    found = charades.read(root)
    out: dict[str, Any] = {**charades.summary(found), "mapping": (root / charades.MAPPING).is_file()}
    folder = next((root / name for name in ("videos", "Charades_v1_480") if (root / name).is_dir()), None)
    if folder is None:
        return out | {"videos": "no folder `videos` here"}
    names = [f"{video.id}.mp4" for video in (*found.train, *found.test)]
    there = [name for name in names if (folder / name).is_file()]
    empty = [name for name in there if not (folder / name).stat().st_size]
    absent = sorted(set(names) - set(there))
    return out | {"videos": len(there)} | some({"missing": absent, "broken": empty})


class _Notes:
    """Lines for a person; :meth:`catch` turns an error into one."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def catch(self, work: Callable[[], Any]) -> Any:
        """Return what ``work`` returns, or note its error and return ``None``."""
        try:
            return work()
        except UserError as error:
            self.lines.append(str(error))
            return None


_LISTS = """\
Charades_v1_train.csv   here, or in charades/, Charades/ or annotations/
Charades_v1_test.csv
Charades_v1_classes.txt
"""
_LAYOUT = f"""\
{_LISTS}annotations/            or ActionGenome/annotations/, action-genome/
├── object_bbox_and_relationship.pkl
├── person_bbox.pkl
├── frame_list.txt, object_classes.txt, relationship_classes.txt
videos/ID.mp4           or Charades_v1_480/: needed for pixels
frames/ID.mp4/NUMBER.png   written by `whyact data prepare action-genome`
"""


def _reader(scenes: bool) -> Callable[[Path, RelationOptions], RelationData]:
    return lambda root, options: read(
        root,
        slots=options.slots,
        contact_only=options.contact_only,
        filter_small=options.filter_small,
        scenes=scenes,
        only=options.only,
    )


DATASETS = (
    Dataset("action-genome", _LAYOUT, check_action_genome, _reader(scenes=False)),
    Dataset("action-genome-scenes", _LAYOUT, check_action_genome, _reader(scenes=True)),
    Dataset("charades", _LISTS + "videos/ID.mp4           optional\n", check_charades),
)
