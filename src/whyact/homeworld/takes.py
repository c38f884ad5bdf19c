"""Cut a world into takes in the manner of Charades: short videos of one action, or of two or three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np

from whyact.errors import UserError
from whyact.homeworld.annotate import WorldClip, read_clips
from whyact.homeworld.classes import CLASSES, OFFICIAL, class_of, kind_of
from whyact.homeworld.film_set import cast_scene, thin
from whyact.homeworld.layout import draw_subject
from whyact.homeworld.scenes import SCENES, Scene, draw_scene, through_camera
from whyact.homeworld.scripts import ACTIVITIES, draw_video
from whyact.homeworld.states import WorldVideo
from whyact.homeworld.vocabulary import CUPBOARD, HAND, HEAD
from whyact.homeworld.write import check_at_least

_WORLD, _CUT = 3, 4  # streams of chance of this module, beside those of write.py and film_set.py
_PER_ACTION = 12  # annotated frames for each action


@dataclass(frozen=True)
class Act:
    """One action of a take: class, the thing it is done to, half-open frames, and the frame of the change (0-based)."""

    label: int
    thing: str
    start: int
    stop: int
    change: int


@dataclass(frozen=True)
class Take:
    """A short video as its scene's camera sees it.

    ``things`` are the names that get annotated: one of each Action Genome class, those acted on first;
    ``frames`` the annotated ones (0-based).
    """

    number: int
    video: WorldVideo
    scene: Scene
    index: int
    part: Literal["train", "test"]
    acts: tuple[Act, ...]
    things: tuple[str, ...]
    frames: tuple[int, ...]


def draw_takes(
    *, seed: int, videos: int, subjects: int = 8, rho: float = 0.0, every: int = 1, single: bool = False
) -> Iterator[Take]:
    """Check the numbers and return an iterator over this many takes.

    The same arguments give the same takes, and more videos leave the first as they are.

    Every fourth person, and the last, is seen in the test part only, as Charades shares nobody between its parts.

    Args:
        seed: Of the world, the cuts and the scenes.
        videos: How many takes.
        subjects: How many people, at least two.
        rho: How strongly training scenes depend on the class (of the first action), 0 to 1.
        every: Keep every n-th frame of the 30 a second.
        single: One action a take, all classes equally often as far as can be; else two or three.

    Raises:
        UserError: On numbers out of range.
    """
    check_at_least("seed", seed, 0)
    check_at_least("videos", videos, 1)
    check_at_least("subjects", subjects, 2)
    check_at_least("every", every, 1)
    if not 0.0 <= rho <= 1.0:
        raise UserError("rho", rho, "a number from 0 to 1")
    return _draw(seed, videos, subjects, rho, every, single)


def _draw(seed: int, videos: int, subjects: int, rho: float, every: int, single: bool) -> Iterator[Take]:
    scenes = [draw_scene(name, seed) for name in SCENES]
    made = 0
    seen = np.zeros((2, len(CLASSES)), dtype=int)
    for world, part in _world(seed, subjects):
        rng = np.random.default_rng((seed, _CUT, made))
        for piece, acts in _pieces(world, rng, single=single):
            label = acts[0].label
            counts = seen[int(part == "test")]
            if single and counts[label] > 2 + counts.min() + 0.5 * counts.mean():
                continue  # frequent classes wait for the rare ones
            counts[label] += 1
            index = cast_scene(rng, label, rho=rho, part=part)
            video = through_camera(thin(piece, every), scenes[index])
            acts = tuple(_thinned(act, every, len(video)) for act in acts)
            yield Take(
                made, video, scenes[index], index, part, acts, _annotated(piece, acts), _frames(acts, len(video))
            )
            made += 1
            if made == videos:
                return


def _world(seed: int, subjects: int) -> Iterator[tuple[WorldVideo, Literal["train", "test"]]]:
    """Yield world videos without end, the people in turn."""
    activities = list(ACTIVITIES)
    rngs = np.random.default_rng((seed, _WORLD)).spawn(subjects)
    people = [draw_subject(rng, f"P{s + 1:03d}") for s, rng in enumerate(rngs)]
    for v in count():
        for s, (rng, person) in enumerate(zip(rngs, people, strict=True)):
            own = rng.spawn(1)[0]
            video = draw_video(own, person, activities[(v + s) % len(activities)], backwards=bool(own.random() < 0.5))
            yield video, "test" if s % 4 == 3 or s == subjects - 1 else "train"


def _pieces(
    world: WorldVideo, rng: np.random.Generator, *, single: bool
) -> Iterator[tuple[WorldVideo, tuple[Act, ...]]]:
    """Cut a world video; a step that is no clear action never gets into a take."""
    clips = {(c.start, c.stop): c for c in read_clips(world)}
    run: list[WorldClip] = []
    wanted = 1 if single else int(rng.integers(2, 4))
    for span in world.spans:
        clip = clips.get(span)
        if clip is None or (clip.pair and _clashes(run, clip)):
            run = []
            if clip is None:
                continue
        if single and not clip.pair:
            continue
        run = [*run, clip] if run or clip.pair else []
        if len({class_of(c) for c in run} - {None}) == wanted:
            start, stop = run[0].start, run[-1].stop
            acts = tuple(
                Act(label, c.pair[1], c.start - start, c.stop - start, c.change - start)
                for c in run
                if (label := class_of(c)) is not None
            )
            yield world.cut(start, stop), acts
            run = []
            wanted = 1 if single else int(rng.integers(2, 4))


def _clashes(run: list[WorldClip], clip: WorldClip) -> bool:
    """Return whether a take would show actions on two things that Action Genome calls by one name."""
    mine = OFFICIAL[kind_of(clip.pair[1])]
    return any(c.pair and c.pair[1] != clip.pair[1] and OFFICIAL[kind_of(c.pair[1])] == mine for c in run)


def _thinned(act: Act, every: int, frames: int) -> Act:
    start, stop = -(-act.start // every), min(-(-act.stop // every), frames)
    change = min(max(-(-act.change // every), start + 1), stop - 1)
    return Act(act.label, act.thing, start, stop, change)


def _annotated(video: WorldVideo, acts: tuple[Act, ...]) -> tuple[str, ...]:
    """Choose one thing of each Action Genome class: what is acted on, else the first."""
    order = [*dict.fromkeys(a.thing for a in acts), *video.names]
    chosen: dict[str, str] = {}
    for name in order:
        if kind_of(name) not in (HAND, HEAD):
            chosen.setdefault(OFFICIAL[kind_of(name)], name)
    if CUPBOARD not in video.kinds:
        chosen.pop(OFFICIAL[CUPBOARD], None)
    return tuple(name for name in video.names if name in chosen.values())


def _frames(acts: tuple[Act, ...], frames: int) -> tuple[int, ...]:
    """Return the annotated frames: evenly spread over each action, both its ends among them."""
    spread = [np.linspace(a.start, a.stop - 1, min(_PER_ACTION, a.stop - a.start)) for a in acts]
    return tuple(sorted({min(round(t), frames - 1) for t in np.concatenate(spread).tolist()}))
