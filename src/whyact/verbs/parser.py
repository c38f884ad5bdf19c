"""The argument parser of every verb: argparse for the grammar and the help, our own checks for what is wrong.

argparse says what is wrong in sentences that another Python may word otherwise. So nothing here reads them: unknown
options, missing ones, missing values and wrong values are found by the table of options, before and after parsing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from whyact.errors import UserError, nearest
from whyact.files import write_atomic
from whyact.settings import convert, leaves

T = TypeVar("T")
Options = TypeVar("Options")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What the value of an option must be: how it is read, and how a message names it."""

    expected: str
    read: Callable[[str], T]

    def __call__(self, text: str) -> T:
        """Read the text.

        Raises:
            ValueError: When it is of another kind.
        """
        return self.read(text)


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
        self.table: dict[str, argparse.Action] = {}  # option, or name of a positional argument -> what argparse made
        self.checks: dict[str, tuple[Any, Sequence[Any] | None, Any]] = {}  # dest -> type, choices, default
        lines = "\n".join(f"  {line}" for line in examples)
        super().__init__(
            prog=prog or f"whyact {verb}",
            description=description,
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawTextHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--json", action="store_true", help=f"print {json_help} as JSON on stdout; no progress bars")

    def add_argument(self, *names: str, **about: Any) -> argparse.Action:
        """Add an argument; its type and choices are checked by :meth:`parse_args`, not by argparse."""
        return self._added(super().add_argument, names, about)

    def add_settings(self, settings: Any, *, grouped: bool = True) -> None:
        """Add one option for every setting of a dataclass, whose values are the defaults that help shows.

        Args:
            settings: An instance; see :func:`whyact.settings.setting`.
            grouped: Spell names with dots, a group for each section, and show defaults. Off, for options: with dashes,
                and a switch that is off by default takes no value.
        """
        groups: dict[str, Any] = {}
        for leaf in leaves(settings):
            title = f"settings: {leaf.section}" if leaf.section else "settings"
            if grouped and title not in groups:
                groups[title] = self.add_argument_group(title)
            add = groups[title].add_argument if grouped else super().add_argument
            name = leaf.name if grouped else leaf.name.replace("_", "-")
            text = f"{leaf.help} (default: {_format_default(leaf.default)})".strip() if grouped else leaf.help
            metavar = leaf.metavar or None
            about: dict[str, Any] = {"dest": leaf.name, "help": text.replace("%", "%%")}
            if not grouped and leaf.default is False:
                about["action"] = "store_true"
            else:
                about |= {"metavar": metavar, "default": argparse.SUPPRESS}
            self._added(add, (f"--{name}",), about)

    def _added(self, add: Callable[..., argparse.Action], names: Sequence[str], about: dict[str, Any]) -> Any:
        kind, choices = about.pop("type", None), about.pop("choices", None)
        if choices is not None:
            about.setdefault("metavar", "|".join(map(str, choices)))
        default = about.pop("default", None)
        if about.get("action") not in ("help", "version", "store_true"):
            about["default"] = argparse.SUPPRESS
        if about.get("help"):  # argparse would break names and numbers at their hyphens
            width = max(30, shutil.get_terminal_size().columns - 26)
            about["help"] = textwrap.fill(about["help"], width, break_long_words=False, break_on_hyphens=False)
        action = add(*names, **about)
        for name in action.option_strings or [action.dest]:
            self.table[name] = action
        if default is None and action.nargs == "*" and not action.option_strings:
            default = []
        if action.default is argparse.SUPPRESS and action.dest != "help":
            self.checks[action.dest] = kind, choices, default
        return action

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse ``args``.

        Raises:
            UserError: For an unknown option (with the nearest one), a missing one or a wrong value.
        """
        self._check_words(args)
        required = [action for action in self.table.values() if action.required]
        for action in required:  # or argparse would complain
            action.required = False
        found, unknown = self.parse_known_args(args, namespace)
        for action in required:
            action.required = True
        if unknown:
            self._refuse(unknown[0])
        for dest in [action.dest for action in self.table.values() if action.dest in self.checks]:
            kind, choices, default = self.checks[dest]
            name = next(name for name, action in self.table.items() if action.dest == dest)
            if not hasattr(found, dest):
                if default is not argparse.SUPPRESS:
                    setattr(found, dest, default)
            elif kind is not None or choices is not None:
                setattr(found, dest, self._read(name, getattr(found, dest), kind, choices))
        for action in required:
            if getattr(found, action.dest, None) in (None, []):
                name = next(iter(action.option_strings), "") or str(action.metavar or action.dest)
                raise UserError(name, None, action.help or "a value", f"{self.prog} --help")
        return found

    def _check_words(self, args: Sequence[str]) -> None:
        """Show the help where it is asked for, and refuse unknown options and options without their value."""
        words = list(args[: args.index("--")] if "--" in args else args)
        if {"-h", "--help"} & set(words):
            self.print_help()
            raise SystemExit(0)
        for word, following in zip(words, [*words, None][1:], strict=True):
            if not word.startswith("--"):
                continue
            name, equals, value = word.partition("=")
            if name not in self.table:
                self._refuse(name)
            takes_value = self.table[name].nargs != 0
            if equals and not takes_value:
                raise UserError(name, value, "no value", f"{self.prog} --help")
            if takes_value and not equals and (following is None or following.startswith("--")):
                raise UserError(name, "nothing after it", "one value", f"{self.prog} --help")

    def _read(self, name: str, value: Any, kind: Any, choices: Sequence[Any] | None) -> Any:
        if isinstance(value, list):
            return [self._read(name, item, kind, choices) for item in value]
        if choices is not None and value not in choices:
            near = nearest(value, map(str, choices))
            expected = f"one of {', '.join(map(str, choices))}"
            raise UserError(name, value, expected, f"did you mean {near!r}?" if near else f"{self.prog} --help")
        try:
            return value if kind is None else kind(value)
        except UserError:
            raise
        except ValueError as error:
            expected = getattr(kind, "expected", {int: "an integer", float: "a number"}.get(kind, "another value"))
            raise UserError(name, value, expected, f"{self.prog} --help") from error

    def _refuse(self, word: str) -> NoReturn:
        is_option, step = word.startswith("-"), f"{self.prog} --help"
        near = nearest(word, self.table) if is_option else ""
        expected = f"an option of {self.prog}" if is_option else "no further argument"
        raise UserError(word, None, expected, f"did you mean {near}? Try: {step}" if near else step)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse alone can find as a :class:`UserError`, in its own words."""
        raise UserError("command line", message, "the usage that --help shows", f"{self.prog} --help")


def read_options(kind: type[Options], args: argparse.Namespace) -> Options:
    """Return the options dataclass that a command line asks for; see :meth:`Parser.add_settings`.

    Raises:
        UserError: When a value is of the wrong type; it names the option.
    """
    given = vars(args)
    values = {
        leaf.name: convert(f"--{leaf.name.replace('_', '-')}", given[leaf.name], leaf.type, leaf.metavar)
        for leaf in leaves(kind())
        if leaf.name in given
    }
    return kind(**values)


def peek(argv: Sequence[str], option: str) -> str | None:
    """Return the value that ``argv`` gives an option, before anything else of it is parsed."""
    words = list(argv[: argv.index("--")] if "--" in argv else argv)
    for word, following in zip(words, [*words, None][1:], strict=True):
        name, equals, value = word.partition("=")
        if name == option and (equals or following is not None):
            return value if equals else following
    return None


def _whole_number(text: str) -> int:
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


def _run_folder(text: str) -> Path:
    """Read a path; ``.`` becomes the name of the folder that one is in, as a run is renamed whole."""
    if not text:
        raise ValueError(text)
    path = Path(text)
    return path if path.name not in ("", "..") else path.resolve()


whole_number = Kind("a whole number (0, 1, 2, ...)", _whole_number)
run_folder = Kind("the path of a run folder", _run_folder)


def existing_folder(option: str, path: Path | None) -> Path | None:
    """Return ``path`` when it is a folder (or not given).

    Raises:
        UserError: When it is not there or is a file.
    """
    if path is not None and not path.is_dir():
        found = "a file" if path.exists() else "no such folder"
        raise UserError(f"{option} {path}", found, "a folder that exists", "check the path")
    return path


def open_page(path: Path) -> None:
    """Show a page in the user's browser, if there is one."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())


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
            print(f"{indent}{name:<{width}}  {_format_number(value)}")


def _format_number(value: Any) -> str:
    if value is None or value != value:  # NaN is unlike itself
        return "not measured: this data has nothing to measure it on"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 5 and all(map(_is_point, value)):
        some = [value[round(i * (len(value) - 1) / 4)] for i in range(5)]
        return ", ".join(f"{x:.3g}: {y:.3g}" for x, y in some) + f" (5 of {len(value)} points; all with --json)"
    return str(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)


def _format_default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value == "" or value is None else str(value)


def run_program(name: str, run: Callable[[list[str]], int], argv: list[str]) -> int:
    """Run a program of the repository, and turn a user's mistake into one line and its exit code."""
    try:
        return run(argv)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except SystemExit as stop:  # argparse after --help
        return stop.code if isinstance(stop.code, int) else 0
