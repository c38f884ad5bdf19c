"""Write a household world to disk in the layout of the CAD-120 re-annotation, so that its reader reads it.

``annotations/video_clips.txt`` (1-based inclusive frames), ``annotations/splits`` (one subject held out a
fold), ``annotations/knowledge`` (vocabulary and rules) and ``annotations/all/SUBJECT/ACTIVITY/VIDEO.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.homeworld.annotate import WorldClip, annotation, observe, read_clips
from whyact.homeworld.layout import draw_subject
from whyact.homeworld.scripts import ACTIVITIES, draw_video
from whyact.homeworld.states import FPS, WorldVideo
from whyact.homeworld.vocabulary import ATTRIBUTE, CUPBOARD, HAND, HEAD, RELATION, VOCABULARY

_WORLD, _FRESH = 0, 1  # two streams of chance under one seed: a fresh video is never one of the world's


@dataclass(frozen=True)
class Recording:
    """A world video with its clips, the boxes a detector reports (name -> (T,4) x, y, width, height) and its rate."""

    id: str
    video: WorldVideo
    clips: list[WorldClip]
    boxes: dict[str, NDArray[np.int64]]
    fps: float = FPS


def draw_world(*, seed: int, subjects: int = 4, videos_per_subject: int = 7) -> Iterator[Recording]:
    """Yield the videos of a world, subject by subject. The same arguments give the same world.

    More subjects or videos leave the first ones as they are. Five videos a subject show every action.

    Raises:
        UserError: On a negative seed, or fewer than two subjects or one video.
    """
    check_at_least("seed", seed, 0)
    check_at_least("subjects", subjects, 2)
    check_at_least("videos_per_subject", videos_per_subject, 1)
    activities = list(ACTIVITIES)
    for s, own in enumerate(np.random.default_rng((seed, _WORLD)).spawn(subjects)):
        subject = draw_subject(own, f"Subject{s + 1}")
        for v, rng in enumerate(own.spawn(videos_per_subject)):
            # An odd number of activities, so every one of them is played in both directions in turn.
            video = draw_video(rng, subject, activities[v % len(activities)], backwards=(s + v) % 2 == 1)
            yield record(f"{s + 1:04d}{v + 1:06d}", video, rng)


def draw_fresh(*, seed: int, action: str | None = None) -> Recording:
    """Draw one short video of a person who is in no world: a single clip, with this action or any but null.

    Raises:
        UserError: On a negative seed or an action that the world does not have.
    """
    check_at_least("seed", seed, 0)
    if action is not None and action not in VOCABULARY.actions:
        raise UserError("action", action, f"one of {', '.join(VOCABULARY.actions)}")
    rng = np.random.default_rng((seed, _FRESH))
    subject = draw_subject(rng, "Visitor")
    while True:
        activity = str(rng.choice(list(ACTIVITIES)))
        video = draw_video(rng, subject, activity, backwards=bool(rng.random() < 0.5))
        fit = [c for c in read_clips(video) if (c.action == action if action else c.pair)]
        if fit:
            clip = fit[int(rng.integers(len(fit)))]
            return record(f"9{seed % 10**9:09d}", video.cut(clip.start, clip.stop), rng)


def write_world(root: Path, *, seed: int, subjects: int = 4, videos_per_subject: int = 7) -> Path:
    """Write a world under ``root`` and return ``root``. The same seed gives the same bytes.

    The folder appears whole or not at all. Fold f tests on subject f and trains on the others.

    Raises:
        UserError: On arguments that :func:`draw_world` refuses, or where ``root`` exists and is not empty.
    """
    return _write(root, draw_world(seed=seed, subjects=subjects, videos_per_subject=videos_per_subject))


def write_fresh_video(root: Path, *, seed: int, action: str | None = None) -> Path:
    """Write :func:`draw_fresh`'s video under ``root`` as a world of one clip, to test on; its training list is empty.

    Raises:
        UserError: On arguments that :func:`draw_fresh` refuses, or where ``root`` exists and is not empty.
    """
    return _write(root, [draw_fresh(seed=seed, action=action)])


def record(id_: str, video: WorldVideo, rng: np.random.Generator) -> Recording:
    """Return a video with the clips read off it and the boxes that a detector reports."""
    clips = read_clips(video)
    return Recording(id_, video, clips, observe(video, clips, rng))


@contextmanager
def whole_folder(root: Path) -> Iterator[Path]:
    """Give a draft folder to write in; it takes the name ``root`` when the block ends well, else it is removed.

    Raises:
        UserError: Where ``root`` exists and is not empty.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(root, None, "a folder that does not exist yet, or an empty one", "choose another folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        yield draft
        draft.chmod(0o755)
        if root.exists():
            root.rmdir()
        os.replace(draft, root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


Folds = list[tuple[list[str], list[str]]]


def write_annotations(
    folder: Path, recordings: Iterable[Recording], folds: Callable[[list[str]], Folds] | None = None
) -> None:
    """Write the files of the CAD-120 layout; recordings are taken one at a time.

    ``folds`` turns the people, in order of appearance, into (train, test) lists; without it each person is
    tested on once.
    """
    clips, people = [], dict[str, None]()
    for recording in recordings:
        video = recording.video
        people[video.person] = None
        file = folder / "all" / video.person / video.activity / f"{recording.id}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(annotation(video, recording.boxes, recording.id, recording.fps)), encoding="utf-8")
        clips += [
            f"{video.person}, {video.activity}, {recording.id}, {c.start + 1}, {c.stop}, {c.action}"
            for c in recording.clips
        ]
    write_lines(folder / "video_clips.txt", clips)
    for fold, (train, test) in enumerate((folds or _leave_one_out)(list(people)), 1):
        write_lines(folder / "splits" / f"testlist{fold:02d}.txt", test)
        write_lines(folder / "splits" / f"trainlist{fold:02d}.txt", train)
    for name, lines in _knowledge().items():
        write_lines(folder / "knowledge" / f"{name}.txt", lines)


def _leave_one_out(people: list[str]) -> Folds:
    return [([p for p in people if p != person], [person]) for person in people]


def _write(root: Path, recordings: Iterable[Recording]) -> Path:
    with whole_folder(root) as draft:
        write_annotations(draft / "annotations", recordings)
    return Path(root)


def _knowledge() -> dict[str, list[str]]:
    """Return the lines of the knowledge files: ``;`` between fields, ``, `` within a list."""
    words, allowed = VOCABULARY, VOCABULARY.allowed
    rules = [(r, ", ".join(r.objects)) for r in words.rules]
    partners = {s: [o for a, o in allowed if a == s and o != s] for s in (HAND, HEAD, CUPBOARD)}
    return {
        "action_list": list(words.actions),
        "object_list": list(words.objects),
        "relation_list": [w for pair in RELATION.values() for w in pair],
        "attribute_list": list(ATTRIBUTE),
        "object_attribute_list": [
            f"{o}; {', '.join(ATTRIBUTE) if (o, o) in allowed else 'null'}" for o in words.objects
        ],
        "object_relation_list": [f"{s}; {'; '.join(RELATION[s])}; {', '.join(p)}" for s, p in partners.items()],
        "act_rel_list": [f"{r.action}; {r.before}; {r.after}; {r.subject}; {o}" for r, o in rules if r.subject],
        "act_attr_list": [f"{r.action}; {r.before}; {r.after}; {o}" for r, o in rules if not r.subject],
    }


def write_lines(file: Path, lines: list[str]) -> None:
    """Write a text file of lines, its folder made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise :class:`UserError` on a value below the least."""
    if value < least:
        raise UserError(name, value, f"a whole number of at least {least}")
