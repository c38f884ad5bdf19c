"""From a video file to clips: boxes at the right moments, pairs by the words, windows that leave nothing out."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watch_samples import FRAMES, RATE, SIZE, Knowing, film, hand, known_tracks, mug

from made_videos import numbers, picture, write_sound
from ruler_films import Film, write
from whyact.data.types import IN_VIEW, Vocabulary
from whyact.errors import UserError
from whyact.laiar.clips import clip_from_tracks, even_times, frames_for, with_roi_features
from whyact.perception.perception import CHUNK, find_tracks
from whyact.perception.tracks import Tracks
from whyact.video.numbers import frames_numbered

WORDS = Vocabulary(
    objects=("hand", "mug", "jar"),
    relations=("free", "held", "shut", "open"),
    actions=("null", "pick"),
    allowed={("hand", "mug"): ("free", "held"), ("hand", "jar"): ("free", "held"), ("jar", "jar"): ("shut", "open")},
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "a.mp4")


class TestFindTracks:
    def test_boxes_are_those_of_the_frames_on_screen(self, video: Path) -> None:
        tracks, facts = find_tracks(video, Knowing(), rate=5.0)
        assert set(tracks.names) == {"hand_1", "mug_1"}
        shown = np.arange(0, FRAMES, 2)
        np.testing.assert_allclose(tracks.times, shown / RATE)
        assert tracks.frames.tolist() == (shown + 1).tolist()
        for name, where in (("hand_1", hand), ("mug_1", mug)):
            expected = np.array([where(int(n)) for n in shown])
            np.testing.assert_allclose(tracks.boxes[:, tracks.names.index(name)], expected)
        assert (facts.width, facts.height) == tracks.image_size == SIZE
        assert tracks.source == "known boxes"

    def test_a_slow_video_is_looked_at_frame_by_frame_and_in_small_pieces(self, video: Path) -> None:
        detector, told = Knowing(), list[float]()
        tracks, _ = find_tracks(video, detector, rate=1000.0, on_progress=told.append)
        assert tracks.frames.tolist() == list(range(1, FRAMES + 1))
        assert detector.most == CHUNK
        assert told == sorted(told)
        assert 0.9 < told[-1] <= 1.0

    @pytest.mark.parametrize(("seconds", "read"), [(1, False), (240, True)], ids=["half a minute", "two hours"])
    def test_decoding_may_take_its_time_for_each_hour_of_the_video(
        self, seconds: int, read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = film(tmp_path / "a.mp4", stamps=[i * seconds * RATE for i in range(FRAMES)])
        clock = count()
        monkeypatch.setattr("whyact.video.reader.time.monotonic", lambda: float(next(clock)))
        monkeypatch.setattr("whyact.perception.perception.LIMIT", 1e6)
        whole, _ = find_tracks(path, Knowing(), rate=1 / seconds)
        took = next(clock)
        monkeypatch.setattr("whyact.perception.perception.LIMIT", 0.7 * took)
        found, facts = find_tracks(path, Knowing(), rate=1 / seconds)
        assert len(whole.times) >= FRAMES - 1
        assert (len(found.times) == len(whole.times)) is read
        assert ("time limit" in facts.degraded) is not read
        monkeypatch.setattr("whyact.perception.perception.LIMIT", 0.05 * took)
        with pytest.raises(UserError, match=r"a\.mp4: found .*time limit.*cut it into parts"):
            list(frames_for(path, [whole.times[:3], whole.times]))

    def test_numbers_are_those_of_the_frames_also_at_an_uneven_rate(self, tmp_path: Path) -> None:
        path = film(tmp_path / "uneven.mp4", stamps=np.cumsum(np.arange(FRAMES) % 4 + 1).tolist())
        tracks, _ = find_tracks(path, Knowing(), rate=3.0)
        assert len(set(np.diff(tracks.frames).tolist())) > 1
        hands = tracks.boxes[:, tracks.names.index("hand_1")]
        np.testing.assert_allclose(hands, [hand(n - 1) for n in tracks.frames.tolist()])
        again = [shown.image for shown in frames_numbered(path, tracks.frames.tolist())]
        assert (numbers(np.stack(again)) + 1).tolist() == tracks.frames.tolist()

    def test_tracks_begin_when_the_picture_does(self, tmp_path: Path) -> None:
        path = write(Film("late.mp4", sound=True, delay=50), tmp_path)
        tracks, facts = find_tracks(path, Knowing(), rate=5.0)
        assert tracks.frames.tolist() == [1, 6, 11, 16, 21]
        np.testing.assert_allclose(tracks.times, 2 + np.arange(5) / 5, atol=0.011)
        assert facts.start == pytest.approx(2, abs=0.011)

    def test_a_span_alone(self, video: Path) -> None:
        tracks, _ = find_tracks(video, Knowing(), span=(1.0, 1.5))
        assert tracks.frames.tolist() == [11, 12, 13, 14, 15, 16]

    def test_a_gap_is_bridged_and_not_taken_for_seen(self, video: Path) -> None:
        def away(number: int) -> list[float]:
            return [0.0] * 4 if 10 <= number < 15 else mug(number)

        tracks, _ = find_tracks(video, Knowing(things=(hand, away)))
        k = tracks.names.index("mug_1")
        assert tracks.known[:, k].all()
        assert np.flatnonzero(~tracks.seen[:, k]).tolist() == [10, 11, 12, 13, 14]

    def test_nothing_to_decode_is_said(self, video: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="at least one frame"):
            find_tracks(video, Knowing(), span=(50.0, 51.0))
        with pytest.raises(UserError, match="sound only"):
            find_tracks(write_sound(tmp_path / "s.mp4"), Knowing())


def random_tracks(seed: int) -> Tracks:
    random = np.random.default_rng(seed)
    t, k = int(random.integers(1, 5)), int(random.integers(0, 6))
    low = random.uniform(0, 20, (t, k, 2))
    boxes = np.concatenate([low, low + random.uniform(1, 20, (t, k, 2))], -1).astype(np.float32)
    boxes *= (random.random((t, k)) < 0.6)[..., None]
    seen = boxes[..., 2] > 0
    classes = tuple(random.choice(["hand", "mug", "jar", "dog"], k).tolist())
    return Tracks(
        names=tuple(f"{c}_{i}" for i, c in enumerate(classes)),
        classes=classes,
        boxes=boxes,
        seen=seen,
        scores=seen.astype(np.float32),
        times=np.arange(t) / 3,
        frames=np.arange(1, t + 1),
        image_size=SIZE,
    )


class TestClipFromTracks:
    @given(st.integers(0, 10_000), st.integers(0, 4))
    def test_pairs_are_those_of_the_words_seen_together_longest_first(self, seed: int, slots: int) -> None:
        tracks = random_tracks(seed)
        clip = clip_from_tracks(tracks, WORDS, slots=slots, id="c")
        known, expected = tracks.known, dict[tuple[str, str], int]()
        for i, a in enumerate(tracks.names):
            for j, b in enumerate(tracks.names):
                classes = tracks.classes[i], tracks.classes[j]
                listed = classes in WORDS.allowed and (i == j) == (classes[0] == classes[1])
                if listed and known[:, i].any() and known[:, j].any():
                    expected[a, b] = sum(bool(known[t, i] and known[t, j]) for t in range(len(known)))
        assert set(clip.slots) <= set(expected)
        assert len(clip.slots) == min(slots, len(expected))
        assert clip.dropped_pairs == len(expected) - len(clip.slots)
        together = [expected[pair] for pair in clip.slots]
        assert together == sorted(expected.values(), reverse=True)[:slots]
        assert clip.valid.all()
        for k, (a, b) in enumerate(clip.slots):
            np.testing.assert_array_equal(clip.subject_boxes[:, k], tracks.boxes[:, tracks.names.index(a)])
            np.testing.assert_array_equal(clip.object_boxes[:, k], tracks.boxes[:, tracks.names.index(b)])
            assert WORDS.objects[clip.object_class[k]] == tracks.classes[tracks.names.index(b)]

    @given(st.integers(0, 10_000), st.randoms())
    def test_the_order_of_the_tracks_does_not_matter(self, seed: int, random: st.DataObject) -> None:
        tracks = random_tracks(seed)
        order = list(range(len(tracks.names)))
        random.shuffle(order)  # type: ignore[attr-defined]
        one, other = (clip_from_tracks(x, WORDS, slots=3) for x in (tracks, tracks.pick(order)))
        assert one.slots == other.slots
        np.testing.assert_array_equal(one.object_boxes, other.object_boxes)

    def test_a_map_of_words_says_what_a_track_is(self) -> None:
        tracks = known_tracks(4, ("person", "mug"))
        assert clip_from_tracks(tracks, WORDS, slots=4).slots == ()
        mapped = clip_from_tracks(tracks, WORDS, slots=4, class_map={"person": "hand", "mug": "jar"})
        assert mapped.slots == (("mug_1", "mug_1"), ("person_1", "mug_1"))
        assert clip_from_tracks(tracks, WORDS, slots=4, class_map={"person": "hand"}).slots == ()

    def test_data_without_relations_pair_what_is_in_view(self) -> None:
        words = Vocabulary(("hand", "mug"), (IN_VIEW,), ("a",), {("hand", b): (IN_VIEW,) for b in ("hand", "mug")})
        tracks = replace(known_tracks(3), classes=("hand", "hand"), names=("hand_2", "hand_1"))
        assert clip_from_tracks(tracks, words, slots=4).slots == (("hand_1", "hand_2"),)
        boxes = known_tracks(3).boxes.copy()
        boxes[1, 1] = 0
        clip = clip_from_tracks(replace(known_tracks(3), boxes=boxes), words, slots=4)
        assert clip.slots == (("hand_1", "mug_1"),)
        assert clip.valid[:, 0].tolist() == [True, False, True]


def test_looking_into_boxes_wants_frames_of_their_size() -> None:
    clip = clip_from_tracks(known_tracks(2), WORDS, slots=2)
    with pytest.raises(UserError, match="128x96"):
        with_roi_features(clip, [picture(0, (128, 96))] * 2, encoder=None, side=2)  # type: ignore[arg-type]


class TestFramesFor:
    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.floats(0, 2.0), st.floats(0, 1.8), st.integers(1, 5)), min_size=1, max_size=5))
    def test_as_read_span_by_span(self, video: Path, drawn: list[tuple[float, float, int]]) -> None:
        spans = [even_times(a, a + length, count) for a, length, count in sorted(drawn)]
        spans.sort(key=lambda span: span[0])
        for span, frames in zip(spans, frames_for(video, spans), strict=True):
            expected = [min(int(np.floor(t * RATE + 1e-5)), FRAMES - 1) for t in span]
            assert numbers(np.stack(frames)).tolist() == expected

    def test_a_moment_without_a_frame_gets_that_of_the_moment_before(self, video: Path) -> None:
        (frames,) = frames_for(video, [np.array([2.8, 9.0])])
        assert numbers(np.stack(frames)).tolist() == [28, 28]

    def test_no_frame_at_all_is_an_error(self, video: Path) -> None:
        with pytest.raises(UserError, match="at least one frame"):
            list(frames_for(video, [np.array([50.0])]))


def test_even_times_include_both_ends_and_one_lies_in_the_middle() -> None:
    assert even_times(1.0, 3.0, 3).tolist() == [1.0, 2.0, 3.0]
    assert even_times(1.0, 3.0, 1).tolist() == [2.0]
