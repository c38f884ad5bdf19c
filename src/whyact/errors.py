"""The one exception that a user's mistake ends in: said in one line, exit code 2, no traceback."""

from __future__ import annotations


class UserError(Exception):
    """Say what is wrong with an input, what was expected, and what to type next.

    Args:
        where: The file, archive member or option at fault.
        value: What was found there (``None`` where there is nothing to show).
        expected: What was expected instead.
        next_step: The next command or action.
    """

    def __init__(self, where: object, value: object, expected: str, next_step: str = "") -> None:
        self.where, self.value = str(where), value
        self.expected, self.next_step = expected, next_step
        found = "" if value is None else f": found {_short(value)}"
        step = f". Next: {next_step}" if next_step else ""
        super().__init__(f"{self.where}{found}; expected {expected}{step}")


def _short(value: object, limit: int = 120) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
