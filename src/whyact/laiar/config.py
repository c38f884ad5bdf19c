"""LaIAR's settings: one typed dataclass is the Python API, the command-line flags and the YAML file.

Defaults are the real-size values; ``PRESETS`` holds the named variants. Where a default departs from the
paper, its description says so; ``paper-literal`` undoes every such departure that can be undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from whyact.errors import UserError
from whyact.files import check_single_input, writable_file
from whyact.perception.tracks import RATE
from whyact.settings import check_numbers, setting
from whyact.video.write import CONTAINERS

NAMELESS = (".onnx", ".safetensors", ".pth")  # files of detectors that may come without their class names


@dataclass(frozen=True)
class DataConfig:
    """How a clip becomes T frames of at most K slots."""

    frames: int = setting(10, "T: frames that a clip is answered from, evenly spaced")
    slots: int = setting(28, "K: pairs of things at most; further ones are dropped and counted")
    rgb_relations: bool = setting(False, "read relation probabilities predicted from RGB as appearance")
    contact_only: bool = setting(False, "of grouped relations, those of the last group alone")
    filter_small: float = setting(0.0, "pixels: leave out objects with a shorter side (Action Genome)")
    relations: Literal["label", "prediction"] = setting(
        "label", "what the language model learns from: truth, or a network's"
    )
    boxes: Literal["oracle", "detected"] = setting("oracle", "annotated boxes and classes, or a detector's")
    clean: bool = setting(False, "merge duplicate tracks of detected boxes, and drop short and doubtful ones")
    pixels: bool = setting(False, "add RoI features of the boxes, from the videos of the data set")
    box_pixels: Literal["yes", "no", "auto"] = setting(
        "yes", "with pixels, the boxes' RoI features are terms of the tokens; auto: for own clips where there are many"
    )
    scene: bool = setting(False, "add vectors of whole frames, as a term of the answer by itself, with pixels")
    looks: int = setting(16, "frames of a clip with RoI features, evenly spaced; training samples among them")
    detector: str = setting("shipped", "what finds boxes: a name, a small detector's folder, or a file")
    encoder: str = setting(
        "detector", "of boxes: detector (its own backbone), efficientnet-lite0, resnet50:W or resnet101:W"
    )
    names: str = setting("", "a file with the detector's class names, one a line, where it does not know them")
    class_map: str = setting("", "a JSON or YAML file, detector class -> class of the data; by default the same words")
    clip_boxes: bool = setting(False, "cut off what boxes of own data have outside the image")
    frames_dir: str = setting("", "the frames of CAD-120, which comes without pixels; implies `pixels`")
    features: str = setting(
        "", "the folder in which features and tracks are kept; by default `features` beside the run"
    )
    window: bool = setting(True, "average appearance between neighbouring sampled frames, not one frame alone")
    reverse: float = setting(0.5, "share of reversible training clips played backwards, with the mirrored label")
    time_jitter: float = setting(0.5, "of the gap between sampled frames")
    crop: float = setting(0.5, "share of training clips cut shorter around the transitions of their action")
    box_jitter: float = setting(0.02, "of a box's size")
    mirror: float = setting(0.5, "left/right")
    drop_boxes: float = setting(0.05, "share of boxes hidden in training")
    drop_slots: float = setting(0.1, "share of slots removed in training")

    def __post_init__(self) -> None:
        shares = "reverse crop mirror drop_boxes drop_slots"
        check_numbers(self, "data", counts="frames slots looks", shares=shares)


@dataclass(frozen=True)
class ModelConfig:
    """Eq. 1-7: encoders, DT-Former, heads."""

    width: int = setting(512, "D")
    layers: int = setting(4, "L")
    heads: int = setting(8, "of the attention")
    ffn: int = setting(4, "hidden width of the MLP, in D")
    dropout: float = setting(0.1, "in the DT-Former")
    class_width: int = setting(200, "category embeddings of Eq. 1 and label embeddings of Eq. 2")
    box_width: int = setting(512, "width of each visual term of Eq. 1")
    app_width: int = setting(0, "scores of a pair by another network, beside Eq. 1; set from the data")
    roi: tuple[int, int, int] = setting((0, 0, 0), "box vector, channels and side of the union map; set from the data")
    context_width: int = setting(0, "a vector of the whole clip from another encoder, joined to z; set from the data")
    scene_width: int = setting(0, "a vector of each whole frame, whose term joins the answer; set from the data")
    box_forest: bool = setting(
        False, "a random forest on box measures joins the answer, where a clip shows one action; the paper has none"
    )
    forest_size: tuple[int, int, int] = setting((0, 0, 0), "its trees, nodes and kinds of pairs; set by the training")
    relation_pooling: Literal["group_sum", "mean"] = setting("group_sum", "how Eq. 2 embeds several labels of one pair")
    mask_size: int = setting(27, "side of the box masks, in cells")
    mask_channels: tuple[int, int] = setting((128, 256), "of the box-mask encoder")
    geometry: bool = setting(True, "box coordinates and their motion beside the mask; the paper has the mask alone")
    endpoint_delta: bool = setting(
        False, "a token also knows how its pair differs from the slot's first and last known frame"
    )
    numbers: Literal["none", "periodic", "piecewise"] = setting(
        "none", "how each number of a token is embedded beside itself"
    )
    category: bool = setting(True, "category embeddings in v: in the paper's text, not in its Eq. 1")
    post_proj: bool = setting(True, "mix local and global half; the paper concatenates only")
    gpo_knots: int = setting(0, "evaluate GPO's rank weights at this many ranks and interpolate; 0: at every rank")
    position: Literal["full", "factorised", "temporal"] = setting("full", "of time, time and slot, or each place")
    position_std: float = setting(0.02, "of the positions at the start")
    attention: Literal["joint", "slot_then_joint"] = setting("slot_then_joint", "the paper: joint")
    gate: Literal["mask", "multiply"] = setting("mask", "the paper: multiply")
    shared: bool = setting(True, "one DT-Former for both modalities")
    naming: Literal["nearest", "chain"] = setting(
        "nearest", "the paper: a token's nearest label; chain: a slot's labels over time"
    )
    leak_free: bool = setting(False, "pool the global half of kept tokens over kept tokens only")

    def __post_init__(self) -> None:
        counts = "width layers heads ffn class_width box_width mask_size"
        check_numbers(self, "model", counts=counts, shares="dropout")
        if self.width % self.heads:
            raise UserError("model.heads", self.heads, f"a divisor of model.width {self.width}")


@dataclass(frozen=True)
class SelectConfig:
    """Eq. 3: the temporal and spatial token selectors and the rule that turns scores into decisions."""

    temporal: bool = setting(True, "select frames")
    spatial: bool = setting(True, "select tokens within frames")
    context: Literal["class", "mean", "change"] = setting("change", "the paper: class")
    rule: Literal["budget", "threshold"] = setting("budget", "the paper: threshold")
    share: float = setting(0.35, "rho: tokens kept by the budget rule, target of the ratio loss by the threshold rule")
    tau: float = setting(1.0, "width of the soft decision that gradients pass through")
    warmup: float = setting(0.3, "of training: everything is kept")
    ramp: float = setting(0.4, "of training: the budget falls from 1 to `share`")
    noise: float = setting(0.3, "Gumbel noise at the start; falls to 0 with the end of training (budget rule)")
    guided: bool = setting(
        True, "selectors learn what the (language) model attends to; the paper: binary signals alone"
    )
    gated: float = setting(0.5, "after the warm-up, share of batches in which tokens are dropped; the paper: all")

    def __post_init__(self) -> None:
        check_numbers(self, "select", shares="share warmup ramp gated", positive="share tau")


@dataclass(frozen=True)
class LossConfig:
    """Eq. 8-11 and their switches."""

    guidance: bool = setting(True, "off: the video model alone")
    video: bool = setting(True, "off: the language model alone")
    sim: float = setting(0.1, "delta")
    tss: float = setting(1.0, "zeta")
    xm: float = setting(0.1, "eta")
    naming: float = setting(1.0, "of the chain of names; the paper has none")
    emphasis: float = setting(2.0, "weight of a slot whose relation changes, in the chain of names")
    l1: float = setting(0.0, "lambda_1; the paper: 1, which empties the selection")
    ratio: float = setting(2.0, "two-sided ratio loss of the threshold rule")
    sim_mode: Literal["multi", "strict"] = setting("multi", "the paper: strict")
    sim_max: int = setting(2048, "tokens of a batch that L_sim compares")
    detach_tss: bool = setting(True, "the language model's choice is a target, not pulled back")
    detach_xm: bool = setting(True, "its answer likewise")
    xm_mode: Literal["auto", "softmax", "bernoulli"] = setting(
        "auto", "auto: bernoulli where a clip shows several actions"
    )
    smoothing: float = setting(0.0, "of the labels")
    balance: float = setting(0.5, "class weights: counts to the power -balance")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with a cosine schedule."""

    lr: float = setting(1e-4, "highest rate")
    weight_decay: float = setting(0.01, "of AdamW")
    clip: float = setting(5.0, "largest norm of a gradient")
    epochs: int = setting(40, "passes through the training clips")
    batch: int = setting(16, "clips of a step")
    selector_lr: float = setting(1.0, "factor on lr")
    average: float = setting(
        0.0, "decay of the exponential average of the weights that a run keeps; 0: the last weights"
    )
    calibrate: bool = setting(
        True, "train a second time without a third of the groups, to know how often names and answers are right"
    )

    def __post_init__(self) -> None:
        check_numbers(self, "optim", counts="epochs batch", shares="average", positive="lr clip")


@dataclass(frozen=True)
class EvidenceConfig:
    """When a piece of evidence is stated as a reason."""

    level: float = setting(0.9, "least probability of being true, calibrated on training groups held out")
    draws: int = setting(16, "random removals of as many tokens, each of which must cost the answer less")
    least: float = setting(0.005, "least cost to the answer's score; what reads as 0.00 decided nothing")

    def __post_init__(self) -> None:
        check_numbers(self, "evidence", counts="draws", shares="level least")


@dataclass(frozen=True)
class PredictOptions:
    """What an answer about a video file can be asked with, on the command line and in Python."""

    detector: str | None = setting(
        None, "what finds the boxes: a name, a folder, or FILE.onnx (default: the model's own)", metavar="NAME"
    )
    class_map: Path | None = setting(None, "a JSON or YAML file, detector class -> model class", metavar="FILE")
    names: Path | None = setting(None, "class names of the ONNX detector, one a line", metavar="FILE")
    tracks: Path | None = setting(None, "read the boxes from this file instead of detecting them", metavar="FILE")
    clip_boxes: bool = setting(False, "cut off what boxes of --tracks have outside the image")
    save_tracks: Path | None = setting(None, "write the boxes to this file", metavar="FILE")
    window: float | None = setting(
        None, "length of video answered at a time (default: that of the training clips)", metavar="SECONDS"
    )
    stride: float | None = setting(
        None, "from one window's start to the next (default: half a window)", metavar="SECONDS"
    )
    draw: Path | None = setting(
        None, "write a video with the boxes, the named relations and the action drawn in", metavar="FILE"
    )

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        """Refuse before the work what would fail, or destroy something, after it.

        Raises:
            UserError: For options that do not fit each other, the inputs, or the place where a file is to be written.
        """
        if not named:
            check_single_input(inputs)
        for name, value, least in (("--window", self.window, 2 / RATE), ("--stride", self.stride, 1 / RATE)):
            if value is not None and not least <= value < 1e6:
                expected = f"seconds, at least {least:g}: boxes are looked for every {1 / RATE:g} s"
                raise UserError(name, value, expected, f"{name} {5 * least:g}")
        if self.window is not None and self.stride is not None and self.stride > self.window:
            raise UserError("--stride", self.stride, f"at most the window, {self.window:g} s")
        files = {"--tracks": self.tracks, "--save-tracks": self.save_tracks, "--draw": self.draw}
        for name, path in files.items():
            if path is not None and len(inputs) > 1:
                raise UserError(name, path, "one video: it is a single file", "name one video at a time")
        if self.detector is not None and self.tracks is not None:
            expected = "one of --detector and --tracks, which brings its boxes along"
            raise UserError("--detector", self.detector, expected, "leave one of them out")
        if self.names is not None and Path(self.detector or "").suffix.lower() not in NAMELESS:
            expected = f"a --detector beside it that ends in {', '.join(NAMELESS)}; others know their class names"
            raise UserError("--names", self.names, expected, "--detector FILE.onnx, or leave --names out")
        for name in ("--save-tracks", "--draw"):
            path = files[name]
            if path is not None and any(writable_file(name, path).resolve() == Path(item).resolve() for item in inputs):
                raise UserError(name, path, "another file than the video", "choose another name")
        if self.draw is not None and self.draw.suffix.lower() not in CONTAINERS:
            raise UserError("--draw", self.draw, f"a file name that ends in {', '.join(CONTAINERS)}")


@dataclass(frozen=True)
class Config:
    """Everything that defines a LaIAR run, apart from the data set, the fold and the seed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)


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
            box_forest=True,
            endpoint_delta=True,
            numbers="periodic",
            naming="chain",
            gpo_knots=16,
            position="temporal",
            position_std=0.2,
        ),
        select=SelectConfig(temporal=False, spatial=False),
        loss=LossConfig(sim=1.0, xm=1.0, sim_max=512),
        optim=OptimConfig(lr=2e-3, batch=16, epochs=24, weight_decay=0.05),
    )


def _paper_literal() -> Config:
    base = _small()
    return replace(
        base,
        model=replace(
            base.model,
            box_forest=False,
            geometry=False,
            endpoint_delta=False,
            numbers="none",
            naming="nearest",
            post_proj=False,
            gpo_knots=0,
            position="full",
            attention="joint",
            gate="multiply",
        ),
        select=replace(
            base.select,
            temporal=True,
            spatial=True,
            context="class",
            rule="threshold",
            warmup=0.0,
            ramp=0.0,
            guided=False,
            gated=1.0,
        ),
        loss=replace(base.loss, sim=0.1, xm=0.1, l1=1.0, ratio=0.0, sim_mode="strict", detach_tss=False),
    )


def _clips() -> Config:
    """Sizes for some tens or hundreds of own clips with a label each: detected boxes, cleaned; measured relations."""
    base = _small()
    return replace(
        base,
        data=replace(
            base.data,
            frames=16,  # more whole frames say more: seen on hand washing and on UT-Interaction itself
            looks=32,
            slots=12,
            boxes="detected",
            clean=True,
            pixels=True,
            box_pixels="auto",
            scene=True,
            detector="auto",
            encoder="auto",
        ),
        model=replace(base.model, box_forest=False),  # no gain on UT-Interaction, and fewer reasons that hold
        optim=replace(base.optim, lr=1e-3, epochs=100),
    )


PRESETS: dict[str, Config] = {
    "default": _small(),
    "clips": _clips(),
    "large": Config(),
    "paper-literal": _paper_literal(),
}
