"""LaIAR in training: Eq. 11 put together, the optimiser and its schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Unpack

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar import losses
from whyact.laiar.batches import TrainingBatches, evaluation_batches
from whyact.laiar.chain import NEVER
from whyact.laiar.config import Config
from whyact.laiar.forest import ForestTerm
from whyact.laiar.model import BranchOutput, LaIAR
from whyact.metrics.average_precision import mean_average_precision
from whyact.metrics.recall import macro_recall
from whyact.training.evaluation import inputs_sum
from whyact.training.fit import FitOptions, FitResult, Validation, fit
from whyact.training.numerics import seed_everything
from whyact.training.trainable import Optimization, StepOutput, Trainable


def build_model(config: Config, vocabulary: Vocabulary) -> LaIAR:
    """Return an untrained LaIAR for this vocabulary; its settings know the widths of the clips (:func:`sized_for`)."""
    return LaIAR(
        config.model,
        config.select,
        objects=len(vocabulary.objects),
        relations=len(vocabulary.relations),
        classes=len(vocabulary.actions),
        frames=config.data.frames,
        slots=config.data.slots,
        groups=vocabulary.group_of,
    )


def sized_for(config: Config, clips: Sequence[RelationClip]) -> Config:
    """Return the settings with the widths of what the clips bring along: scores, pixel features, clip vectors."""
    app = next((c.appearance.shape[-1] for c in clips if c.appearance is not None), 0)
    roi = next((c.pixels.shape for c in clips if c.pixels is not None and config.data.box_pixels == "yes"), (0, 0, 0))
    context = next((len(c.context) for c in clips if c.context is not None), 0)
    scene = next((c.scene.shape[-1] for c in clips if c.scene is not None and c.targets is None), 0)
    widths = replace(
        config.model, app_width=app, roi=roi, context_width=context, scene_width=scene, forest_size=(0, 0, 0)
    )
    return replace(config, model=widths)


def possible_relations(vocabulary: Vocabulary) -> Tensor:
    """Return (O,O,R) which relations each pair of classes can carry; all of them where the words do not say."""
    objects, relations = len(vocabulary.objects), len(vocabulary.relations)
    out = torch.zeros(objects, objects, relations, dtype=torch.bool)
    for (subject, obj), names in vocabulary.allowed.items():
        a, b = vocabulary.objects.index(subject), vocabulary.objects.index(obj)
        out[a, b, [vocabulary.relations.index(name) for name in names]] = True
    out[~out.any(-1)] = True
    return out


def nameable_relations(vocabulary: Vocabulary) -> Tensor:
    """Return (O,O,R) which of the relations that name tokens each pair of classes can carry."""
    naming = torch.zeros(len(vocabulary.relations), dtype=torch.bool)
    naming[list(vocabulary.naming)] = True
    return possible_relations(vocabulary) & naming


def triple_labels(batch: RelationBatch) -> Tensor:
    """Return (n,) integers that name the (subject, label set, object) triple of each valid token.

    Raises:
        ValueError: For more relation labels than an integer has bits to spare.
    """
    assert batch.relations is not None
    labels = batch.relations.shape[-1]
    if labels > 40:
        raise ValueError(f"{labels} relation labels; at most 40 fit the triple's code")
    code = (batch.relations > 0).long() @ (2 ** torch.arange(labels, device=batch.relations.device))
    classes = batch.classes[:, None].expand(*batch.valid.shape, 2)[batch.valid]
    return (classes[:, 0] * 1024 + classes[:, 1]) * 2**labels + code[batch.valid]


class Learner(Trainable):
    """The total loss L = L_cls + delta L_sim + zeta L_tss + eta L_xm (Eq. 11) under AdamW and one cycle."""

    def __init__(
        self, model: LaIAR, config: Config, class_weight: Tensor, steps: int, nameable: Tensor | None = None
    ) -> None:
        super().__init__()
        self.nameable: Tensor | None
        self.register_buffer("nameable", nameable, persistent=False)  # (O,O,R) labels that name tokens of these classes
        self.model, self.config, self.steps = model, config, steps
        self.class_weight = class_weight
        self.averaged = None
        if config.optim.average:
            average = get_ema_multi_avg_fn(config.optim.average)
            self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True).requires_grad_(False)

    def training_step(self, batch: RelationBatch, step: int) -> StepOutput:
        """Return the loss of one batch; every term is logged unweighted."""
        self.update_average()  # before the step: what is saved between two steps is complete
        terms, path = self.terms(batch, step / self.steps)
        c = self.config.loss
        weight = {"cls_v": 1.0, "cls_s": 1.0, "sim": c.sim, "tss": c.tss or 1.0, "xm": c.xm, "ratio": c.ratio}
        weight["naming"] = c.naming
        loss = sum(
            (weight[name] * value for name, value in terms.items()), torch.zeros((), device=self.class_weight.device)
        )
        kept = path.selection.keep.detach().sum() / batch.valid.sum().clamp_min(1)
        return StepOutput(loss, {**terms, "keep": kept}, len(batch))

    def update_average(self) -> None:
        """Take the weights as they are now into their exponential average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    @property
    def kept(self) -> LaIAR:
        """Return the model that a run keeps: with averaged weights where they are averaged."""
        kept: LaIAR = self.model if self.averaged is None else self.averaged.module  # type: ignore[assignment]
        return kept

    def terms(self, batch: RelationBatch, progress: float) -> tuple[dict[str, Tensor], BranchOutput]:
        """Compute every unweighted term of Eq. 11, and the video path (the language path without a video model)."""
        c, select, valid = self.config.loss, self.config.select, batch.valid
        weight = self.class_weight.to(batch.target.device) if batch.target.dim() == 1 else None
        # Batches with and without dropping alternate at random: the ungated ones show the selectors what the whole
        # model uses, and keep it good on whole clips, which exact removal needs.
        gated = progress >= select.warmup and bool(torch.rand(()) < select.gated)
        if not c.video:
            language = self.model.language(batch, progress=progress, gated=gated)
            return {"cls_s": losses.classification(language.logits, batch.target, weight, c.smoothing)}, language
        named = c.guidance and c.naming > 0
        video = self.model.video(batch.without_relations(), progress=progress, gated=gated, names=named)
        terms = {"cls_v": losses.classification(video.logits, batch.target, weight, c.smoothing)}
        paths = [video]
        if c.guidance:
            language = self.model.language(batch, progress=progress, gated=gated)
            paths.append(language)
            terms["cls_s"] = losses.classification(language.logits, batch.target, weight, c.smoothing)
            if c.sim:
                assert batch.relations is not None
                related = valid & batch.relations.any(-1)  # what carries no relation has no meaning to be drawn to
                label = triple_labels(batch)[related[valid]]
                pick = torch.randperm(len(label), device=label.device)[: c.sim_max]
                v, s = video.tokens[related][pick], language.tokens[related][pick]
                terms["sim"] = losses.similarity(v, s, label[pick], self.model.log_t, strict=c.sim_mode == "strict")
            if video.codes is not None:
                assert batch.relations is not None
                assert self.nameable is not None
                assert self.model.naming is not None
                nameable = self.nameable[batch.classes[..., 0], batch.classes[..., 1]]  # (B,K,R)
                codes = self.model.label_codes(batch.classes.flatten(0, 1)).unflatten(0, nameable.shape[:2])
                scores = self.model.naming.scale * torch.einsum("btkd,bkrd->btkr", video.codes, codes)
                scores = (scores * valid[..., None]).masked_fill(~nameable[:, None], NEVER)
                relations = batch.relations * nameable[:, None]
                terms["naming"] = losses.naming(scores, self.model.naming.switch, relations, valid, c.emphasis)
            if c.xm and video.v2s_logits is not None:
                terms["xm"] = losses.cross_modal(
                    video.v2s_logits,
                    language.logits,
                    detach=c.detach_xm,
                    multi_label=c.xm_mode == "bernoulli" or (c.xm_mode == "auto" and batch.target.dim() == 2),
                )
        if select.guided:
            # L_tss: the language model's attention teaches the selectors of both. Without it each path teaches its own.
            if not gated and progress > select.warmup / 2:
                teacher = paths[-1].used if c.tss else None
                guided = [
                    losses.selection_guidance(p.selection.score, p.used if teacher is None else teacher, valid)
                    for p in paths
                    if p.selection.score is not None and p.used is not None
                ]
                if guided:
                    terms["tss"] = torch.stack(guided).sum()
        elif c.tss and c.guidance and gated:
            signal = [p.selection.keep for p in paths]
            terms["tss"] = losses.token_selection(signal[0], signal[1], valid, c.l1, detach=c.detach_tss)
        if select.rule == "threshold" and c.ratio and gated:
            share, _ = self.model.dt_former.selectors.schedule(progress)
            ratios = [losses.keep_ratio(p.selection.probability, valid, share) for p in paths]
            terms["ratio"] = torch.stack(ratios).mean()
        return terms, video

    def configure_optimizers(self) -> Optimization:
        """Return AdamW (selectors with their own rate) under one cycle over all steps."""
        c = self.config.optim
        groups: dict[bool, list[Tensor]] = {False: [], True: []}
        for name, parameter in self.model.named_parameters():
            groups["selectors" in name].append(parameter)
        rates = {False: c.lr, True: c.lr * c.selector_lr}
        sets = [{"params": groups[k], "lr": rates[k]} for k in rates if groups[k]]
        optimizer = torch.optim.AdamW(sets, weight_decay=c.weight_decay, fused=True)
        top = [rates[k] for k in rates if groups[k]]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, top, total_steps=self.steps + 1, pct_start=0.15)
        return Optimization(optimizer, schedule)


def learn(
    clips: Sequence[RelationClip],
    vocabulary: Vocabulary,
    config: Config,
    *,
    seed: int,
    held_out: Sequence[RelationClip] = (),
    eval_every: int = 0,
    start: Mapping[str, Tensor] | None = None,
    **options: Unpack[FitOptions],
) -> tuple[LaIAR, FitResult]:
    """Train LaIAR on clips with relations and targets; the same seed gives the same weights on a CPU.

    With ``eval_every`` the clips ``held_out`` are answered after so many epochs, and the best weights are kept.
    ``start`` are another model's weights: those of the same name and shape are where this one begins.
    """
    seed_everything(seed)
    config = sized_for(config, clips)
    batches = TrainingBatches(clips, vocabulary, config)
    model = build_model(config, vocabulary)
    own = model.state_dict()
    same = {name: w for name, w in (start or {}).items() if name in own and own[name].shape == w.shape}
    model.load_state_dict(same, strict=False)
    given = [weight.detach().cpu().numpy() for weight in same.values()]
    weight = torch.ones(len(vocabulary.actions))  # several actions a clip: no weights, they are reported if used
    if not vocabulary.multi_label:
        counts = np.bincount(batches.packed.target, minlength=len(vocabulary.actions)).clip(1)
        weight = torch.tensor((counts / counts.mean()) ** -config.loss.balance, dtype=torch.float32)
    steps = config.optim.epochs * len(batches)
    learner = Learner(model, config, weight, steps, nameable_relations(vocabulary))
    validation = None
    if eval_every:
        metric = "mAP" if vocabulary.multi_label else "mAR"
        validation = Validation(eval_every, lambda: measure(learner.kept, held_out, vocabulary, config), metric)
    options.setdefault("progress", False)
    result = fit(
        learner,
        batches,
        epochs=config.optim.epochs,
        seed=seed,
        clip=config.optim.clip,
        validation=validation,
        **options,
        fingerprint=f"{sorted(asdict(config).items())!r}, clips {inputs_sum([vocabulary, *clips, *given])}",
    )
    learner.update_average()
    model.load_state_dict(learner.kept.state_dict())
    _fit_terms(model, batches.packed, vocabulary, config, seed)
    if result.best is not None:
        prefix = "model." if learner.averaged is None else "averaged.module."
        best = {n.removeprefix(prefix): w for n, w in result.best.weights.items() if n.startswith(prefix)}
        best |= {n: w for n, w in model.state_dict().items() if n.partition(".")[0] in model.terms}
        result = replace(result, best=replace(result.best, weights=best))
    return model.eval(), result


def _fit_terms(model: LaIAR, packed: PackedClips, vocabulary: Vocabulary, config: Config, seed: int) -> None:
    """Fit what joins the answer beside the network's tokens, each by itself: whole frames, and a forest on boxes."""
    grows = config.model.box_forest and config.loss.video and not vocabulary.multi_label
    if model.scene is None and not grows:
        return
    index = np.arange(len(packed))
    whole = packed.batch(index, packed.even_positions(index, config.data.frames))
    if model.scene is not None:
        assert whole.scene is not None
        model.scene.fit(whole.scene, packed.target, [clip.group for clip in packed.clips])
    if grows:
        model.forest = ForestTerm.grown(whole, len(vocabulary.objects), len(vocabulary.actions), seed)


def measure(model: LaIAR, clips: Sequence[RelationClip], vocabulary: Vocabulary, config: Config) -> dict[str, float]:
    """Return the loss of the video model on clips, and its mAR; its mAP where a clip has several actions."""
    classes = len(vocabulary.actions)
    packed = PackedClips(
        clips, slots=config.data.slots, window=config.data.window, classes=classes if vocabulary.multi_label else 0
    )
    batches = [batch for _, batch in evaluation_batches(packed, config.data.frames)]
    logits = torch.cat([model.video(batch.without_relations()).logits for batch in batches])
    target = torch.cat([batch.target for batch in batches])
    loss = {"loss": float(losses.classification(logits, target, None, config.loss.smoothing))}
    if vocabulary.multi_label:
        return {**loss, "mAP": mean_average_precision(logits.numpy(), target.numpy() > 0).mean}
    return {**loss, "mAR": macro_recall(target.numpy(), logits.argmax(-1).numpy(), classes)}
