"""LaIAR's settings: one typed dataclass is the Python API, the command-line flags and the YAML file.

Defaults are the real-size values; ``PRESETS`` holds the named variants. Where a default departs from the
paper, the comment says so; ``paper-literal`` undoes every such departure that can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """How a clip becomes T frames of at most K slots."""

    frames: int = 10  # T: frames that a clip is answered from, evenly spaced
    slots: int = 28  # K: pairs of things at most; further ones are dropped and counted
    rgb_relations: bool = False  # read relation probabilities predicted from RGB as appearance
    contact_only: bool = False  # of grouped relations, those of the last group alone
    filter_small: float = 0.0  # pixels: leave out objects with a shorter side (Action Genome)
    relations: Literal["label", "prediction"] = "label"  # what the language model learns from: truth, or a network's
    boxes: Literal["oracle", "detected"] = "oracle"  # annotated boxes and classes, or a detector's
    clean: bool = False  # merge duplicate tracks of detected boxes, and drop short and doubtful ones
    pixels: bool = False  # look into the boxes, in the videos of the data set
    looks: int = 16  # frames of a clip that are looked into, evenly spaced; training samples among them
    detector: str = "shipped"  # what finds boxes: a name, a small detector's folder, or a file
    encoder: str = "detector"  # of boxes: detector (its own backbone), efficientnet-lite0, resnet50:W or resnet101:W
    names: str = ""  # a file with the detector's class names, one a line, where it does not know them
    class_map: str = ""  # a JSON or YAML file, detector class -> class of the data; by default the same words
    frames_dir: str = ""  # the frames of CAD-120, which travels without pixels; stands for `pixels` too
    features: str = ""  # the folder in which features and tracks are kept; by default `features` beside the run
    window: bool = True  # average appearance between neighbouring sampled frames, not one frame alone
    reverse: float = 0.5  # share of reversible training clips played backwards, with the mirrored label
    time_jitter: float = 0.5  # of the gap between sampled frames
    crop: float = 0.5  # share of training clips cut shorter around the transitions of their action
    box_jitter: float = 0.02  # of a box's size
    mirror: float = 0.5  # left/right
    drop_boxes: float = 0.05  # share of boxes hidden in training
    drop_slots: float = 0.1  # share of slots removed in training


@dataclass(frozen=True)
class ModelConfig:
    """Eq. 1-7: encoders, DT-Former, heads."""

    width: int = 512  # D
    layers: int = 4  # L
    heads: int = 8  # of the attention
    ffn: int = 4  # hidden width of the MLP, in D
    dropout: float = 0.1  # in the DT-Former
    class_width: int = 200  # category embeddings of Eq. 1 and label embeddings of Eq. 2
    box_width: int = 512  # width of each visual term of Eq. 1
    app_width: int = 0  # scores of a pair by another network, beside Eq. 1; set from the data
    roi: tuple[int, int, int] = (0, 0, 0)  # box vector, channels and side of the union map; set from the data
    context_width: int = 0  # a vector of the whole clip from another encoder, joined to z; set from the data
    relation_pooling: Literal["group_sum", "mean"] = "group_sum"  # how Eq. 2 embeds several labels of one pair
    mask_size: int = 27  # side of the box masks, in cells
    mask_channels: tuple[int, int] = (128, 256)  # of the box-mask encoder
    geometry: bool = True  # box coordinates and their motion beside the mask; the paper has the mask alone
    endpoint_delta: bool = False  # a token also knows how its pair differs from the slot's first and last known frame
    numbers: Literal["none", "periodic", "piecewise"] = "none"  # how each number of a token is embedded beside itself
    category: bool = True  # category embeddings in v: in the paper's text, not in its Eq. 1
    post_proj: bool = True  # mix local and global half; the paper concatenates only
    gpo_knots: int = 0  # evaluate GPO's rank weights at this many ranks and interpolate; 0: at every rank
    position: Literal["full", "factorised", "temporal"] = "full"  # of time, time and slot, or each place
    position_std: float = 0.02  # of the positions at the start
    attention: Literal["joint", "slot_then_joint"] = "slot_then_joint"  # the paper: joint
    gate: Literal["mask", "multiply"] = "mask"  # the paper: multiply
    shared: bool = True  # one DT-Former for both modalities
    leak_free: bool = False  # pool the global half of kept tokens over kept tokens only


@dataclass(frozen=True)
class SelectConfig:
    """Eq. 3: the temporal and spatial token selectors and the rule that turns scores into decisions."""

    temporal: bool = True  # select frames
    spatial: bool = True  # select tokens within frames
    context: Literal["class", "mean", "change"] = "change"  # the paper: class
    rule: Literal["budget", "threshold"] = "budget"  # the paper: threshold
    share: float = 0.35  # rho: tokens kept by the budget rule, target of the ratio loss by the threshold rule
    tau: float = 1.0  # width of the soft decision that gradients pass through
    warmup: float = 0.3  # of training: everything is kept
    ramp: float = 0.4  # of training: the budget falls from 1 to `share`
    noise: float = 0.3  # Gumbel noise at the start; falls to 0 with the end of training (budget rule)
    guided: bool = True  # selectors learn what the (language) model attends to; the paper: binary signals alone
    gated: float = 0.5  # after the warm-up, share of batches in which tokens are dropped; the paper: all


@dataclass(frozen=True)
class LossConfig:
    """Eq. 8-11 and their switches."""

    guidance: bool = True  # off: the video model alone
    video: bool = True  # off: the language model alone
    sim: float = 0.1  # delta
    tss: float = 1.0  # zeta
    xm: float = 0.1  # eta
    l1: float = 0.0  # lambda_1; the paper: 1, which empties the selection
    ratio: float = 2.0  # two-sided ratio loss of the threshold rule
    sim_mode: Literal["multi", "strict"] = "multi"  # the paper: strict
    sim_max: int = 2048  # tokens of a batch that L_sim compares
    detach_tss: bool = True  # the language model's choice is a target, not pulled back
    detach_xm: bool = True  # its answer likewise
    xm_mode: Literal["auto", "softmax", "bernoulli"] = "auto"  # auto: bernoulli where a clip shows several actions
    smoothing: float = 0.0  # of the labels
    balance: float = 0.5  # class weights: counts to the power -balance


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with a cosine schedule."""

    lr: float = 1e-4  # highest rate
    weight_decay: float = 0.01  # of AdamW
    clip: float = 5.0  # largest norm of a gradient
    epochs: int = 40  # passes through the training clips
    batch: int = 16  # clips of a step
    selector_lr: float = 1.0  # factor on lr
    average: float = 0.0  # decay of the exponential average of the weights that a run keeps; 0: the last weights
    calibrate: bool = False  # also train on all training groups but one, in turn, to choose threshold and temperature


@dataclass(frozen=True)
class Config:
    """Everything that defines a LaIAR run, apart from the data set, the fold and the seed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


def _small() -> Config:
    """Sizes for clips without pixels and a few hundred training clips."""
    return Config(
        model=ModelConfig(
            width=64,
            layers=2,
            heads=4,
            ffn=2,
            class_width=16,
            box_width=32,
            mask_size=14,
            mask_channels=(8, 16),
            endpoint_delta=True,
            numbers="periodic",
            gpo_knots=16,
            position="temporal",
            position_std=0.2,
        ),
        loss=LossConfig(sim=1.0, xm=1.0, sim_max=512),
        optim=OptimConfig(lr=2e-3, batch=16, epochs=24, weight_decay=0.05),
    )


def _paper_literal() -> Config:
    base = _small()
    return replace(
        base,
        model=replace(
            base.model,
            geometry=False,
            endpoint_delta=False,
            numbers="none",
            post_proj=False,
            gpo_knots=0,
            position="full",
            attention="joint",
            gate="multiply",
        ),
        select=replace(base.select, context="class", rule="threshold", warmup=0.0, ramp=0.0, guided=False, gated=1.0),
        loss=replace(base.loss, sim=0.1, xm=0.1, l1=1.0, ratio=0.0, sim_mode="strict", detach_tss=False),
    )


def _clips() -> Config:
    """Sizes for some tens or hundreds of own clips with a label each: detected boxes, cleaned; measured relations."""
    base = _small()
    return replace(
        base,
        data=replace(base.data, slots=12, boxes="detected", clean=True, pixels=True, detector="auto", encoder="auto"),
        optim=replace(base.optim, lr=1e-3, epochs=100),
    )


PRESETS: dict[str, Config] = {
    "default": _small(),
    "clips": _clips(),
    "large": Config(),
    "paper-literal": _paper_literal(),
}
