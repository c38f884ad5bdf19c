"""Corrections: what is saved, and that a model can be trained on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from stub_tasks import pick
from studio_samples import Studio

from whyact.cli import main
from whyact.data.relations import own
from whyact.errors import UserError
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.prediction import Prediction, from_json, to_json
from whyact.studio.corrections import save_correction
from whyact.studio.forms import Correction, Marked

pytest_plugins = ("studio_samples",)


def answer(name: str = "kitchen.mp4", sha: str = "ab" * 32) -> Prediction:
    text = to_json([pick(3)])
    for made_up, known in (("cup_", "mug_"), ("bowl_", "pear_"), ("medicine-box_", "phone_"), ("box_", "jar_")):
        text = text.replace(f'"{made_up}', f'"{known}')
    (p,) = from_json(text)
    p.video.path, p.video.sha256, p.id = name, sha, name
    p.video.fps, p.video.width, p.video.height = 30.0, 640, 480
    for track in p.tracks:
        for q in track.points:
            q.label = q.label.replace(" ", "_")
            if q.label not in VOCABULARY.relations:
                q.label = ""
    return p


def hand_mug(p: Prediction) -> tuple[float, float]:
    """Return the last moment before the hand holds the mug, and the first after."""
    track = next(t for t in p.tracks if (t.subject, t.object) == ("hand_1", "mug_1"))
    first = next(i for i, q in enumerate(track.points) if q.label == "holding")
    return track.points[first - 1].time, track.points[first].time


def read(folder: Path) -> own.OwnVideo:
    (video,) = own.read_file(folder / "whyact.json").videos
    return video


def relations(video: own.OwnVideo, pair: tuple[str, str] = ("hand_1", "mug_1")) -> list[tuple[str, int, int]]:
    return [(r.relation, r.start, r.end) for r in video.relations if tuple(r.pair) == pair]


def test_a_right_answer_keeps_the_models_relations(stub_run: Path, tmp_path: Path) -> None:
    p = answer()
    saved = save_correction(tmp_path, p, stub_run, Correction(action="pick"))
    assert (saved.videos, saved.marked) == (1, 0)
    video = read(tmp_path)
    assert [a.action for a in video.actions] == ["pick"]
    track = next(t for t in p.tracks if (t.subject, t.object) == ("hand_1", "mug_1"))
    for q in track.points:
        assert any(name == q.label and a <= q.frame <= b for name, a, b in relations(video))
    found = own.read(tmp_path, slots=28)
    assert found.clips[0].target == VOCABULARY.actions.index("pick")


def test_a_marked_relation_takes_the_models_place_and_nothing_else(stub_run: Path, tmp_path: Path) -> None:
    p = answer()
    before, after = hand_mug(p)
    mark = Marked(subject="hand_1", object="mug_1", start=after, end=1e6, relation="not_holding")
    save_correction(tmp_path, p, stub_run, Correction(action="place", relations=[mark]))
    assert {name for name, *_ in relations(read(tmp_path))} == {"not_holding"}
    none = Marked(subject="hand_1", object="mug_1", start=0, end=before, relation="")
    save_correction(tmp_path, p, stub_run, Correction(action="place", relations=[none]))
    assert {name for name, *_ in relations(read(tmp_path))} == {"holding"}
    (entry,) = json.loads((tmp_path / "corrections.json").read_text())
    assert (entry["answered"], entry["action"]) == ("pick", "place")
    assert entry["marked"][0]["relation"] == ""


def test_a_second_correction_of_a_video_replaces_the_first_and_others_stay(stub_run: Path, tmp_path: Path) -> None:
    save_correction(tmp_path, answer(), stub_run, Correction(action="pick"))
    save_correction(tmp_path, answer("other.mp4", "cd" * 32), stub_run, Correction(action="open"))
    saved = save_correction(tmp_path, answer(), stub_run, Correction(action="place"))
    assert saved.videos == 2
    file = own.read_file(tmp_path / "whyact.json")
    assert sorted(v.actions[0].action for v in file.videos) == ["open", "place"]


@pytest.mark.parametrize(
    ("action", "marked", "said"),
    [
        ("fly", None, "fly"),
        ("pick", ("hand_1", "mug_1", "eats"), "eats"),
        ("pick", ("a", "b", "holding"), "a – b"),
    ],
    ids=["action", "relation", "pair"],
)
def test_unknown_words_are_refused_and_nothing_is_written(
    stub_run: Path, tmp_path: Path, action: str, marked: tuple[str, str, str] | None, said: str
) -> None:
    marks = [Marked(subject=marked[0], object=marked[1], start=0, end=1, relation=marked[2])] if marked else []
    correction = Correction(action=action, relations=marks)
    with pytest.raises(UserError, match=said):
        save_correction(tmp_path / "c", answer(), stub_run, correction)
    assert not (tmp_path / "c").exists()


def test_a_folder_of_other_words_is_left_alone(stub_run: Path, tmp_path: Path) -> None:
    save_correction(tmp_path, answer(), stub_run, Correction(action="pick"))
    text = (tmp_path / "whyact.json").read_text().replace('"drink"', '"sip"')
    (tmp_path / "whyact.json").write_text(text)
    with pytest.raises(UserError, match="data of other words"):
        save_correction(tmp_path, answer(), stub_run, Correction(action="pick"))
    assert (tmp_path / "whyact.json").read_text() == text


def test_a_model_is_trained_on_corrections(stub_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the first correction on, by the very command that the page names."""
    for i, action in enumerate(("pick", "place", "pick")):
        save_correction(tmp_path / "own", answer(f"{i}.mp4", f"{i}" * 64), stub_run, Correction(action=action))
    command = ["train", "laiar", "--data", "own", "--root", str(tmp_path / "own"), "--out", str(tmp_path / "run")]
    small = ["--optim.epochs", "1", "--model.width", "16", "--model.layers", "2", "--model.heads", "2"]
    assert main([*command, *small, "--data.slots", "4"]) == 0, capsys.readouterr().err
    assert (tmp_path / "run" / "card.json").exists()


def test_without_a_folder_there_is_nothing_to_correct(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(corrections=None)
    id_ = studio.send()
    reply = studio.client.post(f"/api/jobs/{id_}/corrections", json={"action": "pick"})
    assert reply.status_code == 403
    assert "--corrections DIR" in studio.client.get(f"/jobs/{id_}").text
