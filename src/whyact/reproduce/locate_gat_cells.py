"""One cell of the LoCATe-GAT study: train on one split, measure every row on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whyact.reproduce.study import CPU

if TYPE_CHECKING:
    from torch import Tensor

    from whyact.data.zero_shot.types import ZeroShotData
    from whyact.locate_gat.config import Config
    from whyact.locate_gat.scores import ScoreParts, Tensors
    from whyact.locate_gat.stages import Fitted

SHARE = 0.3  # of the graph, where its weights are replaced to see whether that changes anything
ABLATIONS: dict[str, dict[str, Any]] = {
    "locate": {},
    "no-positions": {"positions": False},
    "no-lca": {"mixer": "none"},
    "mlp-for-lca": {"mixer": "mlp"},
    "mse": {"loss": "mse"},
    "attention-over-batch": {"attention": "batch"},
    "shuffled-names": {},
}
"""Row -> what differs from the preset; the last one is trained with the names of seen classes shuffled."""

CHOSEN = "start chosen"
"""Row of gym whose start of the block is chosen on seen classes; the other trained rows have the published start."""


def settings(table: str, row: str = "locate") -> Config:
    """Return the settings of a table's cells."""
    from whyact.locate_gat.config import PRESETS

    if table == "gym":
        return replace(PRESETS["gym"], start="choose" if row == CHOSEN else "random")
    config = PRESETS["synthetic"]
    if table == "synthetic-ablation":
        config = replace(config, graph=False, mix=0.0, calibration=0.0)
    return replace(config, **ABLATIONS[row])


def cell(asked: dict[str, Any]) -> dict[str, Any]:
    """Train on one split and measure every row: ``{"rows": {row: {metric: value}}, "split_sha256": ...}``."""
    from whyact.data.datasets import load_zero_shot
    from whyact.locate_gat.config import Config
    from whyact.locate_gat.stages import fit_split

    table, seed = asked["table"], asked["seed"]
    config = msgspec.convert(asked["config"], Config)
    root = Path(asked["root"]) if "root" in asked else None
    fold = asked.get("fold", seed + 1)
    name = table.removesuffix("-ablation")
    data, split = load_zero_shot(name, root, fold, replace(config.data_options, progress=False))
    if asked.get("row") == "shuffled-names":
        data = _shuffled(data, split.seen, seed)
    fitted, tensors = fit_split(data, split, config, seed=seed, device=asked.get("device", CPU))
    parts = fitted.scores(tensors)
    if table == "synthetic-ablation":
        return {"rows": {asked["row"]: {"zsl_top1": _zsl(parts)}}, "split_sha256": split.sha256}
    rows = _trained_rows(fitted, parts, tuple(data.classes[c] for c in parts.classes))
    if asked.get("row") == CHOSEN:
        rows["locate"]["start_is_mean"] = float(fitted.model.config.start == "mean")
        return {"rows": {f"{name}, {CHOSEN}": found for name, found in rows.items()}, "split_sha256": split.sha256}
    rows |= _baseline_rows(fitted, tensors, parts, config.ridge, trained=table == "gym")
    rows["locate"]["batch_gap"] = batch_gap(fitted, tensors)
    rows["locate+gat"] |= graph_effect(fitted, tensors)
    if table != "gym":
        rows["locate"]["reversed_top1"] = _reversed_top1(fitted, tensors)
    return {"rows": rows, "split_sha256": split.sha256}


def batch_gap(fitted: Fitted, tensors: Tensors) -> float:
    """Return the largest change of an unseen video's class probabilities when it is answered alone."""
    import torch

    from whyact.locate_gat.evidence import Candidates, probabilities

    unseen, first = fitted.unseen, len(fitted.seen)
    rows = torch.arange(first, first + len(unseen))
    names = tuple(fitted.names[c] for c in unseen)
    candidates = Candidates(names, rows, tensors.text[torch.from_numpy(unseen)])
    frames = tensors.frames[torch.from_numpy(fitted.part.unseen_test)]

    def answered(part: Tensor) -> Tensor:
        with torch.no_grad():
            return probabilities(fitted.model, fitted.model.embed(part), candidates)

    alone = torch.cat([answered(frames[i : i + 1]) for i in range(len(frames))])
    return float((answered(frames) - alone).abs().max())


def graph_effect(fitted: Fitted, tensors: Tensors) -> dict[str, float]:
    """Return the largest change of a score when all graph weights are drawn anew, at mix 0 and at ``SHARE``."""
    import torch

    from whyact.locate_gat.model import LoCATeGAT

    model = fitted.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fitted.seed + 1)
        fresh = LoCATeGAT(model.config, tensors.frames.shape[2], model.seen, model.auxiliary)
    assert fresh.gat is not None
    other = {name: value for name, value in model.state_dict().items() if not name.startswith("gat.")}
    fresh.load_state_dict(other | {f"gat.{name}": value for name, value in fresh.gat.state_dict().items()})
    fresh.eval()
    others = tensors.text[torch.from_numpy(fitted.unseen)]
    found = {}
    with torch.no_grad():
        video = model.embed(tensors.frames[torch.from_numpy(fitted.part.unseen_test)])
        for mix in (0.0, SHARE):
            pairs = [one.classifier(others, mix) for one in (model, fresh)]
            before, after = (video @ weight.T + bias for weight, bias in pairs)
            found[f"graph_effect_at_mix_{mix:g}"] = float((before - after).abs().max())
    return found


def _shuffled(data: ZeroShotData, seen: tuple[str, ...], seed: int) -> ZeroShotData:
    """Return the data with the text vectors of its seen classes permuted: nothing true can be learned from them."""
    import numpy as np

    index = data.index(seen)
    text = data.text.copy()
    text[index] = text[np.random.default_rng([0x5F, seed]).permutation(index)]
    return replace(data, text=text)


def _zsl(parts: ScoreParts) -> float:
    from whyact.locate_gat.task import measures

    return measures(parts, 0.0, 0.0)["zsl_top1"]


def _trained_rows(fitted: Fitted, parts: ScoreParts, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    from whyact.locate_gat.evidence import rank_changes
    from whyact.locate_gat.task import measures

    choice = fitted.choice
    rows = {
        "locate": _kept(measures(parts, 0.0, choice.calibration_text)),
        "locate+gat": _kept(measures(parts, choice.mix, choice.calibration)) | {"mix": choice.mix},
    }
    mine, first = parts.unseen_videos(), int(parts.seen.sum())
    text, mixed = parts.text[mine][:, first:], parts.at(choice.mix)[mine][:, first:]
    changed = rank_changes(text, mixed, parts.target[mine] - first, names[first:])
    rows["locate+gat"]["polysemy_names"] = float(len(changed))
    return rows


def _baseline_rows(
    fitted: Fitted, tensors: Tensors, parts: ScoreParts, strength: float, trained: bool
) -> dict[str, dict[str, float]]:
    """Measure the baselines on the same videos; each one's handicap is tuned as the model's is, on seen classes.

    ``mean-pool`` is what LoCATe starts from: the plain mean of frames where they share a space with the names, else
    ridge regression; ``text-only`` is ConSE.
    """
    import numpy as np

    from whyact.locate_gat.baselines import BASELINES, ridge_to_text, scores
    from whyact.locate_gat.stages import inner_split
    from whyact.locate_gat.task import measures
    from whyact.metrics.zero_shot import tune_calibration

    baselines = {name: BASELINES[name] for name in ("eszsl", "sae", "prototypes")}
    at_strength = partial(ridge_to_text, strength=strength)
    if trained:
        baselines["mean-pool"] = at_strength
    else:
        baselines |= {"mean-pool": BASELINES["clip-zero-shot"], "ridge": at_strength}
    baselines["text-only"] = BASELINES["conse"]
    train, config = fitted.part.train, fitted.model.config
    videos = np.concatenate([fitted.part.seen_test, fitted.part.unseen_test])
    found = {}
    for name, baseline in baselines.items():
        handicaps = []
        for inner in inner_split(tensors, fitted.seen, train, config, fitted.names, fitted.seed):
            rehearsed = scores(baseline, tensors, inner.seen, inner.unseen, inner.train, inner.test)
            handicaps.append(tune_calibration(rehearsed.text, rehearsed.target, rehearsed.seen))
        whole = scores(baseline, tensors, fitted.seen, fitted.unseen, train, videos)
        found[name] = _kept(measures(whole, 0.0, float(np.mean(handicaps))))
    return found


def _reversed_top1(fitted: Fitted, tensors: Tensors) -> float:
    return _zsl(fitted.scores(replace(tensors, frames=tensors.frames.flip(1))))


def _kept(measured: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in measured.items() if not key.endswith("_videos")}
