"""The argument parser of every verb: argparse, with its complaints turned into :class:`UserError`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.verbs.lazy import nearest


class Parser(argparse.ArgumentParser):
    """Parse one verb's arguments; ``--json`` is on every verb.

    Args:
        verb: As typed after ``whyact``.
        description: What the verb does, for ``--help``.
        examples: Command lines shown at the end of ``--help``.
        json_help: What ``--json`` prints.
        prog: The whole command, where it is none of ``whyact``'s verbs.
    """

    def __init__(self, verb: str, description: str, examples: Sequence[str], json_help: str, *, prog: str = "") -> None:
        lines = "\n".join(f"  {line}" for line in examples)
        super().__init__(
            prog=prog or f"whyact {verb}",
            description=description,
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--json", action="store_true", help=f"print {json_help} as JSON on stdout; no progress bars")

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse ``args``.

        Raises:
            UserError: For an unknown option (with the nearest one), a missing one or a wrong value.
        """
        for word in args:
            name = word.partition("=")[0]
            if word == "--":
                break
            if name.startswith("--") and name not in self._option_string_actions:
                self._refuse(name)
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0])
        assert found is not None
        return found

    def _refuse(self, word: str) -> NoReturn:
        is_option = word.startswith("-")
        near = nearest(word, self._option_string_actions) if is_option else ""
        expected = f"an option of {self.prog}" if is_option else "no further argument"
        raise UserError(word, None, expected, f"{f'did you mean {near}? ' if near else ''}See: {self.prog} --help")

    def error(self, message: str) -> NoReturn:
        """Raise argparse's complaint as a :class:`UserError`."""
        step = f"see: {self.prog} --help"
        if wrong := re.match(
            r"argument (\S+): invalid (?:(choice)|(.+?) value): '?(.*?)'?(?: \(choose from (.*)\))?$", message
        ):
            option, _, kind, value, choices = wrong.groups()
            expected = f"one of {choices.replace(chr(39), '')}" if choices else {"int": "an integer"}.get(kind, kind)
            raise UserError(option, value, expected, step)
        if missing := re.match(r"the following arguments are required: (.*)$", message):
            raise UserError(self.prog, None, missing.group(1), step)
        if empty := re.match(r"argument (\S+): expected (.*)$", message):
            raise UserError(empty.group(1), "nothing after it", empty.group(2).replace("argument", "value"), step)
        raise UserError(self.prog, message, "the usage that --help shows", step)


def whole_number(text: str) -> int:
    """Read an integer that is not negative.

    Raises:
        ValueError: When it is not one (argparse names the option).
    """
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


whole_number.__name__ = "whole number (0, 1, 2, ...)"  # argparse puts it into its message


def run_folder(text: str) -> Path:
    """Read the path of a run folder; ``.`` becomes the name of the folder that one is in, as a run is renamed whole.

    Raises:
        ValueError: When it is empty (argparse names the option).
    """
    if not text:
        raise ValueError(text)
    path = Path(text)
    return path if path.name not in ("", "..") else path.resolve()


run_folder.__name__ = "the path of a run folder"  # argparse puts it into its message


def existing_folder(option: str, path: Path | None) -> Path | None:
    """Return ``path`` when it is a folder (or not given).

    Raises:
        UserError: When it is not there or is a file.
    """
    if path is not None and not path.is_dir():
        raise UserError(option, str(path), "a folder that exists", "check the path")
    return path


def print_json(value: Any, out: Path | None = None, *, to_stdout: bool = True) -> None:
    """Print a value as JSON on stdout, and write the same to ``out`` where given."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if out is not None:
        write_atomic(out, text)
    if to_stdout:
        print(text, end="", flush=True)


def print_numbers(values: dict[str, Any], indent: str = "") -> None:
    """Print nested metrics for a person: one line a number, aligned; a spread as mean ± sd (n).

    A number that is not there says so, and of a curve, which is a list of pairs, five points stand for all.
    """
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        if isinstance(value, dict) and set(value) == {"mean", "sd", "n"}:
            value = f"{value['mean']:.4g} ± {value['sd']:.2g} (n={value['n']})"
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            print_numbers(value, indent + "  ")
        else:
            print(f"{indent}{name:<{width}}  {_said(value)}")


def _said(value: Any) -> str:
    if value is None or value != value:  # NaN is unlike itself
        return "not measured: nothing in this data to measure it on"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 5 and all(map(_is_point, value)):
        some = [value[round(i * (len(value) - 1) / 4)] for i in range(5)]
        return ", ".join(f"{x:.3g}: {y:.3g}" for x, y in some) + f" (5 of {len(value)} points; all with --json)"
    return str(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
