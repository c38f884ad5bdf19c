"""Runs of PVLR and LoCATe-GAT that read video files and are trained in a second, with encoders that cost nothing.

:func:`patch` makes the encoders known; a process that loads such a run has to call it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from torch import Tensor

import zero_shot_trees as trees
from made_encoders import Brightness
from made_videos import write_clip
from whyact.data.untrimmed import snippet_files


@dataclass(frozen=True)
class Waves(Brightness):
    """Rows that turn with the brightness, so that a model has something to tell apart."""

    def encode(self, prepared: Tensor) -> Tensor:
        mean = prepared[:, :2].mean(1, keepdim=True) / 12
        return torch.cat([mean.sin(), mean.cos(), (2 * mean).sin(), (2 * mean).cos()], 1)


def patch(patched: pytest.MonkeyPatch) -> None:
    """Let snippets be read by their brightness, and frames by a tiny CLIP where there is any."""
    patched.setattr(
        snippet_files, "load_encoder", lambda name, weights="random", state=None, device="cpu": Waves(name, weights)
    )
    if find_spec("open_clip"):
        trees.add_tiny_clip(Path(mkdtemp()))


def pvlr_run(folder: Path, iterations: int = 2) -> Path:
    """Train PVLR on four films that grow brighter; snippets of 0.32 s, two classes. Needs :func:`patch`."""
    from whyact.pvlr import task

    films, data, run = folder / "films", folder / "data", folder / "pvlr"
    films.mkdir(parents=True)
    for i, frames in enumerate((40, 60, 50, 30)):
        write_clip(films / f"{i}.mp4", frames)
    streams = snippet_files.load_streams(("s3d",), ("random",), None, 0.32)
    snippet_files.extract(snippet_files.find_videos([films]), data, streams)
    (data / "labels.csv").write_text("name,labels\n0,walk\n1,run\n2,walk;run\n3,run\n")
    default = task.PRESETS["default"]
    # By products alone nothing stands out after two iterations, and there would be no evidence to ask about.
    inference = replace(default.inference, scoring="sum")
    train = replace(default.train, iterations=iterations)
    config = replace(default, text="stand-in", inference=inference, train=train)
    task.train("folder", data, run, config=config, progress=False)
    return run


def locate_run(folder: Path) -> Path:
    """Train LoCATe-GAT on a few tiny films of four classes, with a graph that has half the say. Needs :func:`patch`."""
    from whyact.locate_gat import task
    from whyact.locate_gat.config import Config

    root = trees.write_ucf(folder / "data")
    narrow = Config(
        width=24, heads=4, grid=(6, 2, 2), mixer="none", backbone=trees.CLIP, backbone_weights="random", epochs=1,
        frames=4, mix=0.5, gat_steps=2, gat_hidden=8, gat_heads=(1, 1, 1),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        trees.trust(patched, "ucf101")
        task.train("ucf101", root, folder / "locate-gat", config=narrow, progress=False)
    return folder / "locate-gat"
