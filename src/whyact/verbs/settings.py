"""A method's settings from three places: preset < YAML file < command line, all typed by one dataclass.

``--model.width 64`` on the command line is ``model: {width: 64}`` in the file is ``config.model.width`` in Python.
An unknown name is an error that names the nearest known one.
"""

from __future__ import annotations

import argparse
import inspect
import io
import textwrap
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import yaml

from whyact.errors import UserError
from whyact.verbs.lazy import choose, nearest


def add_settings(parser: argparse.ArgumentParser, preset: Any) -> None:
    """Give a parser one option for every setting of a dataclass; ``preset`` supplies the defaults that help shows.

    What a setting means is the comment beside it in the dataclass: help and code cannot tell two stories.
    """
    groups: dict[str, Any] = {}
    meanings = _meanings(preset)
    for name, (kind, value) in _leaves(preset).items():
        section = name.rpartition(".")[0]
        if section not in groups:
            groups[section] = parser.add_argument_group(f"settings: {section}" if section else "settings")
        shown = {True: "true", False: "false", "": "none"}.get(value, value) if isinstance(value, bool | str) else value
        said = f"{meanings.get(name, '')} (default: {shown})".strip().replace("%", "%%")
        groups[section].add_argument(f"--{name}", metavar=_said(kind), default=argparse.SUPPRESS, help=said)


def read_settings(presets: Mapping[str, Any], preset: str, file: Path | None, options: Mapping[str, Any]) -> Any:
    """Return the settings that a command line asks for.

    Args:
        presets: Name -> frozen dataclass of settings, possibly nested.
        preset: Where to start from.
        file: YAML that overrides the preset; it may hold any part of the settings.
        options: What argparse found; of these, the dotted names of settings override the file.

    Raises:
        UserError: For an unknown preset or setting, a wrong type, or a file that is not YAML.
    """
    start = presets[choose(preset, presets, "--preset", "whyact train METHOD --help")]
    leaves = _leaves(start)
    values: dict[str, Any] = {name: value for name, (_, value) in leaves.items()}
    for name, value in (_read_file(file, leaves) if file else {}).items():
        values[name] = _convert(f"{file}: {name}", value, leaves[name][0])
    for name in leaves:
        if name in options:
            values[name] = _convert(f"--{name}", options[name], leaves[name][0])
    return _build(type(start), values)


def _leaves(settings: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return dotted name -> (type, value) for every setting, sections flattened."""
    hints = get_type_hints(type(settings))
    found: dict[str, tuple[Any, Any]] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found |= _leaves(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = (hints[field.name], value)
    return found


def _meanings(settings: Any, prefix: str = "") -> dict[str, str]:
    """Return dotted name -> the comment at the end of the setting's line, where there is one."""
    found: dict[str, str] = {}
    try:
        source = textwrap.dedent(inspect.getsource(type(settings)))
    except OSError:  # an installation without sources
        return found
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = token.line.partition(":")[0].strip()
        if token.type == tokenize.COMMENT and name.isidentifier():
            found[prefix + name] = token.string.removeprefix("#").strip()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found |= _meanings(value, f"{prefix}{field.name}.")
    return found


def _build(kind: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    made = {}
    for field in fields(kind):
        name = prefix + field.name
        made[field.name] = values[name] if name in values else _build(hints[field.name], values, f"{name}.")
    return kind(**made)


def _read_file(file: Path, leaves: Mapping[str, Any]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(file, getattr(error, "strerror", None) or str(error), "a YAML file of settings") from error
    except yaml.YAMLError as error:
        raise UserError(file, " ".join(str(error).split()), "YAML") from error
    found: dict[str, Any] = {}
    _flatten(file, {} if content is None else content, leaves, "", found)
    return found


def _flatten(file: Path, content: Any, leaves: Mapping[str, Any], prefix: str, found: dict[str, Any]) -> None:
    if not isinstance(content, dict):
        raise UserError(f"{file}: {prefix.rstrip('.') or 'top'}", content, "a mapping of settings")
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name in leaves:
            found[name] = value
        elif any(leaf.startswith(f"{name}.") for leaf in leaves):
            _flatten(file, value, leaves, f"{name}.", found)
        else:
            near = nearest(name, leaves)
            raise UserError(file, name, "a known setting", f"did you mean {near}?" if near else "")


def _convert(where: str, value: Any, kind: Any) -> Any:
    """Convert a value of YAML, or a word of the command line, to a setting's type."""
    tries = [value]
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            tries.append(yaml.safe_load(value))  # lists, and null
    for candidate in tries:
        try:
            return msgspec.convert(candidate, kind, strict=not isinstance(candidate, str))
        except msgspec.ValidationError:
            continue
    raise UserError(where, value, _said(kind))


def _said(kind: Any) -> str:
    """Name a type for a person: ``int``, ``true|false``, ``joint|slot_then_joint``, ``[int, int]``."""
    if kind is bool:
        return "true|false"
    arguments = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if origin in (tuple, list):
        return f"[{', '.join('...' if a is ... else _said(a) for a in arguments)}]"
    if arguments:  # Literal and unions
        return "|".join(a if isinstance(a, str) else "null" if a is type(None) else _said(a) for a in arguments)
    return getattr(kind, "__name__", str(kind))
