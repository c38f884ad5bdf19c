"""Corrections: what is saved, and that a model can be trained on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from stub_tasks import pick
from studio_samples import Studio

from made_videos import write_clip
from whyact.cli import main
from whyact.data.relations import own
from whyact.data.relations.own_file import OwnFile, OwnVideo
from whyact.data.relations.own_write import write_own
from whyact.data.types import MEASURED, MOTION
from whyact.errors import UserError
from whyact.files import folder_lock
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.prediction import Prediction, from_json, to_json
from whyact.studio.corrections import put_video, save_correction, saved_marks
from whyact.studio.forms import Correction, Marked, MarkedSegment
from whyact.studio.marks import FilmIndex
from whyact.studio.models import model_info
from whyact.training.checkpoint import save_checkpoint

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


def test_a_film_is_one_video_whatever_its_file_is_called(stub_run: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\x00film")
    segment = MarkedSegment(action="open", start=1, end=3)
    first = Correction(action="pick", segments=[segment])
    index = FilmIndex([i / 30 for i in range(2000)], 30.0, 640, 480, "ab" * 32)
    folder = tmp_path / "corrections"
    save_correction(folder, answer("kitchen.mp4"), stub_run, first, film, index)
    assert saved_marks(folder, answer("copy of kitchen.mp4")).segments == [segment]
    saved = save_correction(folder, answer("copy of kitchen.mp4"), stub_run, Correction(action="place"), film)
    assert saved.videos == 1
    assert [action.action for action in read(folder).actions] == ["place"]
    assert (folder / read(folder).file).read_bytes() == b"\x00film"
    assert len(list((folder / "videos").iterdir())) == 1
    assert len(json.loads((folder / "corrections.json").read_text())) == 1


def test_two_studios_with_one_folder_lose_nothing_of_each_other(stub_run: Path, tmp_path: Path) -> None:
    save_correction(tmp_path, answer(), stub_run, Correction(action="pick"))
    with ThreadPoolExecutor() as pool:
        with folder_lock(tmp_path):  # the other one reads, and writes a little later
            other = own.read_file(tmp_path / "whyact.json")
            saving = pool.submit(
                save_correction, tmp_path, answer("b.mp4", "cd" * 32), stub_run, Correction(action="open")
            )
            time.sleep(0.5)
            put_video(other, replace(other.videos[0], id="theirs", group="theirs"))
            write_own(tmp_path, other, replace=True)
        assert saving.result(20).videos == 3


@pytest.mark.parametrize("films", [1, 2, 3])
def test_groups_are_kept_for_testing_and_something_is_left_to_learn_from(films: int) -> None:
    file = OwnFile("whyact-own", 1, objects=["cup"], actions=["pick"], videos=[])
    for number in range(12):
        put_video(file, OwnVideo(id=str(number), group=f"film {number % films}"))
        (fold,) = file.folds
        assert not set(fold.train) & set(fold.test)
        assert {*fold.train, *fold.test} == {video.group for video in file.videos}
        assert len(fold.train) == len({video.group for video in file.videos}) - 1


@pytest.mark.parametrize(
    ("action", "marked", "said"),
    [
        (" ", None, "a name"),
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


def test_new_words_are_taken_for_actions_and_things(stub_run: Path, tmp_path: Path) -> None:
    things = {"mug_1": "thermos flask", "head_1": "HEAD"}
    save_correction(tmp_path, answer(), stub_run, Correction(action="water the plants", things=things))
    file = own.read_file(tmp_path / "whyact.json")
    assert file.actions == [*VOCABULARY.actions, "water the plants"]
    assert file.objects == [*VOCABULARY.objects, "thermos flask"], "a known thing keeps its spelling"
    (video,) = file.videos
    kinds = {track.name: track.kind for track in video.tracks}
    assert (kinds["mug_1"], kinds["head_1"]) == ("thermos flask", "head")
    carried = {(a.subject, a.object): a.relations for a in file.allowed}
    assert carried["hand", "thermos flask"] == carried["hand", "mug"]
    assert own.read(tmp_path, slots=28).vocabulary.actions[-1] == "water the plants", "what is saved can be read"
    save_correction(tmp_path, answer("other.mp4", "cd" * 32), stub_run, Correction(action="Water  the plants"))
    assert own.read_file(tmp_path / "whyact.json").actions == file.actions
    with pytest.raises(UserError, match="a thing of this answer"):
        save_correction(tmp_path, answer(), stub_run, Correction(action="pick", things={"ghost_1": "mug"}))


def test_a_correction_keeps_its_video_and_trains_with_pixels(
    stub_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("../../a b.mp4", "1.mp4", "2.mp4")
    for i, action in enumerate(("pick", "place", "pick")):
        p = answer(names[i], f"{i}" * 64)
        last = max(q.frame for track in p.tracks for q in track.points)
        film = write_clip(tmp_path / f"upload-{i}.mp4", last + 1, size=(640, 480))
        saved = save_correction(tmp_path / "own", p, stub_run, Correction(action=action), film)
    assert sorted(path.name for path in (tmp_path / "own" / "videos").iterdir()) == [
        f"1-{'1' * 12}.mp4",
        f"2-{'2' * 12}.mp4",
        f"a-b-{'0' * 12}.mp4",
    ]
    assert saved.command.endswith(" --data.pixels true")
    command = saved.command.replace("DIR", str(tmp_path / "own")).replace("RUN", str(tmp_path / "run")).split()[1:]
    small = ["--optim.epochs", "1", "--model.width", "16", "--model.layers", "2", "--model.heads", "2"]
    small += ["--data.slots", "4", "--data.looks", "4", "--optim.calibrate", "false"]
    assert main([*command, *small]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "card.json").read_text())["extra"]["perception"]["encoder"]


def test_relations_that_are_measured_are_not_marked(stub_run: Path, tmp_path: Path) -> None:
    card = json.loads((stub_run / "card.json").read_text())
    words = {**card["extra"]["words"], "measured": True, "relations": list(MEASURED), "rules": []}
    words["allowed"] = [["hand", name, list(MEASURED)] for name in words["objects"]]
    run = tmp_path / "measured"
    made = {key: card[key] for key in ("method", "data", "split_sha256", "licence", "seed")}
    save_checkpoint(run, {"w": torch.zeros(1)}, {}, {**made, "metrics": {}, "extra": {"words": words}})
    mark = Marked(subject="hand_1", object="mug_1", start=0, end=1, relation="touching")
    with pytest.raises(UserError, match="measured from the boxes"):
        save_correction(tmp_path / "own", answer(), run, Correction(action="pick", relations=[mark]))
    save_correction(tmp_path / "own", answer(), run, Correction(action="pour", things={"mug_1": "kettle"}))
    found = own.read(tmp_path / "own", slots=28)
    assert found.vocabulary.measured
    assert found.vocabulary.actions[-1] == "pour"
    assert "kettle" in found.vocabulary.objects


def test_annotated_relations_beside_measured_ones_are_marked(stub_run: Path, tmp_path: Path) -> None:
    card = json.loads((stub_run / "card.json").read_text())
    plain = card["extra"]["words"]
    words = {**plain, "measured": True, "relations": [*plain["relations"], *MEASURED]}
    words["allowed"] = [[a, b, [*names, *MEASURED]] for a, b, names in plain["allowed"]]
    words["groups"] = [["motion", list(MOTION), True], ["annotated", plain["relations"], False]]
    run = tmp_path / "both"
    made = {key: card[key] for key in ("method", "data", "split_sha256", "licence", "seed")}
    save_checkpoint(run, {"w": torch.zeros(1)}, {}, {**made, "metrics": {}, "extra": {"words": words}})
    p = answer()
    before, _ = hand_mug(p)
    mark = Marked(subject="hand_1", object="mug_1", start=0, end=before, relation="holding")
    save_correction(tmp_path / "own", p, run, Correction(action="pick", relations=[mark]))
    file = own.read_file(tmp_path / "own" / "whyact.json")
    assert (file.measured, file.relations) == (True, plain["relations"])
    assert {name for name, *_ in relations(file.videos[0])} == {"holding"}
    found = own.read(tmp_path / "own", slots=28)
    assert found.vocabulary.annotated == len(plain["relations"])
    near = Marked(subject="hand_1", object="mug_1", start=0, end=1, relation="near")
    with pytest.raises(UserError, match="near"):
        save_correction(tmp_path / "own", p, run, Correction(action="pick", relations=[near]))
    info = model_info("both", run)
    assert not info.measured


def test_the_upload_is_kept_for_corrections_until_its_answer_is_deleted(
    open_studio: Callable[..., Studio], tmp_path: Path
) -> None:
    studio = open_studio()
    studio.jobs.keep_uploads = True
    job = studio.jobs.get(studio.send())
    assert job.upload.exists()
    studio.client.delete(f"/api/jobs/{job.id}")
    assert not job.upload.exists()


def test_without_a_folder_there_is_nothing_to_correct(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(corrections=None)
    id_ = studio.send()
    reply = studio.client.post(f"/api/jobs/{id_}/corrections", json={"action": "pick"})
    assert reply.status_code == 403
    assert "--corrections DIR" in studio.client.get(f"/jobs/{id_}").text
