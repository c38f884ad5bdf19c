"""Why LoCATe-GAT answered so: frames and known classes by exact removal, and what the graph changed.

Nothing here is an attention map read as an explanation: each contribution is the fall of the answer's
probability when exactly that frame, or exactly that class node, is taken from the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whyact.data.types import Int
from whyact.locate_gat.model import LoCATeGAT
from whyact.prediction import Evidence


@dataclass(frozen=True)
class Candidates:
    """The classes an answer may be: names, rows of the model's class list (seen first, then others), seen or not.

    ``others`` (U,D) are the texts behind rows S..S+U-1, ``sentences`` what stood for each name when it was encoded.
    """

    names: tuple[str, ...]
    rows: Tensor
    others: Tensor
    sentences: tuple[str, ...] = ()

    def seen(self, model: LoCATeGAT) -> Tensor:
        """Return which candidates (C,) the model was trained on."""
        return self.rows < len(model.seen)


@dataclass(frozen=True)
class Answer:
    """Probabilities (C,) over the candidates for one video, and its frames (1,T,Dv) with their source rows (T,)."""

    candidates: Candidates
    probabilities: Tensor
    frames: Tensor
    source: Int

    @property
    def best(self) -> int:
        """Return the position of the best candidate."""
        return int(self.probabilities.argmax())


@torch.no_grad()
def probabilities(
    model: LoCATeGAT,
    video: Tensor,
    candidates: Candidates,
    mix: float | None = None,
    without: Sequence[int] = (),
    classifier: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return probabilities (B,C) of unit videos (B,D): softmax at the training temperature.

    At mix 0 this is softmax(cos / temperature) exactly. Where seen and unseen classes compete, seen ones carry
    the handicap chosen on held-out seen classes. ``classifier`` is what the model made of ``without`` before.
    """
    weight, bias = classifier or model.classifier(candidates.others, mix, without)
    score = video @ weight[candidates.rows].T + bias[candidates.rows]
    seen = candidates.seen(model)
    if seen.any() and not seen.all():
        score = score - model.calibration * seen
    return (score * float(model.standard[0, 1]) / model.config.temperature).softmax(1)


@torch.no_grad()
def answer(model: LoCATeGAT, frames: Tensor, source: Int, candidates: Candidates) -> Answer:
    """Answer for one video (1,T,Dv) sampled from source rows (T,)."""
    return Answer(candidates, probabilities(model, model.embed(frames), candidates)[0], frames, source)


@torch.no_grad()
def frame_contributions(model: LoCATeGAT, found: Answer) -> dict[int, float]:
    """Return source row -> how much the answer's probability falls when that frame is left out.

    Left out means neither attended to nor averaged, in every place where it was sampled. A video of one frame has
    nothing to leave out and gives an empty dict.
    """
    rows = np.unique(found.source)
    if len(rows) < 2:
        return {}
    valid = torch.from_numpy(found.source[None, :] != rows[:, None])
    video = model.embed(found.frames.expand(len(rows), -1, -1), valid)
    left = probabilities(model, video, found.candidates)[:, found.best]
    return {int(row): float(found.probabilities[found.best] - p) for row, p in zip(rows, left, strict=True)}


def frame_evidence(
    model: LoCATeGAT, found: Answer, times: NDArray[np.float64], rate: float, top: int
) -> list[Evidence]:
    """Return the frames that carried the answer most, best first."""
    contributions = frame_contributions(model, found)
    order = sorted(contributions, key=lambda row: -contributions[row])[:top]
    label = found.candidates.names[found.best]
    length = 1 / rate if rate > 0 else 0.0
    return [
        Evidence(
            kind="frame",
            text=f"the frame at {times[row]:.2f} s; without it “{label}” changes by {_signed(-contributions[row])}",
            start=float(times[row]),
            end=float(times[row]) + length,
            contribution=contributions[row],
            label=label,
            rank=rank,
        )
        for rank, row in enumerate(order, start=1)
    ]


@torch.no_grad()
def neighbour_evidence(model: LoCATeGAT, found: Answer, seen_names: tuple[str, ...], top: int) -> list[Evidence]:
    """Return the known classes that the graph relates to the answer, and how much each moved its probability.

    ``similarity`` is the cosine of the two names; the order is by attention reach, the contribution by exact
    removal of that one node. Empty when the graph has no share in the score.
    """
    if model.gat is None or model.mix == 0:
        return []
    row = int(found.candidates.rows[found.best])
    reach = model.graph_rows(found.candidates.others)[1][row].clone()
    if row < len(seen_names):
        reach[row] = 0  # a class is no neighbour of itself
    near = [int(i) for i in reach[: len(seen_names)].argsort(descending=True)[:top] if reach[i] > 0]
    video = model.embed(found.frames)
    seen = model.seen.cpu()
    own = torch.cat([seen, found.candidates.others])[row]
    label = found.candidates.names[found.best]
    evidence = []
    for rank, node in enumerate(near, start=1):
        without = probabilities(model, video, found.candidates, without=[node])[0, found.best]
        moved = float(found.probabilities[found.best] - without)
        evidence.append(
            Evidence(
                kind="neighbour",
                text=f"its share of what the graph says of “{label}” is {float(reach[node]):.2f}",
                start=0.0,
                end=0.0,
                contribution=moved,
                label=seen_names[node],
                similarity=float(F.cosine_similarity(own, seen[node], dim=0)),
                rank=rank,
            )
        )
    return evidence


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # adding 0 turns -0.000 into +0.000


@dataclass(frozen=True)
class Shares:
    """How the lead over the runner-up splits into text and graph (standardised units; the two add up to the lead)."""

    runner_up: str
    text: float
    graph: float


@torch.no_grad()
def shares(model: LoCATeGAT, found: Answer) -> Shares | None:
    """Split the answer's lead over the runner-up into the part of its name's text and the part of the graph.

    The calibration, where one applies, belongs to neither. ``None`` with a single candidate.
    """
    if len(found.candidates.names) < 2:
        return None
    first, second = found.probabilities.topk(2).indices.tolist()
    video = model.embed(found.frames)
    text, graph = model.parts(found.candidates.others)
    mix, rows = model.mix, found.candidates.rows

    def lead(of: Tensor, sd: float) -> float:
        return float((video @ (of[rows[first]] - of[rows[second]]) / sd)[0])

    by_text = (1 - mix) * lead(text, float(model.standard[0, 1]))
    by_graph = 0.0 if graph is None or mix == 0 else mix * lead(graph, float(model.standard[1, 1]))
    return Shares(found.candidates.names[second], by_text, by_graph)


@torch.no_grad()
def part_scores(model: LoCATeGAT, found: Answer) -> tuple[list[float], list[float]]:
    """Return what text and graph give every candidate (C,), in standardised units; a score is their sum."""
    video = model.embed(found.frames)
    rows = found.candidates.rows
    parts = []
    for of, (mean, sd), share in zip(
        model.parts(found.candidates.others), model.standard.tolist(), (1 - model.mix, model.mix), strict=True
    ):
        parts.append([0.0] * len(rows) if of is None else (share * ((video @ of[rows].T)[0] - mean) / sd).tolist())
    return parts[0], parts[1]


@torch.no_grad()
def rank_moves(model: LoCATeGAT, found: Answer) -> list[tuple[int, int, int]]:
    """Return (candidate, rank by its name alone, rank with the graph) where the two differ, by rank with the graph.

    The handicap of known classes is in both.
    """
    alone = probabilities(model, model.embed(found.frames), found.candidates, mix=0.0)[0]
    before, after = (1 + (p[None, :] > p[:, None]).sum(1) for p in (alone, found.probabilities))
    moved = [(i, int(before[i]), int(after[i])) for i in range(len(before)) if before[i] != after[i]]
    return sorted(moved, key=lambda one: one[2])


@dataclass(frozen=True)
class RankChange:
    """Mean rank (1 is best) of a class's own name over its ``videos``, by text alone and with the graph.

    ``moved`` counts the videos whose rank differs: ups and downs can cancel in the mean.
    """

    name: str
    text: float
    graph: float
    videos: int
    moved: int


def rank_changes(
    text: NDArray[np.floating], mixed: NDArray[np.floating], target: Int, names: tuple[str, ...]
) -> list[RankChange]:
    """Return the names whose rank changes with the graph in some video, largest mean change first: the polysemy table.

    Args:
        text: Scores (N,C) by text alone.
        mixed: Scores (N,C) with the graph.
        target: True classes (N,).
        names: Class names (C,).
    """
    rows = np.arange(len(target))

    def ranks(scores: NDArray[np.floating]) -> NDArray[np.int64]:
        return 1 + (scores > scores[rows, target][:, None]).sum(1)

    before, after = ranks(text), ranks(mixed)
    changes = []
    for c, name in enumerate(names):
        mine = target == c
        moved = int((before[mine] != after[mine]).sum())
        if moved:
            means = float(before[mine].mean()), float(after[mine].mean())
            changes.append(RankChange(name, *means, int(mine.sum()), moved))
    return sorted(changes, key=lambda change: -abs(change.text - change.graph))
