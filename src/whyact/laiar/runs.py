"""A trained LaIAR on disk: weights, settings, words, label bank and threshold, verified on load."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from whyact.data.types import RelationGroup, Rule, Vocabulary
from whyact.errors import UserError
from whyact.laiar.config import Config
from whyact.laiar.domain import BoxDomain, BoxPart, Domain
from whyact.laiar.evidence import LabelBank
from whyact.laiar.learner import build_model
from whyact.laiar.model import LaIAR
from whyact.metrics.calibration import ClaimFit
from whyact.training.checkpoint import BestWeights, load_checkpoint, save_checkpoint, unreadable
from whyact.training.state import Best

YES = 0.5  # what is less probable than this is more likely false than true, and never said without a doubt
LANGUAGE = ("s.", "f_s.", "head_s.", "head_v2s.", "language_dt_former.")  # what answering never uses


class _Words(msgspec.Struct):
    objects: list[str]
    relations: list[str]
    actions: list[str]
    allowed: list[tuple[str, str, list[str]]]
    rules: list[tuple[str, str, str, str, list[str]]]
    groups: list[tuple[str, list[str], bool]] = []
    multi_label: bool = False
    at_most: dict[str, int] = {}
    measured: bool = False


@dataclass
class Run:
    """A trained model with everything that answering needs.

    ``threshold`` is the confidence under which an answer is unsure, never less than one half, and ``temperature``
    divides the logits; both were chosen on training groups held out (``calibrated`` says how), or are one half and 1.
    ``naming_calibration`` holds what a named "transition" or "state" is worth, fitted there too
    (:func:`whyact.metrics.calibration.fit_calibration`).
    ``history`` holds every epoch's mean loss terms and keep rate; ``prior`` (C,) how often each action happens in the
    training clips. ``clip_seconds`` is the training clips' median length; ``domain`` knows what their frames look like,
    where the model was trained with pixels; ``box_domain`` their boxes, where a detector found them. ``best`` is the
    epoch that scored highest on held-out data, ``best_bank`` its label bank.
    """

    model: LaIAR
    vocabulary: Vocabulary
    config: Config
    bank: LabelBank
    prior: list[float] = field(default_factory=list)
    threshold: float = YES
    temperature: float = 1.0
    calibrated: str = ""
    naming_calibration: dict[str, ClaimFit] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    clip_seconds: float = 0.0
    domain: Domain | None = None
    box_domain: BoxDomain | None = None
    best: Best | None = None
    best_bank: LabelBank | None = None
    card: dict[str, Any] | None = None
    path: str = ""
    sha256: str = ""

    @property
    def knows_chances(self) -> bool:
        """Return whether it is known how often the model's names are true.

        A run without that (an older one, or one that names token by token) states what passes the random control alone.
        """
        return bool(self.naming_calibration) or self.vocabulary.has_no_relations or self.vocabulary.only_measured


def _current(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run of any age under today's names."""
    renamed = {("model", "course"): "endpoint_delta", ("loss", "scheme"): "guidance"}
    out = {section: dict(values) for section, values in config.items()}
    for (section, old), new in renamed.items():
        if old in out.get(section, {}):
            out[section].setdefault(new, out[section].pop(old))
    return out


def save_run(
    run: Run, folder: Path, card: dict[str, Any], *, history: str = "", best: dict[str, Any] | None = None
) -> Path:
    """Write a run folder.

    Args:
        run: The run, with its ``best`` epoch if it has one.
        folder: Where.
        card: Data, split_sha256, seed, metrics and what else there is to say.
        history: The text of ``history.csv``.
        best: The card of the best epoch, if it is to be saved too.
    """
    chosen = None
    if best is not None and run.best is not None:
        model = deepcopy(run.model)
        model.load_state_dict(run.best.weights)
        chosen = BestWeights(*_contents(replace(run, model=model, bank=run.best_bank or run.bank), best))
    tensors, whole = _contents(run, card)
    return save_checkpoint(folder, tensors, asdict(run.config), whole, history=history, best=chosen)


def _contents(run: Run, card: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the card of a run."""
    v = run.vocabulary
    words = _Words(
        list(v.objects),
        list(v.relations),
        list(v.actions),
        [(a, b, list(names)) for (a, b), names in v.allowed.items()],
        [(r.action, r.before, r.after, r.subject, list(r.objects)) for r in v.rules],
        [(g.name, list(g.relations), g.exclusive) for g in v.groups],
        v.multi_label,
        dict(v.at_most),
        v.measured,
    )
    extra = {
        **card.get("extra", {}),
        "words": msgspec.to_builtins(words),
        "prior": run.prior,
        "threshold": run.threshold,
        "temperature": run.temperature,
        "calibrated": run.calibrated,
        "naming_calibration": run.naming_calibration,
        "clip_seconds": run.clip_seconds,
    }
    tensors = dict(run.model.state_dict())
    if run.config.model.shared:  # the one DT-Former has two names in the module; store it once
        tensors = {name: t for name, t in tensors.items() if not name.startswith("language_dt_former.")}
    tensors |= {"bank.vectors": run.bank.vectors, "bank.triples": run.bank.triples}
    if run.domain is not None:
        tensors |= {"domain.mean": run.domain.mean, "domain.spread": run.domain.spread}
        extra["domain_limit"] = run.domain.limit
    if run.box_domain is not None:
        for name, part in run.box_domain.parts.items():
            tensors |= {f"box_domain.{name}.mean": part.mean, f"box_domain.{name}.whitening": part.whitening}
        extra["box_domain_limits"] = {name: part.limit for name, part in run.box_domain.parts.items()}
        extra["box_domain_empty"] = run.box_domain.empty
    return tensors, {"method": "laiar", **card, "extra": extra}


def load_run(folder: Path) -> Run:
    """Read and verify a run folder. A checkpoint stripped of its language modules answers all the same.

    Raises:
        UserError: When it is missing, damaged, or not LaIAR's.
    """
    found = load_checkpoint(folder)
    if found.card["method"] != "laiar":
        raise UserError(folder, found.card["method"], "a run of laiar")
    try:
        config = msgspec.convert(_current(found.config), Config)
        words = msgspec.convert(found.card["extra"]["words"], _Words)
        extra = found.card["extra"]
        vocabulary = Vocabulary(
            tuple(words.objects),
            tuple(words.relations),
            tuple(words.actions),
            {(a, b): tuple(names) for a, b, names in words.allowed},
            tuple(Rule(action, b, a, s, tuple(objects)) for action, b, a, s, objects in words.rules),
            tuple(RelationGroup(name, tuple(names), alone) for name, names, alone in words.groups),
            words.multi_label,
            dict(words.at_most),
            words.measured,
        )
        model = build_model(config, vocabulary)
        tensors = dict(found.tensors)
        bank = LabelBank(tensors.pop("bank.vectors"), tensors.pop("bank.triples"))
        domain = None
        if "domain_limit" in extra:
            domain = Domain(tensors.pop("domain.mean"), tensors.pop("domain.spread"), extra["domain_limit"])
        parts = {
            name: BoxPart(tensors.pop(f"box_domain.{name}.mean"), tensors.pop(f"box_domain.{name}.whitening"), limit)
            for name, limit in extra.get("box_domain_limits", {}).items()
        }
        result = model.load_state_dict(tensors, strict=False)
        missing = [name for name in result.missing_keys if not name.startswith(LANGUAGE)]
        if missing or result.unexpected_keys:
            raise UserError(folder, f"{missing or result.unexpected_keys}", "the tensors of this model")
    except (msgspec.ValidationError, KeyError, RuntimeError) as error:
        raise unreadable(folder, error) from error
    return Run(
        model.eval(),
        vocabulary,
        config,
        bank,
        prior=extra.get("prior", []),
        threshold=max(extra["threshold"], YES),  # older runs may have less
        temperature=extra["temperature"],
        calibrated=extra["calibrated"],
        naming_calibration={kind: ClaimFit(*fit) for kind, fit in extra.get("naming_calibration", {}).items()},
        history=extra.get("history", []),
        clip_seconds=extra.get("clip_seconds", 0.0),
        domain=domain,
        box_domain=BoxDomain(parts, extra.get("box_domain_empty", True)) if parts else None,
        card=found.card,
        path=str(folder),
        sha256=found.sha256,
    )
