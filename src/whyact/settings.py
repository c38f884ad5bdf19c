"""Settings as typed dataclasses: one field is a Python argument, a key of a YAML file and an option of the command.

``config.model.width`` in Python is ``model: {width: 64}`` in a file and ``--model.width 64`` on the command line. A
value comes from a preset, then a file, then single settings; the last one wins. An unknown name is an error that
suggests the nearest one. At the bottom of the package, so that a method's ``config.py`` can use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from whyact.errors import UserError, choose, nearest

T = TypeVar("T")
C = TypeVar("C")


def setting(default: T, help: str, *, metavar: str = "") -> T:
    """Declare a field of a settings dataclass with what it means; the command's help shows the same words.

    Args:
        default: Its value unless given.
        help: What it means, in a few words.
        metavar: What its value is, such as ``FILE``; by default its type.
    """
    made: Any = field(default=default, metadata={"help": help, "metavar": metavar})
    return made


@dataclass(frozen=True)
class Leaf:
    """One setting of a dataclass: its dotted name, type, default value and the texts for a help."""

    name: str
    type: Any
    default: Any
    help: str
    metavar: str

    @property
    def section(self) -> str:
        """Return the part of the name before the last dot."""
        return self.name.rpartition(".")[0]


def check_numbers(settings: Any, section: str = "", *, counts: str = "", shares: str = "", positive: str = "") -> None:
    """Refuse settings that no training can use; each argument names fields, with spaces between them.

    Args:
        settings: A dataclass of settings.
        section: Its dotted name within the whole, which a message puts before the field's.
        counts: Fields that are at least 1.
        shares: Fields between 0 and 1, or ``None``.
        positive: Fields above 0.

    Raises:
        UserError: Naming the first field that is out of its range.
    """
    for names, expected, fits in (
        (counts, "at least 1", lambda x: x >= 1),
        (shares, "a share between 0 and 1", lambda x: x is None or 0 <= x <= 1),
        (positive, "a number above 0", lambda x: 0 < x < float("inf")),
    ):
        for name in names.split():
            if not fits(value := getattr(settings, name)):
                raise UserError(f"{section}.{name}".lstrip("."), value, expected)


def leaves(settings: Any, prefix: str = "") -> Iterator[Leaf]:
    """Yield every setting of a dataclass instance, those of its sections included."""
    hints = get_type_hints(type(settings))
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield _leaf(prefix, item, hints[item.name], value)


def _leaf(prefix: str, item: Field[Any], kind: Any, value: Any) -> Leaf:
    metavar = item.metadata.get("metavar") or format_type(kind)
    return Leaf(prefix + item.name, kind, value, item.metadata.get("help", ""), metavar)


def read_settings(presets: Mapping[str, C], preset: str, file: Path | None, given: Mapping[str, Any]) -> C:
    """Return the settings of a preset with the values of a file, then those of ``given``, in their places.

    Args:
        presets: Name -> frozen dataclass of settings, possibly nested.
        preset: Where to start from.
        file: YAML that overrides the preset; it may hold any part of the settings.
        given: Dotted name -> value, or the text that was typed; names that are no settings are ignored.

    Raises:
        UserError: For an unknown preset or setting, a wrong type, or a file that is not YAML.
    """
    start = presets[choose(preset, presets, "--preset", "whyact train METHOD --help")]
    known = {leaf.name: leaf for leaf in leaves(start)}
    values = {name: leaf.default for name, leaf in known.items()}
    if file is not None:
        for name, value in _flatten(str(file), _read_yaml(file), known).items():
            values[name] = convert(f"{file}: {name}", value, known[name].type)
    for name in known.keys() & given.keys():
        values[name] = convert(f"--{name}", given[name], known[name].type)
    return _build(type(start), values)


def override(config: C, changes: Mapping[str, Any]) -> C:
    """Return settings with some values changed, given as nested mappings or by dotted names.

    Raises:
        UserError: For an unknown setting or a wrong type.
    """
    known = {leaf.name: leaf for leaf in leaves(config)}
    values = {name: leaf.default for name, leaf in known.items()}
    for name, value in _flatten("config", changes, known).items():
        values[name] = convert(f"--{name}", value, known[name].type)
    return _build(type(config), values)


def convert(where: str, value: Any, kind: Any, expected: str = "") -> Any:
    """Convert a value of Python or YAML, or a word of the command line, to a setting's type.

    Raises:
        UserError: When it is not of that type; ``where`` names it, ``expected`` the type.
    """
    import msgspec
    import yaml

    if kind in (Path, Path | None) and isinstance(value, str | Path):
        return Path(value)
    candidates = [value]
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            candidates.append(yaml.safe_load(value))  # lists, and null
    for candidate in candidates:
        try:
            return msgspec.convert(candidate, kind, strict=not isinstance(candidate, str))
        except msgspec.ValidationError:
            continue
    raise UserError(where, value, expected or format_type(kind))


def format_type(kind: Any) -> str:
    """Name a type for a person: ``int``, ``true|false``, ``joint|slot_then_joint``, ``[int, int]``."""
    if kind is bool:
        return "true|false"
    arguments = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if origin in (tuple, list):
        return f"[{', '.join('...' if a is ... else format_type(a) for a in arguments)}]"
    if arguments:  # Literal and unions
        return "|".join(a if isinstance(a, str) else "null" if a is type(None) else format_type(a) for a in arguments)
    return getattr(kind, "__name__", str(kind))


def _build(kind: type[C], values: Mapping[str, Any], prefix: str = "") -> C:
    hints = get_type_hints(kind)
    made = {}
    for item in fields(kind):  # type: ignore[arg-type]
        name = prefix + item.name
        made[item.name] = values[name] if name in values else _build(hints[item.name], values, f"{name}.")
    return kind(**made)


def _read_yaml(file: Path) -> Any:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(file, getattr(error, "strerror", None) or str(error), "a YAML file of settings") from error
    except yaml.YAMLError as error:
        raise UserError(file, " ".join(str(error).split()), "YAML") from error
    return {} if content is None else content


def _flatten(where: str, content: Any, known: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted name -> value of nested mappings whose keys are all settings or sections."""
    if not isinstance(content, Mapping):
        raise UserError(f"{where}: {prefix.rstrip('.') or 'top'}", content, "a mapping of settings")
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name in known:
            values[name] = value
        elif any(setting_name.startswith(f"{name}.") for setting_name in known):
            values |= _flatten(where, value, known, f"{name}.")
        else:
            near = nearest(name, known)
            raise UserError(where, name, "a known setting", f"did you mean {near}?" if near else "")
    return values
