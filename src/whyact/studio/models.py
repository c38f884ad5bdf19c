"""The models that a studio offers, and what their cards say; no weights are read here."""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from whyact.data.relations.clip_folder import data_folder
from whyact.data.relations.own_file import FILE, read_file, video_path
from whyact.errors import UserError
from whyact.files import SHIPPED
from whyact.methods import METHODS
from whyact.studio.corrections import annotated_relations
from whyact.studio.forms import ModelInfo, SampleInfo
from whyact.studio.train_tasks import SAMPLE, SampleAnswer
from whyact.training.checkpoint import read_card
from whyact.wording import format_score

OWN = "household"  # the bundled model
_FEW_TESTED = 20  # clips; what is measured on fewer says little


def find_models(runs: list[Path], folder: Path | None, taught: Path | None = None) -> dict[str, Path | None]:
    """Return name -> run folder, ``None`` for the bundled model; named runs come first.

    Args:
        runs: Run folders.
        folder: One with run folders in it.
        taught: One that may have run folders in it: those that were taught in the studio before.

    Raises:
        UserError: When a run is none, the folder holds none, or there is no model at all.
    """
    found: dict[str, Path | None] = {}
    shipped = (SHIPPED / "laiar").is_dir()
    taken = (OWN,) if shipped else ()
    for run in runs:
        read_card(run)
        _add(found, run, taken)
    if shipped:
        found[OWN] = None
    if folder is not None:
        below = sorted(p.parent for p in folder.glob("*/card.json"))
        if not below:
            raise UserError("--runs", str(folder), "a folder with run folders in it", "whyact train laiar --help")
        for run in below:
            _add(found, run)
    for run in sorted(p.parent for p in taught.glob("*/card.json")) if taught is not None else ():
        _add(found, run)
    if not found:
        raise UserError("--model", None, "a run folder", "whyact demo   (trains one), or whyact train laiar --help")
    return found


def _add(found: dict[str, Path | None], run: Path, taken: Container[str] = ()) -> None:
    if run.resolve() in [path.resolve() for path in found.values() if path is not None]:
        return  # a run that is named twice is one model
    name, number = run.resolve().name, 2
    while name in found or name in taken:
        name, number = f"{run.resolve().name} ({number})", number + 1
    found[name] = run


@lru_cache(maxsize=64)
def model_info(name: str, path: Path | None) -> ModelInfo:
    """Return a model's card: what it was trained on, its words, how good it is on what, and a sample answer.

    Raises:
        UserError: When the card is damaged.
    """
    card = read_card(path or SHIPPED / "laiar")
    extra = card.get("extra") or {}
    words = extra.get("words") or {}
    trained = ", ".join(x for x in (card.get("data", ""), extra.get("trained_on", "")) if x)
    method = METHODS[card["method"]].ABOUT if card["method"] in METHODS else card["method"]
    sample = None if path is None else _sample(path)
    return ModelInfo(
        name=name,
        about=f"{method}; trained on {trained.removeprefix('own, ') or 'unnamed data'}",
        actions=words.get("actions", []),
        relations=words.get("relations", []),
        objects=words.get("objects", []),
        measured=bool(words.get("measured")) and not annotated_relations(words),
        quality=_quality(card.get("metrics") or {}, 0 if sample is None else sample.tested),
        sample=None if sample is None else _sample_info(sample),
    )


def _quality(metrics: dict[str, Any], tested: int) -> str:
    """Say how good a model was on clips that it did not learn from, and how good a guess would have been."""
    values = {name: value["mean"] if isinstance(value, dict) else value for name, value in metrics.items()}
    score = values.get("mAR")
    if score is None:
        known = next(((name, value) for name, value in values.items() if value is not None), None)
        return "" if known is None else f"{known[0]} {format_score(known[1])} on data that it did not learn from"
    on = f"{tested} clips" if tested else "clips"
    told = f"right about {score:.0%} of {on} that it did not learn from, averaged over the actions"
    rivals = {"majority": "always the same answer", "box-forest": "a forest on the boxes alone"}
    scores = {text: values.get(f"mAR of {name}") for name, text in rivals.items()}
    against = [f"{text} {value:.0%}" for text, value in scores.items() if value is not None]
    few = "; so few clips say little" if 0 < tested < _FEW_TESTED else ""
    return told + (f" ({', '.join(against)})" if against else "") + few


def _sample(path: Path) -> SampleAnswer | None:
    """Read how a model that was taught here answers a clip of its test side."""
    try:
        data = path.absolute().with_name(f"{path.absolute().name}-data") / SAMPLE
        return msgspec.json.decode(data.read_bytes(), type=SampleAnswer)
    except (OSError, msgspec.DecodeError):
        return None


def _sample_info(sample: SampleAnswer) -> SampleInfo:
    picture = f"data:image/jpeg;base64,{sample.picture}" if sample.picture else ""
    return SampleInfo(
        name=sample.name, action=sample.action, answer=sample.answer, because=sample.because, picture=picture
    )


def _split_files(run: Path) -> tuple[list[str], list[str]]:
    """Return the files of the videos that a model learned from, and of those that it did not, as its data name them."""
    path = data_folder(run) / FILE
    if not path.is_file():
        return [], []
    document = read_file(path)
    held_out = set(document.folds[0].test) if document.folds else set()
    sides: tuple[list[str], list[str]] = ([], [])
    for video in document.videos:
        sides[video.group in held_out].append(video.file)
    return sides


def tested_files(run: Path) -> set[str]:
    """Return the names of the clips that a taught model did not learn from."""
    return {Path(file).name for file in _split_files(run)[1]}


def training_films(run: Path) -> list[Path]:
    """Return the films that a model learned from, where its data are beside it; what cannot be read is no film."""
    try:
        root = data_folder(run)
        return [video_path(str(root / FILE), root, file) for file in _split_files(run)[0] if file]
    except UserError:
        return []
