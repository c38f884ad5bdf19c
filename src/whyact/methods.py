"""The methods, in one typed table: what each must offer, and where it is.

A method is a package. Its ``__init__`` names what :class:`Method` asks for and imports it on first use, so that this
table and a method's settings cost nothing: torch is imported with the first training or answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from whyact import clip_zero_shot, laiar, locate_gat, pvlr
from whyact.errors import choose

if TYPE_CHECKING:
    from torch import nn

    from whyact.ablation.protocol import Session
    from whyact.prediction import Prediction
    from whyact.training.evaluation import Evaluation
    from whyact.training.options import PreparedData, TrainOptions

C = TypeVar("C")
Opt = TypeVar("Opt", bound="Options")
R = TypeVar("R", bound="LoadedRun")


class Options(Protocol):
    """What an answer can be asked with: a dataclass of :func:`whyact.settings.setting` fields."""

    def check(self, inputs: Sequence[str], *, named: bool = False) -> None:
        """Refuse before the work what would fail after it; ``named`` inputs are clips of a data set, not files."""


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
    ) -> list[Prediction]:
        """Answer inputs, with evidence."""


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
