"""Videos to a feature folder: snippet by snippet into files that grow, so that memory does not depend on the length.

A video is done when its ``videos/NAME.json`` is there, which comes last: an interrupted extraction goes on at the next
video, and several machines may share a folder. What cannot be read is listed in ``broken.csv`` and skipped.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.pickles import load_torch
from whyact.data.io.row_file import RowFile
from whyact.data.untrimmed.feature_files import Encoder, Recipe, read_recipe
from whyact.data.untrimmed.records import Extraction, read_record, recipe_text, write_record
from whyact.errors import DiskFullError, UserError
from whyact.features.kinetics import CLIP, DOWNLOAD, FRAMES, SnippetEncoder, load_encoder
from whyact.features.lite import BUNDLED, LiteSnippets, build_network, weights_file
from whyact.features.lite import NAME as LITE
from whyact.files import file_sha256, sha256, telling_of_full_disk, write_atomic
from whyact.prediction import VideoFacts
from whyact.video.decode import windows
from whyact.video.inputs import Inputs, expand_inputs

if TYPE_CHECKING:
    import torch

BATCH = 4  # snippets encoded at once
DECODING_LIMIT = 86400.0  # seconds spent in decoding one file


@dataclass(frozen=True)
class Streams:
    """The encoders of one folder: those of the input, side by side, and the one of the training target."""

    inputs: tuple[SnippetEncoder, ...]
    target: SnippetEncoder | None
    recipe: Recipe


@dataclass
class Extracted:
    """What an extraction did: names of new videos and of those already there, and what was wrong with which."""

    new: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    degraded: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, outcome: Outcome) -> None:
        """Note what came of a video."""
        if outcome.state == "broken":
            self.broken[name] = outcome.note
            return
        (self.new if outcome.state == "new" else self.kept).append(name)
        if outcome.note:
            self.degraded[name] = outcome.note


@dataclass(frozen=True)
class Outcome:
    """What came of one video: encoded, found done, or not readable; and what was wrong with it, if anything."""

    state: Literal["new", "kept", "broken"]
    note: str = ""


def find_videos(inputs: Sequence[Path | str], skipped: Inputs | None = None) -> dict[str, Path]:
    """Return name -> path of video files and of all videos under folders, sorted by name; a link has its own name.

    A video's name is its path below the folder or pattern that gave it, without the ending: ``pour/001``.

    Args:
        inputs: Files, folders and patterns.
        skipped: Counts what is not read.

    Raises:
        UserError: When an input is not there, nothing is a video, or two videos have the same name.
    """
    named: dict[str, Path] = {}
    for given in map(str, inputs):
        expanded = expand_inputs([given])
        if skipped is not None:
            for reason, paths in expanded.skipped.items():
                skipped.skipped.setdefault(reason, []).extend(paths)
        root = Path(given) if Path(given).is_dir() else _fixed_part(given)
        for path in map(Path, expanded.files):
            if not path.is_file():
                raise UserError(path, "no such file", "a video, or a folder of videos")
            name = path.relative_to(root).with_suffix("").as_posix()
            path = path.absolute()
            if named.setdefault(name, path) != path:
                step = "rename one, or give the folder that holds both: a name is the path below it"
                raise UserError(path, f"the same name as {named[name]}", "videos with different names", step)
    return dict(sorted(named.items()))


def _fixed_part(given: str) -> Path:
    """Return the folder of a file, or the folders of a pattern in front of its first ``*``, ``?`` or ``[``."""
    path = Path(given)
    if path.exists():
        return path.parent
    fixed = itertools.takewhile(lambda part: not any(mark in part for mark in "*?["), path.parts[:-1])
    return Path(*fixed)


def extract(
    videos: Mapping[str, Path],
    out: Path,
    streams: Streams,
    tell: Callable[[str, int], None] = lambda name, snippets: None,
) -> Extracted:
    """Encode every video that the folder lacks; what cannot be read is listed and skipped.

    Args:
        videos: From :func:`find_videos`.
        out: The folder, in the layout of :mod:`whyact.data.untrimmed.feature_files`.
        streams: Encoders and the length of a snippet.
        tell: Called with a video's name and the number of its snippets so far, 0 at its start.

    Raises:
        UserError: When the folder holds features of another recipe, or not one video could be read.
    """
    check_recipe(out, streams.recipe)
    result = Extracted()
    for name, path in videos.items():
        tell(name, 0)
        result.take(name, extract_one(name, path, out, streams, lambda count, name=name: tell(name, count)))  # type: ignore[misc]
    return finish(result, videos, out, streams.recipe)


def check_recipe(out: Path, recipe: Recipe) -> None:
    """Refuse a folder that holds features made otherwise.

    Raises:
        UserError: When it does.
    """
    path = out / "features.json"
    if path.exists() and read_recipe(path) != recipe:
        raise UserError(path, "features made otherwise", "the same encoders, weights and snippets", "another --out")


def extract_one(
    name: str, path: Path, out: Path, streams: Streams, tell: Callable[[int], None] = lambda count: None
) -> Outcome:
    """Encode one video, unless the folder has it; a video that cannot be read is an outcome too."""
    record = out / "videos" / f"{name}.json"
    try:
        facts = path.stat()
        key = f"{facts.st_size}-{facts.st_mtime_ns}"
        done = read_record(record)
        if done is not None and done.key == key and done.holds(out, streams.recipe):
            return Outcome("kept", done.facts.degraded)
        done = _extract_one(name, path, key, out, streams, tell)
    except DiskFullError:
        raise
    except UserError as error:
        return Outcome("broken", f"{error.value}: {error.expected} expected")
    except FileNotFoundError:
        return Outcome("broken", "no such file any more: a video expected")
    write_atomic(out / "features.json", recipe_text(streams.recipe))
    write_record(record, done)
    return Outcome("new", done.facts.degraded)


def finish(result: Extracted, videos: Mapping[str, Path], out: Path, recipe: Recipe) -> Extracted:
    """List what could not be read in ``broken.csv``, and return the result.

    Raises:
        UserError: When not one video could be read.
    """
    if not result.new and not result.kept:
        name, reason = next(iter(result.broken.items()))
        raise UserError(videos[name], reason, "at least one video that decodes")
    if not (out / "features.json").exists():  # removed, and every video was there already
        write_atomic(out / "features.json", recipe_text(recipe))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("name", "reason"), *result.broken.items()])
    write_atomic(out / "broken.csv", text.getvalue())
    return result


def load_streams(
    names: Sequence[str],
    weights: Sequence[str],
    target: tuple[str, str] | None,
    seconds: float,
    device: torch.device | str = "cpu",
) -> Streams:
    """Load the encoders of a folder.

    Args:
        names: One or two, as :func:`whyact.features.kinetics.load_encoder` takes them.
        weights: One for each, or one for all: ``default``, ``random``, what a recipe records, or a file.
        target: Name and weights of the encoder that is learned from, if any.
        seconds: Length of a snippet.
        device: Where the encoders compute.

    Raises:
        UserError: On an unknown name, or weights that cannot be had or do not fit.
    """
    if not 1 <= len(names) <= 2:
        raise UserError("--encoder", ",".join(names), "one encoder or two")
    if len(weights) not in (1, len(names)):
        raise UserError("--weights", ",".join(weights), f"one for all encoders, or {len(names)}")
    each = weights if len(weights) == len(names) else [weights[0]] * len(names)
    inputs = [_load(name, weight, device) for name, weight in zip(names, each, strict=True)]
    learned = _load(*target, device) if target else None
    widths = (inputs[0][0].width, inputs[1][0].width if len(inputs) > 1 else 0)
    recipe = Recipe(seconds, widths, tuple(facts for _, facts in inputs), learned[1] if learned else None)
    return Streams(tuple(encoder for encoder, _ in inputs), learned[0] if learned else None, recipe)


def streams_of(recipe: Recipe, weights: str | None = None, device: torch.device | str = "cpu") -> Streams:
    """Load the encoders that made a run's features, so that a video can be asked about.

    Args:
        recipe: As the run's card has it.
        weights: The weight file again, where the recipe names one.
        device: Where the encoders compute.

    Raises:
        UserError: When the recipe names no encoder, or the file is another than the recipe's.
    """
    if not recipe.encoders:
        raise UserError(
            "the run", "features that whyact did not extract", "a run trained on a folder of `whyact extract`",
            "extract features as those were made, and give the .npy file",
        )  # fmt: skip
    made = []
    for encoder in recipe.encoders:
        given = weights if encoder.sha256 and weights else encoder.weights
        if encoder.sha256 and not Path(given).is_file():
            raise UserError(f"weights of {encoder.name}", encoder.weights, "that weight file", "give it with --weights")
        loaded, facts = _load(encoder.name, given, device)
        if facts.sha256 != encoder.sha256:
            raise UserError(given, "other weights", "the file that the run's features were made with")
        made.append(loaded)
    return Streams(tuple(made), None, recipe)


def extract_features(path: Path, file: Path, streams: Streams) -> VideoFacts:
    """Write one video's input features (T,D) to a ``.npy`` file, and return the facts about the video.

    Raises:
        UserError: When the video cannot be read.
    """
    return _encode(path, {file: streams.inputs}, streams.recipe.snippet_seconds, lambda count: None)[0]


def _extract_one(
    name: str, path: Path, key: str, out: Path, streams: Streams, tell: Callable[[int], None]
) -> Extraction:
    files: dict[Path, tuple[SnippetEncoder, ...]] = {out / "features" / f"{name}.npy": streams.inputs}
    if streams.target is not None:
        files[out / "clip" / f"{name}.npy"] = (streams.target,)
    facts, count = _encode(path, files, streams.recipe.snippet_seconds, tell)
    facts.path = path.name  # where it lay on this machine is nobody's business
    sums = {file.relative_to(out).as_posix(): file_sha256(file) for file in files}
    return Extraction(key, count, facts, sums, sha256(recipe_text(streams.recipe)))


def _encode(
    path: Path, files: Mapping[Path, tuple[SnippetEncoder, ...]], seconds: float, tell: Callable[[int], None]
) -> tuple[VideoFacts, int]:
    """Write one row a snippet into every file: what its encoders say, side by side."""
    import torch

    encoders = {id(encoder): encoder for several in files.values() for encoder in several}
    # Prepared one by one: a batch holds what the networks take, never full frames.
    prepared = (
        ({key: encoder.prepare(frames) for key, encoder in encoders.items()}, known)
        for frames, known in _snippets(path, seconds)
    )
    facts = VideoFacts(path=str(path))
    count = 0
    with telling_of_full_disk(next(iter(files))):
        rows = {file: RowFile(file) for file in files}
        try:
            while batch := list(islice(prepared, BATCH)):
                encoded = {
                    key: encoder.encode(torch.stack([one[key] for one, _ in batch]))
                    for key, encoder in encoders.items()
                }
                for file, several in files.items():
                    rows[file].add(torch.cat([encoded[id(encoder)] for encoder in several], dim=1).numpy())
                facts = batch[-1][1]
                count += len(batch)
                tell(count)
            for one_file in rows.values():
                one_file.close()
        except BaseException:
            for one_file in rows.values():
                one_file.discard()
            raise
    return facts, count


def _load(name: str, weights: str, device: torch.device | str) -> tuple[SnippetEncoder, Encoder]:
    if name == LITE:
        if weights not in (DOWNLOAD, BUNDLED):
            raise UserError(f"weights of {name}", weights, f"no weights: they come with the extra lite ({DOWNLOAD})")
        network = build_network(load_torch(weights_file()))
        return LiteSnippets(network, device), Encoder(name, BUNDLED)
    path = Path(weights)
    if not path.is_file():
        loaded = load_encoder(name, weights, device=device)
        return loaded, Encoder(loaded.name, loaded.weights)
    digest = file_sha256(path)
    if name.startswith(CLIP):  # open_clip reads the file itself
        return load_encoder(name, weights, device=device), Encoder(name, path.name, digest)
    return load_encoder(name, path.name, load_torch(path), device), Encoder(name, path.name, digest)


def _snippets(path: Path, seconds: float) -> Iterator[tuple[NDArray[np.uint8], VideoFacts]]:
    """Yield the snippets (FRAMES,H,W,3) of a video with its facts as known so far; frames that lack are repeated.

    Snippet i is what a player shows from i times ``seconds`` on, also where the video starts late or has a gap: a time
    without any frame repeats the nearest one, so that rows and seconds stay together.
    """
    count = 0
    for window in windows(path, seconds, seconds, FRAMES, DECODING_LIMIT, ends=False, origin=0.0):
        frames = window.video.frames
        lacking = FRAMES - len(frames)
        snippet = np.concatenate([frames, np.repeat(frames[-1:], lacking, axis=0)]) if lacking else frames
        place = max(count, round(window.start / seconds))
        for _ in range(place - count):
            yield np.repeat(snippet[:1], FRAMES, axis=0), window.video.facts
        yield snippet, window.video.facts
        count = place + 1
