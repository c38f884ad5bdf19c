"""Predictions from the JSON that ``--json`` prints."""

from __future__ import annotations

import sys
from pathlib import Path

from whyact.errors import UserError, malformed
from whyact.prediction import Prediction, from_json


def read_predictions(file: str) -> list[Prediction]:
    """Read a JSON list of predictions from a file, or from stdin for ``-``.

    Raises:
        UserError: When it cannot be read or is not such a list.
    """
    expected, step = "a list of predictions", "make one with: whyact predict INPUT --json > predictions.json"
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        if not text.strip():
            raise ValueError("nothing in it")
        return from_json(text)
    except OSError as error:
        raise UserError(file, error.strerror, expected, step) from error
    except ValueError as error:
        raise malformed("stdin" if file == "-" else file, error, expected, step) from error
