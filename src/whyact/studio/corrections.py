"""What a person says about answers, kept as own data that ``whyact train --data own`` reads, with the videos.

``whyact.json`` holds the corrected clips, ``corrections.json`` beside it what was marked by hand and by which model the
rest was named: relations that nobody marked are the model's own.
"""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.ablation.protocol import TIME_TOLERANCE
from whyact.data.io.tables import spelling
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
from whyact.files import SHIPPED, telling_of_full_disk, temporary_sibling, write_atomic
from whyact.prediction import Prediction, TrackPoint
from whyact.studio.forms import Correction, Marked, Saved
from whyact.studio.jobs import clean_label, safe_stem
from whyact.training.checkpoint import read_card
from whyact.video import VIDEO_SUFFIXES

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


def save_correction(
    folder: Path, prediction: Prediction, run: Path | None, correction: Correction, video: Path | None = None
) -> Saved:
    """Save a corrected clip; a second correction of the same video takes the place of the first.

    Args:
        folder: Where own data are kept; made when missing.
        prediction: The answer.
        run: The model that gave it, ``None`` for the bundled one: its words are the data's, and the person's new ones.
        correction: What the person says.
        video: The video's file: it is copied beside the data, so that a training can see its pixels.

    Raises:
        UserError: For unknown relations, an answer without tracks, or a folder with data of other words.
    """
    words = _words(run)
    with _LOCK:
        path, log = folder / FILE, folder / LOG
        file = read_own(path) if path.exists() else words
        _check_words(path, file, words)
        own = _video(prediction, file, correction)
        if video is not None:
            own.file = _keep_video(folder, video, prediction)
        file.videos = [*(v for v in file.videos if v.id != own.id), own]
        groups = [v.group for v in file.videos]
        test = groups[4::5] or groups[-1:]  # every fifth video is kept for testing, at least one
        file.folds = [Fold([g for g in groups if g not in test], test)]
        entry = Entry(
            video=own.id,
            name=prediction.video.path,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            model=prediction.provenance.checkpoint,
            model_sha256=prediction.provenance.checkpoint_sha256,
            answered=prediction.label,
            action=own.actions[0].action,
            marked=[mark.model_dump() for mark in correction.relations],
        )
        entries = msgspec.json.decode(log.read_bytes(), type=list[Entry]) if log.exists() else []
        entries = [*(e for e in entries if e.video != entry.video), entry]
        write_own(folder, file, replace=True)
        write_atomic(log, msgspec.json.format(msgspec.json.encode(entries), indent=1))
    pixels = " --data.pixels true" if all(v.file for v in file.videos) else ""
    return Saved(
        videos=len(file.videos),
        marked=sum(len(e.marked) for e in entries),
        command=f"whyact train laiar --data own --root DIR --out RUN{pixels}",
    )


def _words(run: Path | None) -> OwnFile:
    """Return an empty file of own data with the words of a run's card."""
    card = read_card(run or SHIPPED / "laiar")
    found = (card.get("extra") or {}).get("words")
    if not found or found.get("multi_label"):
        raise UserError("corrections", card["method"], "an answer of a laiar model with one action a clip")
    file = OwnFile(
        format="whyact-own",
        version=1,
        objects=list(found["objects"]),
        actions=list(found["actions"]),
        videos=[],
        measured=bool(found.get("measured")),
        name="corrections",
    )
    if file.measured:  # the boxes say what the relations are
        file.subjects = list(dict.fromkeys(subject for subject, *_ in found["allowed"]))
        return file
    file.relations = list(found["relations"])
    file.allowed = [Allowed(a, b, list(names)) for a, b, names in found["allowed"]]
    file.groups = [Group(name, list(names), alone) for name, names, alone in found.get("groups", [])]
    file.rules = [OwnRule(action, b, a, list(objects), s) for action, b, a, s, objects in found["rules"]]
    return file


def _check_words(path: Path, file: OwnFile, words: OwnFile) -> None:
    """Refuse data of other words than a model's own: it may have more of them, that persons added."""
    known = {*words.objects} <= {*file.objects} and {*words.actions} <= {*file.actions}
    if not known or (file.relations, file.measured) != (words.relations, words.measured):
        raise UserError(path, "data of other words", "the words of the model that answered", "use another folder")


def _add_word(text: str, known: list[str], what: str) -> str:
    """Return a word as the data spells it; a new one is added to ``known``."""
    word = clean_label(text)
    if not word:
        raise UserError(what, text, "a name")
    for other in known:
        if spelling(other) == spelling(word):
            return other
    known.append(word)
    return word


def _allow(file: OwnFile, before: str, kind: str) -> None:
    """Let a thing carry the relations that it could carry under the name that the model gave it."""
    listed = {(a.subject, a.object): a for a in file.allowed}
    for (subject, thing), allowed in list(listed.items()):
        pair = tuple(kind if name == before else name for name in (subject, thing))
        if before not in (subject, thing):
            continue
        if (own := listed.get((pair[0], pair[1]))) is None:
            file.allowed.append(Allowed(pair[0], pair[1], list(allowed.relations)))
        else:
            own.relations = [r for r in file.relations if r in {*own.relations, *allowed.relations}]


def _keep_video(folder: Path, video: Path, prediction: Prediction) -> str:
    """Copy a video beside the data, and return its name there."""
    suffix = video.suffix if video.suffix in VIDEO_SUFFIXES else ".mp4"
    name = f"videos/{safe_stem(prediction.video.path)}-{prediction.video.sha256[:12]}{suffix}"
    to = folder / name
    if not to.exists():
        draft = temporary_sibling(to)
        with telling_of_full_disk(to):
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(video, draft)
                draft.replace(to)
            finally:
                draft.unlink(missing_ok=True)
    return name


def _video(p: Prediction, file: OwnFile, correction: Correction) -> OwnVideo:
    """Return a corrected clip, and add the person's new words to the file."""
    tracks = [t for t in p.tracks if any(q.label for q in t.points)]
    if not tracks or p.video.fps <= 0 or not p.video.width:
        raise UserError(p.video.path, "no tracks with relations", "an answer with tracks, to correct")
    if file.measured and correction.relations:
        expected = "no marked relations: those of this model are measured from the boxes"
        raise UserError("relations", correction.relations[0].relation, expected)
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
        if not file.measured:
            spans += _relations((t.subject, t.object), t.points, marks, file)
    unknown = [
        m for m in correction.relations if not any((t.subject, t.object) == (m.subject, m.object) for t in tracks)
    ]
    if unknown:
        raise UserError("relations", f"{unknown[0].subject} – {unknown[0].object}", "a pair of this answer")
    if strangers := sorted(set(correction.things) - set(boxes)):
        raise UserError("things", strangers[0], f"a thing of this answer: {', '.join(boxes)}")
    kinds = {name: _class(name, file.objects) for name in boxes}
    for name, text in correction.things.items():
        kind = _add_word(text, file.objects, f"things, {name}")
        if kind != kinds[name]:
            _allow(file, kinds[name], kind)
            if file.measured and kinds[name] in file.subjects and kind not in file.subjects:
                file.subjects.append(kind)
            kinds[name] = kind
    id_ = f"{Path(p.video.path).stem or 'video'}-{p.video.sha256[:12]}"
    return OwnVideo(
        id=id_,
        fps=p.video.fps,
        image_size=(p.video.width, p.video.height),
        frames=frames,
        tracks=[OwnTrack(name, kinds[name], row) for name, row in boxes.items()],
        relations=spans,
        actions=[OwnAction(_add_word(correction.action, file.actions, "action"), frames[0], frames[-1])],
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
