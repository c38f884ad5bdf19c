"""``import whyact`` is instant and offers the public names, typed; what a researcher writes first works."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import whyact
from made_videos import write_clip
from whyact.methods import METHODS

SCRIPT = '''
"""What a user writes, as a strict type checker sees it."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import whyact
from whyact.data import RelationClip, load_dataset
from whyact.laiar import LaIAR, LaIARConfig
from whyact.locate_gat import LoCATeGAT, LoCATeGATConfig
from whyact.metrics import charades_map, mean_recall, temporal_map
from whyact.pvlr import PVLR, PVLRConfig

model: whyact.Model = whyact.load("runs/mine", device="cuda")
module: nn.Module = model.module
answers: list[whyact.Prediction] = model.predict("a.mp4", Path("b.mp4"), window=4.0)
frames = np.zeros((8, 48, 64, 3), np.uint8)
first: whyact.Prediction = model.predict(frames, fps=25)[0]
more: list[whyact.Prediction] = model.predict(torch.from_numpy(frames), fps=25.0)
reasons: list[whyact.Evidence] = first.evidence
score: float = first.score
version: str = whyact.__version__
trained: whyact.Model = whyact.train("laiar", "own", "runs/new", root="data", config={"optim.epochs": 2}, seed=1)
metrics: dict[str, object] = trained.evaluate()
recall: float = mean_recall(["drink", "pick"], ["drink", "drink"])
precision: float = charades_map(np.zeros((2, 3)), np.ones((2, 3)))
ap: float = temporal_map([("a", "drink", 0.0, 1.0, 0.9)], [("a", "drink", 0.0, 1.0)])
clips = load_dataset("own", "data", part="test")
config: LaIARConfig = LaIARConfig()
vectors: nn.Module = PVLR(PVLRConfig().model, torch.zeros(4, 16))
kinds: tuple[type[nn.Module], ...] = (LaIAR, LoCATeGAT)
widths: tuple[int, int] = (config.model.width, LoCATeGATConfig().width)


def boxes(clip: RelationClip) -> int:
    return len(clip.times)


try:
    model.predict("missing.mp4")
except FileNotFoundError as error:
    print(error)
except whyact.UserError as error:
    print(error.expected)
'''


def test_public_names_are_the_real_ones() -> None:
    from whyact.errors import PartialFailure, UserError
    from whyact.prediction import Evidence, Prediction

    assert (whyact.Prediction, whyact.Evidence, whyact.UserError) == (Prediction, Evidence, UserError)
    assert whyact.PartialFailure is PartialFailure
    assert whyact.__version__ == version("whyact")
    assert set(whyact.__all__) <= set(dir(whyact))
    with pytest.raises(AttributeError, match="nonsense"):
        whyact.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_importing_whyact_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, whyact; sys.exit(bool({'torch', 'numpy', 'msgspec'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_users_script_passes_a_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="comes with the dev extra")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(
        'import whyact\n\nwhyact.load("a").predict("b.mp4")[0].label = 3\nwhyact.nonsense\n'
    )
    source = str(Path(whyact.__file__).parents[1])
    words = ["--strict", "--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent"]
    env = {**os.environ, "MYPYPATH": source}

    def checked(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mypy", *words, name]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    done = checked("script.py")
    assert done.returncode == 0, done.stdout + done.stderr
    complaints = checked("wrong.py").stdout
    assert 'Module has no attribute "nonsense"' in complaints  # and what is there is no Any:
    assert "label" in complaints


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(whyact.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["whyact.data", "whyact.metrics", "whyact.laiar", "whyact.pvlr", "whyact.locate_gat"])
def test_what_a_package_offers_is_no_module_of_that_name(name: str) -> None:
    """A submodule that is imported takes the place of what the package offers under its name."""
    package = import_module(name)
    for path in Path(package.__file__ or "").parent.glob("*.py"):
        assert path.stem not in package.__all__, f"{path.stem} is a module and something that {name} offers"
    for offered in package.__all__:
        assert getattr(package, offered) is not None
        assert offered in dir(package)
    with pytest.raises(AttributeError, match=f"{name}.*nonsense"):
        package.nonsense  # noqa: B018


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_presets_options_and_a_sentence(method: str) -> None:
    found = METHODS[method]
    assert "default" in found.PRESETS
    assert found.ABOUT[0].islower()
    found.PredictOptions().check([], named=True)


def test_pvlr_is_built_from_class_vectors_without_a_text_tower() -> None:
    from whyact.pvlr import PRESETS, PVLR
    from whyact.pvlr.config import ModelConfig

    torch.manual_seed(0)
    sizes = ModelConfig(rgb_width=6, flow_width=4, hidden=8, fused=12, width=16)
    model = PVLR(sizes, torch.randn(5, 7))
    out = model(torch.randn(2, 9, 10))
    assert out.cas.shape == (2, 9, 6)  # five classes and the background
    out.cas.square().mean().backward()
    assert all(p.grad is not None for p in model.text.parameters())
    assert PRESETS["default"].model.width == ModelConfig().width


def test_laiar_and_locate_gat_have_a_forward(tmp_path: Path) -> None:
    from whyact.locate_gat import PRESETS, LoCATeGAT

    config = PRESETS["synthetic"]
    model = LoCATeGAT(config, 24, torch.randn(4, config.width), torch.zeros(0, config.width)).eval()
    assert model(torch.randn(2, config.frames, 24), torch.randn(3, config.width)).shape == (2, 7)
    bundled = pytest.importorskip("whyact.api").BUNDLED
    if not bundled.is_dir():
        pytest.skip("this installation has no bundled model")
    assert isinstance(whyact.load(device="cpu").module, import_module("whyact.laiar").LaIAR)


def test_laiars_forward_is_its_video_model() -> None:
    from dataclasses import replace

    from hand_clips import VOCABULARY, clip
    from whyact.data.relations.packed import PackedClips
    from whyact.laiar.batches import evaluation_batches
    from whyact.laiar.config import Config, DataConfig, ModelConfig
    from whyact.laiar.learner import build_model

    sizes = ModelConfig(width=16, layers=1, heads=2, class_width=4, box_width=6, mask_size=8, mask_channels=(3, 4))
    config = Config(data=DataConfig(frames=6, slots=4), model=replace(sizes))
    model = build_model(config, VOCABULARY).eval()
    packed = PackedClips([clip("fffhhh", "aaaaaa", action="pick")], slots=4, window=True)
    ((_, batch),) = evaluation_batches(packed, 6)
    with torch.no_grad():
        assert torch.equal(model(batch), model.video(batch).logits)


@pytest.fixture(scope="module")
def bundled() -> whyact.Model:
    api = pytest.importorskip("whyact.api")
    if not api.BUNDLED.is_dir():
        pytest.skip("this installation has no bundled model")
    return whyact.load(device="cpu")


def test_frames_in_memory_are_answered_like_the_film_that_holds_them(bundled: whyact.Model, tmp_path: Path) -> None:
    from whyact.video.arrays import frames_file

    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 255, (16, 12, 16, 3), dtype=np.uint8), 10, 1), 10, 2)
    (array,) = bundled.predict(frames, fps=10)
    (tensor,) = bundled.predict(torch.from_numpy(frames), fps=10)
    with frames_file(frames, 10) as path:
        (film,) = bundled.predict(path)
    assert array == tensor
    assert (array.labels, array.evidence) == (film.labels, film.evidence)
    assert (array.video.path, array.video.fps, array.video.frames_decoded) == ("frames", 10.0, 16)
    other, _ = bundled.predict(frames[:8], frames, fps=10)
    assert other.video.sha256 != array.video.sha256


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), 10, r"frames: found shape \(4, 8, 8\) of uint8, expected uint8 RGB"),
        (np.zeros((4, 8, 8, 3)), 10, "frames: found .* of float64"),
        (np.zeros((0, 8, 8, 3), np.uint8), 10, "at least one frame"),
        (np.zeros((4, 32, 32, 3), np.uint8), -1, "fps: found -1"),
    ],
)
def test_wrong_frames_are_named(bundled: whyact.Model, frames: np.ndarray, fps: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bundled.predict(frames, fps=fps)


def test_mistakes_name_the_python_argument_and_are_of_pythons_kinds(bundled: whyact.Model, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "a.mp4", 5)
    with pytest.raises(FileNotFoundError, match=r"^nofile\.mp4: no such file"):
        bundled.predict("nofile.mp4")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        whyact.load(tmp_path / "none")
    with pytest.raises(ValueError, match=r"^window: found -1.0, expected seconds.*Try: window=1$"):
        bundled.predict(film, window=-1)
    with pytest.raises(ValueError, match=r"^window: found 'soon', expected seconds"):
        bundled.predict(film, window="soon")
    with pytest.raises(ValueError, match=r"^device: found 'tpu'"):
        whyact.load(device="tpu")
    with pytest.raises(ValueError, match=r"method: found 'larai'.*Did you mean 'laiar'"):
        whyact.train("larai", "own", tmp_path / "run")
    with pytest.raises(
        ValueError, match=r"config: found 'optim\.epoch', expected a known setting. Did you mean optim\."
    ):
        whyact.train("laiar", "own", tmp_path / "run", root=tmp_path, config={"optim": {"epoch": 2}})
    with pytest.raises(TypeError, match="fps"):
        bundled.predict(np.zeros((4, 8, 8, 3), np.uint8))
    assert not (tmp_path / "run").exists()


def test_a_run_is_trained_and_asked_from_python(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = whyact.train("pvlr", "synthetic", out, config={"train.iterations": 2}, fold=7, seed=3)
    assert run.card["seed"] == 3
    assert run.module.training is False
    (answer,) = run.predict("test_0001", data="synthetic")
    assert 0 <= answer.score <= 1
    assert set(run.card["metrics"]) <= set(run.evaluate("synthetic"))
    with pytest.raises(whyact.UserError, match="a finished run: pvlr on synthetic"):
        whyact.train("pvlr", "synthetic", out, config={"train.iterations": 2})


def test_a_data_set_feeds_a_data_loader_with_workers() -> None:
    from torch.utils.data import DataLoader

    from whyact.data import FeatureSequence, load_dataset

    data = load_dataset("synthetic", fold=7, part="test")
    loader = DataLoader(data, batch_size=2, num_workers=2, collate_fn=list)
    items = [item for batch in loader for item in batch]
    assert len(items) == len(data)
    assert all(isinstance(item, FeatureSequence) for item in items)
    assert [item.id for item in items] == [data[i].id for i in range(len(data))]
