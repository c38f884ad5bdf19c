"""Write a world exactly in the file layouts of Charades and Action Genome, with the dirt that such files have.

``Charades_v1_{train,test}.csv`` and the class files in the root; under ``annotations`` the two pickles,
``frame_list.txt`` and the two word lists; ``videos/ID.mp4`` and on request ``frames/ID.mp4/000001.png``.
``scenes.json`` says where each video was filmed; ``truth.jsonl`` what was done to what and when, for metrics only.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.io.pickles import dump_plain
from whyact.data.relations.action_genome import PERSONS, RELATED, frame_key
from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS, squashed
from whyact.data.relations.charades import CLASSES as CLASS_FILE
from whyact.data.relations.charades import COLUMNS, MAPPING, TEST, TRAIN
from whyact.errors import UserError
from whyact.homeworld.classes import CLASSES, OFFICIAL, code, kind_of, object_codes, verb_codes
from whyact.homeworld.film_set import scene_entry
from whyact.homeworld.relations import JOINTS, joints, person_box, relations, thing_box
from whyact.homeworld.render import render
from whyact.homeworld.scenes import SCENES
from whyact.homeworld.states import FPS, IMAGE_SIZE
from whyact.homeworld.takes import Take, draw_takes
from whyact.homeworld.write import whole_folder, write_lines
from whyact.video.write import write_video

_DIRT = 5  # this module's stream of chance
_NAMES = 36**5


@dataclass(frozen=True)
class _Dirt:
    """What is wrong with one video, if anything."""

    unannotated: bool = False
    two_frames: bool = False
    no_actions: bool = False
    border: bool = False
    empty: bool = False


def write_action_genome(
    root: Path,
    *,
    seed: int,
    videos: int = 60,
    subjects: int = 8,
    rho: float = 0.0,
    every: int = 1,
    single: bool = False,
    dirt: bool = True,
    size: tuple[int, int] = (320, 240),
    pixels: bool = True,
    frames: bool = False,
    done: Callable[[str], object] = lambda name: None,
) -> Path:
    """Write a world as Charades and Action Genome are written.

    The annotations are the same, byte for byte, for the same seed, with or without pixels. Frame numbers
    are 1-based frames of the video; boxes are in pixels of ``size``.

    Args:
        root: A folder that is not there yet, or empty; it appears whole or not at all.
        seed: Of everything.
        videos: How many, both parts together.
        subjects: How many people.
        rho: How strongly training scenes depend on the class, 0 to 1.
        every: Keep every n-th of 30 frames a second.
        single: One action a video, else two or three.
        dirt: 3 % of frames without a person, 2 % of videos (at least one of ten) without an annotated
            frame; one video each with two annotated frames only, with no action, with a box that touches
            the border, and with an empty box in a frame without a person.
        size: (width, height) of videos and frames.
        pixels: Write ``videos/ID.mp4``.
        frames: Write the annotated frames as ``frames/ID.mp4/000001.png``.
        done: Called with the name of every video that is finished.

    Returns:
        ``root``.

    Raises:
        UserError: On numbers out of range, with so few videos that the test part would have none, or where ``root``
            exists and is not empty.
    """
    drawn = draw_takes(seed=seed, videos=videos, subjects=subjects, rho=rho, every=every, single=single)
    takes = list(_first_of_both(drawn))
    if len({take.part for take in takes}) < 2:
        endless = draw_takes(seed=seed, videos=sys.maxsize, subjects=subjects, every=every, single=single)
        least = sum(1 for _ in _first_of_both(endless))
        expected = f"at least {least}, so that somebody is there for the test part"
        raise UserError("videos", videos, expected, f"--videos {least}")
    plan = _plan_dirt(seed, videos) if dirt else [_Dirt()] * videos
    rows: dict[str, list[list[str]]] = {"train": [], "test": []}
    people: dict[str, Any] = {}
    things: dict[str, Any] = {}
    truth: list[str] = []
    cast: dict[str, Any] = {}
    fps = FPS / every
    with whole_folder(Path(root)) as draft:
        for take, wrong in zip(chain(takes, drawn), plan, strict=True):
            id_ = video_id(seed, take.number)
            rng = np.random.default_rng((seed, _DIRT, 1, take.number))
            kept = _kept(take, wrong)
            rows[take.part].append(_row(id_, take, rng, fps, no_actions=wrong.no_actions))
            for person, objects, key in _annotate(id_, take, kept, wrong, rng, size, dirt):
                people[key], things[key] = person, objects
            truth.append(json.dumps(_truth(id_, take)))
            cast[id_] = scene_entry(take.index, take.part, rho)
            if pixels:
                pictures = (render(take.video[t], take.scene, size) for t in range(len(take.video)))
                write_video(draft / "videos" / f"{id_}.mp4", pictures, fps)
            if frames:
                _write_frames(draft / "frames" / f"{id_}.mp4", take, kept, size)
            done(id_)
        _write_charades(draft, rows)
        folder = draft / "annotations"
        write_lines(folder / "frame_list.txt", sorted(people))
        write_lines(folder / "object_classes.txt", [squashed(word) for word in OBJECTS])
        write_lines(folder / "relationship_classes.txt", [squashed(word) for word in RELATIONS])
        (folder / PERSONS).write_bytes(dump_plain({key: people[key] for key in sorted(people)}))
        (folder / RELATED).write_bytes(dump_plain({key: things[key] for key in sorted(things)}))
        write_lines(draft / "truth.jsonl", truth)
        scenes = {"seed": seed, "rho": rho, "fps": fps, "scenes": list(SCENES), "videos": cast}
        (draft / "scenes.json").write_text(json.dumps(scenes, indent=1) + "\n", encoding="utf-8")
    return Path(root)


def _first_of_both(takes: Iterator[Take]) -> Iterator[Take]:
    """Yield takes up to the first with which both parts have one."""
    parts = set()
    for take in takes:
        yield take
        parts.add(take.part)
        if len(parts) == 2:
            return


def video_id(seed: int, number: int) -> str:
    """Return five upper-case letters and digits, another for each number of one seed."""
    value = (number * 22_695_477 + (seed + 1) * 40_503_113) % _NAMES
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join(digits[value // 36**i % 36] for i in range(5))


def _plan_dirt(seed: int, videos: int) -> list[_Dirt]:
    rng = np.random.default_rng((seed, _DIRT, 0))
    order = rng.permutation(videos).tolist()
    plan = [_Dirt()] * videos
    blank = max(round(0.02 * videos), int(videos >= 10))
    for v in order[:blank]:
        plan[v] = _Dirt(unannotated=True)
    special = (_Dirt(two_frames=True), _Dirt(no_actions=True), _Dirt(border=True), _Dirt(empty=True))
    for v, wrong in zip(order[blank:], special, strict=False):
        plan[v] = wrong
    return plan


def _kept(take: Take, wrong: _Dirt) -> tuple[int, ...]:
    if wrong.unannotated:
        return ()
    return (take.frames[0], take.frames[-1]) if wrong.two_frames else take.frames


def _annotate(
    id_: str,
    take: Take,
    frames: tuple[int, ...],
    wrong: _Dirt,
    rng: np.random.Generator,
    size: tuple[int, int],
    dirt: bool,
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], str]]:
    """Yield person entry, object entries and key of every annotated frame."""
    scale = size[0] / IMAGE_SIZE[0]
    for place, t in enumerate(frames):
        state = take.video[t]
        missed = bool(rng.random() < 0.03) and dirt
        # A detector's box: off by a pixel or so.
        box = np.clip(np.array(person_box(state)) * scale + rng.normal(0, 0.6, 4), 0, [*size, *size])
        score = float(np.clip(0.99 - abs(rng.normal(0, 0.02)), 0.5, 1))
        empty = wrong.empty and place == 0
        n = 0 if missed or empty else 1
        points = joints(state) * np.array([scale, scale, 1], dtype=np.float32)
        person = {
            "bbox": box[None].astype(np.float32)[:n],
            "bbox_score": np.array([score], dtype=np.float32)[:n],
            "bbox_size": (size[0], size[1]),
            "bbox_mode": "xyxy",
            "keypoints": points[None].astype(np.float32)[:n],
            "keypoints_logits": np.where(points[None, :, 2] > 0, 8.0, 0.0).astype(np.float32)[:n].reshape(n, JOINTS),
        }
        objects: list[dict[str, Any]] = []
        for thing in state.things:
            if thing.name not in take.things:
                continue
            word = OFFICIAL[kind_of(thing.name)]
            said = relations(state, thing)
            x0, y0, x1, y1 = (round(float(v) * scale + float(rng.normal(0, 0.25)), 2) for v in thing_box(thing))
            x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1]))
            xywh = (x0, y0, round(max(x1 - x0, 1.0), 2), round(max(y1 - y0, 1.0), 2))
            if wrong.border and place == 0 and not objects:
                xywh = (0.0, xywh[1], round(x1, 2), xywh[3])
            if empty and not objects:
                xywh = (xywh[0], xywh[1], 0.0, 0.0)
            seen = thing.visible
            objects.append(
                {
                    "class": word,
                    "bbox": xywh if seen else None,
                    "attention_relationship": list(said.attention) if seen else None,
                    "spatial_relationship": list(said.spatial) if seen else None,
                    "contacting_relationship": list(said.contacting) if seen else None,
                    "visible": seen,
                    "metadata": {"tag": f"{id_}.mp4/{word}/{t + 1:06d}", "set": take.part},
                }
            )
        yield person, objects, frame_key(id_, t + 1)


def _row(id_: str, take: Take, rng: np.random.Generator, fps: float, *, no_actions: bool) -> list[str]:
    names = [CLASSES[a.label].name for a in take.acts]
    told = "; ".join(dict.fromkeys(n[0].lower() + n[1:] for n in names))
    intervals = [f"{code(a.label)} {a.start / fps:.2f} {a.stop / fps:.2f}" for a in take.acts]
    objects = sorted({OFFICIAL[kind_of(name)] for name in take.things})
    return [
        id_,
        take.video.person,
        take.scene.name,
        str(int(rng.integers(4, 8))),
        str(int(rng.integers(5, 8))),
        "Yes",
        f"A person is {', then '.join(told.split('; '))}.",
        ";".join(objects),
        f"Somebody in this place is {told.replace(';', ' and')}.",
        "" if no_actions else ";".join(intervals),
        f"{len(take.video) / fps:.2f}",
    ]


def _truth(id_: str, take: Take) -> dict[str, Any]:
    return {
        "id": id_,
        "actions": [
            {
                "class": code(a.label),
                "thing": a.thing,
                "object": OFFICIAL[kind_of(a.thing)],
                "start": a.start + 1,
                "stop": a.stop,
                "transition": [a.change, a.change + 1],
            }
            for a in take.acts
        ],
    }


def _write_charades(root: Path, rows: dict[str, list[list[str]]]) -> None:
    for part, found in rows.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([COLUMNS, *found])
        (root / {"train": TRAIN, "test": TEST}[part]).write_text(text.getvalue(), encoding="utf-8", newline="\n")
    objects, verbs = object_codes(), verb_codes()
    write_lines(root / CLASS_FILE, [f"{code(i)} {c.name}" for i, c in enumerate(CLASSES)])
    write_lines(
        root / MAPPING,
        [f"{code(i)} {objects[c.object]} {verbs[c.verb]}" for i, c in enumerate(CLASSES)],
    )
    write_lines(root / "Charades_v1_objectclasses.txt", [f"{number} {word}" for word, number in objects.items()])
    write_lines(root / "Charades_v1_verbclasses.txt", [f"{number} {word}" for word, number in verbs.items()])


def _write_frames(folder: Path, take: Take, frames: tuple[int, ...], size: tuple[int, int]) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for t in frames:
        Image.fromarray(render(take.video[t], take.scene, size)).save(folder / f"{t + 1:06d}.png")
