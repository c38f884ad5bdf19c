"""``predict`` on video files: detectors, tracks files, several videos, the drawn video, and every wrong option."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from watch_samples import FRAMES, RATE, SIZE, Knowing, film, hand, known_tracks, mug, saved, untrained

import whyact
from laiar_samples import ROI
from whyact.api import make_options
from whyact.data.relations.action_genome_words import vocabulary
from whyact.data.types import Vocabulary
from whyact.errors import PartialFailure, UserError
from whyact.laiar.predict_videos import predict_videos
from whyact.laiar.runs import Run
from whyact.methods import METHODS
from whyact.perception.classes import PERSON_NOTE
from whyact.perception.perception import Perception
from whyact.perception.tracks_file import read_tracks, write_tracks
from whyact.prediction import Prediction
from whyact.video.reader import VideoReader


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("watch") / "a.mp4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return saved(untrained(), tmp_path_factory.mktemp("watch") / "run")


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Knowing:
    """Open the detector that knows whatever ``--detector`` names."""
    return see(monkeypatch, Knowing())


def see(monkeypatch: pytest.MonkeyPatch, detector: Knowing) -> Knowing:
    monkeypatch.setattr("whyact.laiar.perceive.open_detector", lambda name, names=None: detector)
    return detector


def ask(run: Run, *videos: Path, **options: Any) -> list[Prediction]:
    given = make_options(METHODS["laiar"], "laiar", options)
    return predict_videos(run, [str(v) for v in videos], given, progress=False)


def core(prediction: Prediction) -> tuple[Any, ...]:
    """Return what the model said, as plain records."""
    return prediction.labels, prediction.evidence, prediction.tracks, prediction.segments, prediction.tokens_kept


def test_a_video_is_answered_from_the_boxes_of_its_detector(run: Run, video: Path, knows: Knowing) -> None:
    (answer,) = ask(run, video, detector="any")
    assert [(t.subject, t.object) for t in answer.tracks] == [("hand_1", "mug_1")]
    points = answer.tracks[0].points
    assert [p.frame for p in points] == [1, 11, 20, 30]
    for p in points:
        np.testing.assert_allclose(p.object_box, mug(p.frame - 1), atol=0.4)
        np.testing.assert_allclose(p.subject_box, hand(p.frame - 1), atol=0.4)
    assert (answer.video.fps, answer.video.width, answer.video.frames_decoded) == (RATE, SIZE[0], FRAMES)
    assert "known boxes" in answer.provenance.sampler


def test_saved_tracks_give_the_same_answer(run: Run, video: Path, knows: Knowing, tmp_path: Path) -> None:
    (detected,) = ask(run, video, detector="any", save_tracks=tmp_path / "t.json")
    (read,) = ask(run, video, tracks=tmp_path / "t.json")
    assert core(read) == core(detected)
    assert read_tracks(tmp_path / "t.json").source == "known boxes"


def test_a_drawn_video_can_be_read_and_shows_boxes_and_action(
    run: Run, video: Path, knows: Knowing, tmp_path: Path
) -> None:
    (answer,) = ask(run, video, detector="any", draw=tmp_path / "out.mp4")
    with VideoReader(tmp_path / "out.mp4") as reader:
        shown = list(reader.frames_at(np.arange(FRAMES) / RATE))
        assert not reader.degraded
        assert reader.declared == FRAMES
    assert len(shown) == FRAMES
    with VideoReader(video) as reader:
        plain = [s.image for s in reader.frames_at(np.arange(FRAMES) / RATE)]
    edge = [int(v) for v in mug(0)]
    for before, after in zip(plain, shown, strict=True):
        assert after.image.shape[1] == before.shape[1]
        assert after.image.shape[0] > before.shape[0]  # the panel
        assert np.ptp(before) < 8
        assert after.image[edge[3] - 1 : edge[3] + 2, edge[0] + 2 : edge[2] - 2].std() > 5  # the mug's lower edge
    assert answer.label


def test_every_moment_of_a_video_in_windows_has_its_boxes(
    run: Run, video: Path, knows: Knowing, tmp_path: Path
) -> None:
    """Only windows that decide bring tokens; the boxes are drawn elsewhere too."""
    ask(run, video, detector="any", draw=tmp_path / "out.mp4", window=0.5, stride=0.5)
    edge = [int(v) for v in mug(0)]
    with VideoReader(tmp_path / "out.mp4") as reader:
        for shown in reader.frames_at(np.arange(FRAMES) / RATE):
            below = shown.image[edge[3] - 1 : edge[3] + 2, edge[0] + 2 : edge[2] - 2].astype(float)
            assert below.max() - below.min() > 20


def test_one_bad_video_does_not_cost_the_others(run: Run, video: Path, knows: Knowing, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    with pytest.raises(PartialFailure) as caught:
        ask(run, video, broken, video, detector="any")
    (alone,) = ask(run, video, detector="any")
    assert [core(p) for p in caught.value.done] == [core(alone)] * 2
    assert len(caught.value.failed) == 1
    assert "broken.mp4" in str(caught.value.failed[0])
    with pytest.raises(UserError, match="an empty file"):
        ask(run, broken, detector="any")


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_videos_are_answered(frames: int, knows: Knowing, run: Run, tmp_path: Path) -> None:
    short = film(tmp_path / "short.mp4", frames)
    (answer,) = ask(run, short, detector="any", draw=tmp_path / "out.mp4")
    assert answer.label
    assert answer.video.frames_decoded == frames
    assert [(t.subject, t.object) for t in answer.tracks] == [("hand_1", "mug_1")]


def test_tracks_of_another_image_size_are_refused(run: Run, video: Path, tmp_path: Path) -> None:
    write_tracks(tmp_path / "t.json", replace(known_tracks(), image_size=(640, 480)))
    with pytest.raises(UserError, match=r"t.json, image_size.*640.*64 x 48, the size of .*a.mp4"):
        ask(run, video, tracks=tmp_path / "t.json")


def test_tracks_that_cannot_be_of_this_video_are_refused(run: Run, video: Path, tmp_path: Path) -> None:
    tracks = known_tracks()
    wrong = {
        "frame numbers": replace(tracks, times=np.round(tracks.times * RATE) + 1),
        "only": replace(tracks, times=tracks.times / 10),
    }
    for said, changed in wrong.items():
        write_tracks(tmp_path / "t.json", changed)
        with pytest.raises(UserError, match=f"t.json, times.*{said}"):
            ask(run, video, tracks=tmp_path / "t.json")
    document = json.loads(write_tracks(tmp_path / "t.json", tracks).read_text())
    document["tracks"][0]["boxes"][0] = [40.0, 30.0, 69.0, 40.0]  # 64 pixels wide
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="clip_boxes"):
        ask(run, video, tracks=tmp_path / "t.json")
    assert ask(run, video, tracks=tmp_path / "t.json", clip_boxes=True)[0].label


def test_empty_tracks_are_refused(run: Run, video: Path, tmp_path: Path) -> None:
    write_tracks(tmp_path / "t.json", replace(known_tracks(2), **{n: getattr(known_tracks(2), n)[:0] for n in (
        "boxes", "seen", "scores", "times", "frames")}))  # fmt: skip
    with pytest.raises(UserError, match="at least one frame"):
        ask(run, video, tracks=tmp_path / "t.json")


def test_without_a_detector_the_error_says_what_to_type(run: Run, video: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detector.*Try: detector shipped, detector=FILE.onnx, or tracks=FILE"):
        ask(run, video, draw=tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_model_with_roi_features_needs_its_own_detector(video: Path, tmp_path: Path, knows: Knowing) -> None:
    blind = saved(untrained(roi=ROI), tmp_path / "run")
    with pytest.raises(UserError, match="whose backbone encodes boxes"):
        ask(blind, video, detector="any")


@pytest.mark.parametrize("name", ["tracks", "save_tracks", "draw"])
def test_a_single_file_is_for_a_single_video(run: Run, video: Path, name: str, knows: Knowing) -> None:
    with pytest.raises(UserError, match=rf"{name}.*one video"):
        ask(run, video, video, detector="any", **{name: "x.mp4"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": "soon"}, "window.*expected seconds"),
        ({"window": "0.19"}, "window.*seconds, at least 0.2"),
        ({"stride": "0.09"}, "stride.*seconds, at least 0.1"),
        ({"window": "-1"}, "window"),
        ({"window": "nan"}, "window"),
        ({"stride": "0"}, "stride"),
        ({"window": "1", "stride": "2"}, "stride.*at most the window"),
        ({"detector": "shipped", "tracks": "t.json"}, "detector.*one of detector and tracks"),
        ({"names": "never.txt"}, "names.*never.txt.*Try: detector=FILE.onnx"),
        ({"draw": "out.gif"}, "draw.*ends in .mp4"),
        ({"draw": "."}, "draw.*not a folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()),
)
def test_wrong_options_are_named(run: Run, video: Path, knows: Knowing, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ask(run, video, **{"detector": "any", **options})
    assert knows.most == 0


def test_very_many_windows_are_announced_before_the_work(
    run: Run, video: Path, knows: Knowing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = ask(run, video, detector="any", window=0.2, stride=0.1)
    assert any("Answered in 28 windows" in note for note in answer.notes)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("whyact.laiar.predict_videos.MANY", 27)

    def stop(*_: Any, **__: Any) -> None:
        raise UserError("here", None, "nothing further")

    monkeypatch.setattr("whyact.perception.perception.find_tracks", stop)
    with pytest.raises(UserError, match="nothing further"):
        ask(run, video, detector="any", window=0.2, stride=0.1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.mp4: about 28 windows" in line


def test_options_of_videos_and_of_clips_do_not_mix(run: Run, video: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"root: .*expected an annotated clip as INPUT, not a video file"):
        whyact.load(Path(run.path)).predict(str(video), root=str(tmp_path))
    for options in ({"data": "homeworld"}, {"root": str(tmp_path)}):
        with pytest.raises(UserError, match=r"draw: found 'x.mp4', expected a video file as INPUT"):
            whyact.load(Path(run.path)).predict("a clip", draw="x.mp4", **options)


@pytest.mark.parametrize("name", ["draw", "save_tracks"])
def test_the_video_itself_is_never_overwritten(run: Run, tmp_path: Path, knows: Knowing, name: str) -> None:
    path = film(tmp_path / "mine.mp4", 5)
    before = path.read_bytes()
    with pytest.raises(UserError, match="another file than the video"):
        ask(run, path, detector="any", **{name: tmp_path / "x" / ".." / "mine.mp4"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["draw", "save_tracks"])
def test_a_place_closed_to_us_is_refused_before_the_work(
    run: Run, video: Path, knows: Knowing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "locked")
    with pytest.raises(UserError, match=rf"{name}: .*a place that can be written to; .*locked"):
        ask(run, video, detector="any", **{name: tmp_path / "locked" / "new" / "x.mp4"})
    assert knows.most == 0
    assert not (tmp_path / "locked" / "new").exists()


class TestClasses:
    def test_whole_persons_stand_in_for_hands_and_that_is_said(
        self, run: Run, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        see(monkeypatch, Knowing(("person", "cup", "dog"), (hand, mug, lambda n: [0.0, 40.0, 8.0, 47.0])))
        (answer,) = ask(run, video, detector="any")
        assert any(PERSON_NOTE in note for note in answer.notes)
        assert any("unknown to the model: dog" in note for note in answer.notes)
        assert ("person_1", "cup_1") in [(t.subject, t.object) for t in answer.tracks]
        assert ("dog_1", "dog_1") in [(t.subject, t.object) for t in answer.tracks]

    def test_a_class_map_says_which_is_which(
        self, run: Run, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        see(monkeypatch, Knowing(("paw", "bowl")))
        with pytest.raises(UserError, match=r"a detector that knows one of hand.*class_map=FILE"):
            ask(run, video, detector="any")
        (tmp_path / "map.json").write_text(json.dumps({"paw": "hand", "bowl": "mug"}))
        (answer,) = ask(run, video, detector="any", class_map=tmp_path / "map.json", save_tracks=tmp_path / "t.json")
        assert [(t.subject, t.object) for t in answer.tracks] == [("paw_1", "bowl_1")]
        (read,) = ask(run, video, tracks=tmp_path / "t.json", class_map=tmp_path / "map.json")
        assert core(read) == core(answer)
        (tmp_path / "map.json").write_text(json.dumps({"paw": "foot"}))
        with pytest.raises(UserError, match="foot"):
            ask(run, video, detector="any", class_map=tmp_path / "map.json")

    def test_people_are_counted_only_where_the_training_data_show_one(
        self, run: Run, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def third(number: int) -> list[float]:
            return [50.0, 2.0, 62.0, 14.0]

        def left(number: int) -> list[float]:
            return [1.0, 30.0, 13.0, 44.0]

        class Hands(Knowing):
            def __call__(self, frames: Any) -> Any:
                found = super().__call__(frames)
                return [replace(f, classes=np.array([0, 1, 0, 0])) for f in found]

        see(monkeypatch, Hands(("hand", "mug"), (hand, mug, third, left)))
        (answer,) = ask(run, video, detector="any")
        assert {t.subject for t in answer.tracks} == {"hand_1", "hand_2"}
        words = Vocabulary(("hand", "mug"), ("free", "held"), ("a", "b"), {("hand", "mug"): ("free", "held")})
        own = saved(untrained(words), tmp_path / "own", data="own")
        (answer,) = ask(own, video, detector="any")
        assert {t.subject for t in answer.tracks} == {"hand_1", "hand_2", "hand_3"}

    def test_the_limit_is_a_field_of_the_vocabulary(self, run: Run) -> None:
        """A limit on a class of the vocabulary holds for each class of the detector that stands for it."""
        seen = {"palm": "hand", "fist": "hand", "man": "person", "head": "head", "mug": "cup"}

        def most(vocabulary: Vocabulary) -> dict[str, int]:
            return dict(Perception(class_map=seen, at_most=vocabulary.at_most).link_settings.most)

        assert most(run.vocabulary) == {"palm": 2, "fist": 2, "head": 1}
        assert most(vocabulary((), contact_only=True)) == {"man": 1}  # Action Genome annotates one person
        assert most(Vocabulary(("person", "cup"), ("r",), ("a",))) == {}
