"""A random forest on hand-made measures of boxes: a rival of LaIAR, and a term of its answer beside the tokens.

Where few people were filmed, trees on plain measures carry over to a new one as often as attention over time does, and
err elsewhere. So the forest is grown by itself after the network has learned, and its weight beside the tokens is
chosen on training groups held out. It reads the very tokens that are left in a clip: what is removed is removed from
both, and a contribution stays what the removal costs the answer. The paper has no such term.

A clip is described by each pair's value at the start, its mean, its value at the end and the change between the ends,
then by the largest over the clip's pairs of a kind: of the same two classes, of the same subject class, and of all. The
change is taken before the largest, because after it the start of one cup would be compared with the end of another.
Axis letters as in ``model.py``: B clips, T frames, K slots, C classes; M kinds, F values of a token, V nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.data.relations.packed import RelationBatch

if TYPE_CHECKING:  # answering imports this module, and must not wait for scikit-learn
    from sklearn.ensemble import RandomForestClassifier

LEAF = 3  # clips, what training subjects left out in turn asked for
DEPTH = 64  # of a tree, at most
TERM_TREES = 100  # a third of the rival's: each removal of evidence asks all of them
RARE = 1e-3  # the least probability of a class: of a hundred trees none may know it
SHARE = 1.0  # of the forest's log-probabilities where no group could be held out
SHARES = (0.0, 0.5, 1.0, 2.0)


class ForestSize(NamedTuple):
    """How large the tensors of a :class:`ForestTerm` are; all 0 where there is none."""

    trees: int = 0
    nodes: int = 0
    kinds: int = 0


class ForestTerm(nn.Module):
    """log p(class | box measures of the valid tokens), by trees that ``sklearn`` grew and tensors hold.

    A node asks whether ``feature`` is at most ``threshold`` and goes ``below`` or ``above``; a leaf goes to itself. The
    first ``trees`` nodes are the roots.
    """

    def __init__(self, size: ForestSize, objects: int, classes: int) -> None:
        super().__init__()
        self.size, self.objects = size, objects
        self.kinds: Tensor
        self.feature: Tensor
        self.threshold: Tensor
        self.below: Tensor
        self.above: Tensor
        self.value: Tensor
        self.share: Tensor
        self.register_buffer("kinds", torch.zeros(size.kinds, dtype=torch.int64))
        for name in ("feature", "below", "above"):
            self.register_buffer(name, torch.zeros(size.nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(size.nodes))
        self.register_buffer("value", torch.full((size.nodes, classes), 1 / classes))
        self.register_buffer("share", torch.tensor(SHARE))

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return the log-probabilities (B,C); all classes alike where a clip has no valid token."""
        x = box_features(batch, self.objects, self.kinds).float()  # (B,M*8F)
        node = torch.arange(self.size.trees, device=x.device).expand(len(x), -1)
        for _ in range(DEPTH):
            left = x.gather(1, self.feature[node]) <= self.threshold[node]
            following = torch.where(left, self.below[node], self.above[node])
            if torch.equal(following, node):
                break
            node = following
        p = self.value[node].mean(1).clamp_min(RARE)
        there = batch.valid.flatten(1).any(1)[:, None]
        return torch.where(there, p.log(), 0.0).log_softmax(-1)

    def joined(self, logits: Tensor, batch: RelationBatch) -> Tensor:
        """Return the logits (B,C) of what else there is and of the forest together."""
        if not self.share:  # its trees would be asked at every removal, for nothing
            return logits
        return logits + self.share * self(batch)

    @classmethod
    def grown(cls, batch: RelationBatch, objects: int, classes: int, seed: int) -> Self | None:
        """Return a term grown on training clips, ``None`` where they all look alike or show one action."""
        kinds = kinds_of(batch.classes, batch.valid, objects)
        known, target = box_features(batch, objects, kinds).numpy(), batch.target.numpy()
        columns = np.flatnonzero((known != known[:1]).any(0))
        if not len(columns) or len(set(target.tolist())) < 2:
            return None
        forest = grow(known[:, columns], target, seed, trees=TERM_TREES)
        return cls._of(forest, columns, kinds, objects, classes)

    @classmethod
    def _of(
        cls, forest: RandomForestClassifier, columns: NDArray[np.intp], kinds: Tensor, objects: int, classes: int
    ) -> Self:
        """Return the forest as tensors: all roots first, then the other nodes of one tree after another."""
        trees = [tree.tree_ for tree in forest.estimators_]
        count, size = len(trees), ForestSize(len(trees), sum(t.node_count for t in trees), len(kinds))
        term, start = cls(size, objects, classes), count
        term.kinds.copy_(kinds)
        shown = torch.from_numpy(np.asarray(forest.classes_, dtype=np.int64))
        term.value.zero_()
        for root, tree in enumerate(trees):
            place = np.concatenate([[root], np.arange(start, start + tree.node_count - 1)])  # of the tree's own nodes
            leaf = tree.children_left < 0
            own = np.arange(tree.node_count)
            where = torch.from_numpy(place)
            term.below[where] = torch.from_numpy(place[np.where(leaf, own, tree.children_left)])
            term.above[where] = torch.from_numpy(place[np.where(leaf, own, tree.children_right)])
            term.feature[where] = torch.from_numpy(np.where(leaf, 0, columns[np.maximum(tree.feature, 0)]))
            term.threshold[where] = torch.from_numpy(_not_above(np.where(leaf, 0.0, tree.threshold)))
            share = tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True)
            term.value[where[:, None], shown] = torch.from_numpy(share).float()
            start += tree.node_count - 1
        return term


def grow(known: NDArray[np.floating], target: NDArray[np.int64], seed: int, *, trees: int) -> RandomForestClassifier:
    """Grow a forest on features (N,F) and actions (N,); classes weigh the same, as in the mean recall over them."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        trees,
        min_samples_leaf=LEAF,
        max_depth=DEPTH - 1,
        class_weight="balanced_subsample",
        n_jobs=1,
        random_state=seed,
    )
    return forest.fit(known, target)


def box_features(batch: RelationBatch, objects: int, kinds: Tensor) -> Tensor:
    """Describe clips by the boxes of their valid tokens: (B, M*4*(2F+2)), F numbers of :func:`measures`."""
    # A Mac's GPU has no double precision, which the trees' training has.
    boxes = batch.boxes if batch.boxes.device.type == "mps" else batch.boxes.double()
    both = batch.seen.all(-1) & batch.valid
    values = torch.where(both[..., None], measures(boxes), 0.0)
    # Both signs, so that the largest over pairs also finds the nearest pair and the one that parts.
    signed = torch.cat([values, -values], -1)
    parts = ((signed, both), (1.0 - batch.seen.to(boxes.dtype), batch.valid))
    return torch.cat([pooled(value, there, batch.classes, objects, kinds) for value, there in parts], 1)


def measures(boxes: Tensor) -> Tensor:
    """Measure pairs of boxes (...,2,4), shares of the image: (...,F) layout, overlap, distance, place and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    size, centre = high - low, (low + high) / 2
    area = size.prod(-1)
    between = torch.minimum(high[..., 0, :], high[..., 1, :]) - torch.maximum(low[..., 0, :], low[..., 1, :])
    overlap = between.clamp_min(0).prod(-1)
    offset = centre[..., 0, :] - centre[..., 1, :]
    union = area.sum(-1) - overlap
    parts = [
        offset,
        offset.norm(dim=-1, keepdim=True),
        (-between).clamp_min(0).norm(dim=-1, keepdim=True),
        overlap[..., None] / area.clamp_min(1e-9),
        (overlap / union.clamp_min(1e-9))[..., None],
        centre[..., 0, :],
        centre[..., 1, :],
        size[..., 1, :],
    ]
    return torch.cat(parts, -1)


def kinds_of(classes: Tensor, valid: Tensor, objects: int) -> Tensor:
    """Return the kinds (M,) that clips have a valid token (B,T,K) of: what no training clip has teaches nothing."""
    return _kinds(classes, objects)[:, valid.any(1)].unique()


def pooled(values: Tensor, there: Tensor, classes: Tensor, objects: int, kinds: Tensor) -> Tensor:
    """Describe clips (B,T,K,F) by start, mean, end and change of each pair, the largest over pairs of a kind.

    Args:
        values: What is known of each token (B,T,K,F).
        there: Tokens that have values (B,T,K). Start and end are a pair's first and last token that has.
        classes: Subject and object class (B,K,2).
        objects: Number of object classes O.
        kinds: The kinds (M,) of pairs that are described, rising: a pair of classes below O^2, from there a subject
            class, or all self-pairs at O^2+O, and last all pairs at O^2+O+1.

    Returns:
        Features (B, M*4F). Zeros where a clip has no pair of the kind.
    """
    b, t, _, f = values.shape
    number = there.to(values.dtype)
    first = number.argmax(1)[:, None, :, None].expand(-1, -1, -1, f)
    last = (t - 1 - number.flip(1).argmax(1))[:, None, :, None].expand(-1, -1, -1, f)
    start, end = values.gather(1, first)[:, 0], values.gather(1, last)[:, 0]
    mean = (values * number[..., None]).sum(1) / number.sum(1).clamp_min(1)[..., None]
    stats = torch.cat([start, mean, end, end - start], -1)  # (B,K,4F)
    stats = stats.masked_fill(~there.any(1)[..., None], -torch.inf).repeat(1, 3, 1)
    column = kinds.new_full((objects**2 + objects + 2,), len(kinds))  # the last one: kinds that nobody asked for
    column[kinds] = torch.arange(len(kinds), device=kinds.device)
    where = column[_kinds(classes, objects)].movedim(0, 1).flatten(1)[..., None]  # (B,3K,1)
    out = stats.new_full((b, len(kinds) + 1, 4 * f), -torch.inf)
    out = out.scatter_reduce(1, where.expand_as(stats), stats, "amax")[:, :-1]
    return out.masked_fill(out.isinf(), 0.0).flatten(1)


def _kinds(classes: Tensor, objects: int) -> Tensor:
    """Return the three kinds (3,B,K) of each pair (B,K,2): its two classes, its subject's, and any."""
    subject, thing = classes.unbind(-1)
    role = torch.where(subject == thing, objects, subject)
    return torch.stack([subject * objects + thing, objects**2 + role, torch.full_like(role, objects**2 + objects + 1)])


def _not_above(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return thresholds in single precision, rounded down: they part single-precision numbers as they did before."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
