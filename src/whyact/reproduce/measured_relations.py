"""``whyact reproduce measured-relations``: how often annotation confirms what is measured from boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations import cad120
from whyact.data.relations.pair_clips import AnnotatedVideo
from whyact.data.types import MEASURED
from whyact.homeworld.write import write_world
from whyact.perception.perception import RATE
from whyact.perception.relations import MeasureSettings, measured_relations
from whyact.reproduce.results import Row, header, row
from whyact.reproduce.study import Study

NAME = "measured-relations"
SEEDS = 3  # generated worlds
STEADY = (0.2, 0.5, 0.8, 1.2, 1.6)  # seconds that a state lasts at least
DEFAULT = MeasureSettings().steady
TOLERANCE = 1.0  # seconds between a measured and an annotated change
LEVELS = ("touching", "overlapping")
CONTACT = {"hand": "holding", "head": "contacting"}  # class of the subject -> the annotated relation


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a video with one kind of subject: boxes (T,K,4), times (T,), contact and where it is known (T,K)."""

    kind: str
    subjects: NDArray[np.float64]
    objects: NDArray[np.float64]
    times: NDArray[np.float64]
    contact: NDArray[np.bool_]
    known: NDArray[np.bool_]


def run(study: Study) -> None:
    """Compare measured changes of contact with annotated ones, on annotated boxes, and write the tables.

    A measured change (from further away to at least touching, or at least overlapping; or back) is confirmed where the
    annotation of the same pair changes in the same direction within a second: a hand begins or ceases to hold, a head
    to contact. Pairs that the annotation says nothing of at that time do not count.

    Args:
        study: ``root`` is the folder of CAD-120's annotation; without it only the generated world is measured;
            ``quick`` means one generated world.

    Raises:
        UserError: When the data is damaged.
    """
    numbers = list(range(1 if study.quick else study.seeds or SEEDS))
    rows: list[Row] = []
    if study.root is not None:
        rows += _rows("CAD-120", [list(_pairs(study.root))])
    worlds = []
    for seed in numbers:
        with TemporaryDirectory(prefix="whyact-") as folder:
            worlds.append(list(_pairs(write_world(Path(folder) / "world", seed=seed))))
    rows += _rows("homeworld", worlds)
    data = (
        "annotated boxes, ten frames a second"
        + ("; CAD-120 re-annotation" if study.root else "")
        + "; homeworld, generated"
    )
    head = header(NAME, study.command(NAME), seeds=numbers, data=data)
    study.publish(NAME, head, rows)


def _pairs(root: Path) -> Iterator[_Pairs]:
    """Yield the pairs of every video that can be in contact, about ten frames a second."""
    videos, words, _ = cad120.annotated_videos(root)
    for _, video, _ in videos:
        for kind, relation in CONTACT.items():
            if kind in words.objects:
                found = _of_kind(video, words.objects.index(kind), words.relations.index(relation))
                if found is not None:
                    yield replace(found, kind=kind)


def _of_kind(video: AnnotatedVideo, kind: int, relation: int) -> _Pairs | None:
    pairs = [pair for pair in video.labels if video.kind[pair[0]] == kind and pair[0] != pair[1]]
    if not pairs:
        return None
    times = video.frames / video.rate
    at = np.flatnonzero(np.diff(np.floor(times * RATE + 1e-6), prepend=-1.0))
    boxes = [np.stack([video.boxes[pair[side]][at] for pair in pairs], 1).astype(np.float64) for side in (0, 1)]
    labels = np.stack([video.labels[pair][at] for pair in pairs], 1)
    return _Pairs("", boxes[0], boxes[1], times[at], labels[..., relation], np.asarray(labels.any(-1)))


def _rows(table: str, sets: list[list[_Pairs]]) -> list[Row]:
    out = []
    for level in LEVELS:
        for steady in STEADY:
            name = f"{level}, steady {steady:g} s" + (" (the default)" if steady == DEFAULT else "")
            counts = [_compare(pairs, level, MeasureSettings(steady=steady)) for pairs in sets]
            for metric, right, of in (("precision", 0, 1), ("recall", 2, 3)):
                values = [sum(c[i] for c in count.values()) for i in (right, of) for count in counts]
                shares = [a / b for a, b in zip(values[: len(counts)], values[len(counts) :], strict=True) if b]
                note = "; ".join(
                    f"{kind} {sum(c[kind][right] for c in counts)} of {sum(c[kind][of] for c in counts)}"
                    for kind in sorted(counts[0])
                )
                if shares:
                    out.append(
                        row(table, name, metric, shares, unit="0..1", note=note if metric == "precision" else "")
                    )
    return out


def _compare(pairs: list[_Pairs], level: str, settings: MeasureSettings) -> Mapping[str, NDArray[np.int64]]:
    """Return by kind of subject: measured changes confirmed, measured, annotated changes found, annotated."""
    first = MEASURED.index(level)
    out: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(4, np.int64))
    for video in pairs:
        found = measured_relations(video.subjects, video.objects, video.times, settings=settings)
        there, close = np.asarray(found.any(-1)), np.asarray(found[..., first:].any(-1))
        for k in range(there.shape[1]):
            measured = changes(close[:, k], there[:, k], video.times)
            annotated = changes(video.contact[:, k], video.known[:, k], video.times)
            said = [(t, up) for t, up in measured if (video.known[:, k] & (np.abs(video.times - t) <= TOLERANCE)).any()]
            out[video.kind] += [
                sum(_near(change, annotated) for change in said),
                len(said),
                sum(_near(change, measured) for change in annotated),
                len(annotated),
            ]
    return out


def changes(
    states: NDArray[np.bool_], known: NDArray[np.bool_], times: NDArray[np.float64]
) -> list[tuple[float, bool]]:
    """Return when a state (T,) changes and what it becomes, from one known frame to the next."""
    at = np.flatnonzero(known)
    values = states[at]
    return [(float(times[at[i + 1]]), bool(values[i + 1])) for i in np.flatnonzero(values[1:] != values[:-1])]


def _near(change: tuple[float, bool], others: list[tuple[float, bool]]) -> bool:
    return any(abs(change[0] - t) <= TOLERANCE and change[1] == up for t, up in others)
