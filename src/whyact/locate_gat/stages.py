"""Train both stages on one split, and choose mix and calibration by rehearsing with seen classes alone.

A rehearsal trains on some of the seen classes and lets the others play the unseen, so the graph's share and the
handicap of seen classes are chosen without one look at an unseen class or its videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
from whyact.locate_gat.losses import cosine_softmax, graph_regression, mse, prototypes
from whyact.locate_gat.model import LocateGat
from whyact.metrics.zero_shot import mean_per_class, tune_calibration
from whyact.training.fit import fit
from whyact.training.numerics import seed_everything
from whyact.training.trainable import Optimization, StepOutput, Trainable

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


class Batches:
    """Shuffled batches of one epoch, the order drawn from torch's global generator."""

    def __init__(self, frames: Tensor, target: Tensor, size: int) -> None:
        self.frames, self.target, self.size = frames, target, size

    def __len__(self) -> int:
        return -(-len(self.target) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self.target)).split(self.size):
            yield self.frames[index], self.target[index]


class Stage1(Trainable):
    """Fit LoCATe: video vectors towards the texts of their classes."""

    text: Tensor

    def __init__(self, model: LocateGat, steps_per_epoch: int) -> None:
        super().__init__()
        self.model, self.warmup = model.encoder, round(model.config.warmup * steps_per_epoch)
        self.config = model.config
        self.register_buffer("text", model.seen, persistent=False)

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
        """Return the loss of one batch of frames (B,T,Dv) and seen-class indices (B,)."""
        frames, target = batch
        video = self.model(frames)
        if self.config.loss == "mse":
            loss = mse(video, self.text, target)
        else:
            loss = cosine_softmax(video, self.text, target, self.config.temperature)
        return StepOutput(loss, rows=len(target))

    def configure_optimizers(self) -> Optimization:
        """Return Adam with a linear warm-up."""
        optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        warmup = max(self.warmup, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / warmup, 1.0))
        return Optimization(optimizer, schedule)


class Stage2(Trainable):
    """Fit the graph: rows of seen classes towards ``targets`` (S,D), full batch, LoCATe frozen."""

    targets: Tensor

    def __init__(self, model: LocateGat, targets: Tensor) -> None:
        super().__init__()
        self.gat, self.config = model.gat, model.config
        self.whole = [model]  # in a list: its weights are not this module's to move or train
        self.register_buffer("targets", targets, persistent=False)

    def training_step(self, batch: Tensor, step: int) -> StepOutput:
        """Return the regression loss of the seen rows."""
        model = self.whole[0]
        rows, _reach = model.graph_rows(model.seen[:0])
        return StepOutput(graph_regression(rows, self.targets, self.config.gat_loss))

    def configure_optimizers(self) -> Optimization:
        """Return Adam at the published rate and decay."""
        assert self.gat is not None
        optimizer = torch.optim.Adam(self.gat.parameters(), lr=self.config.gat_learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 100, 0.999)
        return Optimization(optimizer, schedule)


def train_stages(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = False,
    resume_dir: Path | None = None,
) -> tuple[LocateGat, list[dict[str, float]]]:
    """Train both stages on the videos ``train`` of the classes ``seen`` (positions in the data).

    With a ``resume_dir`` the state of each stage is kept there, and a training that was stopped goes on from it.

    Returns:
        The model in evaluation mode, with mix and calibration 0 unless the config sets them, and the history.
    """
    seed_everything(seed)
    local = torch.full((len(tensors.text),), -1)
    local[torch.from_numpy(seen)] = torch.arange(len(seen))
    index = torch.from_numpy(train)
    frames, target = tensors.frames[index], local[tensors.target[index]]
    model = LocateGat(config, frames.shape[2], tensors.text[torch.from_numpy(seen)], tensors.auxiliary)
    if isinstance(model.encoder.project, torch.nn.Linear):
        # A projection from scratch would have to learn from a few hundred clips what ridge regression solves exactly.
        weight, bias = ridge(frames[..., : model.encoder.own_width].mean(1), model.seen[target], config.ridge)
        model.encoder.project.weight.data, model.encoder.project.bias.data = weight, bias
    model.to(resolve_device(device))
    batches = Batches(frames, target, config.batch)
    asked = {"settings": asdict(config), "seen": seen.tolist(), "train": train.tolist()}
    kept: dict[str, Any] = {"seed": seed, "device": device, "progress": progress}
    kept["fingerprint"] = sha256(canonical_json(asked))

    def state(stage: str) -> Path | None:
        return None if resume_dir is None else resume_dir / stage

    stage1 = Stage1(model, len(batches))
    history = fit(stage1, batches, epochs=config.epochs, resume_dir=state("stage1"), **kept).history
    model.eval()
    video = embed(model, frames)
    if model.gat is not None:
        stage2 = Stage2(model, _targets(video, target, len(seen), config))
        model.gat.train()
        steps = STEPS_AN_EPOCH if config.gat_steps % STEPS_AN_EPOCH == 0 else config.gat_steps
        epochs, once = config.gat_steps // steps, [torch.zeros(1)] * steps
        history += fit(stage2, once, epochs=epochs, resume_dir=state("stage2"), **kept).history
    model.eval()
    with torch.no_grad():
        for i, rows in enumerate(model.parts(tensors.text[:0])):
            if rows is not None:
                score = video @ rows.T
                model.standard[i] = torch.stack([score.mean(), score.std(correction=0).clamp_min(1e-3)])
    model.choice = torch.tensor([config.mix or 0.0, config.calibration or 0.0])
    return model, history


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
def embed(model: LocateGat, frames: Tensor) -> Tensor:
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
def score_parts(model: LocateGat, tensors: Tensors, seen: Int, unseen: Int, videos: Int) -> ScoreParts:
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
    resume_dir: Path | None = None,
) -> Choice:
    """Choose mix and calibration on held-out seen classes, see :func:`inner_split`.

    The mix with the best mean per-class accuracy wins, the smaller one on a tie; the calibration is the mean
    over rehearsals.
    """
    parts, blank = [], replace(config, mix=0.0, calibration=0.0)
    for i, inner in enumerate(inner_split(tensors, seen, train, config, names, seed, validation)):
        state = None if resume_dir is None else resume_dir / f"rehearsal{i}"
        model, _ = train_stages(tensors, inner.seen, inner.train, blank, seed=seed, resume_dir=state)
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

    model: LocateGat
    choice: Choice
    seen: Int
    unseen: Int
    part: Partition
    names: tuple[str, ...]
    seed: int
    history: list[dict[str, float]]

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
    device: str = "cpu",
    progress: bool = False,
    resume_dir: Path | None = None,
) -> tuple[Fitted, Tensors]:
    """Hold out seen videos, rehearse where mix or calibration is open, train, and return all of it."""
    part = partition(data, split, config.holdout, seed)
    tensors = Tensors.of(data, config.frames)
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    if config.mix is None or config.calibration is None:
        choice = rehearse(tensors, seen, part.train, config, data.classes, seed, part.validation, resume_dir)
    else:
        choice = Choice(config.mix, config.calibration, config.calibration, {})
    model, history = train_stages(
        tensors, seen, part.train, config, seed=seed, device=device, progress=progress, resume_dir=resume_dir
    )
    model.choice = torch.tensor([choice.mix, choice.calibration])
    return Fitted(model, choice, seen, unseen, part, data.classes, seed, history), tensors
