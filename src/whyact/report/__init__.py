"""A prediction as one self-contained HTML file."""

from whyact.report.page import render, write_report

__all__ = ["render", "write_report"]
