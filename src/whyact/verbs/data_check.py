"""``whyact data check``: read a data set as training would, and say what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyact.errors import UserError
from whyact.verbs.lazy import one_of
from whyact.verbs.parser import Parser, existing_folder, print_json, print_numbers

if TYPE_CHECKING:
    from whyact.data.relations.relation_data import RelationData

_EXAMPLES = ("whyact data check cad120 --root data/cad120", "whyact data check cad120 --root my-clips --json")


def run(argv: list[str]) -> int:
    """Check the data set that ``argv`` (what follows ``check``) names; print what was found."""
    parser = Parser("data check", "Read every file of a data set as training reads it.", _EXAMPLES, "what was found")
    known = one_of(CHECKS, "NAME", "whyact data check --help")
    parser.add_argument("name", metavar="NAME", type=known, help=f"the data set: {', '.join(CHECKS)}")
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the folder that holds it")
    args = parser.parse_args(argv)
    root = existing_folder("--root", args.root)
    assert root is not None
    found = CHECKS[args.name](root)
    if args.json:
        print_json(found)
    else:
        print_numbers(found)
    return 0 if found.get("usable", True) else 1


def _own(root: Path) -> dict[str, Any]:
    """Summarise a folder of one's own videos and its JSON."""
    from whyact.data.relations import own, own_file

    found = own.read(root, slots=10**6)
    actions = Counter(action for clip in found.clips for action in clip.targets or (clip.target,))
    videos = [video.file for video in own_file.read_file(root / own_file.FILE).videos if video.file]
    return {
        "data": found.name,
        **found.facts,
        "video_files_missing": sum(not own_file.video_path("videos", root, file).is_file() for file in videos),
        "clips": len(found.clips),
        "clips_without_token": sum(not clip.valid.any() for clip in found.clips),
        "objects": len(found.vocabulary.objects),
        "relations": len(found.vocabulary.relations),
        "actions": {name: actions[i] for i, name in enumerate(found.vocabulary.actions)},
        "folds": {str(n): {"train": len(train), "test": len(test)} for n, (train, test) in found.folds.items()},
        **_empty_folds(found),
    }


def _action_genome(root: Path) -> dict[str, Any]:
    """List what is missing, short or broken in a copy of Action Genome."""
    from whyact.data.relations.action_genome_check import check_action_genome

    return check_action_genome(root)


def _charades(root: Path) -> dict[str, Any]:
    """Read the official Charades lists."""
    from whyact.data.relations.action_genome_check import check_charades

    return check_charades(root)


def _relation_clips(root: Path) -> dict[str, Any]:
    """Summarise a data set in the CAD-120 layout, and look for test subjects that are also trained on."""
    from whyact.data.relations import cad120

    found = cad120.read(root)
    folds = {}
    for number in found.folds:
        train, test = ([found.clips[i] for i in side] for side in found.folds[number])
        shared = {clip.group for clip in train} & {clip.group for clip in test} - {""}
        if shared:
            where = f"fold {number}"
            raise UserError(where, ", ".join(sorted(shared)), "no group on both sides", "correct splits/")
        folds[str(number)] = {
            "train": len(train),
            "test": len(test),
            **({"split_sha256": found.split_sha256(number)} if train and test else {}),
        }
    actions = Counter(found.vocabulary.actions[clip.target] for clip in found.clips if clip.target is not None)
    return {
        "data": found.name,
        "clips": len(found.clips),
        "frames": sum(len(clip.times) for clip in found.clips),
        "pairs_dropped": sum(clip.dropped_pairs for clip in found.clips),
        "objects": len(found.vocabulary.objects),
        "relations": len(found.vocabulary.relations),
        "actions": {action: actions[action] for action in found.vocabulary.actions},
        "folds": folds,
        **_empty_folds(found),
    }


def _empty_folds(found: RelationData) -> dict[str, Any]:
    """Say which folds a training would refuse; a set that has no other is not usable."""
    empty = [n for n, sides in sorted(found.folds.items()) if not all(sides)]
    if not empty:
        return {}
    whole = sorted(found.folds.keys() - set(empty))
    said = f"fold {', '.join(map(str, empty))}: no clip to train or to test on"
    return {"warning": f"{said}; take --fold {whole[0]}"} if whole else {"warning": said, "usable": False}


def _thumos14(root: Path) -> dict[str, Any]:
    """Summarise the THUMOS'14 arrays."""
    from whyact.data.untrimmed import thumos14
    from whyact.data.untrimmed.sets import summary

    return summary(thumos14.load(root))


def _activitynet(version: str) -> Callable[[Path], dict[str, Any]]:
    """Summarise the arrays of one ActivityNet version."""

    def check(root: Path) -> dict[str, Any]:
        from whyact.data.untrimmed import activitynet
        from whyact.data.untrimmed.sets import summary

        return summary(activitynet.load(root, version))

    return check


def _gym(root: Path) -> dict[str, Any]:
    """Count the trimmed gym clips that sequences are composed from."""
    from whyact.data.untrimmed import gym

    clips = gym.load(root)
    return {
        "data": "gym (composed)",
        "clips": len(clips.labels),
        "snippets": sum(map(len, clips.features)),
        "classes": {name: clips.labels.count(name) for name in clips.classes},
        "background": {name: clips.labels.count(name) for name in gym.BACKGROUND},
    }


def _folder(root: Path) -> dict[str, Any]:
    """Read labels.csv (or annotations.json) and every feature file that it names."""
    from whyact.data.untrimmed.feature_files import open_folder, read_broken
    from whyact.data.untrimmed.sets import summary
    from whyact.pvlr.sets import read_folder

    found, folder, left_out = read_folder(root), open_folder(root), read_broken(root / "broken.csv")
    lengths = [len(folder.read(video).features) for video in found.videos if video.id not in left_out]
    unlabelled = sorted(set(folder.names()) - {video.id for video in found.videos})
    return {
        **summary(found),
        "snippets": sum(lengths),
        "shortest": min(lengths, default=0),
        "features_without_label": unlabelled,
        "left_out": left_out,
    }


def _zero_shot(name: str) -> Callable[[Path], dict[str, Any]]:
    """Compare a zero-shot data set's lists with its videos, and try to decode each."""

    def check(root: Path) -> dict[str, Any]:
        from whyact.data.zero_shot import check as zero_shot_check

        return zero_shot_check.check(name, root)

    return check


CHECKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cad120": _relation_clips,
    "charades": _charades,
    "action-genome": _action_genome,
    "own": _own,
    "thumos14": _thumos14,
    "activitynet-1.2": _activitynet("1.2"),
    "activitynet-1.3": _activitynet("1.3"),
    "gym": _gym,
    "folder": _folder,
    **{
        name: _zero_shot(name)
        for name in (
            "videos",
            "ucf101",
            "hmdb51",
            "olympic-sports",
            "truze-ucf101",
            "truze-hmdb51",
            "activitynet",
            "kinetics",
        )
    },
}
