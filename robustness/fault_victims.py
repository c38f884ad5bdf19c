"""What the fault study kills: two extractions and the trainings of all three methods, each a second's work.

A victim writes a folder, goes on where it was stopped, and leaves the same bytes whenever it was not stopped. Each runs
in a process of its own; this module must not compute with torch when it is imported, for autograd does not outlive a
fork.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIDEOS = 12
ENCODER = "means"


@dataclass(frozen=True)
class Victim:
    """``work`` writes a folder from the material; ``wrong`` says what is wrong with a folder; ``records`` counts."""

    name: str
    work: Callable[[Path, Path], None]
    wrong: Callable[[Path], list[str]]
    records: Callable[[Path], set[str]]


@dataclass(frozen=True)
class Means:
    """Encodes a snippet as the mean colour of its frames: an encoder that costs nothing."""

    name: str = ENCODER
    weights: str = "none"
    width: int = 3

    def prepare(self, frames: NDArray[np.uint8]) -> Any:
        """Return (3,) of (T,H,W,3)."""
        import torch

        return torch.from_numpy(frames.mean((0, 1, 2)).astype(np.float32))

    def encode(self, prepared: Any) -> Any:
        """Return (N,3) of (N,3)."""
        return prepared


def make_material(root: Path) -> Path:
    """Write the videos and the generated world that the victims read."""
    from benchmarks.video import write_video
    from whyact.homeworld.write import write_world

    (root / "videos").mkdir(parents=True)
    for i in range(VIDEOS):
        write_video(root / "videos" / f"v{i:02d}.mp4", 40, 8, (64, 48), seed=i)
    write_world(root / "world", seed=0, subjects=2, videos_per_subject=1)
    return root


def extract_folder(material: Path, out: Path) -> None:
    """Extract the videos' snippets into a feature folder."""
    from whyact.data.untrimmed.feature_files import Encoder, Recipe
    from whyact.data.untrimmed.snippet_files import Streams, extract, find_videos

    streams = Streams((Means(),), None, Recipe(0.4, (3, 0), (Encoder(ENCODER, "none"),), None))
    extract(find_videos([material / "videos"]), out, streams)


def extract_store(material: Path, out: Path) -> None:
    """Extract frames of the videos into a feature store, three videos a shard."""
    from whyact.features.extract import extract
    from whyact.features.store import FeatureStore, feature_key
    from whyact.video.decode import decode

    store = FeatureStore(out, ENCODER, 3)
    videos = [(path.name, path) for path in sorted((material / "videos").iterdir())]
    extract(
        store,
        videos,
        lambda sha: feature_key(sha, "uniform 8", ENCODER, "none"),
        lambda path: decode(path, 8),
        lambda frames: frames.mean((1, 2)),
    )


def train_laiar(material: Path, out: Path) -> None:
    """Train a small LaIAR."""
    from whyact.data.relations import cad120
    from whyact.laiar.config import Config, DataConfig, ModelConfig, OptimConfig
    from whyact.laiar.learner import learn

    config = Config(
        data=DataConfig(frames=6, slots=6),
        model=ModelConfig(width=16, layers=2, heads=2, ffn=2, class_width=4, box_width=6, mask_channels=(3, 4)),
        optim=OptimConfig(lr=5e-3, batch=8, epochs=3),
    )
    found = cad120.read(material / "world", max_pairs=6)
    clips = [clip for clip in found.clips if clip.target is not None][:40]
    model, _ = learn(clips, found.vocabulary, config, seed=0, resume_dir=out / "state")
    _save("laiar", out, model)


def train_locate(material: Path, out: Path) -> None:
    """Train both stages of a small LoCATe-GAT."""
    from whyact.data.datasets import load_zero_shot
    from whyact.data.types import ZeroShotOptions
    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.stages import Tensors, train_stages

    config = replace(PRESETS["synthetic"], epochs=2, gat_steps=20, gat_hidden=8, mixer="none", mix=0.4, calibration=0.2)
    found, split = load_zero_shot("synthetic", None, 1, ZeroShotOptions(progress=False))
    seen = found.index(split.seen)
    train = np.flatnonzero(np.isin(found.targets, seen))[:120]
    model, _, _ = train_stages(Tensors.of(found, config.frames), seen, train, config, resume_dir=out / "state")
    _save("locate-gat", out, model)


def train_pvlr(material: Path, out: Path) -> None:
    """Train a small PVLR."""
    from whyact.data.datasets import load_features
    from whyact.pvlr.config import PRESETS, TrainConfig
    from whyact.pvlr.learner import learn
    from whyact.pvlr.sets import build_model, resolve
    from whyact.training.numerics import seed_everything

    split = load_features("synthetic", None, 1)
    config = resolve(replace(PRESETS["default"], train=TrainConfig(iterations=100, snippets=16)), split)
    seed_everything(0)
    model = build_model(config, split.prompts)
    learn(model, split.train, len(split.classes), config, seed=0, device="cpu", resume_dir=out / "state")
    _save("pvlr", out, model)


def _save(method: str, out: Path, model: Any) -> None:
    from whyact.training.checkpoint import save_checkpoint

    card = {"method": method, "data": "generated", "split_sha256": "", "licence": "", "seed": 0}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_checkpoint(out, state, {}, card)


def _wrong_features(out: Path) -> list[str]:
    from whyact.data.untrimmed.records import verify_features

    return verify_features(out)


def _wrong_store(out: Path) -> list[str]:
    from whyact.features.store import verify_store

    return verify_store(out)


def _wrong_run(out: Path) -> list[str]:
    from whyact.training.checkpoint import load_checkpoint

    load_checkpoint(out)
    return []


def _recorded(out: Path) -> set[str]:
    return {path.name for path in (out / "videos").glob("*.json")}


def _stored(out: Path) -> set[str]:
    from whyact.features.store import FeatureStore

    if not out.is_dir():
        return set()
    store = FeatureStore(out, ENCODER)
    return {f"v{i:02d}.mp4" for i in range(VIDEOS) if store._index.find(f"v{i:02d}.mp4") is not None}


def _states(out: Path) -> set[str]:
    """Return whether anything of a training is kept: its state, which goes once the trained run is there."""
    return {"training"} if any(out.rglob("*.safetensors")) else set()


VICTIMS = (
    Victim("extraction to a feature folder", extract_folder, _wrong_features, _recorded),
    Victim("extraction to a feature store", extract_store, _wrong_store, _stored),
    Victim("training laiar", train_laiar, _wrong_run, _states),
    Victim("training locate-gat", train_locate, _wrong_run, _states),
    Victim("training pvlr", train_pvlr, _wrong_run, _states),
)
