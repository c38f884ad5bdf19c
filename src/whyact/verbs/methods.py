"""The methods that the verbs know. Adding one is a line in each table here and a ``task`` module that offers:

- ``Config``: the dataclass of its settings, and ``PRESETS: dict[str, Config]`` with a ``default``;
- ``train(data, root, out, *, config, fold, seed, progress) -> dict``: train, save, return the card;
- ``evaluate(run, data, root, *, fold, progress) -> dict``: metrics that JSON can hold;
- ``predict(inputs, run, *, options, progress) -> list[Prediction]``: one or more per input;
- where ``predict`` has options beyond ``data`` and ``root``, ``OPTIONS: dict[str, str]`` (name -> help);

and a class of :class:`whyact.ablation.protocol.Session`, whose answers about videos can be questioned.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyact.training.checkpoint import read_card
from whyact.verbs import lazy

if TYPE_CHECKING:
    from whyact.ablation.protocol import Session

METHODS: dict[str, str] = {
    "laiar": "whyact.laiar.task",
    "pvlr": "whyact.pvlr.task",
    "locate-gat": "whyact.locate_gat.task",
}
OPENED: dict[str, str] = {
    "laiar": "whyact.laiar.predict:Session",
    "pvlr": "whyact.pvlr.questions:Session",
    "locate-gat": "whyact.locate_gat.questions:Session",
}
ABOUT: dict[str, str] = {  # for somebody who knows none of the names
    "laiar": "names an action by what people and things do to each other (LaIAR)",
    "pvlr": "finds when which action happens (PVLR)",
    "locate-gat": "names actions that it was never trained on (LoCATe-GAT)",
}
DEMO_METHOD = "laiar"  # the method of the model that travels with the package


def method_names() -> list[str]:
    """Return the names of the methods in this installation."""
    return list(lazy.present(METHODS))


def load_method(name: str, verb: str) -> Any:
    """Import a method's ``task`` module.

    Raises:
        UserError: When there is no such method; it names the nearest.
    """
    lazy.choose(name, method_names(), "METHOD", f"whyact {verb} --help")
    return lazy.load(METHODS[name])


def open_run(folder: Path) -> Session:
    """Load a run of any method, to answer videos and to question the answers.

    Raises:
        UserError: When the folder is no run, or one of a method that this installation lacks.
    """
    name = read_card(folder)["method"]
    lazy.choose(name, method_names(), f"{folder}, method", "whyact train --help")
    opened: Session = lazy.load(OPENED[name])(folder)
    return opened
