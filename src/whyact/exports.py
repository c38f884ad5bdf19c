"""Names that a package offers and imports only when they are used, so that ``import whyact.laiar`` stays instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    A type checker does not read them: the package imports the same names under ``TYPE_CHECKING``.

    Args:
        package: ``__name__`` of the package.
        homes: Name -> ``module``, or ``module:its name there``.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        return getattr(import_module(module), attribute or name)

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *homes})

    return get, names
