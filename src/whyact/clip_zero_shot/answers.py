"""From the scores of a video to an answer: segments, evidence by exact removal, and notes for the reader."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whyact.clip_zero_shot.config import NONE
from whyact.clip_zero_shot.scores import VideoScores
from whyact.clip_zero_shot.texts import TEMPLATES, sentences_of
from whyact.prediction import Curve, Evidence, LabelScore, Prediction, Provenance, Segment, Table, VideoFacts
from whyact.training.checkpoint import versions
from whyact.wording import format_span, format_time

THRESHOLD = 0.6  # an answer must be clearly likelier than all others together: two that fit alike have 0.5 at most
RIVALS = 5  # everyday descriptions that a table lists


def make_prediction(
    path: Path,
    facts: VideoFacts,
    scored: VideoScores,
    spans: list[tuple[float, float]],
    times: NDArray[np.float64],
    semantics: str,
    sampler: str,
    most: int,
) -> Prediction:
    """Return the answer about a video.

    Args:
        path: The video.
        facts: About it.
        scored: Its scores.
        spans: Start and end of each window, in seconds.
        times: When each frame is shown (T,).
        semantics: Which CLIP read frames and labels.
        sampler: How frames and windows were chosen, in words.
        most: How many frames, and how many segments, are listed as evidence.
    """
    names = (*scored.bank.names, NONE)
    merged, answer, window = scored.merged
    order = sorted(range(len(names)), key=lambda c: (c != answer, -merged[c]))
    segments = find_segments(scored.scores, spans, names) if len(spans) > 1 else []
    evidence = _evidence(scored, spans, segments, names, times, most)
    return Prediction(
        video=facts,
        labels=[LabelScore(label=names[c], score=float(merged[c])) for c in order],
        provenance=Provenance(
            method="clip-zero-shot",
            checkpoint=semantics,
            trained_on="no video: CLIP compares pictures with sentences",
            prompt=f"mean of {len(TEMPLATES)} sentences a label",
            prompts={name: "; ".join(sentences_of(name)) for name in scored.bank.names},
            sampler=sampler,
            versions=versions(),
        ),
        segments=segments,
        evidence=evidence,
        curves=_curves(scored, spans, names, [c for c in order[:3] if c < len(names) - 1], times),
        tables=[_rivals(scored, window)],
        id=path.name,
        unsure=bool(merged[answer] < THRESHOLD),
        threshold=THRESHOLD,
        notes=_notes(scored, answer, window, semantics, len(times)),
    )


def find_segments(
    scores: NDArray[np.floating], spans: Sequence[tuple[float, float]], names: Sequence[str]
) -> list[Segment]:
    """Return where a label is more likely than not: windows of one label that follow each other are one segment.

    A window speaks for the time that is nearer to its middle than to another's, so segments never overlap.

    Args:
        scores: Of the windows (W,L+1), the last column for none of the labels.
        spans: Start and end of each window, rising.
        names: Of the columns.
    """
    middles = [(a + b) / 2 for a, b in spans]
    edges = [spans[0][0], *((a + b) / 2 for a, b in pairwise(middles)), spans[-1][1]]
    found: list[Segment] = []
    for row, (start, end), own in zip(scores, pairwise(edges), spans, strict=True):
        start, end = max(start, own[0]), min(end, own[1])  # nothing is said of a stretch without a frame
        best = int(row.argmax())
        if best == len(names) - 1 or row[best] < THRESHOLD:
            continue
        last = found[-1] if found else None
        if last is not None and last.label == names[best] and start <= last.end + 1e-9:
            last.end, last.score = end, max(last.score, float(row[best]))
        else:
            found.append(Segment(start=start, end=end, label=names[best], score=float(row[best])))
    return found


def _evidence(
    scored: VideoScores,
    spans: Sequence[tuple[float, float]],
    segments: Sequence[Segment],
    names: Sequence[str],
    times: NDArray[np.float64],
    most: int,
) -> list[Evidence]:
    """Return what carries the answer, by exact removal: its segments, then its frames; then one segment of each other.

    Windows overlap and an action lasts, so that one frame of a long video seldom matters; a whole segment may.
    """
    answer = scored.merged[1]
    found: list[Evidence] = []

    def add(
        kind: Literal["frame", "snippet"],
        label: int,
        what: str,
        start: float,
        end: float,
        cost: float,
        removed: str = "",
    ) -> None:
        change = f"{round(-cost, 3) + 0.0:+.3f}"  # adding 0 turns -0.000 into +0.000
        found.append(
            Evidence(
                kind=kind,
                text=f"{what}; without {removed or 'it'} “{names[label]}” changes by {change}",
                start=start,
                end=end,
                contribution=cost,
                label=names[label],
                action="" if label == answer else names[label],
                rank=len(found) + 1,
                removed=removed,
            )
        )

    def add_segments(label: int, count: int) -> None:
        best = sorted((s for s in segments if s.label == names[label]), key=lambda s: -s.score)[:count]
        made = []
        for segment in best:
            seen = [w for w, (a, b) in enumerate(spans) if segment.start <= (a + b) / 2 <= segment.end]
            removed = np.zeros(len(times), dtype=bool)
            removed[np.concatenate([scored.windows[w] for w in seen])] = True
            all_of_it = f"everything from {format_time(spans[seen[0]][0])} to {format_time(spans[seen[-1]][1])}"
            made.append((scored.cost(label, removed), segment, all_of_it))
        for cost, segment, removed_text in sorted(made, key=lambda one: -one[0]):
            span = format_span(segment.start, segment.end)
            add("snippet", label, f"the stretch {span}", segment.start, segment.end, cost, removed_text)

    add_segments(answer, most)
    costs = scored.contributions(answer).tolist()
    near = scored.frames @ scored.towards(answer)  # where removals cost alike, the frame that fits the label better
    steps = np.diff(times)
    length = float(np.median(steps)) if len(steps) else 0.0
    own = [members for members, best in zip(scored.windows, scored.best, strict=True) if best == answer]
    frames = [int(f) for f in np.unique(np.concatenate(own)) if np.isfinite(costs[f])]
    order = sorted(frames, key=lambda f: (-round(costs[f], 9), -float(near[f])))
    for f in order[:most]:
        start = float(times[f])
        add("frame", answer, f"the frame at {format_time(start)}", start, start + length, costs[f])
    for other in dict.fromkeys(s.label for s in segments if s.label != names[answer]):
        add_segments(names.index(other), 1)
    return found


def _curves(
    scored: VideoScores,
    spans: Sequence[tuple[float, float]],
    names: Sequence[str],
    drawn: Sequence[int],
    times: NDArray[np.float64],
) -> list[Curve]:
    """Return the best labels' scores over the windows of a long video, the frames' contributions of a short one."""
    if len(spans) > 1:
        middles = [(a + b) / 2 for a, b in spans]
        return [Curve(name=names[c], times=middles, values=scored.scores[:, c].tolist()) for c in drawn]
    cost = scored.contributions(scored.merged[1])
    known = np.flatnonzero(np.isfinite(cost))
    if not len(known):
        return []
    return [Curve(name="contribution", times=times[known].tolist(), values=cost[known].tolist())]


def _rivals(scored: VideoScores, window: int) -> Table:
    """Return the cosines of the deciding window with the labels, and with the everyday descriptions that fit best."""
    bank, video = scored.bank, scored.videos[window]
    rows: list[tuple[float, str, str]] = []
    for kind, names, vectors, count in (
        ("label", bank.names, bank.labels, len(bank.names)),
        ("everyday description", bank.other_names, bank.others, RIVALS),
    ):
        cosines = vectors @ video
        rows += [(float(cosines[i]), names[i], kind) for i in np.argsort(-cosines)[:count]]
    return Table(
        title="What fits the frames",
        columns=["description", "kind", "cosine"],
        rows=[[name, kind, round(cosine, 3)] for cosine, name, kind in sorted(rows, reverse=True)],
        text="CLIP's cosine of your labels with the deciding frames, and of the best of "
        f"{len(bank.others)} everyday descriptions. "
        "The descriptions add up to “none of these”. Those that may mean the same as a label were set aside.",
    )


def _notes(scored: VideoScores, answer: int, window: int, semantics: str, frames: int) -> list[str]:
    notes = [f"Frames and labels read by {semantics}; nothing was trained for this question."]
    if "random weights" in semantics:
        notes.insert(0, "CLIP had random weights: this shows that the parts work together, the answer means nothing.")
    bank = scored.bank
    rival = int((bank.others @ scored.videos[window]).argmax())
    if answer == len(bank.names):
        best = float((bank.labels @ scored.videos[window]).max())
        if float(bank.others[rival] @ scored.videos[window]) > best:
            notes.append(f"“{bank.other_names[rival]}” fits these frames better than any of the labels.")
        else:
            notes.append("No label fits these frames clearly better than everyday descriptions do.")
    if frames < 2:
        notes.append("The video has one frame: there is none to leave out.")
    return notes
