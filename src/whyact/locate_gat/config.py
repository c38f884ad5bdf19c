"""Every number that defines a LoCATe-GAT run, in one typed record, and the presets that fill it.

``default`` is the corrected method (attention over time, cosine-softmax, a graph that classifies);
``reference`` keeps the published quirks that define a result (attention over the batch, learning rate
2e-7, MSE, row-sum node features, a graph whose output is dropped). The number that the public code adds
to one accuracy is in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from whyact.data.types import ZeroShotOptions
from whyact.errors import UserError
from whyact.files import check_single_input
from whyact.settings import check_numbers, setting

Branch = tuple[int, int, int, int]
"""One LCA branch: dilation d, squeeze width m, hidden width h, output width o."""

BRANCHES: dict[int, tuple[Branch, ...]] = {
    512: ((1, 8, 64, 256), (2, 16, 128, 192), (4, 4, 16, 64)),
    768: ((1, 8, 64, 512), (2, 8, 32, 128), (4, 8, 32, 128)),
    1024: ((1, 8, 64, 512), (2, 16, 128, 384), (4, 8, 16, 128)),
}
"""Published branch widths by model width D; the outputs of a row add up to D."""

BRANCH_ABLATIONS: dict[int, tuple[Branch, ...]] = {
    2: ((2, 8, 64, 256), (4, 8, 64, 256)),
    1: ((4, 8, 64, 512),),
}
"""Published ablations with fewer branches, D = 512 only."""

SMALL_BRANCHES: dict[int, tuple[Branch, ...]] = {
    128: ((1, 4, 16, 64), (2, 4, 16, 48), (4, 4, 16, 16)),
    300: ((1, 4, 16, 150), (2, 4, 16, 100), (4, 4, 16, 50)),
    384: ((1, 4, 16, 192), (2, 4, 16, 128), (4, 4, 16, 64)),
}
"""Our own widths for padded grids: the synthetic protocol, word vectors, MiniLM-wide real features."""

SMALL_GRIDS: dict[int, tuple[int, int, int]] = {128: (2, 8, 8), 300: (3, 10, 10), 384: (6, 8, 8)}
"""How the small widths are laid out for LCA."""


@dataclass(frozen=True)
class PredictOptions:
    """What an answer can be asked with, on the command line and in Python."""

    labels: str | tuple[str, ...] | None = setting(
        None,
        "candidate actions: names with commas between them, or a text file with one a line "
        "(default: the run's unseen classes)",
        metavar="NAME,NAME|FILE",
    )
    evidence: int = setting(5, "how many frames and how many known classes to show (default: 5)", metavar="N")
    clip_weights: Path | None = setting(
        None, "where CLIP's weight file lies now, if the run was trained with one", metavar="FILE"
    )

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        """Refuse before the work what makes no sense.

        Raises:
            UserError: For a negative number.
        """
        if not named:
            check_single_input(inputs)
        if self.evidence < 0:
            raise UserError("--evidence", self.evidence, "a whole number")
        if self.clip_weights is not None and not self.clip_weights.is_file():
            raise UserError("--clip-weights", str(self.clip_weights), "a file that exists")


@dataclass(frozen=True)
class Config:
    """Say how LoCATe-GAT is built and trained.

    ``width`` is the block's width D and equals the text width; a video feature of another width is joined
    by a learned projection. ``grid`` (c,h,w) is how D channels are laid out for LCA, ``pad`` keeps the map
    size where h is too small for the published unpadded convolutions. ``mix`` is the share of the graph in
    the score and ``calibration`` the handicap of seen classes; ``None`` means: choose it on held-out seen
    classes. ``eval_batch`` videos are embedded at once, which only attention over the batch can notice.
    ``patch_side`` patches in a row go with every frame (mixer ``patch-lca`` reads them); ``names`` are CLIP's or the
    word vectors of Label.mat; ``class_order`` is what indices of Split.mat count. Times and rates:
    ``learning_rate`` per step of Adam, ``warmup`` in epochs.
    """

    # model
    width: int = setting(512, "D: of the blocks, and of the text")
    frames: int = setting(16, "of a video, evenly spaced")
    heads: int = setting(8, "of the attention over time")
    grid: tuple[int, int, int] = setting((2, 16, 16), "c, h, w: how D channels are laid out for LCA")
    pad: bool = setting(False, "keep the size of a small map")
    branches: tuple[Branch, ...] = setting(BRANCHES[512], "of LCA: dilation, squeeze, hidden and output width")
    mixer: Literal["lca", "patch-lca", "mlp", "none"] = setting("lca", "what mixes channels")
    attention: Literal["time", "batch", "none"] = setting("time", "over frames; batch is what the public code does")
    positions: bool = setting(True, "add positions in time")
    lca_dropout: float = setting(0.0, "inside LCA")
    start: Literal["random", "identity", "mean", "choose"] = setting(
        "random",
        "of the block: random as published, identity (the mean of frames until it learns), mean (it never learns), or "
        "choose: the simplest that does not lose to another on held-out seen classes",
    )
    # stage 1
    loss: Literal["cosine-softmax", "mse"] = setting("cosine-softmax", "of stage 1")
    temperature: float = setting(0.05, "divides the cosines")
    learning_rate: float = setting(3e-4, "of Adam, stage 1")
    weight_decay: float = setting(0.0, "of Adam")
    ridge: float = setting(0.1, "strength of the projection that joins video and text")
    batch: int = setting(32, "videos of a step")
    eval_batch: int = setting(512, "videos embedded at once")
    epochs: int = setting(16, "of stage 1")
    warmup: float = setting(1.0, "epochs until the full rate")
    # stage 2
    graph: bool = setting(True, "train the graph (stage 2)")
    neighbours: int = setting(5, "nearest names that a name is joined to")
    node_norm: Literal["l2", "sum"] = setting("l2", "how the graph's input is scaled, before its edges too")
    gat_heads: tuple[int, int, int] = setting((4, 4, 6), "of its layers")
    gat_hidden: int = setting(256, "its width")
    gat_dropout: float = setting(0.6, "in the graph")
    gat_final_elu: bool = setting(False, "an ELU at its end, as in the public code")
    gat_target: Literal["prototype", "classifier", "random"] = setting("prototype", "what a node learns to be")
    gat_loss: Literal["mse", "cosine"] = setting("cosine", "of stage 2")
    gat_steps: int = setting(300, "of stage 2")
    gat_learning_rate: float = setting(1e-3, "of Adam, stage 2")
    # scoring, both chosen on held-out seen classes where None
    mix: float | None = setting(None, "share of the graph in the score; null: chosen on held-out seen classes")
    calibration: float | None = setting(None, "handicap of seen classes; null: chosen likewise")
    # pixels and words, for data that is videos (see features/clip.py)
    backbone: str = setting("ViT-B-16", "which CLIP reads frames and names")
    backbone_weights: str = setting("openai", "a tag of open_clip, a file, or random")
    patch_side: int = setting(0, "patches of a frame in a row (mixer patch-lca); 0: the frame alone")
    names: Literal["clip", "words"] = setting("clip", "vectors of names: CLIP's, or the word vectors of Label.mat")
    # protocol
    class_order: Literal["label", "ascii"] = setting("label", "what the indices of Split.mat count")
    holdout: float = setting(0.2, "share of seen videos kept for the generalised test")
    rehearsals: int = setting(1, "trainings that choose mix and calibration")
    rehearsal_classes: float = setting(0.3, "share of seen classes that play the unseen in them")

    def __post_init__(self) -> None:
        c, h, w = self.grid
        if c * h * w != self.width:
            raise UserError("grid", self.grid, f"c*h*w equal to width {self.width}")
        if self.width % self.heads:
            raise UserError("heads", self.heads, f"a divisor of width {self.width}")
        if (self.mixer == "patch-lca") != (self.patch_side > 0):
            fitting = "0" if self.patch_side else "1 or more"
            raise UserError("patch_side", self.patch_side, f"{fitting} with mixer {self.mixer}")
        if "lca" in self.mixer and sum(branch[3] for branch in self.branches) != self.width:
            raise UserError("branches", self.branches, f"output widths that add up to width {self.width}")
        if self.mixer == "lca":
            largest = max(branch[0] for branch in self.branches)
            if not self.pad and min(h, w) <= 2 * largest:
                raise UserError("grid", self.grid, f"h and w above {2 * largest}", "set pad to true")
        check_numbers(
            self,
            counts="frames batch eval_batch epochs neighbours gat_steps rehearsals",
            shares="mix holdout rehearsal_classes",
            positive="temperature learning_rate gat_learning_rate",
        )

    @property
    def data_options(self) -> ZeroShotOptions:
        """Return how pixels and names become vectors."""
        return ZeroShotOptions(self.backbone, self.backbone_weights, self.patch_side, self.names, self.class_order)


def for_width(width: int, **changes: object) -> Config:
    """Return the default at another published width (512, 768 or 1024) or a small padded one (128, 300, 384).

    Raises:
        UserError: If no branch widths are known for ``width``.
    """
    if width in BRANCHES:
        base = Config(
            width=width, heads=width // 64, grid=(width // 256, 16, 16), branches=BRANCHES[width], gat_hidden=256
        )
    elif width in SMALL_BRANCHES:
        base = Config(
            width=width, heads=4, grid=SMALL_GRIDS[width], pad=True, branches=SMALL_BRANCHES[width], gat_hidden=64
        )
    else:
        raise UserError("width", width, f"one of {sorted([*BRANCHES, *SMALL_BRANCHES])}", "give grid and branches")
    return replace(base, **changes)  # type: ignore[arg-type]


REFERENCE = Config(
    attention="batch",
    loss="mse",
    learning_rate=2e-7,
    batch=11,
    eval_batch=22,
    class_order="ascii",
    warmup=0.0,
    node_norm="sum",
    gat_final_elu=True,
    gat_target="random",
    gat_loss="mse",
    gat_steps=100_000,
    mix=0.0,
    calibration=0.0,
)

PUBLISHED: dict[str, dict[str, int]] = {
    "ucf101": {"epochs": 16, "batch": 11},
    "hmdb51": {"epochs": 28, "batch": 11},
    "activitynet": {"epochs": 16, "batch": 11},
    "kinetics": {"epochs": 16, "batch": 32},
    "truze-ucf101": {"epochs": 16, "batch": 11},
    "truze-hmdb51": {"epochs": 28, "batch": 11},
}
"""What the public scripts set for each data set. The learning rate is 2e-7 in all of them; their early
stopping watches unseen test videos and is left out, also of the reference presets: epochs are fixed."""

PATCH_BRANCHES: tuple[Branch, ...] = ((1, 8, 64, 256), (2, 8, 64, 192), (4, 4, 16, 64))
"""Our widths for the patch variant, D = 512."""

PRESETS: dict[str, Config] = {
    "default": Config(),
    "reference": REFERENCE,
    "reference-2-branches": replace(REFERENCE, branches=BRANCH_ABLATIONS[2]),
    "reference-1-branch": replace(REFERENCE, branches=BRANCH_ABLATIONS[1]),
    "vit-l-14": for_width(768),
    "rn50": for_width(1024),
    **{name: replace(Config(), **found) for name, found in PUBLISHED.items()},  # type: ignore[arg-type]
    **{f"reference-{name}": replace(REFERENCE, **found) for name, found in PUBLISHED.items()},  # type: ignore[arg-type]
    "words": for_width(300, names="words", ridge=1.0),
    "patches": Config(mixer="patch-lca", patch_side=7, branches=PATCH_BRANCHES),
    "synthetic": for_width(128, frames=8, learning_rate=5e-4, epochs=24, batch=24, holdout=0.25),
    "gym": for_width(384, frames=8, epochs=4, gat_steps=100, ridge=1.0, rehearsals=3, start="choose"),
}
