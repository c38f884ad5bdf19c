"""A page that is handed on names files, and no folder or machine."""

from __future__ import annotations

import pytest
import sample_prediction as sample
from parsed_page import Page

from whyact.prediction import Prediction, Table, to_json
from whyact.report import render
from whyact.report.private import without_paths

FOLDER = "/home/somebody/My films"


def seen(path: str) -> Prediction:
    """An answer that knows where everything was."""
    p = sample.pick(4)
    p.id = p.video.path = path
    p.video.degraded = f"{path}: 3 of 90 frames could not be decoded"
    p.notes = [f"Read from {path} with /opt/models/detector.onnx.", "See https://example.org/a/b for 1/2 and/or more."]
    p.provenance.checkpoint = "/srv/runs/kitchen"
    p.provenance.sampler = "boxes by C:\\Users\\somebody\\tracks.json"
    p.tables = [Table(title="t", columns=["label", "n"], rows=[["~/private/x.txt", 1]], text="in /tmp/abc/def.csv")]
    return p


@pytest.mark.parametrize("path", [f"{FOLDER}/cup.mp4", "C:\\films\\cup.mp4", "films/2024/cup.mp4"])
def test_no_folder_and_no_user_is_on_the_page(path: str) -> None:
    given = seen(path)
    before = to_json([given])
    page = Page(render([given]))
    text = page.text("main")
    for trace in ("somebody", "My films", "/srv", "/opt", "/tmp", "~/", "films/", "films\\", "Users"):
        assert trace not in text, trace
    for kept in ("cup.mp4", "kitchen", "detector.onnx", "tracks.json", "def.csv", "9f2c9f2c", "1/2 and/or more"):
        assert kept in text, kept
    assert to_json([given]) == before, "the answer itself stays as it is"


def test_films_of_one_name_are_told_apart_by_as_many_folders_as_it_takes() -> None:
    paths = ["/a/b/one/cup.mp4", "/a/b/two/cup.mp4", "/a/c/mug.mp4"]
    assert [p.id for p in without_paths([seen(path) for path in paths])] == ["one/cup.mp4", "two/cup.mp4", "mug.mp4"]


def test_ids_that_are_no_paths_and_names_of_things_stay() -> None:
    p = sample.pick(2)
    p.labels[0].label = p.target = "open/close /etc/door"
    p.tracks[0].object = p.evidence[0].object = "/odd/name"
    (clean,) = without_paths([p])
    assert (clean.id, clean.label, clean.target) == ("kitchen-07/pick-3", "open/close /etc/door", p.target)
    assert clean.evidence[0].object == clean.tracks[0].object == "/odd/name"


def test_pictures_find_their_answer_although_its_name_is_shortened() -> None:
    p = sample.pick(2)
    p.id = p.video.path = f"{FOLDER}/cup.mp4"
    html = render([p], stills={(p.id, 37): b"\xff\xd8\xff\xe0 a"}, loops={p.id: b"RIFF\0\0\0\0WEBP"})
    assert html.count("data:image/jpeg") == 1
    assert html.count("data:image/webp") == 1
