"""Every setting of PVLR, typed; the presets; and the ablations of the study.

``default`` repairs what the public code does wrong; ``official`` and ``official-activitynet`` keep it, so that
published settings can be rerun. Each repair is one field, marked "repair" below and listed in docs/pvlr.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from whyact.errors import UserError
from whyact.files import check_single_input, writable_file, writable_folder
from whyact.settings import check_numbers, setting


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of the network. Widths are numbers of channels."""

    rgb_width: int = setting(1024, "both stream widths are set from the data")
    flow_width: int = setting(1024, "0: one encoder plays both streams")
    hidden: int = setting(512, "channels inside the consensus head")
    fused: int = setting(2048, "channels of the fused streams")
    width: int = setting(1024, "D, the joint space")
    auxiliary_encoder: bool = setting(True, "encode the other stream before it is compared (Eq. 1)")
    gate: Literal["cosine", "product"] = setting("cosine", "of the main stream: Eq. 4, or Eq. 4'")
    fusion_kernel: int = setting(3, "snippets that the fusion sees at once")
    convex: float = setting(0.5, "share of the flow stream in the attention (Eq. 8)")
    attention_pool: int = setting(1, "odd window of a length-preserving average; 1: none")
    dropout: float = setting(0.5, "in the consensus heads")
    fusion_dropout: float = setting(0.7, "after the fusion")
    drop_attention_logits: bool = setting(True, "kept from official: without it attention can collapse to 0")
    kaiming: bool = setting(False, "initialise weights as He et al. do")
    variance: Literal["log", "relu"] = setting("log", "repair: one meaning, log-variance; official reads it both ways")
    variance_hidden: int = setting(0, "width of a hidden layer in the variance head; 0: none")
    log_variance: tuple[float, float] = setting((-8.0, 4.0), "smallest and largest log-variance of a snippet")
    noise: float = setting(0.1, "s: the sampler's noise has standard deviation s * exp(v/2)")
    samples: int = setting(20, "K")
    prefix: int = setting(4, "learned tokens before a class name")
    postfix: int = setting(4, "learned tokens behind it")
    background: Literal["context", "first-row"] = setting(
        "context", "repair: official reads one row of the prompt table"
    )
    temperature_train: float = setting(8.0, "divides the inner products of training (Eq. 11)")
    temperature_test: float = setting(0.03, "divides the cosines of testing (Eq. 12)")

    def __post_init__(self) -> None:
        counts = "hidden fused width fusion_kernel attention_pool samples"
        check_numbers(self, "model", counts=counts, shares="convex dropout fusion_dropout")
        check_numbers(self, "model", positive="temperature_train temperature_test")


@dataclass(frozen=True)
class LossConfig:
    """Weights and switches of the losses."""

    classification: float = setting(0.8, "weight of Eq. 14: MIL, raw with background and suppressed without it")
    sparsity: float = setting(0.8, "weight of the mean attention, which keeps attention rare")
    guide: float = setting(0.8, "weight of Eq. 15")
    co_activity: float = setting(1.0, "weight of Eq. 16")
    distillation: float = setting(200.0, "weight of Eq. 17")
    intra_action: float = setting(0.005, "weight of Eq. 21, hard actions")
    intra_background: float = setting(0.005, "weight of Eq. 21, hard background")
    inter: float = setting(0.005, "weight of Eq. 23")
    orthogonality: float = setting(0.5, "weight of Eq. 24")
    top_k: int = setting(7, "r: the T/r highest snippets of each class")
    easy: int = setting(20, "how many snippets of a video are mined as easy, action and background each (Eq. 20)")
    hard: int = setting(5, "how many are mined as hard, action and background each (Eq. 20)")
    mask_dropout: float = setting(0.6, "share of all snippets that a step leaves out of the mining of easy ones")
    inner: int = setting(3, "m: inner edge of the rings of hard snippets, in snippets (Eq. 20)")
    outer: int = setting(24, "M: their outer edge; repair: official swaps the two, which inverts the rings")
    valid_rings: bool = setting(True, "repair: pick only inside the rings, fall back where a ring is too small")
    metric: Literal["kl", "bhattacharyya", "mahalanobis"] = setting(
        "kl", "distance of two snippets (Eq. 18); two videos are always compared by KL"
    )
    contrast: Literal["neg-log", "frobenius"] = setting("neg-log", "form of the contrast (Eq. 21, 23)")
    symmetric: bool = setting(True, "average the similarities of two snippets both ways")
    half_bhattacharyya: bool = setting(True, "repair: the constant of the second term")
    per_dimension: bool = setting(True, "repair: divide distances by D, so that similarities do not saturate")
    variance_floor: float = setting(1e-2, "repair: official adds 1e-5, which lets dead units rule")
    similarity_floor: float = setting(1e-6, "repair: keeps both logarithms finite")
    mixture: Literal["attention", "time"] = setting("attention", "repair: divide by the attention mass, not by T")
    mixture_variance: Literal["definition", "naive"] = setting("definition", "of a whole video; naive: the mean")
    inter_metric: Literal["distribution", "cosine"] = setting(
        "distribution", "how two videos are compared (Eq. 23): by KL, or by the cosine of their means"
    )

    def __post_init__(self) -> None:
        check_numbers(self, "loss", counts="top_k easy hard", shares="mask_dropout")
        if self.valid_rings and self.outer <= self.inner:
            raise UserError("loss.outer", self.outer, f"more than inner ({self.inner}), or the rings are empty")


@dataclass(frozen=True)
class InferenceConfig:
    """From curves to segments. Windows are shares of a proposal's length."""

    top_k: int = setting(20, "a class's probability: the mean of its T/top_k highest snippets")
    scoring: Literal["product", "sum"] = setting(
        "product", "repair: a proposal's contrast times its class's soft probability; official: plus a share of its own"
    )
    softness: float = setting(4.0, "product: divides the video's logits, or one class takes all the probability")
    class_floor: float = setting(0.01, "product: soft probability from which a class is looked for")
    class_threshold: float = setting(
        0.2,
        "probability below which a video's answer is unsure; sum: from which a class is looked for",
    )
    cas_thresholds: tuple[float, float, int] = setting((0.1, 0.95, 10), "of the activation: first, last, how many")
    attention_thresholds: tuple[float, float, int] = setting((0.1, 0.95, 10), "of the attention: first, last, how many")
    cas_gamma: float = setting(0.5, "sum: share of the class probability in a proposal's score")
    cas_window: float = setting(0.1, "outer ring of a proposal, as a share of its length")
    attention_gamma: float = setting(0.05, "the same for proposals of the attention")
    attention_window: float = setting(0.1, "the same for proposals of the attention")
    sigma: float = setting(0.2, "width of soft-NMS")
    normalise_attention: bool = setting(True, "repair: score attention proposals on the same min-max curve")
    suppression: Literal["positive", "product"] = setting(
        "positive", "repair: low attention never raises a negative value"
    )
    drop_lone_first: bool = setting(False, "repair: official loses a mask whose only snippet is the first")
    pixel_iou: bool = setting(False, "repair: official counts n+1 snippets in the overlap of soft-NMS")
    detection: tuple[float, ...] = setting(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "overlaps (tIoU) at which mAP is measured"
    )
    chunk: int = setting(2048, "snippets held at once")

    def __post_init__(self) -> None:
        check_numbers(self, "inference", counts="top_k chunk", shares="class_threshold class_floor")
        check_numbers(self, "inference", positive="sigma softness")


@dataclass(frozen=True)
class TrainConfig:
    """How long, with what, on how much. Iterations are rounded up to whole epochs of 50."""

    iterations: int = setting(7000, "steps in all")
    learning_rate: float = setting(5e-5, "of Adam")
    weight_decay: float = setting(1e-3, "of Adam")
    snippets: int = setting(320, "T: snippets of a training video")
    pairs: int = setting(3, "pairs of videos that share a class, in a batch")
    singles: int = setting(4, "further videos in a batch")

    def __post_init__(self) -> None:
        check_numbers(self, "train", counts="snippets", positive="learning_rate")
        if self.iterations < 0:
            raise UserError("train.iterations", self.iterations, "at least 1, or 0 to take the weights of `start`")
        if min(self.pairs, self.singles) < 0 or not self.pairs + self.singles:
            raise UserError("train.pairs", (self.pairs, self.singles), "pairs and singles that make a batch")


@dataclass(frozen=True)
class PredictOptions:
    """What an answer can be asked with, on the command line and in Python."""

    all: bool = setting(False, "list every proposal in rank order, as the benchmarks take them, not a timeline")
    vtt: Path | None = setting(None, "also write the segments as WebVTT subtitles into this folder", metavar="DIR")
    activitynet: Path | None = setting(
        None, "also write all scored segments to this file, as ActivityNet's evaluators read them", metavar="FILE"
    )
    weights: str | None = setting(
        None, "the encoder's weight file, where the run's features were made with one", metavar="FILE"
    )

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            UserError: For a place that cannot be written to.
        """
        if not named:
            check_single_input(inputs)
        if self.activitynet is not None:
            if shared:
                expected = "no --engine beside it: it is one file about all videos"
                raise UserError("--activitynet", str(self.activitynet), expected, "leave --engine out")
            writable_file("--activitynet", self.activitynet)
        if self.vtt is not None:
            writable_folder("--vtt", self.vtt)


@dataclass(frozen=True)
class Config:
    """All of PVLR.

    ``text`` names the source of class semantics, ``size`` the scale of everything; ``auto`` leaves both to the
    data: CLIP and the published sizes for THUMOS'14 and ActivityNet, small sizes (one CPU core) for all other data.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    text: Literal["auto", "stand-in", "clip", "sentence"] = setting("auto", "where class names get their vectors")
    size: Literal["auto", "published", "small"] = setting("auto", "of everything: published or small")
    clip: str = setting(
        "auto", "reads the class names: auto is the one that made clip/, else RN50; none: no distillation"
    )
    clip_weights: str = setting("auto", "auto as above, else OpenAI's; a tag of open_clip, a file, or random")
    start: str = setting("", "a run folder whose weights training starts from, such as the authors' converted one")


def of_run(saved: Mapping[str, Any]) -> Config:
    """Return the settings that a run was saved with.

    One from before ``inference.scoring`` keeps its sums: the level of its timeline was chosen with them.

    Raises:
        msgspec.ValidationError: When they are no such settings.
    """
    inference = saved.get("inference", {})
    if isinstance(inference, Mapping):
        inference = {"scoring": "sum", **inference}
    return msgspec.convert({**saved, "inference": inference}, Config)


OFFICIAL_MODEL = ModelConfig(variance="relu", noise=0.005, background="first-row")
OFFICIAL_LOSS = LossConfig(
    inner=24,
    outer=3,
    valid_rings=False,
    half_bhattacharyya=False,
    per_dimension=False,
    variance_floor=1e-5,
    similarity_floor=1e-30,
    mixture="time",
)
OFFICIAL_INFERENCE = InferenceConfig(
    scoring="sum", normalise_attention=False, suppression="product", drop_lone_first=True, pixel_iou=True
)
#: Sizes for the generated world and for small data of one's own.
_SMALL: dict[str, dict[str, Any]] = {
    "model": {"hidden": 32, "fused": 128, "width": 64, "samples": 10},
    "loss": {"easy": 8, "hard": 4},
    "train": {"iterations": 150, "learning_rate": 1e-3, "snippets": 100},
}


def small(config: Config) -> Config:
    """Return the same method at small size; a setting that differs from the published one is left as it is."""
    published = Config()
    changed: dict[str, Any] = {"size": "small"}
    for section, values in _SMALL.items():
        own, default = getattr(config, section), getattr(published, section)
        changed[section] = replace(own, **{k: v for k, v in values.items() if getattr(own, k) == getattr(default, k)})
    wide = max(config.loss.inner, config.loss.outer)
    if wide == published.loss.outer:  # the wide ring, whichever name it goes by
        swapped = config.loss.inner == wide
        changed["loss"] = replace(changed["loss"], **{"inner" if swapped else "outer": 9})
    return replace(config, **changed)


DEFAULT = Config()
OFFICIAL = Config(OFFICIAL_MODEL, OFFICIAL_LOSS, OFFICIAL_INFERENCE)
_ANET_LOSS = {
    "classification": 1.0,
    "distillation": 1.0,
    "intra_action": 0.01,
    "intra_background": 0.01,
    "inter": 0.0,
    "orthogonality": 4.0,
    "top_k": 5,
    "easy": 3,
    "hard": 3,
    "symmetric": False,
}
_ANET_MODEL = {
    "auxiliary_encoder": False,
    "gate": "product",
    "fusion_kernel": 1,
    "convex": 0.4,
    "attention_pool": 13,
    "kaiming": True,
    "variance_hidden": 1024,
    "temperature_train": 1.0,
    "temperature_test": 0.01,
}
_ANET_INFERENCE = {
    "top_k": 10,
    "attention_thresholds": (0.2, 0.95, 10),
    "cas_gamma": 0.01,
    "cas_window": 0.2,
    "attention_gamma": 0.5,
    "attention_window": 0.4,
    "sigma": 0.5,
    "detection": (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
}
_ANET_TRAIN = TrainConfig(20000, 3e-5, 5e-5, 60)


def _activitynet(config: Config, noise: float, inner: int, outer: int) -> Config:
    return Config(
        replace(config.model, noise=noise, **_ANET_MODEL),  # type: ignore[arg-type]
        replace(config.loss, inner=inner, outer=outer, **_ANET_LOSS),  # type: ignore[arg-type]
        replace(config.inference, **_ANET_INFERENCE),  # type: ignore[arg-type]
        _ANET_TRAIN,
    )


PRESETS: dict[str, Config] = {
    "default": DEFAULT,
    "official": OFFICIAL,
    "default-activitynet": _activitynet(DEFAULT, 0.1, 3, 12),
    "official-activitynet": _activitynet(OFFICIAL, 0.05, 12, 3),
}
