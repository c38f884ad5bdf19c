"""Train both stages on one split, and choose mix and calibration by rehearsing with seen classes alone.

A rehearsal trains on some of the seen classes and lets the others play the unseen, so the graph's share and the
handicap of seen classes are chosen without one look at an unseen class or its videos.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whyact.data.types import Int
from whyact.data.zero_shot.types import ClassSplit, Partition, ZeroShotData, at_rate, partition, shuffle_key
from whyact.devices import resolve_device
from whyact.files import canonical_json, sha256
from whyact.locate_gat.baselines import ridge
from whyact.locate_gat.config import Config
from whyact.locate_gat.learner import Batches, Stage1, Stage2
from whyact.locate_gat.losses import prototypes
from whyact.locate_gat.model import LoCATeGAT
from whyact.metrics.zero_shot import mean_per_class, tune_calibration
from whyact.training.experiment import DEFAULTS, TrainOptions
from whyact.training.fit import FitOptions, FitResult, Validation, fit
from whyact.training.log import Row
from whyact.training.numerics import seed_everything
from whyact.training.state import Best
from whyact.training.trainable import Trainable

STEPS_AN_EPOCH = 100  # of the graph's training, whose state is kept after each such epoch
MIXES = tuple(round(0.1 * i, 1) for i in range(10))


@dataclass(frozen=True)
class Tensors:
    """A data set sampled and stacked: ``frames`` (N,T,Dv), ``target`` (N,), ``text`` (C,D), ``auxiliary`` (A,D)."""

    frames: Tensor
    target: Tensor
    text: Tensor
    auxiliary: Tensor

    @classmethod
    def of(cls, data: ZeroShotData, frames: int) -> Tensors:
        """Sample every video at ``frames`` places."""
        stacked = np.stack([at_rate(video.features, frames)[0] for video in data.videos])
        auxiliary = data.auxiliary_text.reshape(-1, data.text.shape[1])
        return cls(
            torch.from_numpy(stacked),
            torch.from_numpy(data.targets),
            torch.from_numpy(np.ascontiguousarray(data.text)),
            torch.from_numpy(np.ascontiguousarray(auxiliary)),
        )


def train_stages(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    *,
    seed: int = 0,
    held_out: Int | None = None,
    eval_every: int = 0,
    **options: Unpack[FitOptions],
) -> tuple[LoCATeGAT, list[Row], tuple[LoCATeGAT, Best] | None]:
    """Train both stages on the videos ``train`` of the classes ``seen`` (positions in the data).

    With a ``resume_dir`` the state of each stage is kept there, and a training that was stopped resumes from it. With
    ``eval_every`` the first stage is measured on the videos ``held_out`` after so many epochs.

    Returns:
        The model in evaluation mode, with mix and calibration 0 unless the config sets them; the history; and the
        model whose first stage scored highest on the held-out videos, if there are any.
    """
    seed_everything(seed)
    local = torch.full((len(tensors.text),), -1)
    local[torch.from_numpy(seen)] = torch.arange(len(seen))
    index = torch.from_numpy(train)
    frames, target = tensors.frames[index], local[tensors.target[index]]
    model = LoCATeGAT(config, frames.shape[2], tensors.text[torch.from_numpy(seen)], tensors.auxiliary)
    if isinstance(model.encoder.project, torch.nn.Linear):
        # A projection from scratch would have to learn from a few hundred clips what ridge regression solves exactly.
        weight, bias = ridge(frames[..., : model.encoder.own_width].mean(1), model.seen[target], config.ridge)
        model.encoder.project.weight.data, model.encoder.project.bias.data = weight, bias
    options.setdefault("device", "cpu")
    options.setdefault("progress", False)
    model.to(resolve_device(options["device"]))
    batches = Batches(frames, target, config.batch)
    identity = {"settings": asdict(config), "seen": seen.tolist(), "train": train.tolist()}
    fingerprint, folder = sha256(canonical_json(identity)), options.get("resume_dir")

    def fit_stage(learner: Trainable, batches: Any, epochs: int, stage: str, check: Validation | None) -> FitResult:
        own: FitOptions = {**options, "resume_dir": None if folder is None else folder / stage}
        return fit(
            learner, batches, epochs=epochs, seed=seed, fingerprint=fingerprint, stage=stage, validation=check, **own
        )

    def finish(model: LoCATeGAT, stage: str) -> list[Row]:
        """Train the graph and standardise both parts of the score."""
        model.eval()
        video, history = embed(model, frames), []
        if model.gat is not None:
            model.gat.train()
            steps = STEPS_AN_EPOCH if config.gat_steps % STEPS_AN_EPOCH == 0 else config.gat_steps
            learner = Stage2(model, _targets(video, target, len(seen), config))
            history = fit_stage(learner, [torch.zeros(1)] * steps, config.gat_steps // steps, stage, None).history
        model.eval()
        with torch.no_grad():
            for i, rows in enumerate(model.parts(tensors.text[:0])):
                if rows is not None:
                    score = video @ rows.T
                    model.standard[i] = torch.stack([score.mean(), score.std(correction=0).clamp_min(1e-3)])
        model.choice = torch.tensor([config.mix or 0.0, config.calibration or 0.0])
        return history

    validation = None
    if eval_every and held_out is not None:
        validation = Validation(eval_every, lambda: {"top1": _accuracy(model, tensors, held_out)}, "top1")
    first = fit_stage(Stage1(model, len(batches)), batches, config.epochs, "stage1", validation)
    best = None
    if first.best is not None:
        encoder = {name.removeprefix("model."): w for name, w in first.best.weights.items()}
        best = deepcopy(model), first.best
        best[0].encoder.load_state_dict(encoder)
    history = first.history + finish(model, "stage2")
    if best is not None:
        finish(best[0], "stage2-best")
    return model, history, best


def _accuracy(model: LoCATeGAT, tensors: Tensors, videos: Int) -> float:
    """Return the mean accuracy over classes, in 0..100, of naming videos among their own classes by their texts."""
    classes, target = np.unique(tensors.target.numpy()[videos], return_inverse=True)
    text = F.normalize(tensors.text[torch.from_numpy(classes)], dim=1)
    video = embed(model, tensors.frames[torch.from_numpy(videos)])
    return mean_per_class((video @ text.T).argmax(1).numpy(), target, len(classes))


def _targets(video: Tensor, target: Tensor, classes: int, config: Config) -> Tensor:
    """Return the rows (S,D) that the graph is regressed onto."""
    if config.gat_target == "prototype":
        return prototypes(video, target, classes)
    head = torch.nn.Linear(video.shape[1], classes, bias=False)
    if config.gat_target == "classifier":
        optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(video) / 0.1, target) + 1e-3 * head.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return F.normalize(head.weight.detach(), dim=1)
    return head.weight.detach()  # the published target: rows of a layer that nobody trained


@torch.no_grad()
def embed(model: LoCATeGAT, frames: Tensor) -> Tensor:
    """Return unit video vectors (N,D) of frames (N,T,Dv), a chunk at a time."""
    return torch.cat([model.embed(part) for part in frames.split(model.config.eval_batch)])


@dataclass(frozen=True)
class ScoreParts:
    """Standardised text and graph scores (N,C) of the same videos, so that every mix is one weighted sum.

    ``classes`` (C,) are positions in the data, ``target`` (N,) positions in ``classes``, ``seen`` (C,) marks seen ones.
    """

    text: NDArray[np.float32]
    graph: NDArray[np.float32]
    target: Int
    seen: NDArray[np.bool_]
    classes: Int

    def at(self, mix: float) -> NDArray[np.float32]:
        """Return the scores with this share of the graph."""
        return self.text if mix == 0 else (1 - mix) * self.text + mix * self.graph

    def unseen_videos(self) -> NDArray[np.bool_]:
        """Return which videos (N,) are of unseen classes."""
        return ~self.seen[self.target]


@torch.no_grad()
def score_parts(model: LoCATeGAT, tensors: Tensors, seen: Int, unseen: Int, videos: Int) -> ScoreParts:
    """Score ``videos`` against seen and unseen classes, text and graph apart."""
    classes = np.concatenate([seen, unseen])
    position = np.full(len(tensors.text), -1)
    position[classes] = np.arange(len(classes))
    index = torch.from_numpy(videos)
    video = embed(model, tensors.frames[index])
    scores = []
    parts = model.parts(tensors.text[torch.from_numpy(unseen)])
    for rows, (mean, sd) in zip(parts, model.standard.tolist(), strict=True):
        scores.append(torch.zeros(len(video), len(classes)) if rows is None else (video @ rows.T - mean) / sd)
    target = position[tensors.target[index].numpy()]
    text, graph = (score.numpy() for score in scores)
    return ScoreParts(text, graph, target, np.arange(len(classes)) < len(seen), classes)


@dataclass(frozen=True)
class Choice:
    """What the rehearsals chose: the graph's share, and the handicap of seen classes with and without the graph."""

    mix: float
    calibration: float
    calibration_text: float
    rehearsed: dict[float, float]


@dataclass(frozen=True)
class Rehearsal:
    """One inner split of the seen classes: positions of classes and of videos; ``test`` holds videos of both sides."""

    seen: Int
    unseen: Int
    train: Int
    test: Int


def inner_split(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    names: tuple[str, ...],
    seed: int = 0,
    validation: Int | None = None,
) -> list[Rehearsal]:
    """Return the rehearsals: each of ``config.rehearsals`` folds of the seen classes plays the unseen once.

    A single rehearsal takes ``config.rehearsal_classes`` of the classes. A fifth of the other classes' training
    videos stays out for the seen side. Where the split has validation classes, whose videos are at positions
    ``validation``, these play the unseen instead, in one rehearsal with all seen classes.
    """
    if validation is not None and len(validation):
        held = _fifth(train, seed)
        classes = np.unique(tensors.target.numpy()[validation])
        return [Rehearsal(seen, classes, np.setdiff1d(train, held), np.concatenate([held, validation]))]
    order = np.array(sorted(seen.tolist(), key=lambda c: shuffle_key(seed, names[c])), dtype=np.int64)
    folds = np.array_split(order, config.rehearsals)
    if config.rehearsals == 1:
        folds = [order[: max(round(config.rehearsal_classes * len(order)), 1)]]
    target = tensors.target.numpy()
    found = []
    for fold in folds:
        rest = np.setdiff1d(seen, fold)
        mine = train[np.isin(target[train], rest)]
        held = _fifth(mine, seed)
        test = np.concatenate([held, train[np.isin(target[train], fold)]])
        found.append(Rehearsal(rest, np.sort(fold), np.setdiff1d(mine, held), test))
    return found


def _fifth(videos: Int, seed: int) -> Int:
    return np.array([i for i in videos if int(shuffle_key(seed, str(i))[:8], 16) % 5 == 0], dtype=np.int64)


def rehearse(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    names: tuple[str, ...],
    seed: int = 0,
    validation: Int | None = None,
    **options: Unpack[FitOptions],
) -> Choice:
    """Choose mix and calibration on held-out seen classes, see :func:`inner_split`.

    The mix with the best mean per-class accuracy wins, the smaller one on a tie; the calibration is the mean
    over rehearsals.
    """
    parts, blank, folder = [], replace(config, mix=0.0, calibration=0.0), options.get("resume_dir")
    quiet: FitOptions = {**options, "progress": False, "history": None}
    for i, inner in enumerate(inner_split(tensors, seen, train, config, names, seed, validation)):
        quiet["resume_dir"] = None if folder is None else folder / f"rehearsal{i}"
        model, _, _ = train_stages(tensors, inner.seen, inner.train, blank, seed=seed, **quiet)
        parts.append(score_parts(model, tensors, inner.seen, inner.unseen, inner.test))
    rehearsed = {mix: float(np.mean([_unseen_accuracy(part, mix) for part in parts])) for mix in MIXES}
    mix = max(MIXES, key=lambda m: (round(rehearsed[m], 6), -m)) if config.graph else 0.0
    mix = mix if config.mix is None else config.mix

    def calibration(share: float) -> float:
        return float(np.mean([tune_calibration(part.at(share), part.target, part.seen) for part in parts]))

    chosen = calibration(mix) if config.calibration is None else config.calibration
    return Choice(mix, chosen, calibration(0.0), rehearsed)


def _unseen_accuracy(part: ScoreParts, mix: float) -> float:
    mine = part.unseen_videos()
    scores = part.at(mix)[mine][:, ~part.seen]
    first = int(part.seen.sum())
    return mean_per_class(scores.argmax(1), part.target[mine] - first, int((~part.seen).sum()))


@dataclass(frozen=True)
class Fitted:
    """A trained model with what was chosen for it and where its videos went."""

    model: LoCATeGAT
    choice: Choice
    seen: Int
    unseen: Int
    part: Partition
    names: tuple[str, ...]
    seed: int
    history: list[Row]
    best: tuple[LoCATeGAT, Best] | None = None

    def scores(self, tensors: Tensors) -> ScoreParts:
        """Score every test video, seen and unseen, against every class."""
        videos = np.concatenate([self.part.seen_test, self.part.unseen_test])
        return score_parts(self.model, tensors, self.seen, self.unseen, videos)


def fit_split(
    data: ZeroShotData,
    split: ClassSplit,
    config: Config,
    *,
    seed: int = 0,
    watch: TrainOptions = DEFAULTS,
    **options: Unpack[FitOptions],
) -> tuple[Fitted, Tensors]:
    """Hold out seen videos, rehearse where mix or calibration is open, train, and return all of it."""
    part = partition(data, split, config.holdout, seed)
    train, held_out = watch.hold_out(part.train.tolist(), lambda i: _group(data, i), part.unseen_test.tolist())
    part = replace(part, train=np.array(train, dtype=np.int64))
    tensors = Tensors.of(data, config.frames)
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    if config.mix is None or config.calibration is None:
        choice = rehearse(tensors, seen, part.train, config, data.classes, seed, part.validation, **options)
    else:
        choice = Choice(config.mix, config.calibration, config.calibration, {})
    model, history, best = train_stages(
        tensors,
        seen,
        part.train,
        config,
        seed=seed,
        held_out=np.array(held_out, dtype=np.int64),
        eval_every=watch.eval_every,
        **options,
    )
    for kept in [model, *([best[0]] if best else [])]:
        kept.choice = torch.tensor([choice.mix, choice.calibration])
    return Fitted(model, choice, seen, unseen, part, data.classes, seed, history, best), tensors


def _group(data: ZeroShotData, video: int) -> str:
    return data.videos[video].group or data.videos[video].id
