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
from whyact.files import writable_file
from whyact.laiar.answers import Answer
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


@dataclass
class Eyes:
    """What looks at a video for a run: the detector, its classes in the model's words, what looks into boxes."""

    detector: Detector | None
    words: Mapping[str, str]
    encoder: RoiEncoder | None
    notes: list[str]


def open_eyes(run: Run, options: Mapping[str, str]) -> Eyes:
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
    if "tracks" in options:
        return Eyes(None, {}, encoder, [])
    named = options.get("detector")
    detector: Any = open_detector(named, names=options.get("names")) if named else own
    if detector is None:
        raise UserError(
            "--detector",
            None,
            f"a detector, as {run.path} has none of its own",
            "--detector shipped, --detector FILE.onnx, or --tracks FILE",
        )
    target = run.vocabulary.objects
    notes = []
    if class_map := options.get("class-map") or (not named and run.config.data.class_map):
        words = read_class_map(class_map, detector.classes, target)
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
    options: Mapping[str, str],
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
        if "class-map" in options:
            words = read_class_map(options["class-map"], sorted(set(tracks.classes)), run.vocabulary.objects)
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
    if "save-tracks" in options:
        write_tracks(Path(options["save-tracks"]), tracks)
    return prediction, tracks


def _boxes(run: Run, path: str, eyes: Eyes, options: Mapping[str, str], tell: Any) -> tuple[Tracks, VideoFacts]:
    if eyes.detector is not None:
        most = subjects_at_most(str((run.card or {}).get("data", "")), run.vocabulary, eyes.words)
        return find_tracks(path, eyes.detector, settings=LinkSettings(most=most), tell=tell)
    tracks = read_tracks(options["tracks"])
    if not len(tracks.times):
        raise UserError(options["tracks"], "no frame", "tracks with at least one frame")
    with VideoReader(path) as reader:
        next(iter(reader.frames_at([0.0])), None)
        facts = reader.facts()
    if (facts.width, facts.height) != tracks.image_size:
        raise UserError(
            f"{options['tracks']}: image_size", tracks.image_size, f"{path}'s {facts.width} x {facts.height}"
        )
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
    eyes = open_eyes(run, options)

    def answer(path: str) -> list[Prediction]:
        _say_if_many(run, path, options)
        with show(Path(path).name, 1, wanted=progress) as bar:
            prediction, tracks = watch(run, path, eyes, options, bar.update)
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


def _say_if_many(run: Run, path: str, options: Mapping[str, str]) -> None:
    with VideoReader(path) as reader:
        count = len(_windows(options).spans(0.0, max(reader.length - reader.step, 0.0), run.clip_seconds))
    if count > MANY:
        step = "a larger --window and --stride make them fewer"
        print(f"whyact: {path}: about {count} windows will be answered; {step}", file=sys.stderr, flush=True)


def _windows(options: Mapping[str, str]) -> Windows:
    """Read how a video is cut: a window spans two looks for boxes at least, and strides go from look to look."""
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
        expected = f"seconds, at least {least:g}: boxes are looked for every {1 / RATE:g} s"
        raise UserError(f"--{name}", options[name], expected, f"--{name} {5 * least:g}")
    return value
