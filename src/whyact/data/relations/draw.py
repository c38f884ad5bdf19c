"""Draw an annotation into its own frames, to check by eye that boxes, relations and times fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations.footage import Footage, check_size, ranges
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError
from whyact.prediction import Box
from whyact.video.draw import draw_boxes, track_colour
from whyact.video.lettering import canvas, fitted, font, spelt
from whyact.video.write import write_video
from whyact.wording import format_label

FASTEST, SLOWEST = 30.0, 1.0  # frames a second of what is written
_GROUND, _PALE, _BRIGHT = 24, (150, 155, 165), (255, 255, 255)
Frame = NDArray[np.uint8]


def draw_clip(clip: RelationClip, vocabulary: Vocabulary, footage: Footage, path: Path) -> int:
    """Write the annotated frames of a clip as a video with boxes and labels; return how many there are.

    A thing keeps its colour. Below the picture each pair has a line with what holds in that frame, bright where that is
    something else than in the first frame of the pair. Frames follow each other as fast as in the video.

    Args:
        clip: The clip, with all annotated frames.
        vocabulary: What its numbers mean.
        footage: Its pixels.
        path: The video to write.

    Raises:
        UserError: When frames are missing, or of another size than the boxes.
    """
    numbers = sorted(set(clip.frames.tolist()))
    if missing := footage.missing(numbers):
        raise UserError(f"{footage.path}, frames of clip {clip.id}", ranges(missing), "a frame for each number")
    duration = float(clip.times[-1] - clip.times[0])
    rate = min(max((len(clip.times) - 1) / duration, SLOWEST), FASTEST) if duration > 0 else SLOWEST
    write_video(path, _draw_frames(clip, vocabulary, footage, numbers), rate)
    return len(numbers)


def _draw_frames(clip: RelationClip, vocabulary: Vocabulary, footage: Footage, numbers: list[int]) -> Iterator[Frame]:
    colours = {name: track_colour(i) for i, name in enumerate(dict.fromkeys(n for pair in clip.slots for n in pair))}
    targets = (clip.target,) if clip.target is not None else (clip.targets or ())
    title = ", ".join(vocabulary.actions[action] for action in targets) or "no action"
    last = -1
    for number, image in zip(numbers, footage.frames(iter(numbers)), strict=False):
        check_size(clip, footage, (image.shape[1], image.shape[0]))
        last, at = number, int(np.flatnonzero(clip.frames == number)[0])
        boxes = _boxes(clip, at)
        drawn = draw_boxes(image, list(boxes.values()), list(boxes), [colours[name] for name in boxes])
        framed = np.concatenate(
            [drawn, _caption_strip(clip, vocabulary, at, f"{title}   frame {number}", image.shape[1])]
        )
        yield framed[: len(framed) // 2 * 2, : framed.shape[1] // 2 * 2]  # encoders want even sides
    if last != numbers[-1]:
        value = f"nothing after frame {last}" if last > 0 else "no frame"
        raise UserError(footage.path, value, f"a video that decodes up to frame {numbers[-1]}")


def _boxes(clip: RelationClip, at: int) -> dict[str, Box]:
    """Return the box of each thing that is seen in a frame."""
    boxes_by_name: dict[str, Box] = {}
    for slot in np.flatnonzero(clip.valid[at]):
        for name, box in zip(
            clip.slots[slot], (clip.subject_boxes[at, slot], clip.object_boxes[at, slot]), strict=True
        ):
            x1, y1, x2, y2 = (float(side) for side in box)
            if x2 > x1 and y2 > y1:
                boxes_by_name[name] = (x1, y1, x2, y2)
    return boxes_by_name


def _caption_strip(clip: RelationClip, vocabulary: Vocabulary, at: int, title: str, width: int) -> Frame:
    """Return the strip under a frame: a title, and a line for each pair in columns."""
    size = max(10, width // 48)
    line_height, columns = round(1.35 * size), max(1, width // (22 * size))
    rows = 1 + -(-len(clip.slots) // columns)
    letters = font(size)
    image, draw = canvas(np.full((line_height * rows + 6, width, 3), _GROUND, np.uint8))
    draw.text((4, 2), fitted(draw, spelt(format_label(title)), letters, width - 8), _BRIGHT, font=letters)
    for slot, (first, second) in enumerate(clip.slots):
        valid_at = np.flatnonzero(clip.valid[:, slot])
        label = _label(clip, vocabulary, at, slot) if clip.valid[at, slot] else "no token"
        changed = (
            len(valid_at) > 0 and clip.valid[at, slot] and label != _label(clip, vocabulary, int(valid_at[0]), slot)
        )
        line = f"{first}: {label}" if first == second else f"{first}, {second}: {label}"
        where = (4 + slot % columns * (width // columns), 2 + line_height * (1 + slot // columns))
        text = fitted(draw, spelt(format_label(line)), letters, width / columns - 8)
        draw.text(where, text, _BRIGHT if changed else _PALE, font=letters)
    return np.asarray(image)


def _label(clip: RelationClip, vocabulary: Vocabulary, at: int, slot: int) -> str:
    if clip.relations is None:
        return "relation unknown"
    return (
        ", ".join(vocabulary.relations[r] for r in np.flatnonzero(clip.relations[at, slot])) or "none of the relations"
    )
