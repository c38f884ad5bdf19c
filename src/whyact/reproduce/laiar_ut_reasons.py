"""The stated reasons of ``laiar-ut`` for a person to look at: pictures, a list to fill in, and what the list says.

The pictures stay in the study's folder; of the films nothing else is kept.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.laiar.answers import Answer
from whyact.laiar.runs import Run
from whyact.reproduce.results import Row, row
from whyact.video.draw import draw_boxes, track_colour
from whyact.video.reader import VideoReader
from whyact.wording import format_label

LOOKED_AT, PAGE = 30, 10  # reasons for a person; on a page
LIST = "reasons.csv"
COLUMNS = ("number", "film", "answer", "true", "reason", "start", "end", "accepted", "by")
_HEIGHT = 260  # pixels of a picture


def stated_reasons(run: Run, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return the first stated reason of each answer, with both boxes before and after, as values that JSON can hold."""
    out = []
    for answer in answers:
        for i, change in enumerate(answer.changes):
            if not answer.stated[i]:
                continue
            clip, words = answer.clip, run.vocabulary
            ends = [int(answer.positions[t]) for t in (change.t_before, change.t_after)]
            subject, thing = clip.slots[change.slot]
            before, after = (format_label(words.relations[c]) for c in (change.before, change.after))
            alone = subject == thing
            what = before if change.before == change.after else f"{before} → {after}"
            out.append(
                {
                    "film": clip.id.rpartition("/")[0],
                    "answer": words.actions[answer.predicted],
                    "true": words.actions[clip.target or 0],
                    "reason": f"{subject}: {what}" if alone else f"{subject} – {thing}: {what}",
                    "times": [float(clip.times[p]) for p in ends],
                    "boxes": [
                        [
                            side[p, change.slot].astype(float).tolist()
                            for side in (clip.subject_boxes, clip.object_boxes)
                        ]
                        for p in ends
                    ],
                }
            )
            break
    return out


def write_pages(reasons: Sequence[dict[str, Any]], videos: Path, folder: Path) -> list[dict[str, Any]]:
    """Write pages of pictures and the list of :data:`LOOKED_AT` evenly chosen reasons; a filled-in list stays.

    Returns:
        The chosen reasons, by film.
    """
    from PIL import Image, ImageDraw

    ordered = sorted(reasons, key=lambda r: r["film"])
    at = np.unique(np.linspace(0, len(ordered) - 1, min(LOOKED_AT, len(ordered))).round().astype(int))
    chosen = [ordered[i] for i in at] if ordered else []
    for first in range(0, len(chosen), PAGE):
        strips = []
        for number, reason in enumerate(chosen[first : first + PAGE], first + 1):
            pictures = [Image.fromarray(p) for p in _pictures(reason, videos / reason["film"])]
            strip = Image.new("RGB", (sum(p.width for p in pictures) + 10, _HEIGHT + 22), "white")
            start, end = reason["times"]
            said = f"{number}. {reason['film']} answer {reason['answer']} (true {reason['true']}): {reason['reason']}"
            ImageDraw.Draw(strip).text((2, 4), f"{said}, {start:.1f} - {end:.1f} s".replace("→", "->"), fill="black")
            strip.paste(pictures[0], (0, 22))
            strip.paste(pictures[1], (pictures[0].width + 10, 22))
            strips.append(strip)
        page = Image.new("RGB", (max(s.width for s in strips), sum(s.height + 8 for s in strips)), "white")
        for i, strip in enumerate(strips):
            page.paste(strip, (0, sum(s.height + 8 for s in strips[:i])))
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", quality=85)
        write_atomic(folder / f"reasons-{first // PAGE + 1}.jpg", buffer.getvalue())
    if [line["reason"] for line in _lines(folder)] != [reason["reason"] for reason in chosen]:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, reason in enumerate(chosen, 1):
            own = [reason[name] for name in ("film", "answer", "true", "reason")]
            writer.writerow([number, *own, *(f"{t:.2f}" for t in reason["times"]), "", ""])
        write_atomic(folder / LIST, stream.getvalue())
    return chosen


def judged_rows(folder: Path) -> list[Row]:
    """Return the share of a list that a person filled in (``accepted``: yes or no, ``by`` whom), and each of its lines.

    Nothing without such a list.

    Raises:
        UserError: When only a part of it is filled in, or with other words.
    """
    lines = _lines(folder)
    if not any(line["accepted"] for line in lines):
        return []
    for line in lines:
        if line["accepted"] not in ("yes", "no"):
            raise UserError(f"{folder / LIST}, line {line['number']}, accepted", line["accepted"], "yes or no")
    values = [float(line["accepted"] == "yes") for line in lines]
    by = ", ".join(sorted({line["by"] for line in lines if line["by"]})) or "nobody named"
    note = (
        f"{int(sum(values))} of {len(values)}: two frames and their boxes were looked at; both boxes are on the things "
        f"that they name, and what is said of them is seen to change (or to hold) between the frames. Judge: {by}"
    )
    listed = [
        row(
            "reasons looked at",
            f"{line['film']}, {line['answer']}: {line['reason']}, {line['start']} to {line['end']} s",
            "accepted",
            [value],
            note="" if line["answer"] == line["true"] else f"the answer is wrong: it is {line['true']}",
        )
        for line, value in zip(lines, values, strict=True)
    ]
    return [row("reasons", "stated reasons accepted", "share", values, unit="0..1", note=note), *listed]


def _lines(folder: Path) -> list[dict[str, str]]:
    path = folder / LIST
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _pictures(reason: dict[str, Any], video: Path) -> list[NDArray[np.uint8]]:
    """Return the frames before and after with both boxes drawn, in one height."""
    from PIL import Image

    with VideoReader(video) as reader:
        frames = [shown.image for shown in reader.frames_at([t + 1e-3 for t in reason["times"]])]
    out = []
    for image, boxes in zip(frames, reason["boxes"], strict=True):
        drawn = draw_boxes(image, np.array(boxes), ("", ""), (track_colour(0), track_colour(3)))
        width = round(drawn.shape[1] * _HEIGHT / drawn.shape[0])
        out.append(np.asarray(Image.fromarray(drawn).resize((width, _HEIGHT))))
    return out
