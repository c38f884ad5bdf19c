"""The pictures of a report: the right frames, no wider than shown, and none where there is no video."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_videos import numbers, write_clip
from ruler_films import Film, write
from ruler_films import read as ruler_of
from whyact.files import file_sha256
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, Track, TrackPoint, VideoFacts
from whyact.verbs.stills import LOOP_BYTES, MOST, WIDTH, loops, stills, write_illustrated
from whyact.video.reader import VideoReader

BOX = (0.0, 0.0, 1.0, 1.0)


def point(number: int) -> TrackPoint:
    return TrackPoint(
        time=number / 10, frame=number + 1, label="holding", similarity=1, margin=0, keep_probability=1, kept=True,
        subject_box=BOX, object_box=BOX,
    )  # fmt: skip


def answer(path: Path, spans: list[tuple[int, int]], *, fps: float = 10.0, name: str = "a") -> Prediction:
    """Return an answer with evidence from frame to frame (0-based)."""
    points = [point(n) for n in range(0, 40, 2)]
    return Prediction(
        id=name,
        video=VideoFacts(path=str(path), fps=fps),
        labels=[LabelScore(label="pick", score=1.0)],
        provenance=Provenance(method="laiar"),
        evidence=[
            Evidence(kind="transition", text="", start=a / 10, end=b / 10, contribution=0.1, rank=i + 1)
            for i, (a, b) in enumerate(spans)
        ],
        tracks=[Track(slot=0, subject="hand_1", object="mug_1", points=points)],
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("stills") / "a.mp4", 40, rate=10)


def test_the_frames_before_and_after_what_decided(video: Path) -> None:
    found = stills([answer(video, [(4, 10), (10, 20)])])
    assert sorted(found) == [("a", 5), ("a", 11), ("a", 21)]
    for (_, frame), data in found.items():
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert picture.shape == (48, 64, 3)
        assert abs(int(numbers(picture[None])[0]) - (frame - 1)) <= 1  # JPEG rounds


def test_evidence_beyond_the_first_few_has_no_picture(video: Path) -> None:
    spans = [(2 * i, 2 * i + 2) for i in range(MOST + 3)]
    assert sorted(frame for _, frame in stills([answer(video, spans)])) == [2 * i + 1 for i in range(MOST + 1)]


def test_a_wide_picture_is_made_smaller(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "wide.mp4", 10, rate=10, size=(1280, 320))
    (data,) = stills([answer(path, [(4, 4)])]).values()
    assert Image.open(io.BytesIO(data)).size == (WIDTH, 160)


def test_what_cannot_be_read_costs_its_pictures_only(video: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    answers = [
        answer(broken, [(4, 6)], name="broken"),
        answer(tmp_path / "gone.mp4", [(4, 6)], name="gone"),
        answer(Path("Subject1/x/1-30"), [(4, 6)], name="clip"),
        answer(video, [(4, 6)], fps=0.0, name="no rate"),
        answer(video, [], name="no evidence"),
        answer(video, [(4, 6)], name="good"),
    ]
    assert {name for name, _ in stills(answers)} == {"good"}


def test_another_film_under_the_name_of_the_answered_one_gives_no_picture(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 40, rate=10)
    prediction = answer(path, [(4, 10)])
    prediction.video.sha256, prediction.video.duration = file_sha256(path), 4.0
    assert stills([prediction])
    assert loops([prediction])
    write_clip(tmp_path / "a.mp4", 41, rate=10)
    assert not stills([prediction])
    assert not loops([prediction])


@pytest.mark.parametrize("late", [0, 50])
def test_frames_that_do_not_come_evenly_each_have_their_own_picture_and_no_made_up_number(
    tmp_path: Path, late: int
) -> None:
    """Four frames a 25th of a second apart, of a film whose mean rate is 4: their places by that rate are the same."""
    stamps = tuple(late + stamp for stamp in (*range(0, 120, 12), *range(120, 126), *range(140, 260, 12)))
    film = Film("uneven.mp4", stamps=stamps, sound=bool(late))
    path = write(film, tmp_path)
    (p,) = [answer(path, [])]
    with VideoReader(path) as reader:
        p.video = reader.facts()
    chosen = [(number, time) for number, time in film.truth if 120 <= number - late < 124]
    p.evidence = [
        Evidence(kind="frame", text="", start=time, end=time + 0.04, contribution=0.1, rank=rank)
        for rank, (_, time) in enumerate(chosen, 1)
    ]
    p.tracks = []
    page = write_illustrated([p], tmp_path / "report.html").read_text()
    pictures = [base64.b64decode(found) for found in re.findall(r"data:image/jpeg;base64,([^\"]+)", page)]
    shown = [ruler_of(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))) for data in pictures]
    assert shown == [number for number, _ in chosen]
    assert not re.search(r", frame \d", page)


def test_two_models_on_one_film_each_show_their_own_moment(video: Path, tmp_path: Path) -> None:
    both = [answer(video, [(4, 6)]), answer(video, [(24, 26)])]
    for p in both:
        p.video.duration = 4.0
    page = write_illustrated(both, tmp_path / "report.html").read_text()
    films = [base64.b64decode(found) for found in re.findall(r"data:image/webp;base64,([^\"]+)", page)]
    assert films == [loops([p])["a"] for p in both]
    assert films[0] != films[1]
    assert [p.id for p in both] == ["a", "a"], "what was given stays as it is"


def test_two_answers_keep_their_pictures_apart(video: Path) -> None:
    assert set(stills([answer(video, [(4, 4)]), answer(video, [(6, 6)], name="b")])) == {("a", 5), ("b", 7)}


def test_a_loop_plays_the_moment_and_a_little_around_it_with_its_pair_drawn_in(video: Path) -> None:
    prediction = answer(video, [(14, 20)])
    prediction.video.duration, prediction.video.width, prediction.video.height = 4.0, 64, 48
    evidence = prediction.evidence[0]
    evidence.subject, evidence.object, evidence.track = "hand_1", "mug_1", 0
    for p in prediction.tracks[0].points:
        p.subject_box, p.object_box = (4.0, 20.0, 24.0, 40.0), (34.0, 20.0, 60.0, 40.0)
    data = loops([prediction])["a"]
    assert len(data) <= LOOP_BYTES
    with Image.open(io.BytesIO(data)) as film:
        assert film.format == "WEBP"
        assert film.n_frames > 3  # equal frames are one, longer
        film.seek(film.n_frames // 2)
        middle = np.asarray(film.convert("RGB")).astype(int)
    prediction.tracks = []
    with Image.open(io.BytesIO(loops([prediction])["a"])) as film:
        film.seek(film.n_frames // 2)
        plain = np.asarray(film.convert("RGB")).astype(int)
    changed = np.abs(middle - plain).max(-1) > 60
    scale = middle.shape[1] / 64
    edge = changed[round(30 * scale), round(33 * scale) : round(37 * scale)]
    assert edge.any(), "the mug's left edge is drawn"
    assert not changed[round(30 * scale), round(28 * scale) : round(32 * scale)].any()


def test_a_loop_is_never_larger_than_may_be_sent_in_a_mail() -> None:
    from whyact.verbs.stills import _animation

    noise = np.random.default_rng(0).integers(0, 255, (24, 360, 480, 3), np.uint8)
    data = _animation(list(noise), [90] * 24)
    assert data is None or len(data) <= LOOP_BYTES


def test_there_is_no_loop_of_what_is_not_there_or_lies_in_no_time(video: Path, tmp_path: Path) -> None:
    known = answer(video, [(4, 10)])
    known.evidence = [Evidence(kind="neighbour", text="", start=0, end=0, contribution=0.1, label="run")]
    assert loops([known, answer(tmp_path / "gone.mp4", [(4, 10)]), answer(video, [], name="b")]) == {}
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"\0" * 100)
    assert loops([answer(broken, [(4, 10)])]) == {}
