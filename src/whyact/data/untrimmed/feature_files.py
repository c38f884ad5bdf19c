"""Feature files: one ``.npy`` a video, memory-mapped, joined with labels from a CSV or an annotated set.

A folder looks like this; everything but ``features/`` may be missing::

    features/NAME.npy    (T,D)  the input of the model; two streams side by side, first stream first
    rgb/NAME.npy, flow/NAME.npy instead of features/: the two streams apart
    clip/NAME.npy        (T,D2) image features of an image-language model, a training target only
    labels.csv           name,labels[,subset]; several labels separated by ";"
    annotations.json     instead of labels.csv: ActivityNet's JSON, with segments to evaluate on
    features.json        how the features were made, see :class:`Recipe`
    broken.csv           name,reason of videos that ``whyact extract`` could not read
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.io.pickles import load_array
from whyact.data.io.tables import read_table, refuse_alike, refuse_repeats
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.sets import SUBSETS, Annotation, UntrimmedSet, evaluated_subset
from whyact.errors import Mistakes, UserError, malformed
from whyact.files import without_mark

SNIPPET_SECONDS = 0.64  # 16 frames at 25 a second: what I3D features of both benchmarks use
_DEEPEST = 8  # folders above a feature file in which the recipe of its folder may lie
LAYOUTS = (("features",), ("rgb", "flow"))


class Encoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What made features: a name and weights of :mod:`whyact.features.kinetics`, and the weight file's SHA-256."""

    name: str
    weights: str
    sha256: str = ""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``features.json``: the length of a snippet (s), the channels of both streams, and what made them.

    ``widths`` (first, 0) is one stream. By hand, ``{"snippet_seconds": 0.5}`` is enough.
    """

    snippet_seconds: float = SNIPPET_SECONDS
    widths: tuple[int, int] | None = None
    encoders: tuple[Encoder, ...] = ()
    target: Encoder | None = None


@dataclass(frozen=True)
class FeatureFolder:
    """Where each stream is kept (folders searched in turn), and how it was made."""

    streams: tuple[tuple[Path, ...], ...]
    target: tuple[Path, ...]
    recipe: Recipe = Recipe()  # noqa: RUF009 - frozen

    def names(self) -> list[str]:
        """Return the videos that have a file in the first stream, sorted: their paths in it, without the ending."""
        files = ((folder, path) for folder in self.streams[0] for path in folder.rglob("*.npy"))
        return sorted({path.relative_to(folder).with_suffix("").as_posix() for folder, path in files})

    def widths(self, name: str) -> tuple[int, int]:
        """Return the channels of both streams as one video has them; a single stream of 2048 is two of 1024 (I3D).

        Raises:
            UserError: When ``features.json`` says other widths than the files have.
        """
        widths = [read_features(_find(folders, name)).shape[1] for folders in self.streams]
        if self.recipe.widths is not None:
            if sum(self.recipe.widths) != sum(widths):
                raise UserError(_find(self.streams[0], name), sum(widths), f"widths {self.recipe.widths}, as it says")
            return self.recipe.widths
        if len(widths) == 2:
            return widths[0], widths[1]
        return (1024, 1024) if widths[0] == 2048 else (widths[0], 0)

    def read(self, annotation: Annotation, with_target: bool = True) -> FeatureSequence:
        """Return the features of one video, memory-mapped: rows are read when they are asked for.

        Raises:
            UserError: When a file is missing, the streams disagree in length, or a value is not finite.
        """
        name = annotation.id
        arrays = [read_features(_find(folders, name)) for folders in self.streams]
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise UserError(f"video {name}", lengths, "streams of the same number of snippets", "extract them again")
        features: Any = arrays[0] if len(arrays) == 1 else SideBySide(*arrays)
        target = None
        if with_target and self.target:
            target = read_target(_find(self.target, name), len(features))
        end = max((end for _, end, _ in annotation.segments), default=0.0)
        length = len(features) * self.recipe.snippet_seconds
        if annotation.segments and end > 2 * length + 60:
            found = f"segments until {end:.0f} s, features for {length:.0f} s"
            raise UserError(f"video {name}", found, "features and annotation of the same video")
        return sequence(annotation, features, self.recipe.snippet_seconds, target)


class SideBySide:
    """Two mapped arrays (T,A) and (T,B) read as one (T,A+B), which is never in memory as a whole."""

    ndim = 2

    def __init__(self, first: NDArray[np.floating], second: NDArray[np.floating]) -> None:
        self.arrays = (first, second)
        self.shape = (len(first), first.shape[1] + second.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.floating]:
        return np.concatenate([array[rows] for array in self.arrays], axis=-1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.floating]:
        return self[:].astype(dtype or self.arrays[0].dtype)


def _find(folders: Sequence[Path], name: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError("video", name, f"a name below {folders[0]}")
    paths = [folder / f"{name}.npy" for folder in folders]
    return next((path for path in paths if path.is_file()), paths[0])


def sequence(
    annotation: Annotation,
    features: NDArray[np.floating],
    snippet_seconds: float = SNIPPET_SECONDS,
    target: NDArray[np.floating] | None = None,
) -> FeatureSequence:
    """Join an annotation with its features; ``second`` carries the image-language training target."""
    return FeatureSequence(
        id=annotation.id,
        features=features,
        times=np.arange(len(features), dtype=np.float64) * snippet_seconds,
        rate=1.0 / snippet_seconds,
        second=target,
        target=annotation.labels,
        segments=annotation.segments,
        group=annotation.subset,
    )


def read_features(path: Path) -> NDArray[np.floating]:
    """Map one feature file and check it: (T,D), T >= 1, floating point, finite.

    Finiteness is checked block by block, so that an hours-long file never sits in memory.

    Raises:
        UserError: When the file is missing or its content is not such an array.
    """
    array = load_array(path, mmap=True)
    if array.ndim != 2 or len(array) == 0 or not np.issubdtype(array.dtype, np.floating):
        raise UserError(path, f"{array.dtype} {array.shape}", "floating-point features (T,D) with at least one snippet")
    for start in range(0, len(array), 4096):
        finite = np.isfinite(array[start : start + 4096]).all(axis=1)
        if not finite.all():
            raise UserError(path, f"NaN or infinity in snippet {start + int(finite.argmin())}", "finite features")
    return array


def read_target(path: Path, length: int) -> NDArray[np.floating]:
    """Map image-language features, a row for each of ``length`` snippets; a few more at the end are cut off.

    Raises:
        UserError: When there are fewer, or so many that a row is not a snippet.
    """
    rows = read_features(path)
    if len(rows) < length:
        raise UserError(path, len(rows), f"at least {length} rows, as the features have")
    if len(rows) > 1.5 * length + 16:  # cut to length they would be those of the video's beginning
        raise UserError(path, f"{len(rows)} rows", f"{length}, one a snippet as the features have")
    return rows[:length]


def open_folder(root: Path | str) -> FeatureFolder:
    """Find the streams of a feature folder.

    Raises:
        UserError: When there is no stream folder, or ``features.json`` is malformed.
    """
    root = Path(root)
    streams = next((names for names in LAYOUTS if all((root / name).is_dir() for name in names)), None)
    if streams is None:
        raise UserError(
            root, None, "a folder features/ (or rgb/ and flow/) of .npy files", "whyact extract VIDEOS --out DIR"
        )
    target = root / "clip"
    return FeatureFolder(
        tuple((root / name,) for name in streams),
        (target,) if target.is_dir() else (),
        read_recipe(root / "features.json"),
    )


def read_labels(path: Path | str, classes: Sequence[str] | None = None) -> UntrimmedSet:
    """Read video-level labels: a CSV with the columns name, labels and (optional) subset.

    What is tested on are the videos of ``test`` if there are any, else those of ``validation``.

    Args:
        path: The CSV; several labels of a video are separated by ``;``.
        classes: The classes of a trained model; by default the sorted labels found.

    Raises:
        UserError: On missing or surplus columns, an empty label list, a class never seen, labels that differ in case,
            spaces or underscores only, or a repeated name; it names the line.
    """
    path = Path(path)
    rows = read_table(path, ("name", "labels"), ("subset",))
    if not rows:
        raise UserError(path, "no rows below the header", "at least one video")
    refuse_repeats(path, rows, "name", "video")
    labels = [[part.strip() for part in row["labels"].split(";") if part.strip()] for row in rows]
    mistakes = Mistakes(path)
    for row, found in zip(rows, labels, strict=True):
        if not row["name"]:
            mistakes.add_line(row.line, "a row without a name", "the name of a video")
        if not found:
            mistakes.add_line(row.line, row["name"], "at least one label for every video")
        if (row["subset"].casefold() or "train") not in SUBSETS:
            mistakes.add_line(row.line, row["subset"], f"a subset out of {', '.join(SUBSETS)}")
        if unseen := [label for label in found if classes is not None and label not in classes]:
            mistakes.add_line(row.line, unseen[0], f"one of the classes {', '.join(list(classes or ())[:8])}")
    mistakes.refuse()
    lines = zip(rows, labels, strict=True)
    refuse_alike((f"{path}:{row.line}", label) for row, found in lines for label in found)
    known = tuple(classes) if classes is not None else tuple(sorted({label for found in labels for label in found}))
    index = {name: i for i, name in enumerate(known)}
    videos = []
    for row, found in zip(rows, labels, strict=True):
        subset = row["subset"].casefold() or "train"
        videos.append(Annotation(row["name"], SUBSETS[subset], 0.0, tuple(sorted({index[label] for label in found}))))
    return UntrimmedSet(path.stem, known, tuple(videos), "train", evaluated_subset(videos))


def read_recipe(path: Path) -> Recipe:
    """Return what ``features.json`` says, or the defaults where there is no such file.

    Raises:
        UserError: When it says something else than a recipe, or a snippet of no length.
    """
    if not path.is_file():
        return Recipe()
    try:
        recipe = msgspec.json.decode(without_mark(path.read_bytes()), type=Recipe)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(path, error, 'such as {"snippet_seconds": 0.64}') from error
    if not recipe.snippet_seconds > 0:
        raise UserError(path, recipe.snippet_seconds, "a positive snippet_seconds")
    return recipe


def snippet_seconds_of(path: Path) -> float | None:
    """Return the seconds from row to row of a feature file, as the ``features.json`` beside or above it says.

    Raises:
        UserError: As :func:`read_recipe`.
    """
    above = (folder / "features.json" for folder in list(path.absolute().parents)[:_DEEPEST])
    recipe = next((file for file in above if file.is_file()), None)
    return None if recipe is None else read_recipe(recipe).snippet_seconds


def read_broken(path: Path) -> dict[str, str]:
    """Return the videos that could not be extracted, each with the reason; empty where there is no list."""
    if not path.is_file():
        return {}
    rows = read_table(path, ("name", "reason")) if path.stat().st_size else []
    return {row["name"]: row["reason"] for row in rows}
