"""The household world: reproducible, read off its states, and solvable by order alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whyact.errors import UserError
from whyact.homeworld.annotate import read_clips
from whyact.homeworld.motion import Path as Way
from whyact.homeworld.motion import minimum_jerk, tremor
from whyact.homeworld.states import FPS
from whyact.homeworld.vocabulary import MIRRORS, VOCABULARY
from whyact.homeworld.write import Recording, draw_fresh, draw_world, write_fresh_video, write_world


@cache
def world(seed: int = 5) -> list[Recording]:
    return list(draw_world(seed=seed))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "home", seed=5) / "annotations"


def contents(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def kind(name: str) -> str:
    return name.rsplit("_", 1)[0]


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def sampled(start: int, stop: int, count: int = 10) -> np.ndarray:
    return np.rint(np.linspace(start, stop - 1, count)).astype(int)


# Writing ------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_another_seed_another_world(tmp_path: Path) -> None:
    small = {"subjects": 2, "videos_per_subject": 2}
    first = contents(write_world(tmp_path / "a", seed=3, **small))
    assert contents(write_world(tmp_path / "b", seed=3, **small)) == first
    other = contents(write_world(tmp_path / "c", seed=4, **small))
    assert all(other[name] != data for name, data in first.items() if name.endswith(".json") and name in other)
    assert other["annotations/video_clips.txt"] != first["annotations/video_clips.txt"]


def test_more_videos_leave_the_first_ones_as_they_are() -> None:
    few = list(draw_world(seed=2, subjects=2, videos_per_subject=1))
    more = {r.id: r for r in draw_world(seed=2, subjects=3, videos_per_subject=2)}
    for recording in few:
        assert recording.clips == more[recording.id].clips
        np.testing.assert_array_equal(recording.boxes["head_1"], more[recording.id].boxes["head_1"])


def test_layout_is_the_documented_one(written: Path) -> None:
    files = {f for f in contents(written) if not f.startswith("all/")}
    knowledge = ("act_attr", "act_rel", "action", "attribute", "object_attribute", "object", "object_relation")
    assert files == {
        "video_clips.txt",
        *(f"splits/{side}list{fold:02d}.txt" for side in ("train", "test") for fold in range(1, 5)),
        *(f"knowledge/{name}_list.txt" for name in (*knowledge, "relation")),
    }
    for file in (written / "all").rglob("*.json"):
        video = json.loads(file.read_text())
        assert list(video) == ["person_id", "video_label", "video_id", "locations", "attributes", "relations"]
        assert (video["person_id"], video["video_label"], video["video_id"]) == (*file.parts[-3:-1], file.stem)
        assert {tuple(x) for x in video["locations"]} == {("obj_id", "loc_list")}
        assert {tuple(x) for x in video["attributes"]} == {("obj_id", "attr_list")}
        assert {tuple(x) for x in video["relations"]} == {("obj_ids", "rel_list")}
        lengths = {len(x[key]) for x in video["locations"] for key in ("loc_list",)}
        lengths |= {len(x["attr_list"]) for x in video["attributes"]} | {len(x["rel_list"]) for x in video["relations"]}
        assert len(lengths) == 1
        names = {x["obj_id"] for x in video["locations"]}
        assert all(set(x["obj_ids"]) <= names for x in video["relations"])


def test_folds_leave_one_subject_out(written: Path) -> None:
    people = {line.split(", ")[0] for line in lines(written / "video_clips.txt")}
    tested = []
    for fold in range(1, 5):
        test = lines(written / "splits" / f"testlist{fold:02d}.txt")
        train = lines(written / "splits" / f"trainlist{fold:02d}.txt")
        assert len(test) == 1
        assert set(train) == people - set(test)
        tested += test
    assert sorted(tested) == sorted(people)


def test_the_cad120_reader_reads_it_unchanged(written: Path) -> None:
    cad120 = pytest.importorskip("whyact.data.relations.cad120", reason="the CAD-120 reader is not there")
    data = cad120.read(written.parent)
    assert len(data.clips) == len(lines(written / "video_clips.txt"))
    assert sorted(data.folds) == [1, 2, 3, 4]
    assert data.vocabulary == VOCABULARY
    assert all(clip.dropped_pairs == 0 for clip in data.clips)


def test_nothing_is_written_where_something_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="empty"):
        write_world(tmp_path, seed=0)
    assert [f.name for f in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("whyact.homeworld.write.annotation", fail)
    with pytest.raises(OSError, match="disk full"):
        write_world(tmp_path / "home", seed=0, subjects=2, videos_per_subject=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [{"seed": -1}, {"seed": 0, "subjects": 1}, {"seed": 0, "videos_per_subject": 0}])
def test_bad_numbers_are_refused_by_name(tmp_path: Path, bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match=list(bad)[-1]):
        write_world(tmp_path / "home", **bad)
    assert not (tmp_path / "home").exists()


# Rules --------------------------------------------------------------------------------------------------------


def rules_of(knowledge: Path) -> list[tuple[str, str, str, str, set[str]]]:
    """Parse (action, before, after, subject kind, object kinds) from the two rule files; subject "" = attribute."""
    out = []
    for line in lines(knowledge / "act_rel_list.txt"):
        action, before, after, subject, objects = line.split("; ")
        out.append((action, before, after, subject, set(objects.split(", "))))
    for line in lines(knowledge / "act_attr_list.txt"):
        action, before, after, objects = line.split("; ")
        out.append((action, before, after, "", set(objects.split(", "))))
    return out


@pytest.mark.parametrize("both_ends", [True, False])
def test_order_aware_rules_on_ten_frames_find_every_action(written: Path, both_ends: bool) -> None:
    rules = rules_of(written / "knowledge")
    videos = {f.stem: json.loads(f.read_text()) for f in (written / "all").rglob("*.json")}
    right = Counter[str]()
    total = Counter[str]()
    for line in lines(written / "video_clips.txt"):
        _, _, name, start, end, action = line.split(", ")
        first, length = int(start) - 1, int(end) - int(start) + 1
        assert length > 20
        middles = first + np.floor((np.arange(10) + 0.5) * length / 10).astype(int)
        frames = sampled(first, first + length) if both_ends else middles
        video = videos[name]
        slots = [(kind(a), kind(b), r["rel_list"]) for r in video["relations"] for a, b in [r["obj_ids"]]]
        slots += [("", kind(r["obj_id"]), r["attr_list"]) for r in video["attributes"]]
        found = {
            rule
            for subject, thing, labels in slots
            for a, b in pairwise(frames)
            for rule, before, after, s, objects in rules
            if (labels[a], labels[b], subject) == (before, after, s) and thing in objects
        }
        total[action] += 1
        right[action] += found == ({action} if action != "null" else set())
    assert right == total
    assert set(total) == set(lines(written / "knowledge" / "action_list.txt"))


def test_what_decides_a_clip_is_seen_before_and_after() -> None:
    for recording in world():
        for clip in recording.clips:
            if clip.pair:
                frames = sampled(clip.start, clip.stop)
                seen = np.all([recording.boxes[name][frames, 2] > 0 for name in clip.pair], axis=0)
                assert seen[frames < clip.change].any()
                assert seen[frames >= clip.change].any()


def test_every_subject_shows_every_action_and_the_size_is_as_promised() -> None:
    by_person = defaultdict(set)
    for recording in world():
        by_person[recording.video.person] |= {clip.action for clip in recording.clips}
    assert set(by_person) == {"Subject1", "Subject2", "Subject3", "Subject4"}
    assert all(found == set(VOCABULARY.actions) for found in by_person.values())
    assert 300 <= sum(len(r.clips) for r in world()) <= 450


# Order is needed ----------------------------------------------------------------------------------------------


def tokens(recording: Recording) -> np.ndarray:
    """Return (T, 2 * pairs of kinds): how often each pair of kinds carries its relation, and how often not."""
    words = list(VOCABULARY.allowed)
    out = np.zeros((len(recording.video), 2 * len(words)))
    tracks = recording.video.relations() | {(n, n): true for n, true in recording.video.attributes().items()}
    for (a, b), true in tracks.items():
        column = 2 * words.index((kind(a), kind(b)))
        out[:, column] += true
        out[:, column + 1] += ~true
    return out


def test_a_video_backwards_has_the_same_frames_and_the_partner_actions() -> None:
    partner = {"null": "null", **dict(MIRRORS), **{b: a for a, b in MIRRORS}}
    for recording in world():
        video, back = recording.video, recording.video.reversed()
        n = len(video)
        turned = {(n - c.stop, n - c.start): c.action for c in read_clips(back)}
        for clip in recording.clips:
            if clip.action in partner and clip.action != "null":
                assert turned[clip.start, clip.stop] == partner[clip.action]
        back_relations = back.relations()
        assert all((true[::-1] == back_relations[pair]).all() for pair, true in video.relations().items())


@cache
def bags() -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Return (action, person, order-free bag, signed change from the first to the last frame) of many clips."""
    actions, people, rows, changes = [], [], [], []
    for seed in (11, 12, 13, 14):
        for recording in draw_world(seed=seed):
            words = tokens(recording)
            for clip in recording.clips:
                actions.append(clip.action)
                people.append(f"{seed}-{recording.video.person}")
                rows.append(words[sampled(clip.start, clip.stop)].sum(axis=0))
                changes.append(words[clip.stop - 1] - words[clip.start])
    return actions, people, np.array(rows), np.array(changes)


def accuracy(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> float:
    """Return the accuracy of logistic regression on unseen people, in four folds."""
    people = np.unique(groups)
    right = []
    for fold in range(4):
        test = np.isin(groups, people[fold::4])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x[~test], y[~test])
        right += (model.predict(x[test]) == y[test]).tolist()
    return float(np.mean(right))


@pytest.mark.parametrize("pair", MIRRORS)
def test_an_order_free_bag_cannot_tell_mirror_partners_apart_but_order_can(pair: tuple[str, str]) -> None:
    actions, people, bag, change = bags()
    chosen = np.isin(actions, pair)
    y, groups = np.array(actions)[chosen], np.array(people)[chosen]
    assert 0.4 < np.mean(y == pair[0]) < 0.6
    assert accuracy(bag[chosen], y, groups) < 0.6
    assert accuracy(change[chosen], y, groups) > 0.95


def test_object_classes_alone_say_little() -> None:
    actions, people, bag, _ = bags()
    present = bag.reshape(len(bag), -1, 2).sum(axis=2)
    y = np.array(actions)
    majority = max(Counter(actions).values()) / len(actions)
    assert accuracy(present, y, np.array(people)) < majority + 0.1


# States -------------------------------------------------------------------------------------------------------


def test_held_things_move_with_the_hand_and_loose_things_rest() -> None:
    for recording in world():
        video = recording.video
        feet = video.center + video.size * [0.0, 0.5]  # a lid changes the height, the feet stay
        for i in range(len(video.names)):
            same = video.holder[1:, i] == video.holder[:-1, i]
            step = np.diff(feet[:, i], axis=0)
            for hand in (0, 1):
                held = same & (video.holder[1:, i] == hand)
                np.testing.assert_allclose(step[held], np.diff(video.hands[:, hand], axis=0)[held], atol=1e-6)
            np.testing.assert_allclose(step[same & (video.holder[1:, i] < 0)], 0, atol=1e-6)


def test_relations_agree_with_geometry() -> None:
    for recording in world():
        video, related = recording.video, recording.video.relations()
        low, high = video.center - video.size / 2, video.center + video.size / 2
        for (subject, name), true in related.items():
            i = video.names.index(name)
            if subject.startswith("hand"):
                hand = video.hands[:, int(subject[-1]) - 1]
                gap = np.maximum(np.abs(hand - video.center[:, i]) - video.size[:, i] / 2, 0)
                assert (gap[true] < np.array(video.hand_size) / 2).all(), "a hand overlaps what it holds"
            elif subject == "head_1":
                chin = video.head[:, 1] + video.head_size[1] / 2
                assert (low[true, i, 1] < chin[true]).all()
                assert not true[low[:, i, 1] > chin + 10].any()
            else:
                c = video.names.index(subject)
                within = ((low[:, c] < video.center[:, i]) & (video.center[:, i] < high[:, c])).all(axis=1)
                assert within[true].all()


def test_loose_things_stand_on_the_table_or_in_the_cupboard() -> None:
    for recording in world():
        video = recording.video
        feet = video.center[..., 1] + video.size[..., 1] / 2
        assert ((video.holder >= 0) | video.inside | (feet > video.table)).all()


def test_a_hand_holds_at_most_one_thing() -> None:
    for recording in world():
        assert max((recording.video.holder == h).sum(axis=1).max() for h in (0, 1)) <= 1


def test_boxes_lie_in_the_image_and_are_sometimes_missing() -> None:
    missing = total = 0
    for recording in world():
        for box in recording.boxes.values():
            assert box.shape == (len(recording.video), 4)
            seen = box[:, 2] > 0
            assert not box[~seen].any()
            assert (box >= 0).all()
            assert (box[:, :2] + box[:, 2:] <= [640, 480]).all()
            assert (box[seen, 2:] >= 8).all()
            missing, total = missing + int((~seen).sum()), total + len(box)
    assert 0.01 < missing / total < 0.3


def test_a_shut_cupboard_hides_what_is_in_it() -> None:
    hidden = 0
    for recording in world():
        video = recording.video
        if "cupboard_1" in video.names:
            shut = video.openness[:, video.names.index("cupboard_1")] == 0
            for (subject, name), true in video.relations().items():
                if subject == "cupboard_1":
                    assert not recording.boxes[name][shut & true].any()
                    hidden += int((shut & true).sum())
    assert hidden > 0


def test_boxes_jitter_around_the_state() -> None:
    recording = world()[0]
    box, head = recording.boxes["head_1"], recording.video.head
    seen = box[:, 2] > 0
    off = (box[:, :2] + box[:, 2:] / 2 - head)[seen]
    assert 0.2 < off.std() < 2.0
    assert np.abs(off).max() < 6


def test_a_state_of_a_frame_says_what_the_arrays_say() -> None:
    video = world()[0].video
    frame = int(np.argmax((video.holder >= 0).any(axis=1)))
    state = video[frame]
    held = [t for t in state.things if t.held_by]
    assert [video.names[i] for i in np.flatnonzero(video.holder[frame] >= 0)] == [t.name for t in held]
    related = video.relations()
    assert all(related[t.held_by, t.name][frame] for t in held)
    for thing in state.things:
        assert bool(thing.inside) == bool(related.get(("cupboard_1", thing.name), np.zeros(len(video), bool))[frame])
    assert state.time == pytest.approx(frame / FPS)
    assert state.person.head == tuple(video.head[frame])
    with pytest.raises(IndexError):
        video[len(video)]


def test_people_differ_in_body_pace_and_camera() -> None:
    people = {r.video.person: r.video for r in world()}
    assert len({v.head_size for v in people.values()}) == len(people)
    assert len({v.table for v in people.values()}) == len(people)


# Motion -------------------------------------------------------------------------------------------------------


def test_minimum_jerk_starts_and_stops_gently_and_mirrors_in_time() -> None:
    s = np.linspace(0, 1, 101)
    way = minimum_jerk(s)
    np.testing.assert_allclose(way, 1 - way[::-1], atol=1e-12)
    speed = np.gradient(way, s)
    assert speed.argmax() == 50
    assert speed.max() == pytest.approx(1.875, abs=0.01)
    assert speed[0] == pytest.approx(0, abs=0.01)


def test_a_path_is_at_its_targets_when_it_should_be() -> None:
    way = Way(np.zeros(2))
    way.move(5, 15, [10.0, 0.0], bow=0.2)
    way.move(12, 20, [10.0, 8.0])  # waits for the one before
    points = way.sample(30)
    assert (points[:6] == 0).all()
    assert points[15].tolist() == [10.0, 0.0]
    assert (points[20:] == [10.0, 8.0]).all()
    assert points[10, 1] == pytest.approx(-2.0)
    assert way.still(30) == [(0, 5), (20, 30)]


def test_tremor_has_the_asked_spread_and_is_smooth() -> None:
    noise = tremor(np.random.default_rng(0), (20000, 2), sd=1.5, width=6)
    assert noise.std() == pytest.approx(1.5, rel=0.1)
    assert np.diff(noise, axis=0).std() < 0.4


# Fresh videos -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", VOCABULARY.actions)
def test_a_fresh_video_is_one_clip_of_the_asked_action_by_a_stranger(tmp_path: Path, action: str) -> None:
    root = write_fresh_video(tmp_path / "fresh", seed=1, action=action) / "annotations"
    (line,) = lines(root / "video_clips.txt")
    person, activity, name, start, end, found = line.split(", ")
    assert (person, found, start) == ("Visitor", action, "1")
    video = json.loads((root / "all" / person / activity / f"{name}.json").read_text())
    assert {len(x["loc_list"]) for x in video["locations"]} == {int(end)}
    assert lines(root / "splits" / "testlist01.txt") == ["Visitor"]
    assert lines(root / "splits" / "trainlist01.txt") == []


def test_fresh_videos_differ_by_seed_and_refuse_unknown_actions() -> None:
    lengths = {len(draw_fresh(seed=s).video) for s in range(4)}
    assert len(lengths) > 1
    with pytest.raises(UserError, match="juggle"):
        draw_fresh(seed=0, action="juggle")
