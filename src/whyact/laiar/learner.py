"""LaIAR in training: Eq. 11 put together, the optimiser and its schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from whyact.data.packed import RelationBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar import losses
from whyact.laiar.batches import TrainingBatches
from whyact.laiar.config import Config
from whyact.laiar.model import LaIAR, Path
from whyact.training.fit import FitResult, fit, seed_everything


def build_model(config: Config, vocabulary: Vocabulary, app_width: int) -> LaIAR:
    """Return an untrained LaIAR for this vocabulary; ``app_width`` is the width of the clips' appearance."""
    return LaIAR(
        replace(config.model, app_width=app_width),
        config.select,
        objects=len(vocabulary.objects),
        relations=len(vocabulary.relations),
        classes=len(vocabulary.actions),
        frames=config.data.frames,
        slots=config.data.slots,
    )


def appearance_width(clips: Sequence[RelationClip]) -> int:
    """Return the width of the clips' appearance, 0 where they have none."""
    return next((c.appearance.shape[-1] for c in clips if c.appearance is not None), 0)


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


class Learner(LightningModule):
    """The total loss L = L_cls + delta L_sim + zeta L_tss + eta L_xm (Eq. 11) under AdamW and one cycle."""

    def __init__(self, model: LaIAR, config: Config, class_weight: Tensor, steps: int) -> None:
        super().__init__()
        self.model, self.config, self.steps = model, config, steps
        self.register_buffer("class_weight", class_weight, persistent=False)

    def training_step(self, batch: RelationBatch, index: int) -> Tensor:
        """Return the loss of one batch; every term is logged unweighted."""
        progress = self.global_step / self.steps
        terms, video, _ = self.terms(batch, progress)
        c = self.config.loss
        weight = {"cls_v": 1.0, "cls_s": 1.0, "sim": c.sim, "tss": c.tss, "xm": c.xm, "ratio": c.ratio}
        for name, value in terms.items():
            self.log(name, value.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        kept = video.selection.keep.detach().sum() / batch.valid.sum().clamp_min(1)
        self.log("keep", kept, on_step=False, on_epoch=True, batch_size=len(batch))
        return sum((weight[name] * value for name, value in terms.items()), torch.zeros(()))

    def terms(self, batch: RelationBatch, progress: float) -> tuple[dict[str, Tensor], Path, Path | None]:
        """Compute every unweighted term of Eq. 11 and both paths (the language path only with the scheme)."""
        c, select, valid = self.config.loss, self.config.select, batch.valid
        weight = self.class_weight if batch.target.dim() == 1 else None
        # Batches with and without dropping alternate at random: the ungated ones show the selectors what the whole
        # model uses, and keep it good on whole clips, which exact removal needs.
        gated = progress >= select.warmup and bool(torch.rand(()) < select.gated)
        video = self.model.video(batch.without_relations(), progress=progress, gated=gated)
        terms = {"cls_v": losses.classification(video.logits, batch.target, weight, c.smoothing)}
        paths, language = [video], None
        if c.scheme:
            language = self.model.language(batch, progress=progress, gated=gated)
            paths.append(language)
            terms["cls_s"] = losses.classification(language.logits, batch.target, weight, c.smoothing)
            if c.sim:
                label = triple_labels(batch)
                pick = torch.randperm(len(label), device=label.device)[: c.sim_max]
                v, s = video.tokens[valid][pick], language.tokens[valid][pick]
                terms["sim"] = losses.similarity(v, s, label[pick], self.model.log_t, strict=c.sim_mode == "strict")
            if c.xm and video.v2s_logits is not None:
                terms["xm"] = losses.cross_modal(
                    video.v2s_logits, language.logits, detach=c.detach_xm, multi_label=batch.target.dim() == 2
                )
        if c.tss and select.guided:
            # Without the scheme the video model has only its own attention to learn from.
            used = paths[-1].used
            scores = [p.selection.score for p in paths]
            if not gated and used is not None and progress > select.warmup / 2:
                terms["tss"] = sum(
                    (losses.selection_guidance(x, used, valid) for x in scores if x is not None), torch.zeros(())
                )
        elif c.tss and c.scheme and gated:
            signal = [p.selection.keep for p in paths]
            terms["tss"] = losses.token_selection(signal[0], signal[1], valid, c.l1, detach=c.detach_tss)
        if select.rule == "threshold" and c.ratio and gated:
            share, _ = self.model.dt_former.selectors.schedule(progress)
            ratios = [losses.keep_ratio(p.selection.probability, valid, share) for p in paths]
            terms["ratio"] = torch.stack(ratios).mean()
        return terms, video, language

    def configure_optimizers(self) -> dict[str, object]:
        """Return AdamW (selectors with their own rate) under one cycle over all steps."""
        c = self.config.optim
        groups: dict[bool, list[Tensor]] = {False: [], True: []}
        for name, parameter in self.model.named_parameters():
            groups["selectors" in name].append(parameter)
        rates = [c.lr, c.lr * c.selector_lr]
        sets = [{"params": groups[k], "lr": r} for k, r in zip((False, True), rates, strict=True) if groups[k]]
        optimizer = torch.optim.AdamW(sets, weight_decay=c.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [float(s["lr"]) for s in sets], total_steps=self.steps + 1, pct_start=0.15
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: RelationBatch, device: torch.device, index: int) -> RelationBatch:
        """Move a batch."""
        return batch.to(device)


def learn(
    clips: Sequence[RelationClip],
    vocabulary: Vocabulary,
    config: Config,
    *,
    seed: int,
    progress: bool = False,
    resume_dir: object = None,
) -> tuple[LaIAR, FitResult]:
    """Train LaIAR on clips with relations and targets; the same seed gives the same weights on a CPU."""
    seed_everything(seed)
    batches = TrainingBatches(clips, vocabulary, config)
    model = build_model(config, vocabulary, appearance_width(clips))
    counts = np.bincount(batches.packed.target, minlength=len(vocabulary.actions)).clip(1)
    weight = torch.tensor((counts / counts.mean()) ** -config.loss.balance, dtype=torch.float32)
    learner = Learner(model, config, weight, config.optim.epochs * len(batches))
    result = fit(
        learner,
        batches,
        epochs=config.optim.epochs,
        seed=seed,
        clip=config.optim.clip,
        progress=progress,
        resume_dir=resume_dir,  # type: ignore[arg-type]
        fingerprint=repr(sorted(asdict(config).items())),
    )
    return model.eval(), result
