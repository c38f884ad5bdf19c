"""``predict`` on video files: which detector, which boxes, which windows; then the answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.errors import UserError, for_each
from whyact.features.roi import RoiEncoder
from whyact.laiar.answers import Answer
from whyact.laiar.config import PredictOptions
from whyact.laiar.pixels import LIMIT, RATE, Told, find_tracks, subjects_at_most
from whyact.laiar.runs import Run
from whyact.laiar.videos import Windows, answer_video, bare_tracks
from whyact.perception.classes import COCO_TO_HOMEWORLD, PERSON_NOTE, default_map, read_class_map
from whyact.perception.link import LinkSettings
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks, write_tracks
from whyact.perception.types import Detector
from whyact.prediction import Prediction, VideoFacts
from whyact.progress import progress as show
from whyact.video.reader import VideoReader

MANY = 100  # windows; more are announced, as they take their time
FASTEST = 30.0  # frames a second of a drawn video


@dataclass
class Eyes:
    """What looks at a video for a run: the detector, its classes in the model's words, what looks into boxes."""

    detector: Detector | None
    words: Mapping[str, str]
    encoder: RoiEncoder | None
    notes: list[str]


def open_eyes(run: Run, options: PredictOptions) -> Eyes:
    """Open the detector that ``options`` name, or the run's own, and what the run's model looks into boxes with.

    Raises:
        UserError: When a file is missing, or the run has no detector of its own and none is named.
    """
    from whyact.perception.open import OWN, open_detector, open_encoder, own_detector

    own = own_detector(Path(run.path))
    looks = run.config.data.encoder
    if run.config.model.roi[0] and own is None and looks == OWN:
        raise UserError(run.path, "no detector folder", "the detector that looks into boxes for this model")
    encoder = open_encoder(looks, own) if run.config.model.roi[0] else None
    if options.tracks is not None:
        return Eyes(None, {}, encoder, [])
    named, names = options.detector, options.names
    detector: Any = open_detector(named, names=None if names is None else str(names)) if named else own
    if detector is None:
        raise UserError(
            "--detector",
            None,
            f"a detector, as {run.path} has none of its own",
            "--detector shipped, --detector FILE.onnx, or --tracks FILE",
        )
    target = run.vocabulary.objects
    notes = []
    if class_map := options.class_map or (not named and run.config.data.class_map):
        words = read_class_map(str(class_map), detector.classes, target)
    else:
        words = default_map(detector.classes, target)
        if words.get("person") == COCO_TO_HOMEWORLD["person"]:
            notes.append(f"Boxes by {detector.name}: {PERSON_NOTE}.")
    if not words:
        raise UserError(
            "--detector",
            named,
            f"a detector that knows one of {', '.join(target)}",
            "--class-map FILE says which is which",
        )
    return Eyes(detector, words, encoder, notes)


def watch(
    run: Run,
    path: str,
    eyes: Eyes,
    options: PredictOptions,
    tell: Told | None = None,
    hand: Callable[[Answer], object] | None = None,
) -> tuple[Prediction, Tracks]:
    """Answer one video file; return the answer and all boxes of the video. ``hand`` gets each window's own answer.

    Raises:
        UserError: For a video that cannot be read, a bad tracks file or a bad window.
    """
    windows = _windows(options)
    words, notes = dict(eyes.words), list(eyes.notes)
    tracks, facts = _boxes(run, path, eyes, options, tell)
    if eyes.detector is None:
        words = default_map(sorted(set(tracks.classes)), run.vocabulary.objects)
        if options.class_map is not None:
            words = read_class_map(str(options.class_map), sorted(set(tracks.classes)), run.vocabulary.objects)
    unknown = sorted(set(tracks.classes) - set(words))
    if unknown:
        notes.append(f"Drawn, but unknown to the model: {', '.join(unknown)}.")
    prediction = answer_video(
        run,
        path,
        tracks,
        facts,
        words=words,
        encoder=eyes.encoder,
        windows=windows,
        notes=notes,
        tell=tell,
        hand=hand,
    )
    if options.save_tracks is not None:
        write_tracks(options.save_tracks, tracks)
    return prediction, tracks


def _boxes(run: Run, path: str, eyes: Eyes, options: PredictOptions, tell: Any) -> tuple[Tracks, VideoFacts]:
    if eyes.detector is not None:
        most = subjects_at_most(str((run.card or {}).get("data", "")), run.vocabulary, eyes.words)
        return find_tracks(path, eyes.detector, settings=LinkSettings(most=most), tell=tell)
    assert options.tracks is not None  # or there would be a detector
    tracks = read_tracks(options.tracks)
    if not len(tracks.times):
        raise UserError(options.tracks, "no frame", "tracks with at least one frame")
    with VideoReader(path) as reader:
        next(iter(reader.frames_at([0.0])), None)
        facts = reader.facts()
    if (facts.width, facts.height) != tracks.image_size:
        raise UserError(f"{options.tracks}: image_size", tracks.image_size, f"{path}'s {facts.width} x {facts.height}")
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


def predict_videos(run: Run, inputs: Sequence[str], options: PredictOptions, *, progress: bool) -> list[Prediction]:
    """Answer video files, one after the other.

    Raises:
        UserError: For a bad option, or a single bad video.
        PartialFailure: When some of several videos cannot be read.
    """
    options.check(inputs)
    eyes = open_eyes(run, options)

    def answer(path: str) -> list[Prediction]:
        _say_if_many(run, path, options)
        with show(Path(path).name, 1, wanted=progress) as bar:
            prediction, tracks = watch(run, path, eyes, options, bar.update)
            if options.draw is not None:
                draw(path, prediction, tracks, options.draw)
        return [prediction]

    return for_each(inputs, answer)


def _say_if_many(run: Run, path: str, options: PredictOptions) -> None:
    with VideoReader(path) as reader:
        count = len(_windows(options).spans(0.0, max(reader.length - reader.step, 0.0), run.clip_seconds))
    if count > MANY:
        step = "a larger --window and --stride make them fewer"
        print(f"whyact: {path}: about {count} windows will be answered; {step}", file=sys.stderr, flush=True)


def _windows(options: PredictOptions) -> Windows:
    return Windows(options.window or 0.0, options.stride or 0.0)
