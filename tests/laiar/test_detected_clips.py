"""Annotated clips with a detector's boxes: labels go with the thing that a track follows."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.data.types import RelationClip, Vocabulary
from whyact.laiar.clips import MIN_OVERLAP, clip_from_tracks, detected_clip, match, pick_slots
from whyact.metrics.boxes import iou, paired_iou
from whyact.perception.tracks import Tracks

WORDS = Vocabulary(
    objects=("hand", "mug", "jar"),
    relations=("free", "held", "shut", "open"),
    actions=("null", "pick"),
    allowed={("hand", "mug"): ("free", "held"), ("hand", "jar"): ("free", "held"), ("jar", "jar"): ("shut", "open")},
)
PAIRS = (("h", "m"), ("h", "j"), ("j", "j"))
CLASS = {"h": "hand", "m": "mug", "j": "jar"}


def things(seed: int, frames: int = 4) -> dict[str, np.ndarray]:
    """Return boxes (T,4) of a hand, a mug and a jar that lie apart."""
    random = np.random.default_rng(seed)
    out = {}
    for i, name in enumerate(CLASS):
        low = np.array([i * 100.0, 10.0]) + random.uniform(0, 20, (frames, 2))
        out[name] = np.concatenate([low, low + random.uniform(30, 50, (frames, 2))], -1).astype(np.float32)
    return out


def annotated(boxes: dict[str, np.ndarray], seed: int = 0) -> RelationClip:
    random = np.random.default_rng(seed)
    t, k = len(boxes["h"]), len(PAIRS)
    relations = np.zeros((t, k, 4), bool)
    for slot, (a, b) in enumerate(PAIRS):
        relations[np.arange(t), slot, random.integers(0, 2, t) + 2 * (a == b)] = True
    index = {name: i for i, name in enumerate(WORDS.objects)}
    return RelationClip(
        id="c",
        subject_boxes=np.stack([boxes[a] for a, _ in PAIRS], 1),
        object_boxes=np.stack([boxes[b] for _, b in PAIRS], 1),
        subject_class=np.array([index[CLASS[a]] for a, _ in PAIRS]),
        object_class=np.array([index[CLASS[b]] for _, b in PAIRS]),
        valid=np.ones((t, k), bool),
        times=np.arange(t) / 10,
        frames=np.arange(1, t + 1),
        slots=PAIRS,
        image_size=(320, 240),
        relations=relations,
        target=1,
        group="someone",
    )


def tracks_of(boxes: dict[str, np.ndarray], kind: dict[str, str]) -> Tracks:
    stack = np.stack(list(boxes.values()), 1)
    seen = stack[..., 2] > stack[..., 0]
    return Tracks(
        names=tuple(boxes),
        classes=tuple(kind[name] for name in boxes),
        boxes=stack,
        seen=seen,
        scores=seen.astype(np.float32),
        times=np.arange(len(stack)) / 10,
        frames=np.arange(1, len(stack) + 1),
        image_size=(320, 240),
    )


def renamed(boxes: dict[str, np.ndarray]) -> Tracks:
    """Return tracks with a detector's own names."""
    return tracks_of({f"{n}_9": x for n, x in boxes.items()}, {f"{n}_9": c for n, c in CLASS.items()})


@given(st.integers(0, 1000))
def test_perfect_boxes_return_the_annotated_clip(seed: int) -> None:
    boxes = things(seed)
    clip = annotated(boxes, seed)
    made = detected_clip(clip, renamed(boxes), WORDS, slots=9, labelled_only=True)
    assert {(a[0], b[0]) for a, b in made.slots} == set(PAIRS)
    assert made.relations is not None
    assert clip.relations is not None
    for k, (a, b) in enumerate(made.slots):
        own = PAIRS.index((a[0], b[0]))
        np.testing.assert_array_equal(made.relations[:, k], clip.relations[:, own])
        np.testing.assert_array_equal(made.subject_boxes[:, k], clip.subject_boxes[:, own])
        np.testing.assert_array_equal(made.object_boxes[:, k], clip.object_boxes[:, own])
    assert (made.target, made.group, made.id) == (1, "someone", "c")
    np.testing.assert_array_equal(made.times, clip.times)


def test_a_clip_lasts_as_long_as_its_frames_are_shown_whatever_rate_is_declared() -> None:
    """How long a run's clips are says in which windows a film is answered; browsers declare 1000 frames a second."""
    boxes = things(0)
    clip = annotated(boxes)
    declared = replace(clip, times=0.5 + np.arange(len(clip.times)) / 1000)
    shown = 3.0 + np.cumsum(np.arange(len(clip.times)) % 3 / 20)
    made = detected_clip(declared, replace(renamed(boxes), times=shown), WORDS, slots=9, labelled_only=True)
    np.testing.assert_allclose(made.times, 0.5 + shown - 3.0)


def test_a_slot_in_which_a_box_is_hidden_does_not_hide_it_in_others() -> None:
    """The mug is known in the first pair; the later pair that has no box of it says nothing."""
    boxes = things(0)
    clip = annotated(boxes)
    hidden = clip.subject_boxes.copy()
    hidden[:, 1] = 0  # the hand, in its pair with the jar
    hidden[1:, 0] = 0  # and here but for the first frame
    found = match(replace(clip, subject_boxes=hidden), renamed(boxes), WORDS)
    assert found == {"h_9": "h", "m_9": "m", "j_9": "j"}
    hidden[0, 0], hidden[2, 1] = 0, boxes["h"][2]  # known in another frame of another pair
    assert match(replace(clip, subject_boxes=hidden), renamed(boxes), WORDS)["h_9"] == "h"


def test_validity_is_that_of_any_video_and_relations_are_absent_where_nobody_said_one() -> None:
    boxes = things(3)
    clip = annotated(boxes)
    valid = clip.valid.copy()
    valid[1:3, 0] = False
    clip = replace(clip, valid=valid)
    tracks = renamed(boxes)
    on_video = clip_from_tracks(tracks, WORDS, slots=9)
    for labelled_only in (True, False):
        made = detected_clip(clip, tracks, WORDS, slots=9, labelled_only=labelled_only)
        assert made.slots == on_video.slots
        np.testing.assert_array_equal(made.valid, on_video.valid)
        assert made.relations is not None
        k = made.slots.index(("h_9", "m_9"))
        assert made.relations[:, k].any(-1).tolist() == [True, False, False, True]


def test_what_follows_nothing_annotated_has_no_label_and_is_not_trained_on() -> None:
    boxes = things(1)
    more = boxes | {"x": boxes["m"] + np.float32(150)}
    tracks = tracks_of(more, CLASS | {"x": "mug"})
    clip = annotated(boxes)
    test = detected_clip(clip, tracks, WORDS, slots=9, labelled_only=False)
    assert test.relations is not None
    assert not test.relations[:, test.slots.index(("h", "x"))].any()
    train = detected_clip(clip, tracks, WORDS, slots=9, labelled_only=True)
    assert set(train.slots) == set(PAIRS)


def test_a_track_of_another_class_takes_over_nothing() -> None:
    boxes = things(1)
    tracks = tracks_of(boxes, CLASS | {"m": "jar"})
    assert match(annotated(boxes), tracks, WORDS) == {"h": "h", "j": "j"}
    assert match(annotated(boxes), tracks, WORDS, {"hand": "hand", "jar": "mug"}) == {"h": "h", "m": "m"}


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 4))
def test_matching_is_the_best_of_all_permutations(seed: int, many: int, tracked: int) -> None:
    """Mugs that lie on each other: by brute force over who could follow whom."""
    random = np.random.default_rng(seed)
    t = 3

    def drawn(k: int) -> np.ndarray:
        low = random.uniform(0, 40, (t, k, 2))
        boxes = np.concatenate([low, low + random.uniform(30, 60, (t, k, 2))], -1).astype(np.float32)
        return boxes * (random.random((t, k)) < 0.8)[..., None]

    hand, mugs, found = drawn(1), drawn(many), drawn(tracked)
    clip = RelationClip(
        id="c",
        subject_boxes=np.repeat(hand, many, 1),
        object_boxes=mugs,
        subject_class=np.zeros(many, np.int64),
        object_class=np.ones(many, np.int64),
        valid=np.ones((t, many), bool),
        times=np.arange(t) / 10,
        frames=np.arange(1, t + 1),
        slots=tuple(("h", f"m{i}") for i in range(many)),
        image_size=(320, 240),
    )
    names = [f"t{i}" for i in range(tracked)]
    boxes = {name: found[:, i] for i, name in enumerate(names)} or {"t": np.zeros((t, 4), np.float32)}
    got = match(clip, tracks_of(boxes, dict.fromkeys(boxes, "mug")), WORDS)

    def score(i: int, j: int) -> float:
        both = [f for f in range(t) if found[f, i].any() and mugs[f, j].any()]
        return float(np.mean([iou(found[f, i : i + 1], mugs[f, j : j + 1])[0, 0] for f in both])) if both else 0.0

    size = max(many, tracked)
    best = max(
        ([(i, j) for i, j in enumerate(order) if i < tracked and j < many] for order in permutations(range(size))),
        key=lambda pairs: sum(score(i, j) for i, j in pairs),
    )
    assert got == {names[i]: f"m{j}" for i, j in best if score(i, j) >= MIN_OVERLAP}


def test_overlap_is_intersection_over_union_row_by_row() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]], np.float32)
    b = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(paired_iou(a, b), [1 / 7, 1, 0], atol=1e-6)


def test_picked_slots_keep_all_that_belongs_to_them() -> None:
    clip = annotated(things(0))
    picked = pick_slots(clip, [2, 0])
    assert picked.slots == (PAIRS[2], PAIRS[0])
    assert picked.relations is not None
    assert clip.relations is not None
    np.testing.assert_array_equal(picked.relations, clip.relations[:, [2, 0]])
    np.testing.assert_array_equal(picked.object_boxes, clip.object_boxes[:, [2, 0]])
    assert pick_slots(clip, []).valid.shape == (4, 0)
