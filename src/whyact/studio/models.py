"""The models that a studio offers, and what their cards say; no weights are read here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from whyact.errors import UserError
from whyact.files import SHIPPED
from whyact.methods import METHODS
from whyact.studio.forms import ModelInfo
from whyact.training.checkpoint import read_card

OWN = "household"  # the bundled model


def find_models(runs: list[Path], folder: Path | None) -> dict[str, Path | None]:
    """Return name -> run folder, ``None`` for the bundled model; named runs come first.

    Raises:
        UserError: When a run is none, the folder holds none, or there is no model at all.
    """
    found: dict[str, Path | None] = {}
    for run in runs:
        read_card(run)
        _add(found, run)
    if (SHIPPED / "laiar").is_dir():
        found[OWN] = None
    if folder is not None:
        below = sorted(p.parent for p in folder.glob("*/card.json"))
        if not below:
            raise UserError("--runs", str(folder), "a folder with run folders in it", "whyact train laiar --help")
        for run in below:
            _add(found, run)
    if not found:
        raise UserError("--model", None, "a run folder", "whyact demo   (trains one), or whyact train laiar --help")
    return found


def _add(found: dict[str, Path | None], run: Path) -> None:
    name, number = run.resolve().name, 2
    while name in found:
        name, number = f"{run.resolve().name} ({number})", number + 1
    found[name] = run


@lru_cache(maxsize=64)
def model_info(name: str, path: Path | None) -> ModelInfo:
    """Return what a model's card says: what it was trained on, and its words.

    Raises:
        UserError: When the card is damaged.
    """
    card = read_card(path or SHIPPED / "laiar")
    extra = card.get("extra") or {}
    words = extra.get("words") or {}
    trained = ", ".join(x for x in (card.get("data", ""), extra.get("trained_on", "")) if x)
    method = METHODS[card["method"]].ABOUT if card["method"] in METHODS else card["method"]
    return ModelInfo(
        name=name,
        about=f"{method}; trained on {trained or 'unnamed data'}",
        actions=words.get("actions", []),
        relations=words.get("relations", []),
    )
