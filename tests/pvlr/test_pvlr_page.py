"""The method page and the code speak of the same equations and settings."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

import whyact.pvlr
from whyact.pvlr.config import PRESETS

HOME = Path(whyact.pvlr.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "pvlr.md"


@pytest.fixture
def page():
    if not PAGE.is_file():
        pytest.skip("the docs are not part of this installation")
    return PAGE.read_text()


def test_every_equation_of_the_page_is_in_the_code_and_back(page):
    code = (HOME / "model.py").read_text() + (HOME / "losses.py").read_text()
    in_code = set()
    for first, last in re.findall(r"Eq\. (\d+)(?:-(\d+))?", code):
        in_code |= set(range(int(first), int(last or first) + 1))
    on_page = {int(number) for number in re.findall(r"^\| (\d+) \|", page, flags=re.M)}
    assert on_page == in_code == set(range(1, 25))


def test_every_repair_is_on_the_page(page):
    default, official = PRESETS["default"], PRESETS["official"]
    for section in ("model", "loss", "inference"):
        a, b = getattr(default, section), getattr(official, section)
        for field in fields(a):
            if getattr(a, field.name) != getattr(b, field.name):
                assert f"`{section}.{field.name}`" in page


def test_results_on_the_page_are_those_of_the_study(page):
    rows = json.loads((PAGE.parent / "results" / "pvlr.json").read_text())["rows"]
    measured = {(row["table"], row["row"]): row for row in rows if row["metric"] == "avg_mAP"}
    cell = r"(?:([\d.]+) ± ([\d.]+) \((\d+)\))?"
    said = re.findall(rf"^\| `([a-z-]+)` \| ?{cell} ?\| ?{cell} ?\|$", page, flags=re.M)
    assert {name for name, *_ in said} == {name for table, name in measured if table in ("synthetic", "gym")}
    for name, *numbers in said:
        for table, mean, sd, count in (("synthetic", *numbers[:3]), ("gym", *numbers[3:])):
            assert bool(mean) == ((table, name) in measured)
            if mean:
                row = measured[table, name]
                assert (float(mean), float(sd)) == pytest.approx((row["mean"], row["sd"]), abs=0.0501)
                assert int(count) == row["n"]
