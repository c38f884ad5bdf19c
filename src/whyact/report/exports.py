"""Predictions in the formats of other tools: a table, subtitles, ELAN tiers, a FiftyOne data set."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePath

from whyact import wording
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.prediction import Prediction
from whyact.report.elan import to_elan
from whyact.report.webvtt import to_webvtt

COLUMNS = (
    "id",
    "row",
    "rank",
    "label",
    "start",
    "end",
    "score",
    "contribution",
    "subject",
    "object",
    "from_state",
    "to_state",
    "similarity",
    "margin",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def to_csv(predictions: Sequence[Prediction]) -> str:
    """Return one table of all predictions: a row an action (``score``), a segment and a piece of evidence.

    Times are seconds. Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    table.writeheader()
    ids = [p.id for p in predictions]
    for name, p in zip(ids if len(set(ids)) == len(ids) else prediction_names(predictions), predictions, strict=True):
        for place, label in enumerate(p.labels, 1):
            _row(table, id=name, row="action", rank=place, label=label.label, score=label.score)
        for s in sorted(p.segments, key=lambda s: (s.start, s.end)):
            _row(table, id=name, row="segment", label=s.label, start=s.start, end=s.end, score=s.score)
        for place, e in wording.number_evidence(p):
            _row(
                table,
                id=name,
                row=e.kind,
                rank=place,
                label=e.label,
                start=e.start,
                end=e.end,
                contribution=e.contribution,
                subject=e.subject,
                object=e.object,
                from_state=e.from_state,
                to_state=e.to_state,
                similarity=e.similarity,
                margin=e.margin,
            )
    return out.getvalue()


def _row(table: csv.DictWriter[str], **values: str | float | None) -> None:
    table.writerow(
        {
            name: ""
            if value is None
            else f"'{value}"
            if str(value).startswith(_FORMULA) and isinstance(value, str)
            else value
            for name, value in values.items()
        }
    )


def to_fiftyone(predictions: Sequence[Prediction]) -> str:
    """Return the ``labels.json`` of a ``FiftyOneTemporalDetectionDataset``; the videos go beside it, into ``data/``.

    A video without segments gets its answer from its start to its end. Evidence follows, each piece a detection with
    its contribution, pair and states as attributes, so that a view can tell the two kinds apart.
    """
    labels: dict[str, list[dict[str, object]]] = {}
    for name, p in zip(unique_names([p.video.path or p.id or "video" for p in predictions]), predictions, strict=True):
        found: list[dict[str, object]] = []
        spans = [(s.start, s.end, s.label, s.score) for s in p.segments]
        if not spans and p.labels:
            spans = [(p.video.start, p.video.duration, p.label, p.score)]
        for start, end, label, score in spans:
            found.append(
                {"label": label, "timestamps": [start, end], "confidence": score, "attributes": {"kind": "answer"}}
            )
        for place, e in wording.number_evidence(p):
            attributes = {
                "kind": e.kind,
                "rank": place,
                "contribution": e.contribution,
                "subject": e.subject,
                "object": e.object,
                "from_state": e.from_state,
                "to_state": e.to_state,
            }
            found.append({"label": e.text or e.kind, "timestamps": [e.start, e.end], "attributes": attributes})
        labels.setdefault(name, []).extend(found)  # several clips of one video are about one file
    classes = sorted({str(one["label"]) for own in labels.values() for one in own})
    number = {label: i for i, label in enumerate(classes)}
    for own in labels.values():
        for one in own:
            one["label"] = number[str(one["label"])]
    return json.dumps({"classes": classes, "labels": labels}, indent=1, ensure_ascii=False) + "\n"


def prediction_names(predictions: Sequence[Prediction]) -> list[str]:
    """Return a name for each prediction that says which input it is about, see :func:`unique_names`.

    Clips of one video are named by their ids. What neither tells apart is numbered.
    """
    paths, ids = [p.video.path or p.id or "video" for p in predictions], [p.id for p in predictions]
    apart = next((names for names in (paths, ids) if len(set(names)) == len(names) and all(names)), paths)
    given = unique_names(apart)
    names: list[str] = []
    for name in given:  # only the same input twice has the same name
        numbered = (f"{name}-{number}" for number in count(2))
        names.append(name if name not in names else next(one for one in numbered if one not in {*given, *names}))
    return names


def unique_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each input: its path below the folder that holds all of them, without the ending.

    Two inputs have the same name only where they are the same file. Those that differ in their ending alone keep it.
    Nothing depends on the order, so that the same inputs have the same names the next time.
    """
    full = [PurePath(os.path.abspath(path)) for path in paths]
    parents = [str(path.parent) for path in full]
    try:
        root = os.path.commonpath(parents) if parents else ""
    except ValueError:  # on several drives
        root = ""
    names = [path.relative_to(root) if root else path.relative_to(path.anchor) for path in full]
    files: dict[PurePath, set[PurePath]] = {}
    for name in names:
        files.setdefault(name.with_suffix(""), set()).add(name)
    return [(name if len(files[name.with_suffix("")]) > 1 else name.with_suffix("")).as_posix() for name in names]


@dataclass(frozen=True)
class Format:
    """A format: how a file of it ends, its media type, and whether one file holds several predictions."""

    write: Callable[[Sequence[Prediction]], str]
    ending: str
    media: str
    several: bool


EXPORTS: dict[str, Format] = {
    "csv": Format(to_csv, "csv", "text/csv", True),
    "vtt": Format(lambda found: to_webvtt(found[0], evidence=True), "vtt", "text/vtt", False),
    "eaf": Format(lambda found: to_elan(found[0]), "eaf", "application/xml", False),
    "fiftyone": Format(to_fiftyone, "json", "application/json", True),
}


def export(predictions: Sequence[Prediction], kind: str) -> str:
    """Return predictions as the text of one file.

    Raises:
        UserError: For a format that holds one prediction, where there is another number of them.
    """
    if not EXPORTS[kind].several and len(predictions) != 1:
        raise UserError("--export", f"{len(predictions)} predictions", f"one: a file of {kind} is about one video")
    return EXPORTS[kind].write(predictions)


def write_exports(predictions: Sequence[Prediction], kind: str, out: Path) -> list[Path]:
    """Write predictions to ``out``: a file, or a folder with a file a prediction where a format holds only one.

    ``fiftyone`` writes ``labels.json`` into the folder ``out``.

    Raises:
        UserError: When a file cannot be written.
    """
    try:
        if kind == "fiftyone":
            return [write_atomic(out / "labels.json", export(predictions, kind))]
        if EXPORTS[kind].several or len(predictions) == 1:
            return [write_atomic(out, export(predictions, kind))]
        ending = EXPORTS[kind].ending
        return [
            write_atomic(out / f"{name}.{ending}", export([p], kind))
            for name, p in zip(prediction_names(predictions), predictions, strict=True)
        ]
    except OSError as error:
        raise UserError(out, error.strerror, "a place that can be written", "choose another --out") from error
