"""Runs of older versions load under today's names, and know what they do not know."""

from __future__ import annotations

from pathlib import Path

from whyact.files import SHIPPED
from whyact.laiar.config import PRESETS
from whyact.laiar.runs import _current, load_run, save_run


def test_renamed_settings_are_read_and_others_stay() -> None:
    old = {"model": {"course": True, "width": 8}, "loss": {"scheme": False}, "optim": {}}
    assert _current(old) == {"model": {"endpoint_delta": True, "width": 8}, "loss": {"guidance": False}, "optim": {}}
    assert old["model"] == {"course": True, "width": 8}  # what was read is not changed
    assert _current({"model": {"course": True, "endpoint_delta": False}})["model"] == {"endpoint_delta": False}


def test_the_bundled_run_knows_chances_if_its_card_says_so() -> None:
    run = load_run(SHIPPED / "laiar")
    extra = (run.card or {})["extra"]
    assert run.knows_chances == bool(extra.get("naming_calibration"))
    assert (run.model.naming is None) == (run.config.model.naming == "nearest")


def test_a_run_with_a_threshold_below_one_half_is_read_as_one_with_one_half(tmp_path: Path) -> None:
    run = load_run(SHIPPED / "laiar")
    for number, (stored, read) in enumerate(((0.0, 0.5), (0.3, 0.5), (0.8, 0.8))):
        run.threshold = stored
        save_run(run, tmp_path / str(number), run.card or {})
        assert load_run(tmp_path / str(number)).threshold == read


def test_the_paper_names_token_by_token() -> None:
    assert PRESETS["default"].model.naming == "chain"
    assert PRESETS["paper-literal"].model.naming == "nearest"
