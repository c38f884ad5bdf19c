"""An answer as the Prediction that JSON, the report and every reader see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from whyact.laiar.answers import Answer, has_input
from whyact.laiar.runs import Run
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, Track, TrackPoint, VideoFacts
from whyact.training.checkpoint import trained_on
from whyact.wording import format_label, format_score

SHOWN = 12  # pieces of evidence listed


def explain(run: Run, answer: Answer, *, source: str, data: str) -> Prediction:
    """Build the Prediction of one answered clip.

    Args:
        run: The model that answered.
        answer: With contributions.
        source: What the user typed.
        data: Name of the data set that the clip came from.
    """
    clip, words = answer.clip, run.vocabulary
    times = clip.times[answer.positions]
    step = float(np.diff(clip.times).mean()) if len(clip.times) > 1 else 0.0
    fps = 1.0 / step if step else 0.0  # a video of one frame shows it at every moment
    order = np.argsort(-answer.probabilities, kind="stable")
    card = run.card or {}
    confidence = float(answer.probabilities.max())
    notes, from_video = [], has_input(run, answer)
    if not answer.valid.any():
        rest = "is that of whole frames alone" if from_video else "does not depend on the video"
        notes.append(f"No pair of tracked objects was found, so this answer {rest}.")
    if clip.dropped_pairs:
        notes.append(f"{clip.dropped_pairs} pairs of objects beyond the model's {run.config.data.slots} were dropped.")
    if not run.knows_chances:
        notes.append("How often this model names a relation correctly was not measured when it was trained.")
    if words.measured:
        rest = "" if words.only_measured else "; all other relations are what the model takes them for"
        notes.append(f"How near things are and how they move was measured from the boxes{rest}.")
    if frames := _frames_alone(run, answer):
        notes.append(frames)
    if run.config.model.app_width:
        notes.append(
            "The video model read relation probabilities predicted from RGB by the annotation authors' network."
        )
    return Prediction(
        id=clip.id,
        target="; ".join(words.actions[c] for c in _true_actions(answer)),
        video=VideoFacts(
            path=source,
            duration=float(clip.times[-1] - clip.times[0] + (1 / fps if fps else 0)) if len(clip.times) else 0.0,
            fps=fps,
            width=clip.image_size[0],
            height=clip.image_size[1],
            frames_decoded=len(clip.times),
            frames_declared=len(clip.times),
        ),
        labels=[LabelScore(label=words.actions[c], score=float(answer.probabilities[c])) for c in order],
        unsure=confidence < run.threshold or not from_video,
        threshold=run.threshold,
        tokens_valid=int(answer.valid.sum()),
        tokens_kept=int(answer.keep.sum()),
        evidence=[_evidence(run, answer, times, i) for i in range(min(SHOWN, len(answer.changes)))],
        tracks=[_track(run, answer, times, k) for k in range(answer.valid.shape[1])],
        notes=notes,
        provenance=Provenance(
            method="laiar",
            checkpoint=Path(run.path).name,
            checkpoint_sha256=run.sha256,
            trained_on=f"{trained_on(card)}, {card.get('extra', {}).get('trained_on', '')}".strip(", "),
            data=data,
            split_sha256=card.get("split_sha256", ""),
            sampler=f"{run.config.data.frames} evenly spaced frames with both ends",
            seed=card.get("seed"),
            versions=card.get("versions", {}),
        ),
    )


def _frames_alone(run: Run, answer: Answer) -> str:
    """Say what whole frames by themselves are taken for; empty for a model or a clip without them."""
    scene, frames = run.model.scene, answer.clip.scene
    if scene is None or frames is None or not np.any(frames):
        return ""
    seen = torch.from_numpy(frames[answer.positions].astype(np.float32))[None]
    with torch.no_grad():
        scores = (scene(seen.to(scene.mean.device)) / run.temperature).softmax(-1)[0].cpu()
    best = int(scores.argmax())
    label = format_label(run.vocabulary.actions[best])
    return (
        f"Whole frames by themselves, without any pair, look like {label} ({format_score(float(scores[best]))}). "
        "Removing a pair leaves them as they are."
    )


def _true_actions(answer: Answer) -> tuple[int, ...]:
    clip = answer.clip
    return clip.targets or (() if clip.target is None else (clip.target,))


def _evidence(run: Run, answer: Answer, times: np.ndarray, i: int) -> Evidence:
    change, clip, words = answer.changes[i], answer.clip, run.vocabulary
    before, after = (words.relations[c].replace("_", " ") for c in (change.before, change.after))
    subject, obj = clip.slots[change.slot]
    state = change.before == change.after
    said = f"{before} {obj}" if state else f"{before} {obj} → {after} {obj}"
    ends = ([change.t_before, change.t_after], [change.slot, change.slot])
    measured = change.after >= words.annotated  # and not named: what the tokens were named is beside it
    return Evidence(
        kind="state" if state else "transition",
        text=said,
        start=float(times[change.t_before]),
        end=float(times[change.t_after]),
        contribution=float(answer.contribution[i]),
        label=before if state else "",
        subject=subject,
        object=obj,
        track=change.slot,
        action="" if answer.action[i] == answer.predicted else words.actions[answer.action[i]],
        from_state=words.relations[change.before],
        to_state=words.relations[change.after],
        similarity=None if measured else _number(answer.similarity[ends].min()),
        margin=None if measured else _number(answer.margin[ends].min()),
        rank=i + 1,
        probability=float(answer.chance[i]) if run.knows_chances else None,
        control=float(answer.control[i]),
        stated=bool(answer.stated[i]),
        removed=subject if subject == obj else f"the pair {subject} – {obj}",
    )


def _number(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def _track(run: Run, answer: Answer, times: np.ndarray, k: int) -> Track:
    clip, words = answer.clip, run.vocabulary
    points = []
    for t in np.flatnonzero(answer.valid[:, k]):
        p = answer.positions[t]
        label = answer.named[t, k]
        points.append(
            TrackPoint(
                time=float(times[t]),
                frame=int(clip.frames[p]),
                label=words.relations[label] if label >= 0 else "",
                similarity=_number(answer.similarity[t, k]),
                margin=_number(answer.margin[t, k]),
                keep_probability=float(answer.keep_probability[t, k]),
                kept=bool(answer.keep[t, k]),
                subject_box=tuple(float(x) for x in clip.subject_boxes[p, k]),  # type: ignore[arg-type]
                object_box=tuple(float(x) for x in clip.object_boxes[p, k]),  # type: ignore[arg-type]
            )
        )
    return Track(slot=k, subject=clip.slots[k][0], object=clip.slots[k][1], points=points)
