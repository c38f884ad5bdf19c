"""Pixels for any data set: what is seen, kept, resumed and refused, and trainings that answer videos by themselves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import whyact
from laiar_samples import SMALL
from square_films import Squares
from whyact.data.relations import cad120, own
from whyact.data.relations.clip_folder import describe_clips, list_clips, own_file
from whyact.data.relations.footage import VideoFootage
from whyact.data.relations.own_file import FILE, Fold, OwnFile, read_file
from whyact.data.relations.own_write import from_cad120, write_own
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import IN_VIEW, RelationClip
from whyact.engines.work import Engine, Job
from whyact.errors import UserError
from whyact.features.roi import Maps, pool
from whyact.features.store import verify_store
from whyact.files import canonical_json, sha256
from whyact.homeworld.film_set import write_videos
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.laiar import task
from whyact.laiar.clips import frames_for, with_roi_features
from whyact.laiar.config import Config, DataConfig, OptimConfig
from whyact.laiar.extraction import ClipSettings, extract_clips
from whyact.laiar.perceive import check_data_config, clip_settings, open_perception
from whyact.laiar.runs import load_run
from whyact.perception.centre import CentreNet
from whyact.perception.open import DetectorEncoder
from whyact.perception.perception import Perception, TimedFrame
from whyact.perception.small import SmallDetector, load_detector
from whyact.perception.tracks_file import write_tracks
from whyact.perception.types import Detections, detections
from whyact.training.evaluation import answer_parts, score_parts
from whyact.video.write import write_video

SIZE = (96, 72)
CLIPS = 4  # of each video
LOOKED = DataConfig(frames=4, slots=6, pixels=True, looks=5)
CONFIG = Config(data=LOOKED, model=SMALL, optim=OptimConfig(lr=5e-3, batch=8, epochs=2))


class Knowing(SmallDetector):
    """A small detector that recognises each frame of some videos and gives the boxes written for it."""

    def __init__(self, root: Path) -> None:
        super().__init__(CentreNet(len(VOCABULARY.objects)), VOCABULARY.objects, long_side=96)
        self.truth: dict[bytes, Detections] = {}
        self.asked = 0
        for video in read_file(root / FILE).videos:
            shown = VideoFootage(root / video.file)
            for t, image in enumerate(shown.frames(range(1, len(shown) + 1))):
                found = [(track.boxes[t], VOCABULARY.objects.index(track.kind)) for track in video.tracks]
                there = [(box, number) for box, number in found if box is not None]
                boxes = np.array([box for box, _ in there], np.float32).reshape(-1, 4)
                made = detections(boxes, np.full(len(there), 0.9), np.array([n for _, n in there], np.int64))
                self.truth[image.tobytes()] = made

    def __call__(self, frames: np.ndarray) -> list[Detections]:
        self.asked += len(frames)
        return [self.truth[frame.tobytes()] for frame in frames]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home") / "home"
    return write_videos(root, seed=0, subjects=2, videos_per_subject=3, every=6, size=SIZE)


@pytest.fixture(scope="module")
def root(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return own data made of generated videos: two to train on and one to test on, a few clips each."""
    file = from_cad120(home)
    videos = [msgspec.structs.replace(video, actions=video.actions[:CLIPS]) for video in file.videos[:3]]
    groups = [video.group for video in videos]
    folds = [Fold([g for g in groups if "-train-" in g], [g for g in groups if "-test-" in g])]
    folder = tmp_path_factory.mktemp("own")
    write_own(folder, msgspec.structs.replace(file, videos=videos, folds=folds), home)
    return folder


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory, root: Path) -> tuple[Path, Knowing]:
    """Return a detector that knows the videos, and the folder it is saved in."""
    torch.manual_seed(0)
    knowing = Knowing(root)
    folder = tmp_path_factory.mktemp("eye") / "detector"
    knowing.save(folder, data="toys", seed=0, metrics={})
    return folder, knowing


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of frames of every look through the detector's backbone."""
    calls: list[int] = []
    maps = DetectorEncoder.maps

    def counted(self: DetectorEncoder, frames: np.ndarray) -> Any:
        calls.append(len(frames))
        return maps(self, frames)

    monkeypatch.setattr(DetectorEncoder, "maps", counted)
    return calls


@pytest.fixture
def data(root: Path) -> RelationData:
    return own.read(root, slots=LOOKED.slots)


Opened = tuple[Perception, ClipSettings]


def opened_in(folder: Path, config: DataConfig) -> Opened:
    perception = open_perception(config, VOCABULARY)
    assert perception is not None
    return perception, clip_settings(config, SMALL.mask_size, folder, labelled_only=True)


def sight_in(folder: Path, eye: tuple[Path, Knowing], **options: Any) -> Opened:
    perception, settings = opened_in(folder, replace(LOOKED, detector=str(eye[0]), **options))
    return replace(perception, detector=eye[1]), settings


def look(opened: Opened, data: RelationData, clips: Sequence[RelationClip] | None = None, **options: Any) -> Any:
    perception, settings = opened
    return extract_clips(perception, data, data.clips if clips is None else clips, settings, **options)


def config(eye: tuple[Path, Knowing], **options: Any) -> Config:
    return replace(CONFIG, data=replace(LOOKED, detector=str(eye[0]), **options))


def test_converted_videos_have_boxes_of_their_own_size_and_rate(home: Path, root: Path) -> None:
    ours, theirs = own.read(root, slots=6).clips[0], cad120.read(home, max_pairs=6).clips[0]
    assert (ours.image_size, theirs.image_size) == (SIZE, (640, 480))
    assert_allclose(ours.object_boxes, theirs.object_boxes * (SIZE[0] / 640), rtol=1e-5)
    assert_allclose(ours.times, theirs.times, rtol=1e-6)
    assert_allclose(np.diff(ours.times), 0.2, rtol=1e-6)


def test_what_is_seen_is_what_eq_1_sees_in_the_same_frames(
    tmp_path: Path, data: RelationData, root: Path, eye: tuple[Path, Knowing]
) -> None:
    seen = look(sight_in(tmp_path, eye), data)
    encoder = DetectorEncoder(load_detector(eye[0]))
    frames = {video.id: every_frame(root / video.file) for video in read_file(root / FILE).videos}
    for before, after in list(zip(data.clips, seen.clips, strict=True))[::3]:
        last = len(before.times) - 1
        at = sorted({round(last * i / 4) for i in range(5)})
        assert_array_equal(after.frames, before.frames[at])
        images = [frames[before.id.rpartition("/")[0]][n - 1] for n in after.frames]
        expected = with_roi_features(before.at(at), images, encoder, side=2).pixels
        assert expected is not None
        assert after.pixels is not None
        for name in ("subject", "object", "union"):
            assert_allclose(getattr(after.pixels, name), getattr(expected, name), atol=1e-3)
        assert np.abs(after.pixels.union).max() > 0.01


def every_frame(path: Path) -> list[np.ndarray]:
    """Decode a video from the first frame to the last."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_what_is_stored_is_not_looked_into_again(
    tmp_path: Path, data: RelationData, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    first = look(sight_in(tmp_path, eye), data)
    assert 0 < sum(encoded) <= 5 * len(data.clips)
    encoded.clear()
    again = look(sight_in(tmp_path, eye), data)
    assert not encoded
    assert_array_equal(again.clips[3].pixels.union, first.clips[3].pixels.union)
    one, two = first.domain(), again.domain()
    assert_array_equal(one.mean, two.mean)
    assert one.limit == two.limit > 0


def test_a_kill_costs_what_was_not_looked_into_yet(
    tmp_path: Path, data: RelationData, eye: tuple[Path, Knowing], monkeypatch: pytest.MonkeyPatch, encoded: list[int]
) -> None:
    whole = look(sight_in(tmp_path / "whole", eye), data)
    all_of_it = sum(encoded)
    encoded.clear()
    maps = DetectorEncoder.maps

    def killed(self: DetectorEncoder, frames: np.ndarray) -> Any:
        if sum(encoded) >= all_of_it // 2:
            raise KeyboardInterrupt
        return maps(self, frames)

    with monkeypatch.context() as patch:
        patch.setattr(DetectorEncoder, "maps", killed)
        with pytest.raises(KeyboardInterrupt):
            look(sight_in(tmp_path / "killed", eye), data)
    before = sum(encoded)
    resumed = look(sight_in(tmp_path / "killed", eye), data)
    assert all_of_it <= sum(encoded) <= all_of_it + 5  # the clip that it died in is looked into again
    assert before >= all_of_it // 2
    for one, two in zip(whole.clips, resumed.clips, strict=True):
        assert_array_equal(one.pixels.union, two.pixels.union)


@pytest.mark.skipif(os.name == "nt", reason="needs locks on folders")
def test_several_at_once_look_once(
    tmp_path: Path, data: RelationData, eye: tuple[Path, Knowing], encoded: list[int], capsys: Any
) -> None:
    once = look(sight_in(tmp_path / "alone", eye), data)
    frames = sum(encoded)
    encoded.clear()
    sights = [sight_in(tmp_path / "shared", eye) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:  # a lock of a folder holds between threads as between processes
        jobs = [threads.submit(look, sight, data, progress=True) for sight in sights]
    assert sum(encoded) == frames
    for job in jobs:
        for one, other in zip(once.clips, job.result().clips, strict=True):
            assert_array_equal(one.pixels.union, other.pixels.union)
    (store,) = (tmp_path / "shared").glob("pixels-*")
    assert verify_store(store) == []
    assert len(list(store.glob("*.safetensors"))) == 1
    assert capsys.readouterr().err.count("waiting for it") >= 1


def test_other_weights_have_a_store_of_their_own_and_never_mix(
    tmp_path: Path, data: RelationData, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    clips = data.clips[:1]
    look(sight_in(tmp_path, eye), data, clips)
    (first,) = tmp_path.glob("pixels-*")
    torch.manual_seed(1)
    SmallDetector(CentreNet(len(VOCABULARY.objects)), VOCABULARY.objects, long_side=96).save(
        tmp_path / "other", data="", seed=1, metrics={}
    )
    other = opened_in(tmp_path, replace(LOOKED, detector=str(tmp_path / "other")))
    encoded.clear()
    look(other, data, clips)
    assert encoded
    (second,) = set(tmp_path.glob("pixels-*")) - {first}
    shutil.rmtree(second)
    first.rename(second)
    with pytest.raises(UserError, match="use another folder"):
        look(other, data, clips)


def test_detected_boxes_are_those_of_the_detector_at_the_clips_frames(
    tmp_path: Path, data: RelationData, eye: tuple[Path, Knowing]
) -> None:
    knowing = eye[1]
    knowing.asked = 0
    seen = look(sight_in(tmp_path, eye, boxes="detected"), data)
    assert knowing.asked == len(knowing.truth)  # 5 frames a second: each is looked at once
    shared = 0
    for before, after in zip(data.clips, seen.clips, strict=True):
        assert after.target == before.target
        assert after.image_size == SIZE
        positions = np.searchsorted(before.frames, after.frames)
        boxes = before.object_boxes[positions]
        for k in range(len(after.slots)):
            hit = [(boxes[:, j] == after.object_boxes[:, k]).all(1).mean() for j in range(len(before.slots))]
            shared += max(hit) > 0.7
    assert shared > 0.7 * sum(len(clip.slots) for clip in seen.clips) > 10
    look(sight_in(tmp_path, eye, boxes="detected"), data)
    assert knowing.asked == len(knowing.truth)
    assert len(list(tmp_path.glob("tracks-*/*.json"))) == 3


def test_training_from_oracle_boxes_leaves_a_run_that_answers_a_video_by_itself(
    tmp_path: Path, root: Path, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    card = task.train("own", root, tmp_path / "run", config=config(eye), progress=False)
    assert encoded
    encoded.clear()
    again = task.train("own", root, tmp_path / "two", config=config(eye), progress=False)
    scores = task.evaluate(tmp_path / "run", "own", root, progress=False)
    assert not encoded
    assert card["metrics"] == again["metrics"]
    assert scores["mAR"] == pytest.approx(card["metrics"]["mAR"])
    run = load_run(tmp_path / "run")
    assert run.config.model.roi == (64, 64, 2)
    assert run.domain is not None
    assert (run.card or {})["extra"]["perception"]["encoder"].startswith("backbone of small-detector")
    name = own.read(root, slots=6).clips[0].id
    (told,) = whyact.load(tmp_path / "run").predict(name, data="own", root=str(root))
    shutil.move(tmp_path / "run", tmp_path / "moved")
    shutil.rmtree(tmp_path / "features")
    video = next(iter(sorted((root / "videos").glob("*.mp4"))))
    (answer,) = whyact.load(tmp_path / "moved").predict(str(video))
    assert {told.label, answer.label} <= set(VOCABULARY.actions)
    assert "features by backbone of small-detector" in answer.provenance.sampler
    assert not any("outside of what the model knows" in note for note in answer.notes)


def test_workers_of_an_evaluation_read_what_their_parent_looked_at(
    tmp_path: Path, root: Path, eye: tuple[Path, Knowing], encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task.train("own", root, tmp_path / "run", config=config(eye), progress=False)
    scores = task.evaluate(tmp_path / "run", "own", root, progress=False)
    shutil.rmtree(tmp_path / "features")
    encoded.clear()

    def work(engine: Engine, job: Job, items: list[int]) -> list[Any]:
        assert sum(encoded) > 0
        encoded.clear()
        state = job.setup(job.settings)
        return [job.work(state, item) for item in items]

    monkeypatch.setattr("whyact.training.evaluation.run", work)
    settings = (tmp_path / "run", "own", root, None)
    evaluation = answer_parts(task.open_evaluation, settings, tmp_path / "parts", engine=Engine())
    assert not encoded
    assert score_parts(evaluation, tmp_path / "parts") == scores


def test_training_from_detected_boxes(
    tmp_path: Path, root: Path, eye: tuple[Path, Knowing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyact.laiar.perceive.open_detector", lambda name, names=None: eye[1])
    asked = config(eye, boxes="detected", features=str(tmp_path / "kept"))
    card = task.train("own", root, tmp_path / "run", config=asked, progress=False)
    assert card["extra"]["perception"]["detector"] == eye[1].name
    assert sorted(p.name.partition("-")[0] for p in (tmp_path / "kept").iterdir()) == ["pixels", "tracks"]
    # The run's own detector has the same weights, so that what was tracked is read back.
    scores = task.evaluate(tmp_path / "run", "own", root, progress=False)
    assert scores["mAR"] == pytest.approx(card["metrics"]["mAR"])
    other = replace(asked, data=replace(asked.data, pixels=False))
    task.train("own", root, tmp_path / "boxes", config=other, progress=False)
    assert load_run(tmp_path / "boxes").config.model.roi == (0, 0, 0)
    torch.manual_seed(2)
    shutil.rmtree(tmp_path / "run" / "detector")
    SmallDetector(CentreNet(len(VOCABULARY.objects)), VOCABULARY.objects).save(
        tmp_path / "run" / "detector", data="", seed=0, metrics={}
    )
    with pytest.raises(UserError, match="put back what it was trained with"):
        task.evaluate(tmp_path / "run", "own", root, progress=False)


def test_actions_alone_are_enough_where_a_detector_finds_the_things(
    tmp_path: Path, root: Path, eye: tuple[Path, Knowing]
) -> None:
    file = read_file(root / FILE)
    bare = [msgspec.structs.replace(v, tracks=[], relations=[], fps=None, image_size=None) for v in file.videos]
    write_own(tmp_path, OwnFile("whyact-own", 1, file.objects, file.actions, bare), root)
    data = own.read(tmp_path, slots=6)
    assert data.vocabulary.allowed["hand", "mug"] == (IN_VIEW,)
    seen = look(sight_in(tmp_path / "kept", eye, boxes="detected"), data)
    clip = seen.clips[0]
    assert clip.pixels is not None
    assert clip.relations is not None
    assert {VOCABULARY.objects[i] for i in clip.subject_class} == {VOCABULARY.objects[0]}
    assert clip.relations.shape[-1] == 1
    assert clip.relations.any()


class Wholes:
    """An encoder of boxes and of whole frames, by their mean colour."""

    name, weights_sha256, stride, app_width, union_channels = "colours", "0" * 64, 8, 3, 3

    def maps(self, frames: np.ndarray) -> Maps:
        values = torch.from_numpy(frames).permute(0, 3, 1, 2).float()[:, :, ::8, ::8] / 255
        return Maps(values, (1 / 8, 1 / 8))

    def vectors(self, maps: Maps, boxes: torch.Tensor) -> torch.Tensor:
        return pool(maps, boxes, 1)[..., 0, 0]

    def scene(self, frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames).float().mean((1, 2)) / 255


def films_of_squares(folder: Path, rate: float = 30.0) -> RelationData:
    """Return own clips: two films of two squares, and two of a wall alone."""
    for i, name in enumerate(("squares", "wall") * 2):
        images = np.full((30, 72, 96, 3), 150 + 10 * i, np.uint8)
        if name == "squares":
            images[:, 20:50, 10:30], images[:, 30:44, 50:64] = (220, 20, 20), (20, 20, 220)
        (folder / "films" / name).mkdir(parents=True, exist_ok=True)
        write_video(folder / "films" / name / f"{i}.mp4", list(images), rate)
    described = describe_clips(list_clips(folder / "films"))
    (folder / FILE).write_bytes(msgspec.json.encode(own_file(described, ["person", "cup"], ["person"])))
    (folder / "videos").symlink_to(described.base)
    return own.read(folder, slots=4)


@pytest.mark.parametrize("roi", [False, True], ids=["whole frames alone", "boxes too"])
def test_whole_frames_are_seen_in_a_clip_without_a_pair_as_an_answer_sees_them(tmp_path: Path, roi: bool) -> None:
    data, encoder = films_of_squares(tmp_path), Wholes()
    perception = Perception(Squares(), {"person": "person", "cup": "cup"}, encoder=encoder)
    settings = ClipSettings(tmp_path / "kept", 8, 4, 2, detect=True, scene=True, roi=roi)
    for _ in ("made", "read"):
        extracted = extract_clips(perception, data, data.clips, settings)
        assert {bool(clip.slots) for clip in extracted.clips} == {True, False}
        for clip in extracted.clips:
            path = data.footage(clip).path if data.footage else Path()
            (images,) = frames_for(path, [clip.times])
            answered = with_roi_features(clip, images, encoder, 2 if roi else 0, scene=True)
            assert clip.scene is not None
            assert_array_equal(clip.scene, answered.scene)
            assert (clip.pixels is None) == (answered.pixels is None)
    assert set(extracted.groups) == {clip.group for clip in data.clips}, "all films are familiar"


def test_the_last_frame_of_a_film_has_its_boxes_and_older_tracks_are_found_anew(tmp_path: Path) -> None:
    data = films_of_squares(tmp_path)
    perception = Perception(Squares(), {"person": "person", "cup": "cup"})
    older = {name: value for name, value in perception.tracking.items() if name != "ends"}
    for clip in data.clips:
        footage = data.footage(clip) if data.footage else VideoFootage("")
        short = perception.track_frames([TimedFrame(1, 0.0, next(iter(footage.frames([1]))))], "")
        write_tracks(tmp_path / f"tracks-{sha256(canonical_json(older))[:16]}" / f"{footage.key[:32]}.json", short)
    extracted = extract_clips(perception, data, data.clips, ClipSettings(tmp_path, 30, 4, 0, detect=True))
    paired = [clip for clip in extracted.clips if clip.slots]
    assert len(paired) == 2
    for clip in paired:
        assert len(clip.times) == 30
        assert clip.valid.all()


@pytest.fixture
def spoilt(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "spoilt"))


def first_video(folder: Path) -> Path:
    return folder / json.loads((folder / FILE).read_text())["videos"][0]["file"]


def test_a_missing_video_is_named_before_anything_is_looked_at(
    tmp_path: Path, spoilt: Path, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    first_video(spoilt).unlink()
    with pytest.raises(UserError, match=rf"video Subject1.*{first_video(spoilt).name}.*data\.pixels false"):
        look(sight_in(tmp_path / "kept", eye), own.read(spoilt, slots=6))
    assert not encoded


def test_a_video_that_cannot_be_used_does_not_cost_the_others(
    tmp_path: Path, spoilt: Path, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    path = first_video(spoilt)
    frames = len(VideoFootage(path))
    write_video(path, [np.zeros((36, 48, 3), np.uint8)] * frames, 5.0)
    with pytest.raises(UserError, match=rf"1 of 3 videos.*{path.name}.*48x36.*96x72, the size that the boxes of clip"):
        look(sight_in(tmp_path / "kept", eye), own.read(spoilt, slots=6))
    assert encoded
    encoded.clear()
    data = own.read(spoilt, slots=6)
    look(sight_in(tmp_path / "kept", eye), data, data.clips[CLIPS:])
    assert not encoded
    write_video(path, [np.zeros((72, 96, 3), np.uint8)] * 3, 5.0)
    with pytest.raises(UserError, match=r"no frame \d.*which clip Subject1"):
        look(sight_in(tmp_path / "kept", eye), data)


def test_cad120_is_looked_into_through_frames_of_ones_own(
    tmp_path: Path, home: Path, eye: tuple[Path, Knowing], encoded: list[int]
) -> None:
    clip = cad120.read(home, max_pairs=6).clips[0]
    folder = tmp_path / "rgb" / clip.id.rpartition("/")[0]
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in clip.frames:
        image = np.kron(random.integers(0, 256, (12, 16, 3), np.uint8), np.ones((40, 40, 1), np.uint8))
        Image.fromarray(image).save(folder / f"RGB_{number}.png", compress_level=1)
    data = cad120.read(home, max_pairs=6, frames_dir=tmp_path / "rgb", only=clip.id)
    asked = check_data_config(DataConfig(frames_dir=str(tmp_path / "rgb"), looks=3, detector=str(eye[0])))
    sight = opened_in(tmp_path / "kept", asked)
    (seen,) = look(sight, data).clips
    assert seen.pixels is not None
    assert seen.pixels.shape == (64, 64, 2)
    assert sum(encoded) == 3
    (folder / f"RGB_{clip.frames[0]}.png").unlink()
    with pytest.raises(UserError, match=rf"{folder}: no frame {clip.frames[0]}, which clip {clip.id} needs"):
        look(sight, data)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("homeworld", {"pixels": True}, r"data\.pixels.*homeworld comes without pixels.*whyact data make"),
        ("cad120", {"boxes": "detected"}, r"data\.boxes.*data\.frames_dir=DIR"),
        ("own", {"frames_dir": "x"}, r"data\.frames_dir.*videos of their own"),
        ("own", {"pixels": True, "looks": 0}, r"data\.looks.*at least 1"),
        ("own", {"pixels": True, "detector": "none"}, r"detector: found 'none'"),
        ("own", {"pixels": True, "encoder": "vgg"}, r"data\.encoder.*resnet50:coco"),
    ],
    ids=["homeworld", "cad120", "own frames", "no looks", "no detector", "no encoder"],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, root: Path, eye: tuple[Path, Knowing], name: str, options: dict[str, Any], said: str
) -> None:
    def train() -> None:
        data = replace(DataConfig(detector=str(eye[0])), **options)
        task.train(name, root, tmp_path / "run", config=replace(CONFIG, data=data), progress=False)

    with pytest.raises(UserError, match=said):
        train()
    assert not (tmp_path / "run").exists()
