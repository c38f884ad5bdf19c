"""Videos to a feature folder on an engine's workers: the files are those of one process, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from whyact.data.untrimmed.snippet_files import (
    Extracted,
    Outcome,
    Streams,
    check_recipe,
    extract_one,
    finish,
    load_streams,
)
from whyact.devices import resolve_device
from whyact.engines.run import run
from whyact.engines.work import Engine, Failure, Job

TRIES = 3  # workers that may die over one video before it is listed as broken


@dataclass(frozen=True)
class Sources:
    """What a worker loads its encoders from, as :func:`whyact.data.untrimmed.snippet_files.load_streams` takes it."""

    names: tuple[str, ...]
    weights: tuple[str, ...]
    target: tuple[str, str] | None
    seconds: float
    device: str = "cpu"

    def load(self) -> Streams:
        """Load the encoders."""
        return load_streams(self.names, self.weights, self.target, self.seconds, resolve_device(self.device))


def extract_on(
    engine: Engine,
    videos: Mapping[str, Path],
    out: Path,
    sources: Sources,
    tell: Callable[[str], None] = lambda name: None,
) -> Extracted:
    """Encode every video that the folder lacks, on an engine; every machine has to see videos and folder.

    A video whose workers die again and again is listed as broken like one that cannot be read.

    Args:
        engine: Where.
        videos: From :func:`whyact.data.untrimmed.snippet_files.find_videos`.
        out: The folder.
        sources: Encoders, loaded once a worker.
        tell: Called with a video's name when it is done.

    Raises:
        UserError: When the folder holds features of another recipe, not one video could be read, or the disk is full.
    """
    streams = sources.load()  # before any worker: weights are downloaded once, and mistakes show early
    recipe = streams.recipe
    check_recipe(out, recipe)
    del streams
    names, result = list(videos), Extracted()
    found = run(
        engine,
        Job(_open, _work, (sources, out.absolute())),
        list(videos.items()),
        lambda index, _: tell(names[index]),
        TRIES,
    )
    for name, outcome in zip(names, found, strict=True):
        if isinstance(outcome, Failure):
            if outcome.mistake is not None:
                raise outcome.mistake
            outcome = Outcome("broken", outcome.message)
        result.take(name, outcome)
    return finish(result, videos, out, recipe)


def _open(settings: tuple[Sources, Path]) -> tuple[Streams, Path]:
    sources, out = settings
    return sources.load(), out


def _work(state: tuple[Streams, Path], video: tuple[str, Path]) -> Outcome:
    streams, out = state
    return extract_one(*video, out, streams)
