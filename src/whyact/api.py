"""The Python face of whyact: train a run, load it once, ask it as often as needed. The command line wraps it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyact.data.datasets import find_dataset, names_for
from whyact.devices import check_device, refuse_absent_device, resolve_device
from whyact.errors import UserError, choose
from whyact.files import SHIPPED, restored_on_failure, writable_file
from whyact.methods import (
    UNTRAINED,
    Answerer,
    LoadedRun,
    Method,
    Request,
    find_answerer,
    find_method,
    method_of,
    predict_on,
)
from whyact.progress import print_note
from whyact.settings import convert, leaves, override, read_settings
from whyact.training.checkpoint import CARD, read_card, run_folder_for
from whyact.training.options import OwnVideosOptions, TrainOptions
from whyact.video.frame_folder import prepared_inputs, refuse_unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from whyact.engines.work import Engine
    from whyact.prediction import Prediction
    from whyact.training.evaluation import Evaluation

    Input = str | Path | NDArray[np.uint8] | Tensor

BUNDLED = SHIPPED / "laiar"  # the run that answers where no other is named


@dataclass(frozen=True)
class Model:
    """A trained run of any method; ``card`` says what it was trained on and how well it did.

    ``defaults`` are options of :meth:`predict` that stand unless it is given others.
    """

    path: Path
    method: str
    card: dict[str, Any]
    device: str = "auto"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def run(self) -> LoadedRun:
        """Return the run in memory, on its device; its weights are read and verified on first use."""
        device = resolve_device(self.device)
        run: LoadedRun = self._answerer.load(self.path)
        run.model.to(device)
        return run

    @property
    def module(self) -> nn.Module:
        """Return the network, in evaluation mode."""
        return self.run.model

    def predict(
        self,
        *inputs: Input,
        fps: float | None = None,
        data: str | None = None,
        root: str | Path | None = None,
        progress: bool = False,
        engine: Engine | None = None,
        **options: Any,
    ) -> list[Prediction]:
        """Answer inputs, with evidence.

        Args:
            inputs: Videos, folders, patterns, feature files, clip names with ``data``: what ``whyact predict`` takes;
                or frames (T,H,W,3) uint8 RGB, a NumPy array or a tensor.
            fps: Frames a second of inputs that are frames, or folders with an image a frame.
            data: The data set whose clips the inputs name.
            root: The folder that holds it.
            progress: Show progress on stderr.
            engine: Share paths or names out among workers, ``whyact.engines.work.Engine("local", 4)``; the answers are
                those of one process with one thread.
            options: The fields of the method's ``PredictOptions``, such as ``window``; ``None`` is the default.

        Raises:
            PartialFailure: When some of several inputs cannot be read; its ``done`` holds the answers about the others.
            UserError: For anything else wrong with an input or an option.
            TypeError: For an option that the method does not have, or an input of another type.
        """
        given = {**options, **{k: v for k, v in self.defaults.items() if options.get(k) is None}}
        chosen = make_options(self._answerer, self.method, given)
        named = [item for item in inputs if isinstance(item, str | Path)]
        rest = [item for item in inputs if not isinstance(item, str | Path)]
        for item in rest:
            if not hasattr(item, "shape"):
                expected = "a path or frames (T,H,W,3)"
                raise TypeError(f"an input is {expected}, not {type(item).__name__}: predict(*inputs)")
        if rest:
            if named or fps is None:
                raise TypeError("frames need fps, and come without paths: predict(frames, fps=25)")
            return [answer for frames in rest for answer in self._about_frames(frames, fps, chosen, progress)]
        paths = [str(item) for item in named]
        if data is not None:
            return self.ask(paths, data, root, chosen, progress, engine)
        with prepared_inputs(paths, fps) as prepared:
            found = self.ask(prepared.files, None, root, chosen, progress, engine)
            return [prepared.named(answer) for answer in found]

    def evaluate(
        self,
        data: str | None = None,
        root: str | Path | None = None,
        *,
        fold: int | None = None,
        progress: bool = False,
        report: str | Path | None = None,
        against: str | Path | None = None,
    ) -> dict[str, Any]:
        """Measure the run on the test side of a data set: the metrics of ``whyact eval``.

        Args:
            data: The data set's name; the one that the run was trained on by default.
            root: The folder that holds it.
            fold: Which split; the run's own by default.
            progress: Show progress on stderr.
            report: Also write an HTML page there, and a folder with the pages of the worst mistakes beside it.
            against: A second run of the same method, side by side on that page; its metrics are under ``against``.

        Raises:
            UserError: For bad data, data that is not what the run was trained on, or runs that cannot be compared.
        """
        if self.method == UNTRAINED:
            raise TypeError("evaluate() measures a trained run, and whyact.load(labels=...) opens none")
        if against is not None and report is None:
            raise UserError("--against", str(against), "--report FILE beside it", "--report eval.html")
        runs = [self, *([] if against is None else [self.rival(against)])]
        page = None if report is None else writable_file("--report", Path(report))
        from whyact.training.evaluation_report import combine, measure

        settings = (data or self.card["data"], None if root is None else Path(root), fold, progress)
        return combine([measure(run.path, run.card, run.open_evaluation(*settings)) for run in runs], page)

    def rival(self, run: str | Path) -> Model:
        """Open a second run of the same method, to be compared with this one.

        Raises:
            UserError: When it is of another method.
        """
        other = load(run, device=self.device)
        if other.method != self.method:
            raise UserError(f"--against {run}", f"a run of {other.method}", f"a run of {self.method}, as the first one")
        return other

    def open_evaluation(self, data: str, root: Path | None, fold: int | None, progress: bool) -> Evaluation:
        """Open an evaluation on the test side of a data set."""
        method, settings = find_method(self.method), (self.path, data, root, fold)
        return method.open_evaluation(settings, progress=progress, device=self.device)

    @property
    def _answerer(self) -> Answerer[Any, Any]:
        return find_answerer(self.method)

    def ask(
        self,
        inputs: Sequence[str],
        data: str | None,
        root: str | Path | None,
        options: Any,
        progress: bool,
        engine: Engine | None = None,
    ) -> list[Prediction]:
        """Answer files, or clips of a data set by name, with options that :func:`make_options` made."""
        named, folder = data is not None or root is not None, None if root is None else Path(root)
        if engine is not None:
            options.check(inputs, named=named, shared=True)
            asked = (self.method, self.path, self.device, tuple(inputs), data, folder, options, os.getcwd())
            return predict_on(engine, Request(*asked), progress)
        options.check(inputs, named=named)
        if "run" not in self.__dict__:  # loading it takes seconds: refuse what is at fault before
            refuse_absent_device(self.device)
            refuse_unreadable([] if named else inputs)
        return self._answerer.predict(self.run, inputs, data=data, root=folder, options=options, progress=progress)

    def _about_frames(self, frames: Any, fps: float, options: Any, progress: bool) -> list[Prediction]:
        import msgspec

        from whyact.video.arrays import as_frames, frames_file

        array = as_frames(frames)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        with frames_file(array, fps) as path:
            predictions = self.ask([str(path)], None, None, options, progress)
        named = []
        for p in predictions:
            facts = msgspec.structs.replace(p.video, path="frames", sha256=digest)
            named.append(msgspec.structs.replace(p, video=facts, id="frames" if p.id else ""))
        return named


def load(
    run: str | Path = BUNDLED, *, labels: str | Sequence[str] | None = None, device: str = "auto", **options: Any
) -> Model:
    """Open a run folder that ``whyact train`` wrote; its card is verified now, its weights on first use.

    With ``labels`` and no run, plain CLIP answers, with no training at all (extra ``clip``): which of the labels fits,
    or none of them.

    Args:
        run: The folder; the model that is bundled with the package by default.
        labels: The names of the actions to choose from, or one text that holds them as ``--labels`` does.
        device: Where it computes: ``auto`` (the first GPU, or else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        options: Options of :meth:`Model.predict` that stand unless it is given others, such as
            ``clip_weights="ViT-B-16.pt"``, or ``yes=True`` to let CLIP's weights be downloaded.

    Raises:
        UserError: When the folder is missing or a file, its card damaged, or there is no such device.
        TypeError: For an option that the method does not have.
    """
    check_device(device)
    if labels is not None:
        options["labels"] = labels if isinstance(labels, str) else tuple(labels)
    if labels is not None and run == BUNDLED:
        make_options(find_answerer(UNTRAINED), UNTRAINED, options).names()
        return Model(Path(UNTRAINED), UNTRAINED, {"method": UNTRAINED, "data": "none"}, device, options)
    if Path(run).is_file():
        raise UserError(run, "a file", "a run folder", f"whyact.load({str(Path(run).parent)!r}) if that is one")
    card = read_card(Path(run))
    make_options(method_of(card, Path(run)), card["method"], options)
    return Model(Path(run), card["method"], card, device, options)


def train(
    method: str,
    data: str | None = None,
    out: str | Path | None = None,
    *,
    root: str | Path | None = None,
    videos: str | Path | None = None,
    things: str | Path | None = None,
    preset: str | None = None,
    config: Any = None,
    fold: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = False,
    device: str = "auto",
    precision: str = "fp32",
    eval_every: int = 0,
    watch_test: bool = False,
    logger: str = "",
) -> Model:
    """Train a method on a data set or on own clips, and save the run as a folder.

    A training that was stopped goes on where it was.

    Args:
        method: ``laiar``, ``pvlr`` or ``locate-gat``.
        data: The data set's name.
        out: The run folder to write; ``runs/mine`` by default.
        root: The folder that holds the data; generated data needs none.
        videos: In the place of a data set, own videos with a label each: ``clips/CLASS/*.mp4``, a CSV with the columns
            file and label, or for ``laiar`` a ``whyact.json`` that an earlier training wrote beside its run. ``laiar``
            takes short clips, ``pvlr`` long videos, ``locate-gat`` clips of four classes or more.
        things: The things in the clips, as ``whyact data things`` lists them and a person edited them.
        preset: Named settings to start from: ``default``, or ``clips`` for own clips.
        config: All settings as the method's config, or changes to the preset: a YAML file, or a mapping such as
            ``{"optim.epochs": 2}`` or ``{"optim": {"epochs": 2}}``.
        fold: Which split to train on.
        seed: Of everything random.
        overwrite: Replace a finished run, which stays until training completes, as do its own clips' data.
        progress: Show progress on stderr.
        device: Where to compute, as in :func:`load`.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        eval_every: Measure held-out training groups after so many epochs, and keep the best weights too; 0: never.
        watch_test: Measure the test part instead, which the card then says.
        logger: Experiment loggers, with commas between them: ``tensorboard``, ``wandb``, ``mlflow``.

    Returns:
        The run, opened.

    Raises:
        UserError: For unknown names, bad settings, bad data, or a folder that holds something else.
    """
    chosen, folder = find_method(method), Path("runs/mine" if out is None else out)
    refuse_absent_device(device)
    if (data is None) == (videos is None):
        raise UserError("--data", data, "one of --data NAME and --videos DIR", "whyact train METHOD --help")
    if things is not None and videos is None:
        raise UserError("--things", str(things), "--videos DIR beside it: things are those of own clips")
    how = TrainOptions(device, precision, eval_every, watch_test, logger)
    if videos is not None:
        how = OwnVideosOptions(device, precision, eval_every, watch_test, logger, _name_videos(Path(videos)))
    settings = _settings(chosen, preset or default_preset(chosen, own_videos=videos is not None), config)
    if data is not None and names_for(method):  # before anything slow is imported
        find_dataset(data, method, None if root is None else Path(root))
    replaced = _data_beside(folder) if overwrite and videos is not None and Path(videos).suffix != ".json" else None
    with run_folder_for(folder, overwrite=overwrite), restored_on_failure(replaced, folder / CARD):
        place = None if root is None else Path(root)
        if videos is not None:
            prepared = chosen.prepare_clips(
                Path(videos),
                folder,
                settings,
                things=None if things is None else Path(things),
                replace_data=overwrite,
                fold=fold,
                progress=progress,
            )
            for warning in prepared.warnings:
                print_note(warning)
            data, place, settings = prepared.data, prepared.root, prepared.config
        assert data is not None
        chosen.train(data, place, folder, config=settings, fold=fold, seed=seed, progress=progress, options=how)
    return load(folder, device=device)


def make_options(method: Answerer[Any, Any], name: str, given: Mapping[str, Any]) -> Any:
    """Return a method's ``PredictOptions`` with the given fields, ``None`` standing for the default.

    Raises:
        TypeError: For a name that is no field.
        UserError: For a value of the wrong type.
    """
    default = method.PredictOptions()
    known = {leaf.name: leaf for leaf in leaves(default)}
    for option in given:
        if option not in known:
            names = ", ".join(["fps", "data", "root", *known])
            raise TypeError(f"predict() has no option {option!r} for {name}; it has {names}")
    values = {
        option: convert(f"--{option.replace('_', '-')}", value, known[option].type, known[option].metavar)
        for option, value in given.items()
        if value is not None
    }
    return replace(default, **values)


def _data_beside(run: Path) -> Path:
    """Return where the data of a run's own clips are."""
    from whyact.data.relations.clip_folder import data_folder

    return data_folder(run)


def _name_videos(videos: Path) -> str:
    """Return how a run names its videos: by the folder or table, a ``whyact.json`` with the folder that it lies in."""
    parts = videos.resolve().parts
    return "/".join(parts[-2:]) if videos.suffix == ".json" else parts[-1]


def default_preset(method: Method[Any, Any, Any], *, own_videos: bool) -> str:
    """Return the preset of a training that names none: ``clips`` for own videos where the method has it."""
    return "clips" if own_videos and "clips" in method.PRESETS else "default"


def _settings(method: Method[Any, Any, Any], preset: str, config: Any) -> Any:
    """Return the settings of a training, whichever way they are given."""
    if config is None or isinstance(config, str | Path):
        return read_settings(method.PRESETS, preset, None if config is None else Path(config), {})
    start = method.PRESETS[choose(preset, method.PRESETS, "--preset", "whyact train METHOD --help")]
    if isinstance(config, Mapping):
        return override(start, config)
    if not is_dataclass(config) or {f.name for f in fields(config)} != {f.name for f in fields(start)}:
        raise TypeError(f"config is a {type(start).__name__}, a mapping or a YAML file, not {type(config).__name__}")
    return config
