"""A whole run whose settings or tensors this version does not know: one plain sentence, no decoder's words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from whyact.errors import UserError
from whyact.laiar.config import Config
from whyact.training.checkpoint import unreadable


def test_a_setting_of_another_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"optim": {"epochs": "many"}}, Config)
    error = unreadable(tmp_path, caught.value)
    assert isinstance(error, UserError)
    text = str(error)
    assert "config.yaml, optim.epochs" in text
    assert not set("`$") & set(text)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("bank.vectors"), "no 'bank.vectors'"),
        (RuntimeError("many:\n\tsize of head"), "size of head"),
    ],
)
def test_a_missing_part_and_other_shapes_are_named(tmp_path: Path, error: Exception, words: str) -> None:
    text = str(unreadable(tmp_path / "run", error))
    assert all(part in text for part in (words, "run", "train it again"))
