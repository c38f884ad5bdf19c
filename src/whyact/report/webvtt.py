"""A prediction's segments as WebVTT subtitles: any player shows them over the video."""

from __future__ import annotations

from pathlib import Path

from whyact.files import write_atomic
from whyact.prediction import Prediction


def to_webvtt(prediction: Prediction) -> str:
    """Return the segments in time order, one cue each: label, score and, where known, the boundaries' deviation."""
    cues = ["WEBVTT"]
    for segment in sorted(prediction.segments, key=lambda s: (s.start, s.end, s.label)):
        text = f"{_escaped(segment.label)} {100 * segment.score:.0f} %"
        if segment.interval is not None:
            text += f" (start ±{segment.interval[0]:.1f} s, end ±{segment.interval[1]:.1f} s)"
        cues.append(f"{_clock(segment.start)} --> {_clock(segment.end)}\n{text}")
    return "\n\n".join(cues) + "\n"


def write_webvtt(prediction: Prediction, path: Path) -> Path:
    """Write the subtitles of one prediction, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomic(path, to_webvtt(prediction))


def _clock(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(text: str) -> str:
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, safe)
    return " ".join(text.split()).replace("--", "–")
