"""``whyact reproduce pvlr-footage``: PVLR on real films, from pixels, with no weights to download.

Two sets of short films become untrimmed videos with exact times: hockey broadcasts (a fight, or play), spliced at
random, and recordings of hand washing, whose steps are joined in their own order. Films that share frames, and
recordings, stay on one side of a split. EfficientNet-Lite0 sees the films once; sequences are spliced of its rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.arrays import Float32
from whyact.data.relations.clip_folder import ListedClip, open_clips
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import open_folder, sequence
from whyact.data.untrimmed.feature_split import FeatureSplit, generated_split
from whyact.data.untrimmed.sets import Annotation
from whyact.data.untrimmed.snippet_files import extract, load_streams
from whyact.errors import UserError
from whyact.features.kinetics import DOWNLOAD
from whyact.features.lite import NAME as LITE
from whyact.files import canonical_json, file_sha256, sha256
from whyact.progress import progress as show
from whyact.pvlr.config import Config
from whyact.reproduce.pvlr import (
    METRICS,
    NOTES,
    long_settings,
    measure,
    missing,
    paired,
    plateau_rows,
    settings,
    train_and_measure,
)
from whyact.reproduce.results import Row, header, row
from whyact.reproduce.study import CPU, Study
from whyact.training.numerics import numerics

NAME = "pvlr-footage"
RUNS = Path("runs") / NAME
SECONDS = {"hockey": 0.32, "handwash": 0.64}  # of a snippet
ROWS = ("full", "mil-only", "untrained", "oracle", "per-snippet-labels")
SEEDS = 5
LONG_ROWS, LONG_SEEDS = ("full", "mil-only"), 3  # of the table of long trainings
TRAIN_SHARE = 0.6
VIDEOS = (48, 24)  # composed hockey videos of each side
PIECES = (8, 14)  # films of a composed hockey video
FIGHTS = 3  # of them at most
STEPS_OF_A_PART = (2, 4)  # of a recording of hand washing in a row
PARTS = (6, 4)  # of each recording, on each side
CLASSES = {"hockey": ("fight", "play"), "handwash": ()}
_HOCKEY = re.compile(r"[a-z]+__(?P<label>fight|no_fight)__")
_HANDWASH = re.compile(r"[a-z]+__(?P<label>Step_\w+?)__HandWash_(?P<group>\d+)_A_(?P<place>\d+)_")


@dataclass(frozen=True)
class Film:
    """A short film: its class, the films that it must not be parted from, its place among them, its rows (T,D)."""

    name: str
    label: str
    group: str
    place: int
    rows: Float32


def run(study: Study) -> None:
    """Extract features once, then run splits x rows, resumable, and write the tables.

    Args:
        study: ``root`` is the folder that holds ``hockey/`` and ``handwash/``, or one of them; ``quick`` means one
            split; nothing is written.

    Raises:
        UserError: When the films are missing, or nothing is stored.
    """
    tables = [name for name in SECONDS if study.root is not None and (study.root / name).is_dir()]
    if study.root is None or not tables:
        found = None if study.root is None else str(study.root)
        raise UserError("--root", found, f"the folder that holds {' and '.join(f'{name}/' for name in SECONDS)}")
    for table in () if study.stored else tables:
        _extract(table, study.root / table, progress=study.progress)
    numbers = list(range(1 if study.quick else study.seeds or SEEDS))
    folder = str(study.root.absolute())
    asked = [
        {"table": t, "row": r, "seed": s, "root": folder, "config": msgspec.to_builtins(settings(r))}
        for t in tables
        for s in numbers
        for r in ROWS
    ]
    cells, done = study.cells(asked, cell, RUNS / "cells")
    results: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for params, result in zip(cells, done, strict=True):
        results[params["table"], params["row"]][params["seed"]] = result
    rows, lacking = _tables(results, tables), len(asked) - len(cells)
    if not study.quick:
        asked = [
            {"table": t, "row": r, "seed": s, "root": folder, "config": long_settings(r)}
            for t in tables
            for s in numbers[:LONG_SEEDS]
            for r in LONG_ROWS
        ]
        long, curve = study.cells(asked, long_cell, RUNS / "cells", optional=True)
        of: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
        for params, result in zip(long, curve, strict=True):
            of[params["table"], params["row"]].append(result["avg_mAP"])
        rows += plateau_rows(of, dict.fromkeys(tables, "composed of real films"))
        lacking += len(asked) - len(long)
    splits = sorted({f"{c['table']} {c['seed']} {r['split']}" for c, r in zip(cells, done, strict=True)})
    head = header(
        NAME,
        study.command(NAME, len(numbers)),
        seeds=numbers,
        data="real films: hockey broadcasts spliced into untrimmed videos, hand washing in its own order; "
        "EfficientNet-Lite0 on ImageNet weights; films that share frames and recordings are never parted"
        + missing(lacking),
        split_sha256=sha256(canonical_json(splits)),
    )
    study.publish(NAME, head, rows)


def _tables(results: dict[tuple[str, str], dict[int, dict[str, Any]]], tables: Sequence[str]) -> list[Row]:
    rows = []
    for table in tables:
        for name in (name for name in ROWS if results[table, name]):
            for metric in METRICS:
                values = [result[metric] for result in results[table, name].values()]
                rows.append(row(table, name, metric, values, unit="0..100", note=NOTES.get(name, "")))
        rows += paired(table, "mil-only", results[table, "full"], results[table, "mil-only"])
    return rows


@numerics()
def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Compute one row of one table on one split."""
    split, config = _split(params), msgspec.convert(params["config"], Config)
    return measure(split, params["row"], config, params["seed"], params.get("device", CPU))


@numerics()
def long_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train one row for long on one split: one ``avg_mAP`` every so many iterations."""
    config = msgspec.convert(params["config"], Config)
    return train_and_measure(_split(params), config, params["seed"], params.get("device", CPU))


def _split(params: dict[str, Any]) -> FeatureSplit:
    films = read_films(params["table"], Path(params["root"]) / params["table"])
    return compose(params["table"], films, params["seed"])


def compose(table: str, films: Sequence[Film], seed: int) -> FeatureSplit:
    """Make untrimmed sequences of films; no group of films is on both sides.

    Raises:
        UserError: When a side has no film of a class.
    """
    rng = np.random.default_rng([0xF007, seed])
    groups = sorted({film.group for film in films})
    first = set(rng.permutation(groups)[: max(1, round(TRAIN_SHARE * len(groups)))].tolist())
    sides = ([f for f in films if f.group in first], [f for f in films if f.group not in first])
    classes = CLASSES[table] or tuple(sorted({film.label for film in films}))
    made = []
    for number, (side, subset) in enumerate(zip(sides, ("train", "test"), strict=True)):
        if lacking := set(classes) - {film.label for film in side}:
            raise UserError(table, f"no film of {sorted(lacking)[0]} among the {subset} films", "more films")
        parts = _spliced(side, VIDEOS[number], rng) if table == "hockey" else _in_order(side, PARTS[number], rng)
        made.append([_join(f"{subset}-{i:03d}", subset, part, classes, SECONDS[table]) for i, part in enumerate(parts)])
    names = tuple(label.replace("_", " ").lower() for label in classes)
    split = generated_split(NAME, names, (made[0], made[1]), "sentence", f"{table}: composed of real films")
    return replace(split, widths=(films[0].rows.shape[1], 0))  # one encoder plays both streams


def _spliced(films: Sequence[Film], count: int, rng: np.random.Generator) -> list[list[Film]]:
    """Return composed videos: play, with up to three fights, none in a third of the videos."""
    of = {label: [f for f in films if f.label == label] for label in CLASSES["hockey"]}
    out = []
    for i in range(count):
        length = int(rng.integers(*PIECES, endpoint=True))
        fights = 0 if i % 3 == 2 else int(rng.integers(1, FIGHTS, endpoint=True))
        places = set(rng.permutation(length)[:fights].tolist())
        labels = ["fight" if at in places else "play" for at in range(length)]
        out.append([of[label][int(rng.integers(len(of[label])))] for label in labels])
    return out


def _in_order(films: Sequence[Film], count: int, rng: np.random.Generator) -> list[list[Film]]:
    """Return parts of recordings: a few steps in a row, in their own order."""
    out = []
    for group in sorted({film.group for film in films}):
        steps = sorted((f for f in films if f.group == group), key=lambda f: (f.place, f.name))
        for _ in range(count):
            length = min(len(steps), int(rng.integers(*STEPS_OF_A_PART, endpoint=True)))
            start = int(rng.integers(len(steps) - length + 1))
            out.append(steps[start : start + length])
    return out


def _join(name: str, subset: str, films: Sequence[Film], classes: Sequence[str], seconds: float) -> FeatureSequence:
    """Return films one after the other; neighbours of one class are one segment."""
    ends = np.cumsum([len(film.rows) for film in films]) * seconds
    segments: list[tuple[float, float, int]] = []
    for film, end in zip(films, ends.tolist(), strict=True):
        label = classes.index(film.label)
        start = segments[-1][1] if segments else 0.0
        if segments and segments[-1][2] == label:
            segments[-1] = (segments[-1][0], end, label)
        else:
            segments.append((start, end, label))
    labels = tuple(sorted({c for _, _, c in segments}))
    annotation = Annotation(name, subset, float(ends[-1]), labels, tuple(segments))
    return sequence(annotation, np.concatenate([film.rows for film in films]), seconds)


@lru_cache(maxsize=2)
def read_films(table: str, folder: Path) -> tuple[Film, ...]:
    """Return the films of a set with their features, each content once, and the groups that are never parted.

    Raises:
        UserError: When no film has a name of the set.
    """
    pattern = {"hockey": _HOCKEY, "handwash": _HANDWASH}[table]
    named: dict[str, tuple[Path, re.Match[str]]] = {}
    for path in sorted(folder.glob("*.mp4")):
        if found := pattern.match(path.name):
            named.setdefault(file_sha256(path), (path, found))
    if not named:
        raise UserError(str(folder), "no film of the set", f"names such as {pattern.pattern}")
    places = {path: int(found.groupdict().get("place") or 0) for path, found in named.values()}
    listed = [
        ListedClip(path, _label(found.group("label")), found.groupdict().get("group") or "")
        for path, found in named.values()
    ]
    features = open_folder(RUNS / table)
    films = []
    opened = open_clips(listed)
    for clip in opened.clips:
        path = clip.file
        rows = features.read(Annotation(path.stem, "train", 0.0, ())).features
        films.append(Film(path.stem, clip.label, opened.groups[path], places[path], np.asarray(rows, np.float32)))
    return tuple(films)


def _label(word: str) -> str:
    return "play" if word == "no_fight" else word


def _extract(table: str, folder: Path, *, progress: bool) -> None:
    """See every film once; what an earlier run has seen is kept, and the encoder is loaded for the others alone."""
    videos = {path.stem: path for path in sorted(folder.glob("*.mp4"))}
    if all(_seen(RUNS / table / "videos" / f"{name}.json", film) for name, film in videos.items()):
        return
    with show(f"extracting {table}", len(videos), wanted=progress) as bar:

        def tell(name: str, snippets: int) -> None:
            if not snippets:
                bar.advance(name)

        extract(videos, RUNS / table, load_streams((LITE,), (DOWNLOAD,), None, SECONDS[table]), tell)


def _seen(record: Path, film: Path) -> bool:
    """Whether a film's record, which extraction writes last, is younger than the film."""
    return record.is_file() and record.stat().st_mtime >= film.stat().st_mtime
