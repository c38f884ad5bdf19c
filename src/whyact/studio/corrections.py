"""What a person says about answers, kept as own data that ``whyact train --data own`` reads.

``whyact.json`` holds the corrected clips, ``corrections.json`` beside it what was marked by hand and by which model the
rest was named: relations that nobody marked are the model's own.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.ablation.protocol import TIME_TOLERANCE
from whyact.data.relations.own import read_file as read_own
from whyact.data.relations.own_file import (
    FILE,
    Allowed,
    Fold,
    Group,
    OwnAction,
    OwnFile,
    OwnRelation,
    OwnRule,
    OwnTrack,
    OwnVideo,
)
from whyact.data.relations.own_write import write_own
from whyact.errors import UserError
from whyact.files import SHIPPED, write_atomic
from whyact.prediction import Prediction, TrackPoint
from whyact.studio.forms import Correction, Marked, Saved
from whyact.training.checkpoint import read_card

LOG = "corrections.json"
_LOCK = threading.Lock()  # two corrections at once must not lose one


class Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One corrected answer."""

    video: str
    name: str
    time: str
    model: str
    model_sha256: str
    answered: str
    action: str
    marked: list[dict[str, Any]]


def save_correction(folder: Path, prediction: Prediction, run: Path | None, correction: Correction) -> Saved:
    """Save a corrected clip; a second correction of the same video takes the place of the first.

    Args:
        folder: Where own data are kept; made when missing.
        prediction: The answer.
        run: The model that gave it, ``None`` for the bundled one: its words are the data's.
        correction: What the person says.

    Raises:
        UserError: For unknown words, an answer without tracks, or a folder with data of other words.
    """
    words = _words(run)
    if correction.action not in words.actions:
        raise UserError("action", correction.action, f"one of {', '.join(words.actions)}")
    video = _video(prediction, words, correction)
    entry = Entry(
        video=video.id,
        name=prediction.video.path,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        model=prediction.provenance.checkpoint,
        model_sha256=prediction.provenance.checkpoint_sha256,
        answered=prediction.label,
        action=correction.action,
        marked=[mark.model_dump() for mark in correction.relations],
    )
    with _LOCK:
        path, log = folder / FILE, folder / LOG
        file = read_own(path) if path.exists() else words
        if (file.objects, file.relations, file.actions) != (words.objects, words.relations, words.actions):
            raise UserError(path, "data of other words", "the words of the model that answered", "use another folder")
        file.videos = [*(v for v in file.videos if v.id != video.id), video]
        groups = [v.group for v in file.videos]
        test = groups[4::5] or groups[-1:]  # every fifth video is kept for testing, at least one
        file.folds = [Fold([g for g in groups if g not in test], test)]
        entries = msgspec.json.decode(log.read_bytes(), type=list[Entry]) if log.exists() else []
        entries = [*(e for e in entries if e.video != entry.video), entry]
        write_own(folder, file, replace=True)
        write_atomic(log, msgspec.json.format(msgspec.json.encode(entries), indent=1))
    return Saved(
        videos=len(file.videos),
        marked=sum(len(e.marked) for e in entries),
        command="whyact train laiar --data own --root DIR --out RUN",
    )


def _words(run: Path | None) -> OwnFile:
    """Return an empty file of own data with the words of a run's card."""
    card = read_card(run or SHIPPED / "laiar")
    found = (card.get("extra") or {}).get("words")
    if not found or found.get("multi_label"):
        raise UserError("corrections", card["method"], "an answer of a laiar model with one action a clip")
    return OwnFile(
        format="whyact-own",
        version=1,
        objects=list(found["objects"]),
        relations=list(found["relations"]),
        actions=list(found["actions"]),
        videos=[],
        allowed=[Allowed(a, b, list(names)) for a, b, names in found["allowed"]],
        groups=[Group(name, list(names), alone) for name, names, alone in found.get("groups", [])],
        rules=[OwnRule(action, b, a, list(objects), s) for action, b, a, s, objects in found["rules"]],
        name="corrections",
    )


def _video(p: Prediction, words: OwnFile, correction: Correction) -> OwnVideo:
    tracks = [t for t in p.tracks if any(q.label for q in t.points)]
    if not tracks or p.video.fps <= 0 or not p.video.width:
        raise UserError(p.video.path, "no tracks with relations", "an answer with tracks, to correct")
    frames = sorted({q.frame for t in tracks for q in t.points})
    place = {frame: i for i, frame in enumerate(frames)}
    boxes: dict[str, list[tuple[float, float, float, float] | None]] = {}
    spans: list[OwnRelation] = []
    for t in tracks:
        for q in t.points:
            for name, box in ((t.subject, q.subject_box), (t.object, q.object_box)):
                row = boxes.setdefault(name, [None] * len(frames))
                row[place[q.frame]] = _inside(box, p.video.width, p.video.height)
        marks = [m for m in correction.relations if (m.subject, m.object) == (t.subject, t.object)]
        spans += _relations((t.subject, t.object), t.points, marks, words)
    unknown = [
        m for m in correction.relations if not any((t.subject, t.object) == (m.subject, m.object) for t in tracks)
    ]
    if unknown:
        raise UserError("relations", f"{unknown[0].subject} – {unknown[0].object}", "a pair of this answer")
    id_ = f"{Path(p.video.path).stem or 'video'}-{p.video.sha256[:12]}"
    return OwnVideo(
        id=id_,
        fps=p.video.fps,
        image_size=(p.video.width, p.video.height),
        frames=frames,
        tracks=[OwnTrack(name, _class(name, words.objects), row) for name, row in boxes.items()],
        relations=spans,
        actions=[OwnAction(correction.action, frames[0], frames[-1])],
        group=id_,
    )


def _relations(
    pair: tuple[str, str], points: list[TrackPoint], marks: list[Marked], words: OwnFile
) -> list[OwnRelation]:
    """Return the runs of one relation: a person's where marked, elsewhere the model's; no name is no relation."""
    for mark in marks:
        if mark.relation and mark.relation not in words.relations:
            raise UserError("relations", mark.relation, f"one of {', '.join(words.relations)}")
    labels = []
    for q in points:
        marked = [m.relation for m in marks if m.start - TIME_TOLERANCE <= q.time <= m.end + TIME_TOLERANCE]
        labels.append((marked[-1] if marked else q.label, q.frame))
    out = []
    for label, run in groupby(labels, key=lambda row: row[0]):
        own = [frame for _, frame in run]
        if label:
            out.append(OwnRelation(pair, label, own[0], own[-1]))
    return out


def _class(name: str, known: list[str]) -> str:
    """Return the class of a track by its name, ``cup_1`` of ``cup``."""
    kind = name.rpartition("_")[0] or name
    if kind not in known:
        raise UserError(f"track {name}", kind, f"one of {', '.join(known)}")
    return kind


def _inside(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float] | None:
    x1, x2 = np.clip([box[0], box[2]], 0, width).tolist()
    y1, y2 = np.clip([box[1], box[3]], 0, height).tolist()
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None
