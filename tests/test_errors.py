"""Several inputs: what one of them costs, and what it does not."""

from __future__ import annotations

import pytest

from whyact.errors import PartialFailure, UserError, for_each


def answered(item: str) -> list[str]:
    if item == "bad":
        raise UserError(item, None, "a video")
    if item == "odd":
        raise ZeroDivisionError("division by zero")
    return [item.upper()]


def test_an_input_over_which_something_breaks_is_named_and_does_not_cost_the_others() -> None:
    with pytest.raises(PartialFailure) as caught:
        for_each(["a", "odd", "bad", "b"], answered)
    assert caught.value.done == ["A", "B"]
    odd, bad = caught.value.failed
    assert str(odd).startswith("odd: found 'ZeroDivisionError: division by zero'")
    assert (odd.exit_code, bad.exit_code) == (1, 2)


def test_alone_it_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        for_each(["odd"], answered)
    with pytest.raises(UserError, match=r"^bad; expected a video$"):
        for_each(["bad"], answered)
    assert for_each(["a", "b"], answered) == ["A", "B"]


def test_an_interrupt_is_no_input_at_fault() -> None:
    def stopped(item: str) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_each(["a", "b"], stopped)
