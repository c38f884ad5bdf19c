"""A prediction, or an evaluation, as one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["render", "write_report"]

if TYPE_CHECKING:
    from whyact.report.page import render, write_report
else:
    from whyact.exports import exports  # jinja2 costs time that an answer without a page should not

    __getattr__, __dir__ = exports(__name__, dict.fromkeys(__all__, "whyact.report.page"))
