"""``predict`` on video files: which detector, which boxes, which windows; then the answers. A run that stays loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from whyact.ablation.protocol import OnProgress as OnStage
from whyact.errors import UserError, for_each
from whyact.files import writable_file
from whyact.laiar.answers import Answer
from whyact.laiar.perceive import answer_perception
from whyact.laiar.questions import Ablation, load_questions, save_questions
from whyact.laiar.runs import Run, load_run
from whyact.laiar.windows import Windows, answer_video, bare_tracks, null_action
from whyact.perception.classes import default_map, read_class_map
from whyact.perception.perception import LIMIT, RATE, OnProgress, Perception
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks, write_tracks
from whyact.prediction import Prediction, VideoFacts
from whyact.progress import progress as show
from whyact.video.reader import VideoReader
from whyact.video.write import CONTAINERS

OPTIONS = {
    "detector": "what finds the boxes: a detector's name, a folder, or FILE.onnx (default: the model's own)",
    "class-map": "a JSON or YAML file, detector class -> model class",
    "names": "a file with the ONNX detector's class names, one a line",
    "tracks": "read the boxes from this tracks file instead of detecting them",
    "save-tracks": "write the boxes to this tracks file",
    "window": "seconds of video answered at a time (default: by the clips that the model was trained on)",
    "stride": "seconds from one window's start to the next (default: half a window)",
    "draw": "write a video with the boxes, the named relations and the action drawn in",
}
NAMELESS = (".onnx", ".safetensors", ".pth")  # files of detectors that may come without their class names
MANY = 100  # windows; more are announced, as they take their time
FASTEST = 30.0  # frames a second of a drawn video


def predict_video(
    run: Run,
    path: str,
    perception: Perception,
    options: Mapping[str, str],
    on_progress: OnProgress | None = None,
    on_window: Callable[[Answer], object] | None = None,
) -> tuple[Prediction, Tracks]:
    """Answer one video file; return the answer and all boxes of the video.

    Args:
        run: The model.
        path: The video.
        perception: What :func:`whyact.laiar.perceive.answer_perception` returns.
        options: ``tracks``, ``class-map``, ``window``, ``stride`` and ``save-tracks``.
        on_progress: Called with the share that is done, of the boxes and then of the answers.
        on_window: Called with each window's own answer.

    Raises:
        UserError: For a video that cannot be read, a bad tracks file or a bad window.
    """
    windows = _windows(options)
    if perception.detector is not None:
        tracks, facts = perception.find_tracks(path, on_progress)
    else:
        tracks, facts = _given_tracks(path, options["tracks"])
        classes = sorted(set(tracks.classes))
        class_map: Mapping[str, str] = default_map(classes, run.vocabulary.objects)
        if "class-map" in options:
            class_map = read_class_map(options["class-map"], classes, run.vocabulary.objects)
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
    if "save-tracks" in options:
        write_tracks(Path(options["save-tracks"]), tracks)
    return prediction, tracks


def _given_tracks(path: str, file: str) -> tuple[Tracks, VideoFacts]:
    """Read a tracks file and the facts of the video that it belongs to."""
    tracks = read_tracks(file)
    if not len(tracks.times):
        raise UserError(file, "no frame", "tracks with at least one frame")
    with VideoReader(path) as reader:
        next(iter(reader.frames_at([0.0])), None)
        facts = reader.facts()
    if (facts.width, facts.height) != tracks.image_size:
        raise UserError(f"{file}: image_size", tracks.image_size, f"{path}'s {facts.width} x {facts.height}")
    return tracks, facts


def draw(path: str, prediction: Prediction, tracks: Tracks, out: Path) -> None:
    """Write the video again with boxes, named relations and the action drawn in; memory grows with the boxes alone.

    An answer in windows brings the tokens of those that decided; elsewhere the boxes are drawn without words.

    Raises:
        UserError: When the video cannot be read or the file not be written.
    """
    from whyact.video.draw import write_overlay

    prediction = msgspec.structs.replace(prediction, tracks=[*prediction.tracks, *bare_tracks(tracks)])
    with VideoReader(path, limit=LIMIT) as reader:
        rate = min(reader.fps or RATE, FASTEST)
        moments = np.arange(int(max(reader.length, 1 / rate) * rate + 1e-6)) / rate
        frames = ((shown.moment, shown.image) for shown in reader.frames_at(moments.tolist()))
        write_overlay(out, frames, prediction, rate)


def predict_videos(run: Run, inputs: Sequence[str], options: Mapping[str, str], *, progress: bool) -> list[Prediction]:
    """Answer video files, one after the other.

    Raises:
        UserError: For a bad option, or a single bad video.
        SomeFailed: When some of several videos cannot be read.
    """
    _check_files(inputs, options)
    perception = answer_perception(run, options)

    def answer(path: str) -> list[Prediction]:
        _warn_if_many(run, path, options)
        with show(Path(path).name, 1, wanted=progress) as bar:
            prediction, tracks = predict_video(run, path, perception, options, bar.update)
            if "draw" in options:
                draw(path, prediction, tracks, Path(options["draw"]))
        return [prediction]

    return for_each(inputs, answer)


def _check_files(inputs: Sequence[str], options: Mapping[str, str]) -> None:
    """Refuse before the work what would fail, or destroy something, after it."""
    _windows(options)
    for name in ("tracks", "save-tracks", "draw"):
        if name in options and len(inputs) > 1:
            raise UserError(f"--{name}", options[name], "one video: it is a single file", "name one video at a time")
    if "detector" in options and "tracks" in options:
        expected = "one of --detector and --tracks, which brings its boxes along"
        raise UserError("--detector", options["detector"], expected, "leave one of them out")
    if "names" in options and Path(options.get("detector", "")).suffix.lower() not in NAMELESS:
        expected = f"a --detector beside it that ends in {', '.join(NAMELESS)}; others know their class names"
        raise UserError("--names", options["names"], expected, "--detector FILE.onnx, or leave --names out")
    for name in ("save-tracks", "draw"):
        if name in options:
            path = writable_file(f"--{name}", Path(options[name]))
            if any(path.resolve() == Path(item).resolve() for item in inputs):
                raise UserError(f"--{name}", options[name], "another file than the video", "choose another name")
    if "draw" in options and Path(options["draw"]).suffix.lower() not in CONTAINERS:
        raise UserError("--draw", options["draw"], f"a file name that ends in {', '.join(CONTAINERS)}")


def _warn_if_many(run: Run, path: str, options: Mapping[str, str]) -> None:
    with VideoReader(path) as reader:
        count = len(_windows(options).spans(0.0, max(reader.length - reader.step, 0.0), run.clip_seconds))
    if count > MANY:
        step = "a larger --window and --stride make them fewer"
        print(f"whyact: {path}: about {count} windows will be answered; {step}", file=sys.stderr, flush=True)


def _windows(options: Mapping[str, str]) -> Windows:
    """Read how a video is cut: a window spans two frames with boxes at least, a stride goes from one to the next."""
    windows = Windows(_seconds(options, "window", 2 / RATE), _seconds(options, "stride", 1 / RATE))
    windows.spans(0.0, 0.0, 0.0)  # refuses a stride above the window
    return windows


def _seconds(options: Mapping[str, str], name: str, least: float) -> float:
    if name not in options:
        return 0.0
    try:
        value = float(options[name])
    except ValueError:
        value = 0.0
    if not least <= value < 1e6:
        expected = f"seconds, at least {least:g}: boxes are detected every {1 / RATE:g} s"
        raise UserError(f"--{name}", options[name], expected, f"--{name} {5 * least:g}")
    return value


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
        self._perception = self._perception or answer_perception(self.run, {})
        windows: list[Answer] = []
        prediction, _ = predict_video(self.run, str(video), self._perception, {}, _two_stages(on_stage), windows.append)
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
