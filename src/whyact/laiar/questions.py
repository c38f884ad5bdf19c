"""Question an answer: what the model says when relations, objects or a span of time are taken away from its input.

Every number here comes from the model itself, by the exact removal of :func:`whyact.laiar.evidence.scores_without`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact import wording
from whyact.ablation.protocol import TIME_TOLERANCE, Removal, RemovalCount
from whyact.data.relations.packed import PackedClips, RelationBatch, RoiBatch
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.laiar.answers import Answer, has_input, select_clip
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.evidence import Change, scores_without
from whyact.laiar.runs import Run
from whyact.video.sampling import merge_scores


@dataclass(frozen=True)
class Window:
    """One answered window: its ``batch`` of one clip, the tokens kept (T,K), times (T,), pairs and their changes."""

    batch: RelationBatch
    keep: Tensor
    times: NDArray[np.float64]
    slots: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]

    def tokens(self, removal: Removal) -> NDArray[np.bool_]:
        """Return which tokens (T,K) of this window a removal takes away."""
        gone = np.zeros(tuple(self.keep.shape), dtype=bool)
        inside = (self.times >= removal.start - TIME_TOLERANCE) & (self.times <= removal.end + TIME_TOLERANCE)
        for k, pair in enumerate(self.slots):
            if (
                removal.kind == "span"
                or (removal.kind == "thing" and removal.object in pair)
                or (removal.kind == "pair" and pair == (removal.subject, removal.object))
            ):
                gone[inside, k] = True
        return gone

    def change(self, removal: Removal) -> Change | None:
        """Return the change that a removal of kind ``transition`` names, ``None`` when it is not in this window."""
        for change in self.changes:
            ends = (self.times[change.t_before], self.times[change.t_after])
            if self.slots[change.slot] == (removal.subject, removal.object) and np.allclose(
                ends, (removal.start, removal.end), rtol=0, atol=TIME_TOLERANCE
            ):
                return change
        return None


class Ablation:
    """An answered video, kept ready to be asked again.

    Args:
        run: The model that answered.
        windows: What it saw; at least one.
        null: The action that stands for none, if there is one.
    """

    def __init__(self, run: Run, windows: Sequence[Window], null: str = "") -> None:
        self.run, self.windows = run, list(windows)
        self.labels = tuple(run.vocabulary.actions)
        self.max_evaluations = 2000
        self.null = self.labels.index(null) if null in self.labels else -1
        nothing = [torch.zeros(1, *w.keep.shape, dtype=torch.bool) for w in self.windows]
        self._as_it_was = [self._ask(w, mask) for w, mask in zip(self.windows, nothing, strict=True)]

    @classmethod
    def of(cls, run: Run, answers: Iterable[Answer], null: str = "") -> Ablation:
        """Keep what the windows of a video need to be asked again; pixels stay as features in their boxes only.

        Windows in which the model saw nothing count only where all are such, as in the answer.
        """
        every = list(answers)
        seen = [answer for answer in every if has_input(run, answer)]
        return cls(run, [_window(run, answer) for answer in seen or every], null)

    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Answer once for each set of removals.

        Returns:
            Scores (M,C) of the video, and the action (M,) that is the answer then.

        Raises:
            UserError: For a transition that is not in the answer.
        """
        masks = [self.masks(chosen) for chosen in removals]
        found = np.zeros((len(masks), len(self.windows), len(self.labels)), np.float32)
        for w, window in enumerate(self.windows):
            found[:, w] = self._as_it_was[w]
            rows = [m for m, mask in enumerate(masks) if mask[w].any()]
            if rows:
                found[rows, w] = self._ask(window, torch.from_numpy(np.stack([masks[m][w] for m in rows])))
        return self.merged(found)

    def masks(self, removals: Sequence[Removal]) -> list[NDArray[np.bool_]]:
        """Return which tokens (T,K) of each window these removals take away together."""
        out = [np.zeros(tuple(w.keep.shape), dtype=bool) for w in self.windows]
        for removal in removals:
            for mask, gone in zip(out, self._tokens(removal), strict=True):
                mask |= gone
        return out

    def count_removed(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        """Count the tokens that these removals take away; one in two windows counts twice."""
        valid = [w.batch.valid[0].numpy() for w in self.windows]
        taken = sum(int((m & v).sum()) for m, v in zip(self.masks(removals), valid, strict=True))
        return [RemovalCount("token", taken, sum(int(v.sum()) for v in valid))]

    def _tokens(self, removal: Removal) -> list[NDArray[np.bool_]]:
        if removal.kind not in ("transition", "pair", "thing", "span"):
            raise UserError("removal", removal.kind, "a transition, pair, thing or span: this is an answer of laiar")
        if removal.kind != "transition":
            return [w.tokens(removal) for w in self.windows]
        changes = [w.change(removal) for w in self.windows]
        reach = [
            (w.times[c.tokens[0]], w.times[c.tokens[-1]])
            for w, c in zip(self.windows, changes, strict=True)
            if c is not None
        ]
        if not reach:
            found = f"{removal.subject} – {removal.object} at {removal.start:g} – {removal.end:g} s"
            raise UserError("transition", found, "a transition of this answer")
        # Windows overlap: what one of them names is taken from the others too, where they kept it.
        pair = Removal(
            "pair", removal.subject, removal.object, start=min(a for a, _ in reach), end=max(b for _, b in reach)
        )
        out = []
        for window, change in zip(self.windows, changes, strict=True):
            if change is None:
                out.append(window.tokens(pair) & (window.keep.numpy() > 0))
            else:
                out.append(np.zeros(tuple(window.keep.shape), dtype=bool))
                out[-1][list(change.tokens), change.slot] = True
        return out

    def merged(self, found: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Put the probabilities (M,W,C) of windows together as the answer about the video does.

        Returns:
            Scores (M,C): each action's best, and the worst of the null action; and the answer (M,).
        """
        scores, answer, _ = merge_scores(found, self.null)
        return scores, answer

    def list_removals(self) -> dict[Removal, str]:
        """Return every change of every window once, with the pair and the names of its states."""
        found: dict[Removal, str] = {}
        names = self.run.vocabulary.relations
        for w in self.windows:
            for c in w.changes:
                subject, thing = w.slots[c.slot]
                ends = float(w.times[c.t_before]), float(w.times[c.t_after])
                states = dict.fromkeys(wording.format_label(names[state]) for state in (c.before, c.after))
                told = f"{' – '.join(wording.list_pair(subject, thing))}: {' → '.join(states)}"
                found[Removal("transition", subject, thing, start=ends[0], end=ends[1])] = told
        return found

    def _ask(self, window: Window, removed: Tensor) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = scores_without(
            self.run.model,
            window.batch,
            window.keep,
            removed,
            self.run.temperature,
            multi_label=self.run.vocabulary.multi_label,
        ).numpy()
        return probabilities


def _window(run: Run, answer: Answer) -> Window:
    clip = answer.clip.without_relations()
    packed = PackedClips([clip], slots=run.config.data.slots, window=run.config.data.window)
    (_, batch), *_ = evaluation_batches(packed, run.config.data.frames)
    k = answer.keep.shape[1]
    keep = np.pad(answer.keep.astype(np.float32), ((0, 0), (0, max(0, 1 - k))))  # no pair: one that is not there
    return Window(
        select_clip(batch, 0).slots(max(1, k)),
        torch.from_numpy(keep),
        clip.times[answer.positions],
        clip.slots[:k],
        tuple(answer.changes),
    )


def save_questions(questions: Ablation, path: Path) -> Path:
    """Write what :func:`load_questions` needs to ask on: tensors and words, no pixels, no weights."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    heads: list[dict[str, Any]] = []
    for i, w in enumerate(questions.windows):
        heads.append({"times": w.times.tolist(), "slots": w.slots, "changes": [list(c) for c in w.changes]})
        tensors[f"{i}.keep"] = w.keep.contiguous()
        for item in fields(w.batch):
            value = getattr(w.batch, item.name)
            parts = (
                {f"pixels.{f.name}": getattr(value, f.name) for f in fields(value)}
                if item.name == "pixels" and (value is not None)
                else {item.name: value}
            )
            tensors |= {f"{i}.{name}": x.contiguous() for name, x in parts.items() if x is not None}
    null = questions.labels[questions.null] if questions.null >= 0 else ""
    return write_atomic(path, save(tensors, metadata={"windows": json.dumps(heads), "null": null}))


def load_questions(run: Run, path: Path) -> Ablation:
    """Read what :func:`save_questions` wrote, for the same run."""
    from safetensors import safe_open

    windows = []
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        names = list(file.keys())
        for i, head in enumerate(json.loads(about["windows"])):
            own = {n.removeprefix(f"{i}."): file.get_tensor(n) for n in names if n.startswith(f"{i}.")}
            keep = own.pop("keep")
            roi = {n.removeprefix("pixels."): own.pop(n) for n in list(own) if n.startswith("pixels.")}
            batch = RelationBatch(**own, pixels=RoiBatch(**roi) if roi else None)
            changes = tuple(
                Change(slot, before, after, first, last, tuple(tokens))
                for slot, before, after, first, last, tokens in head["changes"]
            )
            slots = tuple((a, b) for a, b in head["slots"])
            windows.append(Window(batch, keep, np.array(head["times"], np.float64), slots, changes))
    return Ablation(run, windows, about["null"])
