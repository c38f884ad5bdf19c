"""Train both stages on one split, and choose mix and calibration by rehearsing with seen classes alone.

A rehearsal trains on some of the seen classes and lets the others play the unseen, so the graph's share and the
handicap of seen classes are chosen without one look at an unseen class or its videos.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whyact.data.types import Int
from whyact.data.zero_shot.types import ClassSplit, Partition, ZeroShotData, partition, shuffle_key
from whyact.devices import resolve_device
from whyact.files import canonical_json, sha256
from whyact.locate_gat.baselines import ridge
from whyact.locate_gat.config import Config
from whyact.locate_gat.learner import Batches, Stage1, Stage2
from whyact.locate_gat.losses import prototypes
from whyact.locate_gat.model import LoCATeGAT
from whyact.locate_gat.scores import ScoreParts, Tensors, embed, score_parts
from whyact.metrics.zero_shot import mean_per_class, tune_calibration
from whyact.training.evaluation import inputs_sum
from whyact.training.fit import FitOptions, FitResult, Validation, fit
from whyact.training.log import Row
from whyact.training.numerics import seed_everything
from whyact.training.options import DEFAULTS, TrainOptions
from whyact.training.state import Best
from whyact.training.trainable import Trainable

STEPS_AN_EPOCH = 100  # of the graph's training, whose state is kept after each such epoch
START_FOLDS, START_REPEATS = 3, 3  # of the cross-validation that chooses the start
MIXES = tuple(round(0.1 * i, 1) for i in range(10))


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
    # The data are part of it: a training must not resume from a state that was reached on other data.
    inputs = inputs_sum(part.cpu().numpy() for part in (*frames, target, model.seen, model.auxiliary))
    identity = {"settings": asdict(config), "seen": seen.tolist(), "train": train.tolist(), "inputs": inputs}
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
    history, best = list[Row](), None
    if any(p.requires_grad for p in model.encoder.parameters()):  # the plain mean of frames has nothing to learn
        first = fit_stage(Stage1(model, len(batches)), batches, config.epochs, "stage1", validation)
        history = list(first.history)
        if first.best is not None:
            encoder = {name.removeprefix("model."): w for name, w in first.best.weights.items()}
            best = deepcopy(model), first.best
            best[0].encoder.load_state_dict(encoder)
    history += finish(model, "stage2")
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


@dataclass(frozen=True)
class Choice:
    """What the rehearsals chose: the graph's share, and the handicap of seen classes with and without the graph.

    ``rehearsed`` is the accuracy at every mix, ``starts`` that of each start of the block.
    """

    mix: float
    calibration: float
    calibration_text: float
    rehearsed: dict[float, float]
    starts: dict[str, float] = field(default_factory=dict)


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


def _cross_validate(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    names: tuple[str, ...],
    seed: int,
    validation: Int | None,
    **options: Unpack[FitOptions],
) -> list[ScoreParts]:
    """Train on each of :func:`inner_split` and score its test videos."""
    parts, config, folder = [], replace(config, mix=0.0, calibration=0.0), options.get("resume_dir")
    quiet: FitOptions = {**options, "progress": False, "history": None}
    for i, inner in enumerate(inner_split(tensors, seen, train, config, names, seed, validation)):
        quiet["resume_dir"] = None if folder is None else folder / f"rehearsal{i}"
        model, _, _ = train_stages(tensors, inner.seen, inner.train, config, seed=seed, **quiet)
        parts.append(score_parts(model, tensors, inner.seen, inner.unseen, inner.test))
    return parts


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
    parts = _cross_validate(tensors, seen, train, config, names, seed, validation, **options)
    rehearsed = {mix: float(np.mean([part.unseen_accuracy(mix) for part in parts])) for mix in MIXES}
    mix = max(MIXES, key=lambda m: (round(rehearsed[m], 6), -m)) if config.graph else 0.0
    mix = mix if config.mix is None else config.mix

    def calibration(share: float) -> float:
        return float(np.mean([tune_calibration(part.at(share), part.target, part.seen) for part in parts]))

    chosen = calibration(mix) if config.calibration is None else config.calibration
    return Choice(mix, chosen, calibration(0.0), rehearsed)


def starts(config: Config) -> list[Config]:
    """Return what ``start: choose`` tries, the simplest first: the mean of frames, of which nothing is trained."""
    identity = replace(config, start="identity", learning_rate=config.learning_rate / 10)
    return [replace(config, start="mean"), identity, replace(config, start="random")]


def choose_start(
    tensors: Tensors,
    seen: Int,
    train: Int,
    config: Config,
    names: tuple[str, ...],
    seed: int = 0,
    validation: Int | None = None,
    **options: Unpack[FitOptions],
) -> tuple[Config, dict[str, float]]:
    """Choose how the block starts by inner cross-validation on the seen classes, the graph left aside.

    Every seen class plays the unseen once in each of ``START_REPEATS`` drawings of folds; published validation classes
    do in each. The simplest start wins whose accuracy is within one standard error of the best one's, the error being
    that of the paired differences over classes: what does not differ clearly from the mean of frames stays it.

    Returns:
        The settings with the chosen start, and the mean accuracy over classes of each start, in 0..100.
    """
    candidates, folder = starts(config), options.get("resume_dir")
    folds = min(max(config.rehearsals, START_FOLDS), max(len(seen) // 2, 1))  # one class alone is always named right
    accuracy = []
    for candidate in candidates:
        parts = []
        trial = replace(candidate, graph=False, rehearsals=folds)
        for repeat in range(START_REPEATS):
            place = None if folder is None else folder / f"start-{candidate.start}" / str(repeat)
            own: FitOptions = {**options, "resume_dir": place}
            parts += _cross_validate(tensors, seen, train, trial, names, seed + repeat, validation, **own)
        accuracy.append(_class_accuracies(parts))
    chosen = simplest_of_best(accuracy)
    means: dict[str, float] = {
        candidate.start: float(values.mean()) for candidate, values in zip(candidates, accuracy, strict=True)
    }
    return candidates[chosen], means


def _class_accuracies(parts: list[ScoreParts]) -> NDArray[np.float64]:
    """Return the accuracy of each class that plays the unseen (N,), the mean over the parts in which it does."""
    classes = np.concatenate([part.classes[~part.seen] for part in parts])
    values = np.concatenate([part.unseen_accuracies(0.0) for part in parts])
    return np.array([np.nanmean(values[classes == c]) for c in np.unique(classes[np.isfinite(values)])])


def simplest_of_best(accuracy: list[NDArray[np.float64]]) -> int:
    """Return the first within one standard error of the best (Breiman et al. 1984), paired over classes (N,)."""
    best = max(accuracy, key=np.mean)
    if len(best) < 2:
        return 0
    gaps = [best - values for values in accuracy]
    return next(i for i, gap in enumerate(gaps) if gap.mean() <= gap.std(ddof=1) / len(gap) ** 0.5)


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
    start_accuracy: dict[str, float] = {}
    if config.start == "choose":
        config, start_accuracy = choose_start(
            tensors, seen, part.train, config, data.classes, seed, part.validation, **options
        )
    if config.mix is None or config.calibration is None:
        choice = rehearse(tensors, seen, part.train, config, data.classes, seed, part.validation, **options)
    else:
        choice = Choice(config.mix, config.calibration, config.calibration, {})
    choice = replace(choice, starts=start_accuracy)
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
