"""``import whyact`` is instant and offers the public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import whyact


def test_public_names_are_the_real_ones() -> None:
    from whyact.errors import PartialFailure, UserError
    from whyact.prediction import Evidence, Prediction

    assert (whyact.Prediction, whyact.Evidence, whyact.UserError) == (Prediction, Evidence, UserError)
    assert whyact.PartialFailure is PartialFailure
    assert set(whyact.__all__) <= set(dir(whyact))
    with pytest.raises(AttributeError, match="nonsense"):
        whyact.nonsense  # noqa: B018


def test_importing_whyact_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, whyact; sys.exit(bool({'torch', 'numpy', 'msgspec'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
