"""What an annotator and a detector make of a world video: clips with their actions, and boxes frame by frame.

Actions are read off the states by the rules of the vocabulary. Boxes get what a detector does to them:
jitter, and short spans in which something is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.homeworld.motion import tremor
from whyact.homeworld.states import DOOR, FPS, HANDS, HEAD_NAME, IMAGE_SIZE, WorldVideo, relation_word
from whyact.homeworld.vocabulary import ATTRIBUTE, CUPBOARD, HEAD, NULL, RELATION, VOCABULARY

_MARGIN = 0.06  # of a clip's length: a change nearer to its ends could fall between two sampled frames
_LASTS = 0.15  # of a clip's length: how long the new state must last (or up to the end), so that a sample sees it
_SHOWN = 0.13  # of a clip's length: at both ends the deciding pair is never lost by the detector
_LOST_RATE = 1 / 300  # how often a frame begins a span in which a box is lost


@dataclass(frozen=True)
class WorldClip:
    """A clip ``[start, stop)`` (0-based frames), its action, the pair that decides it and the frame of the change.

    The pair is (subject, object), the object with itself for an attribute, empty for the null action.
    """

    start: int
    stop: int
    action: str
    pair: tuple[str, ...] = ()
    change: int = -1


def read_clips(video: WorldVideo) -> list[WorldClip]:
    """Read the clips off a video: one a span, with the action whose rule its states fulfil, or null.

    A span with two different actions, or whose change is too near its ends for ten evenly spaced frames
    to show it, is no clip.
    """
    tracks = [(pair, _word_kinds(pair), true, RELATION[_kind(pair[0])]) for pair, true in video.relations().items()]
    tracks += [((n, n), ("", _kind(n)), true, ATTRIBUTE[::-1]) for n, true in video.attributes().items()]
    clips = []
    for start, stop in video.spans:
        found: list[WorldClip] = []
        clear = True
        for pair, (subject, thing), true, (yes, no) in tracks:
            flips = np.flatnonzero(true[start : stop - 1] != true[start + 1 : stop]) + start + 1
            for change in flips.tolist():
                before, after = (no, yes) if true[change] else (yes, no)
                action = next(
                    (
                        r.action
                        for r in VOCABULARY.rules
                        if (r.subject, r.before, r.after) == (subject, before, after) and thing in r.objects
                    ),
                    None,
                )
                if action is not None:
                    found.append(WorldClip(start, stop, action, pair, change))
                    clear &= _is_clear(true, start, stop, change)
        if not found:
            clips.append(WorldClip(start, stop, NULL))
        elif clear and len({clip.action for clip in found}) == 1:
            clips.append(found[0])
    return clips


def observe(video: WorldVideo, clips: list[WorldClip], rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Return the boxes as a detector reports them: name -> (T,4) x, y, width, height in whole pixels.

    All zeros: not seen (under the table, in the shut cupboard, or lost for some frames). What decides a
    clip is seen at both ends of it. Every box lies in the image.
    """
    n = len(video)
    visible = video.visible
    out = {}
    for name, center, size, seen in outlines(video, visible):
        seen = seen & ~_lost(rng, n, [c for c in clips if name in c.pair])
        bias = rng.normal(0, 0.02, 2)
        center = center + tremor(rng, (n, 2), sd=0.6, width=2.5)
        size = size * (1 + bias + tremor(rng, (n, 2), sd=0.012, width=5))
        low = np.clip(np.rint(center - size / 2), 0, np.array(IMAGE_SIZE) - 3)
        high = np.clip(np.rint(center + size / 2), low + 2, IMAGE_SIZE)
        out[name] = np.concatenate([low, high - low], axis=1).astype(np.int64) * seen[:, None]
    return out


def annotation(
    video: WorldVideo, boxes: dict[str, NDArray[np.int64]], video_id: str, fps: float = FPS
) -> dict[str, Any]:
    """Return the annotation of a video as the JSON object of the CAD-120 layout.

    The published layout has no rate, for all is at 30 frames a second; any other rate is said.
    """
    attributes = video.attributes()
    return {
        **({} if fps == FPS else {"fps": fps}),
        "person_id": video.person,
        "video_label": video.activity,
        "video_id": video_id,
        "locations": [{"obj_id": name, "loc_list": track.tolist()} for name, track in boxes.items()],
        "attributes": [{"obj_id": n, "attr_list": _words(true, *ATTRIBUTE[::-1])} for n, true in attributes.items()],
        "relations": [
            {"obj_ids": list(pair), "rel_list": _words(true, *(relation_word(pair[0], b) for b in (True, False)))}
            for pair, true in video.relations().items()
        ],
    }


def outlines(
    video: WorldVideo, visible: NDArray[np.bool_]
) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]:
    """Return name, centre (T,2), size (T,2) and whether it is in view (T,) of all that is annotated; no noise."""
    n = len(video)
    out = []
    for i, (name, kind) in enumerate(zip(video.names, video.kinds, strict=True)):
        center, size = video.center[:, i], video.size[:, i]
        if kind == CUPBOARD:  # its open door sticks out
            more = DOOR * size[:, :1] * video.openness[:, i : i + 1] * np.array([1.0, 0.0])
            center, size = center + video.door * more / 2, size + more
        out.append((name, center, size, visible[:, i]))
    out.append((HEAD_NAME, video.head, np.tile(video.head_size, (n, 1)), np.ones(n, dtype=bool)))
    for h, name in enumerate(HANDS):
        out.append((name, video.hands[:, h], np.tile(video.hand_size, (n, 1)), ~video.hidden[:, h]))
    return out


def _lost(rng: np.random.Generator, n: int, clips: list[WorldClip]) -> NDArray[np.bool_]:
    """Draw the frames (T,) in which a box is lost, sparing what must be seen of the clips that it decides."""
    lost = np.zeros(n, dtype=bool)
    for start in np.flatnonzero(rng.random(n) < _LOST_RATE):
        lost[start : start + int(rng.integers(1, 12))] = True
    for clip in clips:
        edge = int(np.ceil(_SHOWN * (clip.stop - clip.start)))
        lost[clip.start : clip.start + edge] = False
        lost[clip.stop - edge : clip.stop] = False
        if clip.pair[0].startswith(HEAD):
            lost[clip.change : clip.stop] = False
    return lost


def _is_clear(true: NDArray[np.bool_], start: int, stop: int, change: int) -> bool:
    length = stop - start
    same = true[change:stop] == true[change]
    lasts = length if same.all() else int(np.argmin(same))
    return min(change - start, stop - change) > _MARGIN * length and lasts > _LASTS * length


def _kind(name: str) -> str:
    return name.rpartition("_")[0]


def _word_kinds(pair: tuple[str, str]) -> tuple[str, str]:
    return _kind(pair[0]), _kind(pair[1])


def _words(true: NDArray[np.bool_], yes: str, no: str) -> list[str]:
    return [yes if t else no for t in true.tolist()]
