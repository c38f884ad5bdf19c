"""The pictures that a report shows of a video: the frames before and after what decided."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from whyact.errors import UserError
from whyact.prediction import Prediction

MOST = 6  # pieces of evidence of a prediction that get pictures
WIDTH = 640
QUALITY = 82


def stills(predictions: Sequence[Prediction]) -> dict[tuple[str, int], bytes]:
    """Return JPEG bytes by (prediction id, frame number) for the moments that the reports of these answers show.

    Predictions about anything but a video file have none. A video that is missing or broken has no pictures.
    """
    from PIL import Image

    from whyact.video.reader import VideoReader

    out: dict[tuple[str, int], bytes] = {}
    for prediction in predictions:
        numbers = _moments(prediction)
        if not numbers or not prediction.video.fps or not Path(prediction.video.path).is_file():
            continue
        try:
            with VideoReader(prediction.video.path) as reader:
                for shown in reader.frames_at(sorted(numbers)):
                    image = Image.fromarray(shown.image)
                    if image.width > WIDTH:
                        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))))
                    buffer = io.BytesIO()
                    image.save(buffer, "JPEG", quality=QUALITY)
                    out[prediction.id, numbers[shown.moment]] = buffer.getvalue()
        except UserError:
            continue
    return out


def _moments(prediction: Prediction) -> dict[float, int]:
    """Return seconds -> frame number of what evidence is drawn at: ends of changes, frames, middles of snippets."""
    shown = prediction.evidence[:MOST]
    ends = {moment for e in shown for moment in (e.start, e.end)}
    named = {e.start: round(e.start * prediction.video.fps) for e in shown if e.kind == "frame"}
    middles = [(e.start + e.end) / 2 for e in shown if e.kind == "snippet"]
    named |= {moment: round(moment * prediction.video.fps) for moment in middles}
    return named | {p.time: p.frame for track in prediction.tracks for p in track.points if p.time in ends}
