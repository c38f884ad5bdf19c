"""What a person says about answers, kept as own data that ``whyact train --data own`` reads, with the videos.

``whyact.json`` holds the corrected clips, ``corrections.json`` beside it what was marked by hand and by which model the
rest was named: relations that nobody marked are the model's own.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.data.relations.own import read_file as read_own
from whyact.data.relations.own_file import FILE, Allowed, Fold, Group, OwnFile, OwnRule, OwnVideo
from whyact.data.relations.own_write import write_own
from whyact.data.types import MEASURED
from whyact.errors import UserError
from whyact.files import SHIPPED, folder_lock, telling_of_full_disk, temporary_sibling, write_atomic
from whyact.metrics.boxes import clip_to_image
from whyact.perception.tracks import Tracks
from whyact.prediction import Prediction
from whyact.studio.forms import Correction, Marks, Saved
from whyact.studio.jobs import safe_stem
from whyact.studio.marks import (
    FilmIndex,
    add_word,
    check_marks,
    draw_marks,
    hold_labels,
    mark_relations,
    offered_relations,
    to_own_actions,
    to_own_tracks,
)
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
    segments: list[dict[str, Any]] = []
    drawn: list[dict[str, Any]] = []


def save_correction(
    folder: Path,
    prediction: Prediction,
    run: Path | None,
    correction: Correction,
    video: Path | None = None,
    index: FilmIndex | None = None,
) -> Saved:
    """Save a corrected clip; a second correction of the same video takes the place of the first.

    Args:
        folder: Where own data are kept; made when missing.
        prediction: The answer.
        run: The model that gave it, ``None`` for the bundled one: its words are the data's, and the person's new ones.
        correction: What the person says.
        video: The video's file: it is copied beside the data, so that a training can see its pixels.
        index: When its frames are shown; segments and drawn boxes need it.

    Raises:
        UserError: For relations that a pair cannot carry, marks that are not of this video, an answer without tracks,
            or a folder with data of other words.
    """
    words = answer_words(run)
    with _LOCK, _studio_lock(folder):
        path, log = folder / FILE, folder / LOG
        file = read_own(path) if path.exists() else words
        _check_words(path, file, words)
        own = _video(prediction, file, correction, index)
        if video is not None:
            own.file = _keep_video(folder, video, prediction)
        put_video(file, own)
        entry = Entry(
            video=own.id,
            name=prediction.video.path,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            model=prediction.provenance.checkpoint,
            model_sha256=prediction.provenance.checkpoint_sha256,
            answered=prediction.label,
            action=own.actions[0].action,
            marked=[mark.model_dump() for mark in correction.relations],
            segments=[segment.model_dump() for segment in correction.segments],
            drawn=[thing.model_dump() for thing in correction.drawn],
        )
        entries = _read_log(folder)
        entries = [*(e for e in entries if e.video != entry.video), entry]
        write_own(folder, file, replace=True)
        write_atomic(log, msgspec.json.format(msgspec.json.encode(entries), indent=1))
    pixels = " --data.pixels true" if all(v.file for v in file.videos) else ""
    return Saved(
        videos=len(file.videos),
        marked=sum(len(e.marked) for e in entries),
        command=f"whyact train laiar --data own --root DIR --out RUN{pixels}",
    )


def put_video(file: OwnFile, video: OwnVideo) -> None:
    """Put a video into own data, in the place of what was there of it, and say which groups are kept for testing."""
    file.videos = [*(v for v in file.videos if v.id != video.id), video]
    groups = list(dict.fromkeys(v.group for v in file.videos))
    test = groups[4::5] or groups[-1:]  # every fifth is kept for testing, at least one
    file.folds = [Fold([g for g in groups if g not in test], test)]


def _studio_lock(folder: Path) -> AbstractContextManager[None]:
    """Let one studio at a time change the corrections of a folder; what is refused makes no folder."""
    return folder_lock(folder) if folder.is_dir() else nullcontext()


def saved_marks(folder: Path, prediction: Prediction) -> Marks:
    """Return what a person has marked on an answer's video before."""
    entries = _read_log(folder)
    name = _id(prediction, [e.video for e in entries])
    entry = next((e for e in entries if e.video == name), None)
    if entry is None:
        return Marks()
    return Marks.model_validate({"segments": entry.segments, "drawn": entry.drawn, "relations": entry.marked})


def offered_for(prediction: Prediction, run: Path | None) -> dict[str, list[str]]:
    """Return which relations each pair of an answer can carry, by its two names in a row; empty where none is marked.

    A thing whose name is no word of the model carries none.
    """
    try:
        words = answer_words(run)
    except UserError:
        return {}
    pairs = {(t.subject, t.object) for t in prediction.tracks}
    kinds = {name: name.rpartition("_")[0] or name for pair in pairs for name in pair}
    return {f"{a} {b}": offered_relations(words, kinds[a], kinds[b], itself=a == b) for a, b in sorted(pairs)}


def _read_log(folder: Path) -> list[Entry]:
    log = folder / LOG
    return msgspec.json.decode(log.read_bytes(), type=list[Entry]) if log.exists() else []


def _id(p: Prediction, known: Iterable[str]) -> str:
    """Return the id of an answer's video: one of those known where it is the same film, whatever its file is called."""
    ending = f"-{p.video.sha256[:12]}"
    own = f"{Path(p.video.path).stem or 'video'}{ending}"
    return next((name for name in known if p.video.sha256 and name.endswith(ending)), own)


def answer_words(run: Path | None) -> OwnFile:
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
    named = annotated_relations(found)
    if not named:  # the boxes say what the relations are
        file.subjects = list(dict.fromkeys(subject for subject, *_ in found["allowed"]))
        return file
    file.relations = named
    file.allowed = [Allowed(a, b, [n for n in names if n in named]) for a, b, names in found["allowed"]]
    groups = [Group(name, list(names), alone) for name, names, alone in found.get("groups", [])]
    file.groups = [group for group in groups if set(group.relations) <= set(named)]
    file.rules = [OwnRule(action, b, a, list(objects), s) for action, b, a, s, objects in found["rules"]]
    return file


def annotated_relations(words: Mapping[str, Any]) -> list[str]:
    """Return the relations of a card's words that a person can mark: those that are not measured from boxes."""
    relations = list(words.get("relations", []))
    return relations[: len(relations) - len(MEASURED)] if words.get("measured") else relations


def _check_words(path: Path, file: OwnFile, words: OwnFile) -> None:
    """Refuse data of other words than a model's own: it may have more of them, that persons added."""
    known = {*words.objects} <= {*file.objects} and {*words.actions} <= {*file.actions}
    if not known or (file.relations, file.measured) != (words.relations, words.measured):
        raise UserError(path, "data of other words", "the words of the model that answered", "use another folder")


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
    ending = f"-{prediction.video.sha256[:12]}"
    name = f"videos/{safe_stem(prediction.video.path)}{ending}{suffix}"
    to = folder / name
    if (same := next(iter(sorted(folder.glob(f"videos/*{ending}.*"))), None)) is not None:
        name = f"videos/{same.name}"
    else:
        draft = temporary_sibling(to)
        with telling_of_full_disk(to):
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(video, draft)
                draft.replace(to)
            finally:
                draft.unlink(missing_ok=True)
    return name


def _video(p: Prediction, file: OwnFile, correction: Correction, index: FilmIndex | None) -> OwnVideo:
    """Return a corrected clip, and add the person's new words to the file."""
    named = [t for t in p.tracks if any(q.label for q in t.points)]
    if not named or p.video.fps <= 0 or not p.video.width:
        raise UserError(p.video.path, "no tracks with relations", "an answer with tracks, to correct")
    if not file.relations and correction.relations:
        expected = "no marked relations: those of this model are measured from the boxes"
        raise UserError("relations", correction.relations[0].relation, expected)
    tracks = answer_tracks(p)
    kinds = {name: _class(name, file.objects) for name in tracks.names}
    if strangers := sorted(set(correction.things) - set(kinds)):
        raise UserError("things", strangers[0], f"a thing of this answer: {', '.join(kinds)}")
    if index is None and (correction.segments or correction.drawn):
        raise UserError("segments and boxes", None, "the video of this answer, which is no longer here")
    relist = index is not None and bool(correction.segments or correction.drawn or correction.relations)
    if index is not None and relist:
        check_marks(correction, index)
        tracks = draw_marks(tracks, correction, index)
    for name, kind in zip(tracks.names[len(kinds) :], tracks.classes[len(kinds) :], strict=True):
        kinds[name] = add_word(kind, file.objects, "boxes")
    for name, text in correction.things.items():
        kind = add_word(text, file.objects, f"things, {name}")
        if kind != kinds[name]:
            _allow(file, kinds[name], kind)
            if kinds[name] in file.subjects and kind not in file.subjects:
                file.subjects.append(kind)
            kinds[name] = kind
    known = {"", *file.relations}  # a model may name some pairs by what is measured of them
    found = {
        (t.subject, t.object): [(q.time, q.frame, q.label if q.label in known else "") for q in t.points] for t in named
    }
    marks = {(m.subject, m.object) for m in correction.relations}
    if unknown := sorted(pair for pair in marks if not set(pair) <= set(kinds)):
        raise UserError("relations", " – ".join(unknown[0]), f"a pair of things of this answer: {', '.join(kinds)}")
    spans = []
    for pair in () if not file.relations else dict.fromkeys([*found, *sorted(marks)]):
        own = [m for m in correction.relations if (m.subject, m.object) == pair]
        labels = found[pair] if pair in found and not relist else hold_labels(found.get(pair, []), tracks)
        spans += mark_relations(pair, labels, own, kinds, file)
    name = _id(p, [video.id for video in file.videos])
    return OwnVideo(
        id=name,
        fps=p.video.fps,
        image_size=(p.video.width, p.video.height),
        frames=tracks.frames.tolist(),
        tracks=to_own_tracks(tracks, kinds, with_seen=bool(correction.drawn)),
        relations=spans,
        actions=to_own_actions(correction, correction.action, tracks.frames, file.actions),
        group=name,
    )


def answer_tracks(p: Prediction) -> Tracks:
    """Return the things of an answer's named pairs as tracks, at the frames that the model looked at."""
    named = [t for t in p.tracks if any(q.label for q in t.points)]
    times = {q.frame: q.time for t in named for q in t.points}
    names = list(dict.fromkeys(name for t in named for name in (t.subject, t.object)))
    place = {frame: i for i, frame in enumerate(sorted(times))}
    boxes = np.zeros((len(place), len(names), 4), np.float32)
    for t in named:
        for q in t.points:
            for name, box in ((t.subject, q.subject_box), (t.object, q.object_box)):
                boxes[place[q.frame], names.index(name)] = clip_to_image(box, (p.video.width, p.video.height))
    boxes[(boxes[..., 2:] <= boxes[..., :2]).any(-1)] = 0
    known = boxes[..., 2] > boxes[..., 0]
    return Tracks(
        names=tuple(names),
        classes=tuple(name.rpartition("_")[0] or name for name in names),
        boxes=boxes,
        seen=known,
        scores=known.astype(np.float32),
        times=np.array([times[frame] for frame in place]),
        frames=np.array(list(place), np.int64),
        image_size=(p.video.width, p.video.height),
    )


def _class(name: str, known: list[str]) -> str:
    """Return the class of a track by its name, ``cup_1`` of ``cup``."""
    kind = name.rpartition("_")[0] or name
    if kind not in known:
        raise UserError(f"track {name}", kind, f"one of {', '.join(known)}")
    return kind
