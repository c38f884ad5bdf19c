"""Plain CLIP for the verbs: which weights, which frames of a video, and the answer about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.clip_zero_shot.answers import make_prediction
from whyact.clip_zero_shot.config import RATE, PredictOptions
from whyact.clip_zero_shot.scores import VideoScores
from whyact.clip_zero_shot.texts import TextBank, build_bank, unit
from whyact.devices import device_of
from whyact.errors import UserError, for_each
from whyact.prediction import Prediction
from whyact.progress import Bar
from whyact.progress import progress as show
from whyact.video import sampling
from whyact.video.decode import LONG_LIMIT
from whyact.video.reader import VideoReader

if TYPE_CHECKING:
    from whyact.features.clip_weights import Download

FRAMES = 16  # of a video, or a window, that is answered at once; a long video has RATE frames a second
WINDOW = 4.0  # seconds of a long video that are answered at a time
LONG = 3 * WINDOW
BATCH = 16  # frames encoded together
DEFAULT_OPTIONS = PredictOptions()


class Encoder(Protocol):
    """What is needed of a CLIP."""

    @property
    def semantics(self) -> str:
        """Return which it is."""

    @property
    def logit_scale(self) -> float:
        """Return what cosines are multiplied by before the softmax."""

    def prepare(self, frame: NDArray[np.uint8]) -> Tensor:
        """Return a frame (H,W,3) as the image tower takes it."""

    def encode_prepared(self, images: Tensor) -> Tensor:
        """Return (N,D) of prepared frames."""

    def encode_texts(self, sentences: list[str]) -> Tensor:
        """Return (N,D) of sentences."""


class Clip(nn.Module):
    """The network of an answer, which is loaded with the first one; its device is chosen before."""

    place: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.zeros(0), persistent=False)
        self.network: nn.Module | None = None

    def load(self, options: PredictOptions) -> Encoder:
        """Load the CLIP that the options name.

        Raises:
            UserError: When it is unknown, or would have to be downloaded and nobody agreed to that.
        """
        pending = pending_download(options)
        if pending is not None and not options.yes:
            step = f"add --yes to download it once; --clip-weights FILE stays offline with weights of {options.clip}"
            raise UserError("--yes", f"weights that are not on this machine ({pending})", "a yes to the download", step)
        from whyact.features.clip import load_clip

        try:
            encoder = load_clip(options.clip, options.clip_weights, device_of(self))
        except UserError as error:
            if not error.where.startswith("weights of"):
                raise
            step = "--clip-weights FILE, with weights that were fetched elsewhere"
            raise UserError(error.where, error.value, error.expected, step) from error
        self.network = encoder.model
        return encoder


@dataclass(frozen=True)
class Loaded:
    """What answers: no run, only CLIP."""

    model: Clip


def load(folder: Path) -> Loaded:
    """Return what answers; the folder is that of no run, so it is not read."""
    return Loaded(Clip())


def pending_download(options: PredictOptions) -> Download | None:
    """Return what would have to be downloaded before an answer, if anything.

    Raises:
        UserError: When there is no such CLIP, or open_clip is not installed.
    """
    from whyact.features import clip_weights

    return clip_weights.pending_download(options.clip, options.clip_weights)


def predict(
    run: Loaded,
    inputs: Sequence[str],
    *,
    data: str | None = None,
    root: Path | None = None,
    options: PredictOptions = DEFAULT_OPTIONS,
    progress: bool = True,
    only: Sequence[int] | None = None,
) -> list[Prediction]:
    """Say which label fits each video, with the frames that decided it, or that none does.

    Args:
        run: What :func:`load` returns.
        inputs: Video files.
        data: Must be ``None``: CLIP reads pixels.
        root: Likewise.
        options: The labels, and how to answer.
        progress: Show progress on stderr.
        only: The positions of the inputs to answer; all by default.

    Raises:
        UserError: For bad labels, weights that cannot be had, or a single bad video.
        PartialFailure: When some of several videos cannot be read.
    """
    options.check(inputs, named=data is not None or root is not None)
    encoder = run.model.load(options)
    bank = build_bank(options.names(), encoder.encode_texts)

    def answer(path: str) -> list[Prediction]:
        with show(Path(path).name, 1, wanted=progress) as bar:
            return [answer_video(path, encoder, bank, options, bar)]

    return for_each(inputs, answer, only)


def answer_video(
    path: str, encoder: Encoder, bank: TextBank, options: PredictOptions, bar: Bar | None = None
) -> Prediction:
    """Answer one video.

    Raises:
        UserError: When not one frame of it decodes.
    """
    with VideoReader(path, LONG_LIMIT) as reader:
        spans, moments, sampler = _sampling(reader.start, max(reader.length, reader.start), options)
        times, frames = _encode(reader, moments, encoder, bar or Bar())
        if not len(times):
            reason = reader.degraded or "no frame"
            raise UserError(path, reason, "a video with at least one frame that decodes")
        facts = reader.facts()
    held = [np.flatnonzero((times[:, 1] >= a - 1e-9) & (times[:, 1] < b)) for a, b in spans]
    held[-1] = np.union1d(held[-1], np.flatnonzero(times[:, 1] >= spans[-1][1]))
    kept = [w for w, members in enumerate(held) if len(members)]
    scored = VideoScores(bank, encoder.logit_scale, frames, [held[w] for w in kept])
    return make_prediction(
        Path(path),
        facts,
        scored,
        [spans[w] for w in kept],
        times[:, 0],
        encoder.semantics,
        sampler,
        options.evidence,
    )


def _sampling(
    start: float, end: float, options: PredictOptions
) -> tuple[list[tuple[float, float]], NDArray[np.float64], str]:
    """Return the windows of a video, the moments of its frames, and both in words."""
    length = end - start
    window = options.window or (WINDOW if length > LONG else 0.0)
    if not window or length <= window:
        return [(start, end)], sampling.uniform(start, end, FRAMES), f"{FRAMES} frames, evenly spaced"
    stride = options.stride or window / 2
    spans = [(start + a, start + b) for a, b in sampling.spans(length, window, stride)]
    rate = max(RATE, FRAMES / 2 / window)
    moments = sampling.uniform(start, end, max(1, round(length * rate)))
    return spans, moments, f"{rate:g} frames a second, windows of {window:g} s every {stride:g} s"


def _encode(
    reader: VideoReader, moments: NDArray[np.float64], encoder: Encoder, bar: Bar
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Return when each frame is shown and asked for (T,2), and unit vectors (T,D); a frame asked for twice counts once.

    No more than a batch of frames is in memory.
    """
    times: list[tuple[float, float]] = []
    vectors: list[NDArray[np.floating]] = []
    batch: list[Tensor] = []

    def flush() -> None:
        if batch:
            vectors.append(unit(encoder.encode_prepared(torch.stack(batch)).double().numpy()))
            batch.clear()
            bar.update(len(times) / len(moments))

    for frame in reader.frames_at(moments):
        if times and frame.time <= times[-1][0]:
            continue
        times.append((frame.time, frame.moment))
        batch.append(encoder.prepare(frame.image))
        if len(batch) == BATCH:
            flush()
    flush()
    return np.array(times).reshape(-1, 2), np.concatenate(vectors) if vectors else np.zeros((0, 1))
