"""Class maps: the built-in one, and files with their mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from whyact.errors import UserError
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.perception.classes import COCO_TO_HOMEWORLD, coco_names, default_map, read_class_map


def test_coco_has_80_names_and_the_built_in_map_speaks_of_them_and_of_homeworld() -> None:
    assert len(coco_names()) == 80
    assert (coco_names()[0], coco_names()[79]) == ("person", "toothbrush")
    assert set(COCO_TO_HOMEWORLD) <= set(coco_names())
    assert set(COCO_TO_HOMEWORLD.values()) <= set(VOCABULARY.objects)


def test_a_name_that_both_know_stands_for_itself() -> None:
    assert default_map(("person", "hand", "cup", "tree"), VOCABULARY.objects) == {
        "person": "hand",
        "hand": "hand",
        "cup": "mug",
    }
    assert default_map(("cup", "wheel"), ("wheel",)) == {"wheel": "wheel"}


@pytest.mark.parametrize(("name", "text"), [("map.json", '{"cup": "mug"}'), ("map.yaml", "cup: mug\n")])
def test_json_and_yaml_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_class_map(tmp_path / name, ("cup",), ("mug",)) == {"cup": "mug"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.json", '{"cub": "mug"}', "'cub'.*class of the detector: cup"),
        ("m.json", '{"cup": "jug"}', "'jug'.*class of the model: mug"),
        ("m.json", '{"cup": 3}', "both strings"),
        ("m.json", "cup: mug", "both strings, in JSON such as .*, or YAML in a file that ends in .yaml. Try: correct"),
        ("m.yaml", "- cup\n- mug\n", "both strings"),
        ("m.yaml", "a: [", "both strings, in YAML such as cup: mug. Try: correct"),
        ("m.json", "", "both strings"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        read_class_map(tmp_path / name, ("cup",), ("mug",))
