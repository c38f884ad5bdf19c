"""The methods, in one typed table: what each must offer, and where it is.

A method is a package. Its ``__init__`` names what :class:`Method` asks for and imports it on first use, so that this
table and a method's settings cost nothing: torch is imported with the first training or answer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from whyact import clip_zero_shot, laiar, locate_gat, pvlr
from whyact.errors import InternalError, PartialFailure, UserError, choose
from whyact.progress import progress as show

if TYPE_CHECKING:
    from torch import nn

    from whyact.ablation.protocol import Session
    from whyact.engines.work import Engine
    from whyact.prediction import Prediction
    from whyact.training.evaluation import Evaluation
    from whyact.training.options import PreparedData, TrainOptions

C = TypeVar("C")
Opt = TypeVar("Opt", bound="Options")
R = TypeVar("R", bound="LoadedRun")


class Options(Protocol):
    """What an answer can be asked with: a dataclass of :func:`whyact.settings.setting` fields."""

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        """Refuse before the work what would fail after it.

        ``named`` inputs are clips of a data set, not files; ``shared`` ones are shared out among workers.
        """


class LoadedRun(Protocol):
    """A run in memory, of whatever method."""

    @property
    def model(self) -> nn.Module:
        """Return the network."""


class Answerer(Protocol[Opt, R]):
    """What answers videos: with options Opt, from what it loads, R."""

    ABOUT: str  # a sentence for somebody who knows none of the names
    PredictOptions: type[Opt]  # a dataclass of what ``predict`` can be asked beside data and root

    def load(self, folder: Path) -> R:
        """Read and verify a run folder."""

    def predict(
        self,
        run: R,
        inputs: Sequence[str],
        *,
        data: str | None = None,
        root: Path | None = None,
        options: Opt = ...,
        progress: bool = True,
        only: Sequence[int] | None = None,
    ) -> list[Prediction]:
        """Answer inputs, or ``only`` those at some positions as they would be answered among all, with evidence."""


class Method(Answerer[Opt, R], Protocol[C, Opt, R]):
    """What a method offers that is trained first: settings C, options of an answer Opt, loaded runs R."""

    PRESETS: dict[str, C]  # named settings, with a ``default``

    def train(
        self,
        data: str,
        root: Path | None,
        out: Path,
        *,
        config: C,
        fold: int = 1,
        seed: int = 0,
        progress: bool = True,
        options: TrainOptions = ...,
    ) -> dict[str, Any]:
        """Train, save the run, and return its card."""

    def prepare_clips(
        self,
        videos: Path,
        out: Path,
        config: C,
        *,
        things: Path | None = None,
        replace_data: bool = False,
        fold: int = 1,
        progress: bool,
    ) -> PreparedData[C]:
        """Make data to train on of a user's own videos, beside the run folder."""

    def open_evaluation(
        self, settings: tuple[Path, str, Path | None, int | None], *, progress: bool = False, device: str = "cpu"
    ) -> Evaluation:
        """Open a run's evaluation; settings are run, data, root and fold."""

    def open_session(self, folder: Path) -> Session:
        """Load a run to answer videos and to question the answers."""


METHODS: dict[str, Method[Any, Any, Any]] = {"laiar": laiar, "pvlr": pvlr, "locate-gat": locate_gat}
UNTRAINED = "clip-zero-shot"  # answers about labels, without a run
DEMO_METHOD = "laiar"  # of the model that is bundled with the package


def find_answerer(name: str) -> Answerer[Any, Any]:
    """Return what answers by its name: a method, or what needs no training.

    Raises:
        UserError: When there is no such method; it suggests the nearest.
    """
    return clip_zero_shot if name == UNTRAINED else find_method(name)


def find_method(name: str, help_command: str = "whyact train --help") -> Method[Any, Any, Any]:
    """Return a method by its name.

    Raises:
        UserError: When there is no such method; it suggests the nearest.
    """
    return METHODS[choose(name, METHODS, "METHOD", help_command)]


def method_of(card: Mapping[str, Any], folder: Path) -> Method[Any, Any, Any]:
    """Return the method of a run by its card.

    Raises:
        UserError: When this version has no such method.
    """
    return METHODS[choose(card["method"], METHODS, f"{folder}, method", "whyact train --help")]


def open_run(folder: Path) -> Session:
    """Load a run of any method, to answer videos and to question the answers.

    Raises:
        UserError: When the folder is no run, or one of a method that this version lacks.
    """
    from whyact.training.checkpoint import read_card

    return method_of(read_card(folder), folder).open_session(folder)


SHARE = 16  # inputs at most that a worker takes at once: encoders and detectors are loaded with each share


@dataclass(frozen=True)
class Request:
    """Inputs to be answered by a run, as every worker needs it; relative paths are from the folder ``place``."""

    method: str
    run: Path
    device: str
    inputs: tuple[str, ...]
    data: str | None
    root: Path | None
    options: Any
    place: str


def predict_on(engine: Engine, request: Request, progress: bool = False) -> list[Prediction]:
    """Answer inputs on an engine's workers: the answers of one process, whichever worker gives them.

    The share of a worker that dies goes to another one; then its inputs are tried one by one, so that one input that
    kills workers costs no other.

    Args:
        engine: Where.
        request: What; every machine has to see the same files.
        progress: Show how many are answered.

    Raises:
        UserError: As the method's ``predict``.
        PartialFailure: When only some of several inputs are at fault.
    """
    from whyact.engines.run import run
    from whyact.engines.work import LOST, Failure, Job

    count = len(request.inputs)
    size = max(1, min(SHARE, math.ceil(count / (4 * engine.workers))))
    shares = [list(range(first, min(first + size, count))) for first in range(0, count, size)]
    job = Job(_open_request, _answer_share, request)

    def answered(shares: list[list[int]], on_result: Callable[[int, Any], None]) -> dict[int, Any]:
        found = run(engine, job, shares, on_result)
        return {share[0]: outcome for share, outcome in zip(shares, found, strict=True)}

    with show("inputs", count, wanted=progress) as bar:
        outcomes = answered(shares, lambda i, _: bar.advance(by=len(shares[i])))
    lost = [share for share in shares if getattr(outcomes[share[0]], "message", "") == LOST and len(share) > 1]
    if lost:
        outcomes |= answered([[position] for share in lost for position in share], lambda i, _: None)
    done: list[Prediction] = []
    failed: list[UserError] = []
    for position, outcome in sorted(outcomes.items()):
        if not isinstance(outcome, Failure):
            done += outcome[0]
            failed += outcome[1]
        elif outcome.mistake is not None or outcome.message != LOST:
            raise outcome.mistake or RuntimeError(outcome.message)
        else:
            item = request.inputs[position]
            failed.append(InternalError(item, LOST, "an input that can be answered", "run it alone, with --debug"))
    if failed and count == 1:
        raise failed[0]
    if failed:
        raise PartialFailure(done, failed, count)
    return done


def _open_request(request: Request) -> tuple[Request, Any]:
    """Load the run, in a worker."""
    from whyact.devices import resolve_device

    os.chdir(request.place)
    run = find_answerer(request.method).load(request.run)
    run.model.to(resolve_device(request.device))
    return request, run


def _answer_share(state: tuple[Request, Any], share: list[int]) -> tuple[list[Prediction], list[UserError]]:
    request, run = state
    method = find_answerer(request.method)
    try:
        done = method.predict(
            run,
            request.inputs,
            data=request.data,
            root=request.root,
            options=request.options,
            progress=False,
            only=share,
        )
    except PartialFailure as some:
        return some.done, some.failed
    return done, []
