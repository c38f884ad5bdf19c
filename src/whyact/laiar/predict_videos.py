"""``predict`` on video files: which detector, which boxes, which windows; then the answers. A run that stays loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from whyact.ablation.protocol import OnProgress as OnStage
from whyact.errors import UserError, for_each
from whyact.laiar.answers import Answer
from whyact.laiar.config import PredictOptions
from whyact.laiar.perceive import answer_perception, class_map_of
from whyact.laiar.questions import Ablation, load_questions, save_questions
from whyact.laiar.runs import Run, load_run
from whyact.laiar.windows import Windows, answer_video, bare_tracks, null_action
from whyact.perception.classes import read_class_map
from whyact.perception.perception import RATE, OnProgress, Perception, open_video
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import check_against_video, read_tracks, write_tracks
from whyact.prediction import Prediction, VideoFacts
from whyact.progress import print_note
from whyact.progress import progress as show
from whyact.video.reader import VideoReader

DEFAULT_OPTIONS = PredictOptions()
MANY = 100  # windows; more are announced, as they take their time
FASTEST = 30.0  # frames a second of a drawn video


def predict_video(
    run: Run,
    path: str,
    perception: Perception,
    options: PredictOptions,
    on_progress: OnProgress | None = None,
    on_window: Callable[[Answer], object] | None = None,
) -> tuple[Prediction, Tracks]:
    """Answer one video file; return the answer and all boxes of the video.

    Args:
        run: The model.
        path: The video.
        perception: What :func:`whyact.laiar.perceive.answer_perception` returns.
        options: How to answer it.
        on_progress: Called with the share that is done, of the boxes and then of the answers.
        on_window: Called with each window's own answer.

    Raises:
        UserError: For a video that cannot be read, a bad tracks file or a bad window.
    """
    windows = _windows(options)
    if perception.detector is not None:
        tracks, facts = perception.find_tracks(path, on_progress)
    else:
        assert options.tracks is not None  # or there would be a detector
        tracks, facts = _given_tracks(path, options.tracks, options.clip_boxes)
        classes = sorted(set(tracks.classes))
        class_map = class_map_of(run, classes, tracks.source)
        if options.class_map is not None:
            class_map = read_class_map(options.class_map, classes, run.vocabulary.objects)
        perception = replace(perception, class_map=class_map)
    if unknown := sorted(set(tracks.classes) - set(perception.class_map)):
        note = f"Drawn, but unknown to the model: {', '.join(unknown)}."
        perception = replace(perception, notes=(*perception.notes, note))
    prediction = answer_video(
        run,
        path,
        tracks,
        facts,
        perception=perception,
        windows=windows,
        on_progress=on_progress,
        on_window=on_window,
    )
    if options.save_tracks is not None:
        write_tracks(options.save_tracks, tracks)
    return prediction, tracks


def _given_tracks(path: str, file: Path, clip_boxes: bool) -> tuple[Tracks, VideoFacts]:
    """Read a tracks file and the facts of the video that it belongs to."""
    tracks = read_tracks(file, clip_boxes=clip_boxes)
    if not len(tracks.times):
        raise UserError(file, "no frame", "tracks with at least one frame")
    with VideoReader(path) as reader:
        next(iter(reader.frames_at([0.0])), None)
        facts = reader.facts()
    check_against_video(file, tracks, facts)
    return tracks, facts


def draw(path: str, prediction: Prediction, tracks: Tracks, out: Path) -> None:
    """Write the video again with boxes, named relations and the action drawn in; memory grows with the boxes alone.

    An answer in windows brings the tokens of those that decided; elsewhere the boxes are drawn without words.

    Raises:
        UserError: When the video cannot be read or the file not be written.
    """
    from whyact.video.draw import write_overlay

    prediction = msgspec.structs.replace(prediction, tracks=[*prediction.tracks, *bare_tracks(tracks)])
    with open_video(path, passes=2) as reader:
        rate = min(reader.fps or RATE, FASTEST)
        moments = np.arange(int(max(reader.length, 1 / rate) * rate + 1e-6)) / rate
        frames = ((shown.moment, shown.image) for shown in reader.frames_at(moments.tolist()))
        write_overlay(out, frames, prediction, rate)
        if reader.is_stopped:
            print_note(f"{out}: {reader.degraded}")


def predict_videos(
    run: Run,
    inputs: Sequence[str],
    options: PredictOptions,
    *,
    progress: bool,
    only: Sequence[int] | None = None,
) -> list[Prediction]:
    """Answer video files, or ``only`` those at some positions, one after the other.

    Raises:
        UserError: For a bad option, or a single bad video.
        PartialFailure: When some of several videos cannot be read.
    """
    options.check(inputs)
    perception = answer_perception(run, options)

    def answer(path: str) -> list[Prediction]:
        _warn_if_many(run, path, options)
        with show(Path(path).name, 1, wanted=progress) as bar:
            prediction, tracks = predict_video(run, path, perception, options, bar.update)
            if options.draw is not None:
                draw(path, prediction, tracks, options.draw)
        return [prediction]

    return for_each(inputs, answer, only)


def _warn_if_many(run: Run, path: str, options: PredictOptions) -> None:
    with VideoReader(path) as reader:
        count = len(_windows(options).spans(0.0, max(reader.length - reader.step, 0.0), run.clip_seconds))
    if count > MANY:
        step = "a larger --window and --stride make them fewer"
        print(f"whyact: {path}: about {count} windows will be answered; {step}", file=sys.stderr, flush=True)


def _windows(options: PredictOptions) -> Windows:
    return Windows(options.window or 0.0, options.stride or 0.0)


class Session:
    """A run in memory that answers video files and can be questioned about each; its detector is loaded with the first.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.run: Run = load_run(folder)
        self._perception: Perception | None = None

    def answer(self, video: Path, kept: Path, on_stage: OnStage) -> Prediction:
        """Answer a video file, and keep the tokens of its windows."""
        self._perception = self._perception or answer_perception(self.run, DEFAULT_OPTIONS)
        windows: list[Answer] = []
        prediction, _ = predict_video(
            self.run, str(video), self._perception, DEFAULT_OPTIONS, _two_stages(on_stage), windows.append
        )
        save_questions(Ablation.of(self.run, windows, null_action(self.run.vocabulary)), kept)
        return prediction

    def load_ablation(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` kept."""
        return load_questions(self.run, kept)


def _two_stages(on_stage: OnStage) -> OnProgress:
    """Name the two passes of an answer: boxes are detected first, then the model is asked."""
    stages = ["Asking the model", "Finding and following things"]

    def on_progress(share: float) -> None:
        on_stage(stages[-1], share)
        if share >= 1 and len(stages) > 1:
            stages.pop()
            on_stage(stages[-1], 0.0)

    on_stage(stages[-1], 0.0)
    return on_progress
