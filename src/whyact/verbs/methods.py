"""The methods that the verbs know. Adding one is one line here and a ``task`` module that offers:

- ``Config``: the dataclass of its settings, and ``PRESETS: dict[str, Config]`` with a ``default``;
- ``train(data, root, out, *, config, fold, seed, progress) -> dict``: train, save, return the card;
- ``evaluate(run, data, root, *, fold, progress) -> dict``: metrics that JSON can hold;
- ``predict(inputs, run, *, options, progress) -> list[Prediction]``: one or more per input;
- where ``predict`` has options beyond ``data`` and ``root``, ``OPTIONS: dict[str, str]`` (name -> help).
"""

from __future__ import annotations

from typing import Any

from whyact.verbs import lazy

METHODS: dict[str, str] = {
    "laiar": "whyact.laiar.task",
    "pvlr": "whyact.pvlr.task",
    "locate-gat": "whyact.locate_gat.task",
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
