"""The simple rivals of LaIAR on relation clips: what a table must show before a network's number means anything.

Every baseline is a pure function of (train clips, test clips, vocabulary, seed) that returns the predicted action
indices (N,) of the test clips. Each reads the very tokens that the models read at evaluation: ten evenly spaced
frames, both ends included, and for scores from RGB the mean over the window around each of them.
The learned ones describe a clip as :mod:`whyact.laiar.forest` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError
from whyact.laiar.forest import box_features, grow, kinds_of, pooled
from whyact.laiar.scene import SceneTerm
from whyact.metrics.recall import macro_recall
from whyact.metrics.transitions import rule_action, rule_transitions

if TYPE_CHECKING:  # answering imports this module's neighbours, and must not wait for scikit-learn
    from sklearn.base import ClassifierMixin

Clips = Sequence[RelationClip]
Answer = NDArray[np.int64]
Features = Callable[[Clips, Vocabulary], Float64]
Model = Callable[[Float64, Answer, NDArray[np.str_], int], "ClassifierMixin"]

FRAMES = 10
NULL = "null"
TREES = 300
STRENGTHS = (0.01, 0.1, 1.0, 10.0)


def majority(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer the most frequent training action, the first of the vocabulary where two are as frequent."""
    return np.full(len(test), np.bincount(_targets(train)).argmax(), dtype=np.int64)


def object_classes(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from the classes that are there at all, by logistic regression."""
    return _learned(_logistic, _class_features, train, test, vocabulary, seed)


def rules(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer what the annotation's rules say of the test clips' true relations; nothing is learned."""
    batch = _tokens(test, relations=True)
    if batch.relations is None:  # no clip at all
        return np.zeros(0, dtype=np.int64)
    relations, valid, classes = batch.relations.numpy() > 0, batch.valid.numpy(), batch.classes.numpy()
    found = [
        rule_transitions(relations[i], valid[i], classes[i, :, 0], classes[i, :, 1], vocabulary)
        for i in range(len(test))
    ]
    return np.array([vocabulary.actions.index(rule_action(one, NULL)) for one in found], dtype=np.int64)


def relation_logistic(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from the true relations at start, on average and at the end, by logistic regression."""
    return _learned(_logistic, _relation_features, train, test, vocabulary, seed)


def relation_forest(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from the true relations at start, on average and at the end, by random forest."""
    return _learned(_forest, _relation_features, train, test, vocabulary, seed)


def rgb_logistic(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from the relation scores predicted from RGB, by logistic regression.

    Raises:
        UserError: When a clip has no appearance.
    """
    return _learned(_logistic, _rgb_features, train, test, vocabulary, seed)


def rgb_forest(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from the relation scores predicted from RGB, by random forest.

    Raises:
        UserError: When a clip has no appearance.
    """
    return _learned(_forest, _rgb_features, train, test, vocabulary, seed)


def box_forest(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from hand-made measures of each pair's boxes and from the classes, by random forest."""
    return _learned(_forest, _box_features, train, test, vocabulary, seed)


def whole_frames(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Answer from mean and spread of an image network's view of whole frames, by logistic regression.

    Raises:
        UserError: When a clip has none.
    """
    for clip in (*train, *test):
        if clip.scene is None:
            step = "--data.pixels true --data.scene true"
            raise UserError(f"clip {clip.id}, scene", None, "vectors of whole frames", step)
    seen = [torch.from_numpy(np.asarray(clip.scene, np.float32)) for clip in (*train, *test)]
    term = SceneTerm(seen[0].shape[-1], len(vocabulary.actions))
    length = max(len(frames) for frames in seen)
    padded = torch.stack([torch.nn.functional.pad(frames, (0, 0, 0, length - len(frames))) for frames in seen])
    term.fit(padded[: len(train)], _targets(train), [clip.group for clip in train])
    return np.asarray(term(padded[len(train) :]).argmax(-1).numpy(), dtype=np.int64)


class Baseline(NamedTuple):
    """A baseline with what a table says of it."""

    predict: Callable[[Clips, Clips, Vocabulary, int], Answer]
    needs_rgb: bool
    note: str


BASELINES: dict[str, Baseline] = {
    "majority": Baseline(majority, False, "Reads nothing of a test clip."),
    "object-classes": Baseline(
        object_classes, False, "Logistic regression that reads which object classes a clip's annotated pairs have."
    ),
    "rules": Baseline(
        rules, False, "Reads the true relations of the test clip at ten frames and applies the annotation's own rules."
    ),
    "relation-logistic": Baseline(
        relation_logistic,
        False,
        "Logistic regression that reads start, mean, end and change of the test clip's true relations.",
    ),
    "relation-forest": Baseline(
        relation_forest,
        False,
        "Random forest that reads start, mean, end and change of the test clip's true relations.",
    ),
    "rgb-logistic": Baseline(
        rgb_logistic,
        True,
        "Logistic regression that reads start, mean, end and change of the relation scores predicted from RGB.",
    ),
    "rgb-forest": Baseline(
        rgb_forest,
        True,
        "Random forest that reads start, mean, end and change of the relation scores predicted from RGB.",
    ),
    "box-forest": Baseline(
        box_forest,
        False,
        "Random forest that reads start, mean, end and change of hand-made box geometry, and the object classes.",
    ),
}


RIVALS = ("majority", "object-classes", "box-forest")  # read what the video model reads, and take seconds
BEHIND = "with few clips, or actions without rules, a forest may stay ahead. Next: more epochs (--optim.epochs), "
MORE_PEOPLE = "more annotated people, or --data.pixels true"
MORE_CLIPS = "or more clips of each class, from other films or groups"  # nobody annotates a folder of clips


def measure_rivals(train: Clips, test: Clips, vocabulary: Vocabulary, seed: int = 0) -> dict[str, float]:
    """Return the mAR of each of :data:`RIVALS` on the test clips, in 0..1; each clip shows one action.

    Raises:
        UserError: When a clip has no target.
    """
    truth = _targets(test)
    names = RIVALS if len(set(_targets(train))) > 1 else RIVALS[:1]
    found = {name: BASELINES[name].predict(train, test, vocabulary, seed) for name in names}
    if len(names) > 1 and all(clip.scene is not None for clip in (*train, *test)):
        found["whole-frames"] = whole_frames(train, test, vocabulary, seed)
    return {name: macro_recall(truth, answer, len(vocabulary.actions)) for name, answer in found.items()}


def compare_rivals(ours: float, rivals: dict[str, float], *, annotated: bool = True) -> str:
    """Say in one line where LaIAR's mAR stands beside its rivals', and what to try when it is behind.

    Args:
        ours: LaIAR's.
        rivals: Theirs, by name.
        annotated: Whether people annotated boxes and relations; or clips had a label each, and all else was measured.
    """
    best = max(rivals, key=lambda name: rivals[name])
    if ours >= rivals[best]:
        return f"LaIAR {ours:.3f} mAR, ahead of the best simple rival: {best} {rivals[best]:.3f}"
    step = MORE_PEOPLE if annotated else MORE_CLIPS
    return f"LaIAR {ours:.3f} mAR is behind {best} {rivals[best]:.3f}: {BEHIND}{step}"


def _tokens(clips: Clips, *, relations: bool = False) -> RelationBatch:
    """Cut all clips at ten even frames into one batch; without ``relations`` they are taken away first."""
    read = list(clips) if relations else [clip.without_relations() for clip in clips]
    if relations:
        for clip in read:
            if clip.relations is None:
                raise UserError(f"clip {clip.id}, relations", None, "its true relations")
    packed = PackedClips(read, slots=max((len(clip.slots) for clip in read), default=0))
    index = np.arange(len(read))
    return packed.batch(index, packed.even_positions(index, FRAMES))


def _class_features(clips: Clips, vocabulary: Vocabulary) -> Float64:
    bag = np.zeros((len(clips), len(vocabulary.objects)))
    for row, clip in zip(bag, clips, strict=True):
        row[clip.subject_class] = row[clip.object_class] = 1.0
    return bag


def _relation_features(clips: Clips, vocabulary: Vocabulary) -> Float64:
    batch = _tokens(clips, relations=True)
    assert batch.relations is not None
    return _pooled(batch.relations, batch.valid, batch, vocabulary)


def _rgb_features(clips: Clips, vocabulary: Vocabulary) -> Float64:
    for clip in clips:
        if clip.appearance is None:
            raise UserError(f"clip {clip.id}, appearance", None, "relation scores", "read the data with rgb_relations")
    batch = _tokens(clips)
    assert batch.appearance is not None
    there = batch.valid & batch.appearance.any(-1)  # all zeros where the network saw nothing
    return _pooled(batch.appearance, there, batch, vocabulary)


def _pooled(values: torch.Tensor, there: torch.Tensor, batch: RelationBatch, vocabulary: Vocabulary) -> Float64:
    objects = len(vocabulary.objects)
    kinds = kinds_of(batch.classes, batch.valid, objects)
    return pooled(values.double(), there, batch.classes, objects, kinds).numpy()


def _box_features(clips: Clips, vocabulary: Vocabulary) -> Float64:
    batch, objects = _tokens(clips), len(vocabulary.objects)
    return box_features(batch, objects, kinds_of(batch.classes, batch.valid, objects)).numpy()


def _learned(model: Model, features: Features, train: Clips, test: Clips, vocabulary: Vocabulary, seed: int) -> Answer:
    """Fit on what varies in the training clips and answer for the test clips."""
    target = _targets(train)
    if not test:
        return np.zeros(0, dtype=np.int64)
    described = features([*train, *test], vocabulary)  # alike, and what varies in no training clip is left out
    known, asked = described[: len(train)], described[len(train) :]
    varies = (known != known[:1]).any(0)
    if not varies.any():  # every training clip looks the same to it: own clips that all show the same things
        return majority(train, test, vocabulary, seed)
    fitted = model(known[:, varies], target, np.array([clip.group for clip in train]), seed)
    return np.asarray(fitted.predict(asked[:, varies]), dtype=np.int64)


def _targets(clips: Clips) -> Answer:
    for clip in clips:
        if clip.target is None:
            raise UserError(f"clip {clip.id}, target", None, "an action to learn from")
    return np.array([clip.target for clip in clips], dtype=np.int64)


def _logistic(known: Float64, target: Answer, groups: NDArray[np.str_], seed: int) -> ClassifierMixin:
    """Fit a logistic regression; its strength is the one best on training subjects left out in turn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

    # Classes weigh the same, for the measure is the mean recall over classes. Not standardised: every feature is a
    # share already, and a column that is rare in training would be blown up for a new subject.
    model = LogisticRegression(max_iter=2000, class_weight="balanced", random_state=seed)
    splits = list(LeaveOneGroupOut().split(known, target, groups)) if len(set(groups)) > 1 else []
    splits = [(left, out) for left, out in splits if len(set(target[left])) > 1]  # of one class nothing is learned
    if not splits:
        return model.fit(known, target)

    def recall(fitted: ClassifierMixin, left_out: Float64, truth: Answer) -> float:
        return macro_recall(truth, fitted.predict(left_out), int(target.max()) + 1)

    search = GridSearchCV(model, {"C": STRENGTHS}, scoring=recall, cv=splits, n_jobs=1)
    return search.fit(known, target)


def _forest(known: Float64, target: Answer, groups: NDArray[np.str_], seed: int) -> ClassifierMixin:
    """Fit a random forest."""
    return grow(known, target, seed, trees=TREES)
