"""LaIAR on a video file: windows of tracks become clips, their answers one Prediction."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import torch

from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar.answers import Answer, answer_clips, has_input
from whyact.laiar.clips import clip_from_tracks, even_times, frames_for, with_roi_features
from whyact.laiar.domain import PARTS, frame_stats, plain_maps
from whyact.laiar.explain import explain
from whyact.laiar.geometry import mask_side
from whyact.laiar.runs import Run
from whyact.perception.perception import OnProgress, Perception
from whyact.perception.tracks import Tracks
from whyact.prediction import Evidence, LabelScore, Prediction, Segment, Track, TrackPoint, VideoFacts
from whyact.training.checkpoint import trained_on
from whyact.video import sampling

LONG = 3.0  # a video that lasts so many windows is answered window by window without being asked
REASONS = 3  # pieces of evidence listed for each of several segments


@dataclass
class Windows:
    """How a video is cut: seconds of a window, and from one window's start to the next; 0: by the training clips."""

    window: float = 0.0
    stride: float = 0.0

    def spans(self, start: float, end: float, usual: float) -> list[tuple[float, float]]:
        """Return the windows of a video; ``usual`` is the length of the clips that the model was trained on."""
        window = self.window or (usual if usual and end - start > LONG * usual else 0.0)
        if not window:
            return [(start, end)]
        found = sampling.spans(end - start, window, self.stride or window / 2)
        return [(start + a, start + b) for a, b in found]


@dataclass
class _Stretch:
    """A stretch of windows with one answer: the best of them stands for it."""

    segment: Segment
    best: Prediction


@dataclass
class WindowMerger:
    """Puts the answers of windows together as they come; only one answer a segment is kept.

    A window in which the model saw nothing has the same scores in every video: it counts only where all are such.
    """

    null: str
    found: list[_Stretch] = field(default_factory=list)
    names: tuple[str, ...] = ()
    scores: list[list[float]] = field(default_factory=list)
    nothing: Prediction | None = None
    unseen: Prediction | None = None
    valid: int = 0
    kept: int = 0
    open: bool = False

    def add(self, span: tuple[float, float], answer: Prediction, *, has_input: bool = True) -> None:
        if not has_input:
            self.unseen, self.open = self.unseen or answer, False
            return
        by_name = {label.label: label.score for label in answer.labels}
        self.names = self.names or tuple(by_name)
        self.scores.append([by_name[name] for name in self.names])
        self.valid += answer.tokens_valid
        self.kept += answer.tokens_kept
        if answer.label == self.null:
            self.open = False
            if self.nothing is None or answer.score > self.nothing.score:
                self.nothing = answer
            return
        last = self.found[-1] if self.found else None
        if self.open and last and last.segment.label == answer.label and span[0] <= last.segment.end:
            last.segment.end = span[1]
            last.segment.score = max(last.segment.score, answer.score)
            last.best = max(last.best, answer, key=lambda p: p.score)
        else:
            made = Segment(start=span[0], end=span[1], label=answer.label, score=answer.score)
            self.found.append(_Stretch(made, answer))
        self.open = True

    def result(self) -> Prediction:
        if self.unseen is not None and not self.scores:
            return self.unseen
        chosen = max(self.found, key=lambda f: f.segment.score).best if self.found else self.nothing
        assert chosen is not None
        null = self.names.index(self.null) if self.null in self.names else -1
        merged, _, _ = sampling.merge_scores(np.array(self.scores), null)
        labels = [LabelScore(label=name, score=float(s)) for name, s in zip(self.names, merged, strict=True)]
        labels.sort(key=lambda s: (s.label != chosen.label, -s.score))
        threshold = chosen.threshold
        tracks, evidence = _joined([f.best for f in self.found] or [chosen], chosen.label)
        return msgspec.structs.replace(
            chosen,
            labels=labels,
            unsure=threshold is not None and labels[0].score < threshold,
            segments=[f.segment for f in self.found],
            tracks=tracks,
            evidence=evidence,
            tokens_valid=self.valid,
            tokens_kept=self.kept,
        )


def _joined(answers: list[Prediction], label: str) -> tuple[list[Track], list[Evidence]]:
    """Join the tracks of several windows by their names, and list each window's best evidence, best window first.

    A contribution is to a score of its own window: that score stands beside it, and its action where it is not
    ``label``.
    """
    slots: dict[tuple[str, str], Track] = {}
    evidence: list[Evidence] = []
    for answer in sorted(answers, key=lambda p: -p.score):
        number, scores = {}, {s.label: s.score for s in answer.labels}
        for track in answer.tracks:
            own = slots.setdefault(
                (track.subject, track.object),
                Track(slot=len(slots), subject=track.subject, object=track.object, points=[]),
            )
            own.points += track.points
            number[track.slot] = own.slot
        for item in answer.evidence[:REASONS]:
            track_number = None if item.track is None else number[item.track]
            about = item.action or answer.label
            evidence.append(
                msgspec.structs.replace(
                    item,
                    track=track_number,
                    rank=len(evidence) + 1,
                    action="" if about == label else about,
                    score=scores[about],
                )
            )
    for track in slots.values():
        by_time = {point.time: point for point in track.points}
        track.points = [by_time[t] for t in sorted(by_time)]
    return list(slots.values()), evidence


def null_action(vocabulary: Vocabulary) -> str:
    """Return the action that stands for none: the one that no rule names, if there is exactly one."""
    named = {rule.action for rule in vocabulary.rules}
    rest = [action for action in vocabulary.actions if action not in named]
    if named and len(rest) == 1:
        return rest[0]
    return next((a for a in vocabulary.actions if a.lower() in ("null", "none", "background")), "")


def answer_video(
    run: Run,
    path: Path | str,
    tracks: Tracks,
    facts: VideoFacts,
    *,
    perception: Perception,
    windows: Windows | None = None,
    on_progress: OnProgress | None = None,
    on_window: Callable[[Answer], object] | None = None,
) -> Prediction:
    """Answer a video whose boxes are known.

    Args:
        run: The model.
        path: The video; read where the model was trained with RoI features, or knows familiar frames without them.
        tracks: Boxes all through the video.
        facts: About the video.
        perception: What the tracks' classes mean, the encoder, and notes for the reader.
        windows: How to cut the video.
        on_progress: Called with the share that is done.
        on_window: Called with each window's own answer, in order.

    Raises:
        UserError: For a bad window, or boxes of another image size than the video's.
    """
    start, end = float(tracks.times[0]), float(tracks.times[-1])
    spans = (windows or Windows()).spans(start, end, run.clip_seconds)
    moments = [even_times(a, b, run.config.data.frames) for a, b in spans]
    merger, unfamiliar, encoded = WindowMerger(null_action(run.vocabulary)), 0, 0
    odd_parts: list[tuple[str, ...]] = []
    for i, (clip, odd) in enumerate(_clips(run, path, tracks, moments, perception)):
        (answer,) = answer_clips(run, [clip])
        if on_window is not None:
            on_window(answer)
        prediction = explain(run, answer, source=str(path), data="video")
        merger.add(spans[i], prediction, has_input=has_input(run, answer))
        unfamiliar, encoded = unfamiliar + odd, encoded + len(moments[i])
        if run.box_domain is not None:
            odd_parts.append(run.box_domain.unfamiliar_parts(clip))
        if on_progress is not None:
            on_progress((i + 1) / len(spans))
    prediction = merger.result()
    notes = [*perception.notes, *prediction.notes]
    encoder, training = perception.encoder, _training(run)
    if run.box_domain is not None:
        parts = list(dict.fromkeys(name for found in odd_parts for name in found))
        parts = parts if sum(map(bool, odd_parts)) > len(odd_parts) / 2 else []
        parts += ["frames"] if unfamiliar > encoded / 2 else []
        if parts:
            notes.insert(0, _unlike(training, parts))
            prediction.unsure = prediction.unfamiliar = True
        else:
            alike = "boxes" if run.domain is None else "boxes and the pictures"
            notes.append(f"The model was trained on {training}; the {alike} of this video are like those.")
    elif encoder is None or run.domain is None:
        notes.append(f"The model was trained on {training}. It cannot tell whether this video is like that.")
    elif unfamiliar > encoded / 2:
        notes.insert(0, _outside(training, unfamiliar, encoded))
        prediction.unsure = prediction.unfamiliar = True
    else:
        familiar = encoded - unfamiliar
        notes.append(f"The model was trained on {training}; {familiar} of {encoded} frames look like that.")
    if len(spans) > 1:
        length = spans[0][1] - spans[0][0]
        step = float(np.median([b[0] - a[0] for a, b in pairwise(spans)]))
        notes.append(f"Answered in {len(spans)} windows of {length:.1f} s, one every {step:.1f} s.")
    else:
        prediction.segments = []
    prediction.provenance.sampler += f"; boxes by {tracks.source or 'an unnamed source'}"
    if encoder is not None:
        prediction.provenance.sampler += f"; features by {encoder.name}"
    prediction.video, prediction.id, prediction.notes = facts, str(path), notes
    paired = {name for track in prediction.tracks for name in (track.subject, track.object)}
    prediction.tracks += bare_tracks(tracks, without=paired, slot=len(prediction.tracks))
    return prediction


def _outside(training: str, unfamiliar: int, encoded: int) -> str:
    return (
        f"This video is outside of what the model knows: {unfamiliar} of {encoded} frames look unlike those of "
        f"{training}, which it was trained on. Take its answer as a guess."
    )


def _unlike(training: str, parts: list[str]) -> str:
    differences = " and ".join(PARTS[name] for name in parts)
    return (
        f"This video is outside of what the model knows: it differs from the clips of {training}, which the model was "
        f"trained on, in {differences}. Take its answer as a guess."
    )


def _training(run: Run) -> str:
    return trained_on(run.card or {}) or "data that its card does not name"


def _clips(
    run: Run, path: Path | str, tracks: Tracks, moments: list[np.ndarray], perception: Perception
) -> Iterator[tuple[RelationClip, int]]:
    """Yield each window's clip and how many of its frames look unfamiliar."""
    clips = (
        clip_from_tracks(
            tracks.at(times),
            run.vocabulary,
            slots=run.config.data.slots,
            class_map=perception.class_map,
            id=f"{path}@{times[0]:.2f}",
            video=tracks,
        )
        for times in moments
    )
    if (encoder := perception.encoder) is None:
        if run.domain is None or run.box_domain is None:  # a run of an earlier version
            for clip in clips:
                yield clip, 0
            return
        for clip, frames in zip(clips, frames_for(path, moments), strict=True):
            yield clip, int(run.domain.is_out_of_distribution(frame_stats(plain_maps(np.stack(frames)))).sum())
        return
    for clip, frames in zip(clips, frames_for(path, moments), strict=True):
        odd = 0
        if run.domain is not None:
            with torch.no_grad():
                stats = frame_stats(encoder.maps(np.stack(frames)).values)
            odd = int(run.domain.is_out_of_distribution(stats).sum())
        side = mask_side(run.config.model.mask_size) if run.config.model.roi[0] else 0
        scene = run.config.model.scene_width > 0
        yield with_roi_features(clip, frames, encoder, side, scene=scene), odd


def bare_tracks(tracks: Tracks, *, without: Container[str] = (), slot: int = 0) -> list[Track]:
    """Return the tracks as they are, each alone and without a relation, for drawing.

    Args:
        tracks: All boxes.
        without: Names to skip.
        slot: Number of the first one.
    """
    out: list[Track] = []
    for k, name in enumerate(tracks.names):
        if name in without:
            continue
        points = [
            TrackPoint(
                time=float(tracks.times[t]),
                frame=int(tracks.frames[t]),
                label="",
                similarity=None,
                margin=None,
                keep_probability=0.0,
                kept=False,
                subject_box=tuple(float(x) for x in tracks.boxes[t, k]),  # type: ignore[arg-type]
                object_box=tuple(float(x) for x in tracks.boxes[t, k]),  # type: ignore[arg-type]
            )
            for t in np.flatnonzero(tracks.known[:, k])
        ]
        out.append(Track(slot=slot + len(out), subject=name, object=name, points=points))
    return out
