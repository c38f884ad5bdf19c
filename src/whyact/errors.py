"""The one exception that a user's mistake ends in: said in one line, exit code 2, no traceback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Say what is wrong with an input, what was expected, and what to type next.

    Args:
        where: The file, archive member or option at fault.
        value: What was found there (``None`` where there is nothing to show).
        expected: What was expected instead.
        next_step: The next command or action.
    """

    exit_code = 2

    def __init__(self, where: object, value: object, expected: str, next_step: str = "") -> None:
        self.where, self.value = str(where), value
        self.expected, self.next_step = expected, next_step
        found = "" if value is None else f": found {_short(value)}"
        step = f". Next: {next_step}" if next_step else ""
        super().__init__(f"{self.where}{found}; expected {expected}{step}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from a worker process whole; a value of no plain kind as it is said."""
        plain = self.value is None or isinstance(self.value, bool | int | float | str | list | tuple)
        value = self.value if plain else str(self.value)
        return type(self), (self.where, value, self.expected, self.next_step)


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
            lines = [str(error).removesuffix(f". Next: {error.next_step}") for error in self.errors[: self.SHOWN]]
            short = [line.removeprefix(f"{self.where}, ").removeprefix(f"{self.where}: ") for line in lines]
            more = len(self.errors) - len(short)
            rest = f"; and {more} more" if more else ""
            steps = {error.next_step for error in self.errors} - {""}
            step = self.next_step or (steps.pop() if len(steps) == 1 else "")
            listed = f"none of these: {'; '.join(short)}{rest}"
            raise UserError(self.where, f"{len(self.errors)} mistakes", listed, step)


class DiskFullError(UserError):
    """The disk is full: nobody's mistake, so the exit code says that the run failed."""

    exit_code = 1


class InternalError(UserError):
    """Something of ours broke over one of several inputs: it is named, and the exit code says that the run failed."""

    exit_code = 1


class PartialFailure(UserError):
    """Some of several inputs were at fault: ``done`` holds what the others gave, ``failed`` the errors."""

    def __init__(self, done: list[Any], failed: list[UserError], inputs: int) -> None:
        self.done, self.failed = done, failed
        self.inputs = inputs
        said = "; ".join(str(error) for error in failed)
        super().__init__(f"{len(failed)} of {inputs} inputs", None, f"inputs that can be read: {said}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from a worker process whole."""
        return type(self), (self.done, self.failed, self.inputs)


def for_each(inputs: Sequence[str], answer: Callable[[str], list[T]]) -> list[T]:
    """Return the answers about all inputs, one after the other; a bad one does not cost those of the others.

    Raises:
        UserError: When there is one input and it is at fault.
        SomeFailed: When some of several are, after all the others were answered.
    """
    done: list[T] = []
    failed: list[UserError] = []
    for item in inputs:
        try:
            done += answer(item)
        except UserError as error:
            failed.append(error)
        except Exception as error:
            if len(inputs) == 1:
                raise
            found = f"{type(error).__name__}: {error}"
            failed.append(InternalError(item, found, "an input that can be answered", "try it alone, with --debug"))
    if failed and len(inputs) == 1:
        raise failed[0]
    if failed:
        raise PartialFailure(done, failed, len(inputs))
    return done


def _short(value: object, limit: int = 120) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
