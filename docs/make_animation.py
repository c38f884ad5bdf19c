"""Make ``images/demo.webp``, the animation of the front page: ``make animation``.

The film of ``whyact demo`` plays twice. First the pair that decided is marked, and its relation changes. Then exactly
that evidence is removed from the model's input, the model answers again, and the score falls. Both scores are measured.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from whyact.ablation.protocol import removal_of
from whyact.files import SHIPPED
from whyact.homeworld.film_set import film_fresh
from whyact.methods import open_run
from whyact.prediction import Evidence, Prediction
from whyact.video.draw import draw_boxes
from whyact.video.lettering import font
from whyact.video.reader import VideoReader

SIZE, PANEL, RATE = (640, 480), 96, 8
SLOWER = 2  # than the film, so that the moment can be read
SEED, ACTION = 1, "pick"  # of `whyact demo`
GLOW, GREY, DARK, LIGHT, RED = (255, 190, 60), (150, 150, 150), (20, 22, 26), (240, 240, 240), (235, 90, 80)
FALL = 0.8  # seconds in which the bar falls


def main(path: Path) -> None:
    """Film, ask, remove, and write the animation."""
    with TemporaryDirectory() as folder:
        film, kept = Path(folder) / "film.mp4", Path(folder) / "kept"
        film_fresh(film, seed=SEED, action=ACTION, size=SIZE)
        session = open_run(SHIPPED / "laiar")
        prediction = session.answer(film, kept, lambda stage, share: None)
        reason, ablation = prediction.evidence[0], session.load_ablation(kept)
        scores, _ = ablation.scores([[], [removal_of(reason)]])
        before, after = (float(row[ablation.labels.index(prediction.label)]) for row in scores)
        with VideoReader(film) as reader:
            times = np.arange(0, reader.length - 1 / RATE, 1 / RATE)
            frames = [frame.image for frame in reader.frames_at(times.tolist())]
    pictures = []
    for removed in (False, True):
        for time, frame in zip(times, frames, strict=True):
            share = min(1.0, time / FALL) if removed else 0.0
            pictures.append(picture(frame, float(time), prediction, reason, removed, before + share * (after - before)))
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=SLOWER * 1000 // RATE, loop=0, quality=60, method=6
    )
    print(f"{path}: {len(pictures)} frames, {path.stat().st_size // 1000} kB; {before:.3f} with, {after:.3f} without")


def picture(
    frame: NDArray[np.uint8], time: float, prediction: Prediction, reason: Evidence, removed: bool, score: float
) -> Image.Image:
    """Return one frame of the animation: the pair that decided, and the score under it."""
    points = next(t for t in prediction.tracks if (t.subject, t.object) == (reason.subject, reason.object)).points
    point = min(points, key=lambda p: abs(p.time - time))
    state = reason.from_state if time < (reason.start + reason.end) / 2 else reason.to_state
    words = "removed" if removed else state.replace("_", " ")
    boxes = [box for box in (point.subject_box, point.object_box) if box is not None]
    colour, width = (GREY, 1) if removed else (GLOW, 4)
    captions, n = [words, ""][: len(boxes)], len(boxes)
    drawn = draw_boxes(frame, boxes, captions, [colour] * n, [width] * n)
    image = Image.new("RGB", (SIZE[0], SIZE[1] + PANEL), DARK)
    image.paste(Image.fromarray(drawn))
    draw = ImageDraw.Draw(image)
    text = "The same film without this evidence" if removed else _sentence(reason)
    draw.text((16, SIZE[1] + 10), text, LIGHT, font(22))
    draw.text((16, SIZE[1] + 52), f"{prediction.label}  {score:.2f}", LIGHT, font(26))
    left, right, top = 180, SIZE[0] - 16, SIZE[1] + 54
    draw.rectangle((left, top, right, top + 26), (60, 63, 70))
    if score >= 0.005:
        draw.rectangle((left, top, left + score * (right - left), top + 26), RED if removed else GLOW)
    return image.resize((480, round(480 * image.height / image.width)), Image.Resampling.LANCZOS)


def _sentence(reason: Evidence) -> str:
    names = (f"{name.partition('_')[0]}" for name in (reason.subject, reason.object))
    return f"{' and '.join(names)}: {reason.from_state} -> {reason.to_state}".replace("_", " ")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images" / "demo.webp")
