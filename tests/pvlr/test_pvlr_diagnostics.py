"""The tables of the evaluation page against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.diagnostics import diagnose
from whyact.pvlr.inference import Detections
from whyact.report.diagnostics import Diagnostics

CFG = InferenceConfig()
STARTS = np.array([0.0, 50, 70, 30])  # of predictions 10 s long, the first of them right


def diagnosed(ambiguous: dict[str, tuple[tuple[float, float], ...]], cfg: InferenceConfig = CFG) -> Diagnostics:
    """Diagnose four predictions of one length about one annotated segment, at a snippet a second."""
    video = FeatureSequence("v", np.zeros((100, 4), np.float32), np.arange(100.0), 1.0, None, (0,), ((0.0, 10.0, 0),))
    split = FeatureSplit(
        "s", ("jump",), ("jump",), [], [video], (4, 0), "stand-in", "small", "", "", ambiguous=ambiguous
    )
    found = Detections(np.zeros(4, np.intp), STARTS, STARTS + 10, np.array([0.9, 0.8, 0.7, 0.1]), np.ones(1))
    return diagnose([found], np.ones((1, 1)), split, cfg)


@pytest.mark.parametrize(
    ("spans", "counted", "average"),
    [((), 4, 1 / 4), (((50.0, 60.0), (70.0, 80.0)), 2, 1 / 2), (((0.0, 100.0),), 1, 1.0)],
)
def test_precision_by_length_counts_no_prediction_that_is_ambiguous(
    spans: tuple[tuple[float, float], ...], counted: int, average: float
) -> None:
    """As detection mAP does: a wrong one on an ambiguous span is no mistake, a right one is right all the same."""
    table = next(t for t in diagnosed({"v": spans}).tables if t.title == "Proposals by length")
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (row["segments"], row["recall"], row["predictions"], row["precision"]) == (1, 1.0, counted, average)


def test_what_an_average_is_over_is_said_wherever_one_stands() -> None:
    other = replace(CFG, detection=(0.5, 0.75, 0.95))
    for cfg, words in ((CFG, "7 tIoU from 0.1 to 0.7"), (other, "3 tIoU from 0.5 to 0.95")):
        page = diagnosed({}, cfg)
        assert page.figures[0].text == f"mean over {words}"
        assert words in page.classes.text
