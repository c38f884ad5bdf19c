"""A prediction's segments as WebVTT subtitles: any player shows them over the video."""

from __future__ import annotations

from pathlib import Path

from whyact import wording
from whyact.files import write_atomic
from whyact.prediction import Prediction

LEAST = 0.02  # contribution of what is worth a line over the picture


def to_webvtt(prediction: Prediction, *, evidence: bool = False) -> str:
    """Return the segments in time order, one cue each: label, score and, where known, the boundaries' deviation.

    Args:
        prediction: What to write.
        evidence: Also write a cue a piece of evidence that is worth something, and the answer over the whole video
            where there is no segment.
    """
    cues = ["WEBVTT"]
    if evidence and not prediction.segments and prediction.labels:
        text = f"{_escaped(wording.format_label(prediction.label))} {wording.format_score(prediction.score)}"
        cues.append(f"{_clock(0)} --> {_clock(max(prediction.video.duration, 0.001))}\n{text}")
    for segment in sorted(prediction.segments, key=lambda s: (s.start, s.end, s.label)):
        text = f"{_escaped(wording.format_label(segment.label))} {wording.format_score(segment.score)}"
        if segment.interval is not None:
            text += f" (start ±{segment.interval[0]:.1f} s, end ±{segment.interval[1]:.1f} s)"
        cues.append(f"{_clock(segment.start)} --> {_clock(segment.end)}\n{text}")
    for place, e in wording.number_evidence(prediction) if evidence else ():
        if e.kind != "neighbour" and abs(e.contribution) >= LEAST:
            text = _escaped(wording.format_evidence_line(place, e))
            cues.append(f"{_clock(e.start)} --> {_clock(max(e.end, e.start + 0.001))}\n{text}")
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
