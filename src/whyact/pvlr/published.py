"""The authors' checkpoints (initial and best) as runs of ours: weights only, every key accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor

from whyact.data.io.pickles import load_torch
from whyact.data.untrimmed import activitynet, thumos14
from whyact.errors import UserError
from whyact.features.clip import load_clip, tower_from_state
from whyact.features.towers import TextTower
from whyact.pvlr.config import PRESETS
from whyact.pvlr.model import PVLR, PromptedText
from whyact.training.checkpoint import check_run_folder, save_checkpoint

Benchmark = Literal["thumos14", "activitynet-1.3"]
_COMMON = (
    (r"vAttn\.bit_wise_attn\.", "rgb.bit."),
    (r"vAttn\.channel_conv\.", "rgb.channel."),
    (r"vAttn\.attention\.", "rgb.attention."),
    (r"fAttn\.bit_wise_attn\.", "flow.bit."),
    (r"fAttn\.channel_conv\.", "flow.channel."),
    (r"fAttn\.attention\.", "flow.attention."),
    (r"fusion\.", "fusion1."),
    (r"fusion2\.", "fusion2."),
    (r"embedding\.", "text.table."),
)
RENAMED: dict[Benchmark, tuple[tuple[str, str], ...]] = {
    "thumos14": (
        *_COMMON,
        (r"vAttn\.AE_e\.", "rgb.auxiliary."),
        (r"fAttn\.AE_e\.", "flow.auxiliary."),
        (r"snippet_prob_encoder\.fc_mean\.", "mean."),
        (r"snippet_prob_encoder\.fc_var\.", "variance."),
    ),
    "activitynet-1.3": (
        *_COMMON,
        (r"snippet_prob_encoder\.mu_enc\.", "mean."),
        (r"snippet_prob_encoder\.var_enc\.", "variance."),
    ),
}
CLIP = "clipmodel."  # the frozen CLIP inside the file
#: Beside it, what else is left out: a reconstruction branch that no loss ever reached.
DROPPED = (r"clipmodel\.", r"[vf]Attn\.AE_d\.")
NAMES: dict[Benchmark, str] = {
    "thumos14": "PVLR_init.pth, init_thumos.pth or Best_model.pkl",
    "activitynet-1.3": "init_annet.pth or Best_model.pkl",
}
"""What the authors call their checkpoints."""


def import_published(
    path: Path, out: Path, root: Path, benchmark: Benchmark = "thumos14", weights: Path | None = None
) -> dict[str, Any]:
    """Convert a published checkpoint into a run folder (safetensors, no CLIP inside) and return its card.

    The class texts are computed once, by the CLIP that is in the file; nothing is downloaded then.

    Args:
        path: One of :data:`NAMES`.
        out: The run folder to write.
        root: The annotations, for the class list.
        benchmark: Which code base wrote the file.
        weights: CLIP RN50's weights, for a file without CLIP; by default open_clip fetches OpenAI's.

    Raises:
        UserError: When a key is missing, unknown or of another shape, or CLIP cannot be loaded.
    """
    check_run_folder(out)
    published = {name.removeprefix("module."): value for name, value in load_torch(path).items()}
    _check_benchmark(published, benchmark, path)
    thumos = benchmark == "thumos14"
    found = thumos14.load(root) if thumos else activitynet.load(root, "1.3")
    prompts = [(thumos14 if thumos else activitynet).prompt_name(name) for name in found.classes]
    config = replace(PRESETS["official" if thumos else "official-activitynet"], text="clip", size="published")
    inside = {name.removeprefix(CLIP): value for name, value in published.items() if name.startswith(CLIP)}
    tower: TextTower
    if "token_embedding.weight" in inside:
        tower = tower_from_state(inside)
    else:
        tower = load_clip("RN50", "openai" if weights is None else str(weights)).tower
    model = PVLR(config.model, PromptedText(tower, prompts, config.model)).eval()
    tensors = convert(published, model.state_dict(), benchmark, path)
    model.load_state_dict(tensors)
    with torch.no_grad():
        text = model.text()
    card = {
        "method": "pvlr",
        "data": benchmark,
        "split_sha256": found.sha256(),
        "licence": "see the authors' repository",
        "seed": None,
        "metrics": {},
        "extra": {
            "classes": list(found.classes),
            "prompts": prompts,
            "fold": 1,
            "note": f"weights published by the authors ({Path(path).name})",
            "snippet_seconds": 1 / thumos14.SNIPPETS_PER_SECOND,
        },
    }
    save_checkpoint(Path(out), {**tensors, "class_texts": text}, msgspec.to_builtins(config), card)
    return card


def _check_benchmark(published: Mapping[str, Tensor], benchmark: Benchmark, where: Path) -> None:
    """Refuse a checkpoint of the other code base before any work; their variance heads have other names."""
    head = "snippet_prob_encoder."
    marks: dict[Benchmark, str] = {"thumos14": f"{head}fc_var.", "activitynet-1.3": f"{head}var_enc."}
    for other, mark in marks.items():
        if other != benchmark and any(name.startswith(mark) for name in published):
            step = f"whyact data convert {where} pvlr-{other}"
            raise UserError(where, f"a checkpoint of the authors' {other} model", f"one of {benchmark}", step)


def convert(
    published: Mapping[str, Tensor], wanted: Mapping[str, Tensor], benchmark: Benchmark, where: object
) -> dict[str, Tensor]:
    """Rename published tensors to ours and check every key and shape.

    Raises:
        UserError: When one is missing, unknown or of another shape.
    """
    made: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, value in published.items():
        plain = key.removeprefix("module.")
        if any(re.match(pattern, plain) for pattern in DROPPED):
            continue
        name = next(
            (ours + plain[m.end() :] for theirs, ours in RENAMED[benchmark] if (m := re.match(theirs, plain))), ""
        )
        if name in wanted:
            made[name] = value.float()
        else:
            unknown.append(key)
    missing = sorted(wanted.keys() - made.keys())
    _refuse(where, unknown, f"only the tensors of the authors' {benchmark} model")
    _refuse(where, missing, "every tensor of the model (these are missing)")
    wrong = [
        f"{k} {tuple(made[k].shape)} for {tuple(wanted[k].shape)}" for k in wanted if made[k].shape != wanted[k].shape
    ]
    _refuse(where, wrong, "tensors of the model's shapes")
    return made


def _refuse(where: object, names: Sequence[str], expected: str) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(where, ", ".join(names[:3]) + more, expected)
