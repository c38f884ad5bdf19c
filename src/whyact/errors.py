"""The one exception for a user's mistake: one line, exit code 2, no traceback.

A command line and a Python program say it alike, but for the names of arguments: the command names ``--class-map``,
Python ``class_map``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

T = TypeVar("T")

_MISSING = {"no such file": "file", "no such folder": "folder", "No such file or directory": "file"}
_OPTION = re.compile(r"(?<![\w-])--([a-z][\w.-]*\w)(?:[ =]([A-Z0-9][\w./-]*))?")


class UserError(ValueError):
    """Say what is wrong with an input, what was expected, and what to try next.

    Args:
        where: The file, archive member or option at fault; an option as the command line spells it.
        value: What was found there: a value, or a few words about it (``None`` where there is nothing to show).
        expected: What was expected instead.
        next_step: The next command or action.

    ``str()`` names options as Python arguments; :meth:`command_line` names them as the command does. A file or folder
    that is not there makes a :class:`MissingFileError`.
    """

    exit_code = 2

    def __new__(cls, where: object, value: object = None, *_: object) -> UserError:
        """Return a :class:`MissingFileError` for what is not there, so that callers can catch it as such."""
        if cls is UserError and isinstance(value, str) and value in _MISSING:
            cls = MissingFileError
        # Each built-in exception must be made by its own __new__.
        built_in = FileNotFoundError if issubclass(cls, FileNotFoundError) else ValueError
        return built_in.__new__(cls)

    def __init__(self, where: object, value: object, expected: str, next_step: str = "") -> None:
        self.where, self.value = str(where), value
        self.expected, self.next_step = expected, next_step
        super().__init__(self.command_line())

    def __str__(self) -> str:
        return self._sentence(_python_names)

    def command_line(self) -> str:
        """Return the message with options spelt as on the command line."""
        return self._sentence(str)

    def _sentence(self, names: Callable[[str], str]) -> str:
        found = f"found {_shorten(self.value)}, " if self.value is not None else ""
        return f"{names(self.where)}: {found}expected {names(self.expected)}{self._step(names)}"

    def _step(self, names: Callable[[str], str]) -> str:
        if not self.next_step:
            return ""
        if self.next_step.startswith("did you mean"):
            return f". D{self.next_step[1:]}"
        return f". Try: {names(self.next_step)}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whole, for worker processes; a value of another kind than a plain one as text."""
        plain = self.value is None or isinstance(self.value, bool | int | float | str | list | tuple)
        value = self.value if plain else str(self.value)
        return type(self), (self.where, value, self.expected, self.next_step)


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that should be there is not."""

    def _sentence(self, names: Callable[[str], str]) -> str:
        kind = _MISSING.get(str(self.value), "file")
        expected = f" (expected {names(self.expected)})" if self.expected else ""
        return f"{names(self.where)}: no such {kind}{expected}{self._step(names)}"


class Mistakes:
    """Collect the mistakes of one file, so that a user learns all of them at once.

    Args:
        where: The file.
        next_step: What to do about them.
    """

    SHOWN = 10

    def __init__(self, where: object, next_step: str = "") -> None:
        self.where, self.next_step = where, next_step
        self.errors: list[UserError] = []

    def add(self, item: str, value: object, expected: str) -> None:
        """Note a mistake in one item of the file."""
        self.errors.append(UserError(f"{self.where}, {item}", value, expected, self.next_step))

    def add_line(self, line: int, value: object, expected: str, next_step: str = "", column: str = "") -> None:
        """Note a mistake in a line of a text file, or in one of its columns."""
        at = f"{self.where}:{line}, {column}" if column else f"{self.where}:{line}"
        self.errors.append(UserError(at, value, expected, next_step or self.next_step))

    def collect(self, work: Callable[[], T]) -> T | None:
        """Return what ``work`` returns, or note the error that it raises and return ``None``."""
        try:
            return work()
        except UserError as error:
            self.errors.append(error)
            return None

    def refuse(self) -> None:
        """Raise what was noted, as one error.

        Raises:
            UserError: When there is any mistake; at most :attr:`SHOWN` are spelt out, all are counted.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            lines = [str(error).removesuffix(error._step(_python_names)) for error in self.errors[: self.SHOWN]]
            short = [_within(str(self.where), line) for line in lines]
            more = len(self.errors) - len(short)
            rest = f"; and {more} more" if more else ""
            steps = {error.next_step for error in self.errors} - {""}
            step = self.next_step or (steps.pop() if len(steps) == 1 else "")
            listed = f"none of these: {'; '.join(short)}{rest}"
            raise UserError(self.where, f"{len(self.errors)} mistakes", listed, step)


def _within(where: str, sentence: str) -> str:
    """Return a sentence about a part of a file without the file's name; ``FILE:3: ...`` becomes ``line 3: ...``."""
    rest = sentence.removeprefix(where)
    if re.match(r":\d", rest):
        return f"line {rest[1:]}"
    return rest.removeprefix(", ").removeprefix(": ")


class DiskFullError(UserError):
    """The disk is full: nobody's mistake, so the exit code says that the run failed."""

    exit_code = 1


class InternalError(UserError):
    """An unforeseen error over one of several inputs: it is named, and the exit code says that the run failed."""

    exit_code = 1


class PartialFailure(UserError):
    """Some of several inputs could not be answered: ``done`` holds what the others gave, ``failed`` the errors."""

    def __init__(self, done: list[Any], failed: list[UserError], inputs: int) -> None:
        self.done, self.failed, self.inputs = done, failed, inputs
        super().__init__(f"{len(failed)} of {inputs} inputs", None, "inputs that can be read")

    def _sentence(self, names: Callable[[str], str]) -> str:
        errors = "; ".join(error._sentence(names) for error in self.failed)
        return f"{self.where} failed: {errors}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whole, for worker processes."""
        return type(self), (self.done, self.failed, self.inputs)


def for_each(inputs: Sequence[str], answer: Callable[[str], list[T]], only: Sequence[int] | None = None) -> list[T]:
    """Return the answers about all inputs, one after the other; a bad one does not cost those of the others.

    Args:
        inputs: All of them.
        answer: What to do with one.
        only: The positions of those to answer now, where others are answered elsewhere.

    Raises:
        UserError: When there is one input and it is at fault.
        PartialFailure: When some of several are, after all the others were answered.
    """
    done: list[T] = []
    failed: list[UserError] = []
    for item in inputs if only is None else [inputs[i] for i in only]:
        try:
            done += answer(item)
        except UserError as error:
            failed.append(error)
        except Exception as error:
            if len(inputs) == 1:
                raise
            message = f"{type(error).__name__}: {error}"
            failed.append(InternalError(item, message, "an input that can be answered", "run it alone, with --debug"))
    if failed and len(inputs) == 1:
        raise failed[0]
    if failed:
        raise PartialFailure(done, failed, len(inputs))
    return done


_KINDS = {"int": "a whole number", "float": "a number", "str": "a string", "bool": "true or false", "array": "a list"}
_KINDS |= {"object": "an object {...}", "null": "null", "bytes": "a string"}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?: of| with)?(?: (.+?))?(?:, got (`?)([^`]+)`?)?")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.+)`")
_BROKEN = re.compile(r"(JSON|YAML) is malformed: (.+?)(?: \(byte (\d+)\))?")


def malformed(where: object, error: Exception, expected: str, next_step: str = "") -> UserError:
    """Return what a decoder says of a file as one plain sentence: where in it, what is there, what was expected.

    Args:
        where: The file.
        error: What the decoder raised.
        expected: What the file should be, where the decoder does not say what it misses.
        next_step: What to do about it.
    """
    message, _, place = str(error).partition(" - at ")
    place = place.replace("`", "").replace("[...]", "").replace("$.", "").replace("$", "").removeprefix("key in ")
    inside = f"{where}, {place}" if place else str(where)
    if found := _FIELD.fullmatch(message):
        if found[1].startswith("missing"):
            return UserError(inside, None, f"the field {found[2]!r}", next_step)
        return UserError(inside, f"an unknown field {found[2]!r}", f"only fields of {expected}", next_step)
    if found := _EXPECTED.fullmatch(message):
        kind = " or ".join(_KINDS.get(name, name) for name in found[1].split(" | "))
        limit = "" if found[2] is None else f" of {found[2]}"
        value = None if found[4] is None else _KINDS.get(found[4], found[4]) if found[3] else f"length {found[4]}"
        if "[...]" in str(error) and value is not None:
            value += " in it"
        return UserError(inside, value, f"{kind}{limit}" if place else expected, next_step)
    if message.startswith("Invalid enum value "):
        value = message.removeprefix("Invalid enum value ").strip("'")
        return UserError(inside, value, f"a value that {expected} has", next_step)
    if "truncated" in message:
        return UserError(inside, "a text that ends too early", expected, next_step)
    found = _BROKEN.fullmatch(message)
    reason = message
    if found is not None:
        reason = f"broken {found[1]}: {found[2]}" + (f" at byte {found[3]}" if found[3] else "")
    return UserError(inside, reason, expected, next_step)


def choose(name: str, names: Iterable[str], what: str, help_command: str) -> str:
    """Return ``name`` if it is one of ``names``.

    Raises:
        UserError: When it is not; the message suggests the nearest name.
    """
    known = list(names)
    if name in known:
        return name
    near = nearest(name, known)
    step = f"did you mean {near!r}? Try: {help_command}" if near else help_command
    raise UserError(what, name, f"one of {', '.join(known)}", step)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that is spelt most like ``name``, or an empty string when none is."""
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return close[0] if close else ""


def _python_names(text: str) -> str:
    """Spell options as Python arguments: ``--class-map FILE`` as ``class_map=FILE``; whole commands stay."""
    if "whyact " in text:
        return text
    if text.isalpha() and text.isupper():  # the metavar of a positional argument, such as METHOD
        return text.lower()

    def rename(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[2]
        return f"{name}={value}" if value else name

    return _OPTION.sub(rename, text)


def _shorten(value: object, limit: int = 120) -> str:
    """Write a value: words about it as they are, anything else of a string in quotes, so that its ends are seen."""
    text = str(value)
    if isinstance(value, str | PurePath) and not (" " in text and text == text.strip() and text.isprintable()):
        text = repr(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
