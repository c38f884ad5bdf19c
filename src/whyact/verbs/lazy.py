"""Tables of names whose code is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from whyact.errors import choose


def load(target: str) -> Any:
    """Import ``package.module:name`` and return it; without ``:name``, return the module."""
    module, _, name = target.partition(":")
    found = import_module(module)
    return getattr(found, name) if name else found


def present(table: Mapping[str, str]) -> dict[str, str]:
    """Return the entries whose module is part of this installation, without importing it."""
    return {name: target for name, target in table.items() if find_spec(target.partition(":")[0])}


def listed(table: Mapping[str, tuple[str, str]]) -> str:
    """Return the names of ``name -> (target, text)`` with their texts, a line each, for a help."""
    width = max(map(len, table))
    return "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in table.items())


def one_of(table: Iterable[str], what: str, help_command: str) -> Callable[[str], str]:
    """Return :func:`choose` as an argparse ``type``: a wrong name is then reported before a missing option."""
    return lambda name: choose(name, table, what, help_command)
