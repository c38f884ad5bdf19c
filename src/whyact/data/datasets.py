"""The data sets by name: one registry of readers, checks and layouts, and what loads them for a method or for PyTorch.

To add a data set, write one file that defines its :class:`~whyact.data.definition.Dataset`, and add it to ``DATASETS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whyact.data.definition import Dataset
from whyact.data.relations import action_genome_check, cad120, own
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import FeatureSequence, RelationClip, RelationOptions, ZeroShotOptions
from whyact.data.untrimmed import activitynet, folder, thumos14
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.data.untrimmed.sets import UntrimmedSet
from whyact.data.zero_shot import sets as zero_shot
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData
from whyact.errors import UserError

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        *cad120.DATASETS,
        *action_genome_check.DATASETS,
        own.DATASET,
        thumos14.DATASET,
        *activitynet.DATASETS,
        folder.DATASET,
        *zero_shot.DATASETS,
    )
}


def names_for(method: str) -> list[str]:
    """Return the names of the data sets that a method can use."""
    return [name for name, dataset in DATASETS.items() if method in dataset.methods]


def find_dataset(name: str, method: str, root: Path | None) -> tuple[Dataset, Path]:
    """Return a data set that a method can use, and its root.

    Raises:
        UserError: When there is none of that name for that method, or a root is needed and missing.
    """
    dataset = DATASETS.get(name)
    if dataset is None or method not in dataset.methods:
        known = names_for(method)
        users = f"; {name} is for {' and '.join(dataset.methods)}" if dataset is not None and dataset.methods else ""
        near = get_close_matches(name, known, n=1)
        step = f"did you mean {near[0]!r}?" if near else ""
        raise UserError("--data", name, f"one of {', '.join(known)} ({method} reads these{users})", step)
    if root is None and not dataset.generated:
        raise UserError("--root", None, f"the folder that holds {name}", "the same command with --root DIR")
    return dataset, root if root is not None else Path()


def load_relations(name: str, root: Path | None, options: RelationOptions) -> RelationData:
    """Read a data set of relation clips, which LaIAR learns from.

    Raises:
        UserError: For an unknown name, a missing root or damaged data.
    """
    dataset, place = find_dataset(name, "laiar", root)
    assert dataset.relations is not None
    return dataset.relations(place, options)


def load_features(name: str, root: Path | None, fold: int = 1) -> FeatureSplit:
    """Read or generate a data set of feature sequences, which PVLR learns from.

    Args:
        name: One of :data:`DATASETS`.
        root: The folder that holds it; a generated set needs none.
        fold: For generated and composed data the number of the world or composition; without effect on others.

    Raises:
        UserError: For an unknown name, a missing root or damaged data.
    """
    dataset, place = find_dataset(name, "pvlr", root)
    assert dataset.features is not None
    return dataset.features(place, fold)


def load_annotations(name: str, root: Path) -> UntrimmedSet:
    """Read who is in a data set and when which action happens; features are not needed.

    Raises:
        UserError: For a data set without annotation files, or damaged ones.
    """
    dataset = DATASETS.get(name)
    if dataset is None or dataset.annotations is None:
        known = [other for other, one in DATASETS.items() if one.annotations is not None]
        raise UserError("--data", name, f"one of {', '.join(known)}")
    return dataset.annotations(root)


def load_zero_shot(
    name: str, root: Path | None, fold: int = 1, options: ZeroShotOptions | None = None
) -> tuple[ZeroShotData, ClassSplit]:
    """Read a data set of videos with one of its class splits (counted from 1), which LoCATe-GAT learns from.

    Raises:
        UserError: For an unknown name or fold, damaged data, or options that the data set cannot follow.
    """
    dataset, place = find_dataset(name, "locate-gat", root)
    assert dataset.zero_shot is not None
    return dataset.zero_shot(place, fold, options or ZeroShotOptions())


Part = Literal["train", "test"]


def load_dataset(
    name: str, root: Path | str | None = None, fold: int = 1, part: Part = "train", **options: Any
) -> TorchDataset[RelationClip] | TorchDataset[FeatureSequence]:
    """Return one side of a data set for PyTorch: ``len``, an index, and ``DataLoader`` with any number of workers.

    An item is a :class:`~whyact.data.types.RelationClip` where the data set has relation clips, else a
    :class:`~whyact.data.types.FeatureSequence`. Items differ in length: give ``DataLoader`` a ``collate_fn``, such as
    ``list``. The zero-shot sets have their seen classes in ``train`` and their unseen ones in ``test``.

    Args:
        name: One of :data:`DATASETS`.
        root: The folder that holds it; a generated set needs none.
        fold: Which split, counted from 1.
        part: Which side of it.
        options: Fields of :class:`~whyact.data.types.RelationOptions` or
            :class:`~whyact.data.types.ZeroShotOptions`, such as ``slots=16`` or ``weights="random"``.

    Raises:
        UserError: For an unknown name or part, a missing root, damaged data, or options that the set does not have.
    """
    from whyact.data.torch_dataset import ClipDataset

    if part not in ("train", "test"):
        raise UserError("part", part, "train or test")
    dataset = DATASETS.get(name)
    if dataset is None or not dataset.methods:
        near = get_close_matches(name, DATASETS, n=1)
        known = ", ".join(other for other, one in DATASETS.items() if one.methods)
        raise UserError("name", name, f"one of {known}", f"did you mean {near[0]!r}?" if near else "")
    place = Path(root) if root is not None else None
    if place is None and not dataset.generated:
        raise UserError("root", None, f"the folder that holds {name}", f"load_dataset({name!r}, root=...)")
    items: Sequence[RelationClip] | Sequence[FeatureSequence]
    if dataset.relations is not None:
        relations = load_relations(name, place, _options(RelationOptions, options))
        items = relations.fold(fold)[part == "test"]
        return ClipDataset(name, relations.vocabulary.actions, items)
    if dataset.features is not None:
        _options(None, options)
        split = load_features(name, place, fold)
        return ClipDataset(name, split.classes, split.train if part == "train" else split.test)
    data, classes = load_zero_shot(name, place, fold, _options(ZeroShotOptions, options))
    wanted = set(data.index(classes.seen if part == "train" else classes.unseen).tolist())
    return ClipDataset(name, data.classes, [video for video in data.videos if video.target[0] in wanted])


def _options(kind: Any, options: dict[str, Any]) -> Any:
    known = tuple(kind.__dataclass_fields__) if kind is not None else ()
    for name in options:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "no further argument"
            raise UserError("options", name, expected)
    return kind(**options) if kind is not None else None
