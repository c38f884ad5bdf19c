"""Rules on true relations: which transitions hold, which action they give, and whether an explanation names one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.data.types import Rule, Vocabulary
from whyact.metrics.transitions import (
    RuleTransition,
    Transition,
    defining_transitions,
    rule_action,
    rule_transitions,
    transition_accuracy,
)

WORDS = Vocabulary(
    objects=("hand", "cup", "door", "lamp"),
    relations=("free", "held", "closed", "open"),
    actions=("null", "pick", "place", "open"),
    rules=(
        Rule("pick", "free", "held", "hand", ("cup", "lamp")),
        Rule("place", "held", "free", "hand", ("cup", "lamp")),
        Rule("open", "closed", "open", "", ("door",)),
    ),
)
HAND, CUP, DOOR, LAMP = range(4)
LABEL = {".": (), "f": (0,), "h": (1,), "c": (2,), "o": (3,), "b": (0, 1)}


def clip(*tracks, invalid=()):
    """Build relations (T,K,R) and valid (T,K) from one word a slot: f(ree) h(eld) c(losed) o(pen) b(oth) . none."""
    relations = np.zeros((len(tracks[0]), len(tracks), len(WORDS.relations)), bool)
    for k, track in enumerate(tracks):
        for t, letter in enumerate(track):
            relations[t, k, list(LABEL[letter])] = True
    valid = np.ones(relations.shape[:2], bool)
    for t, k in invalid:
        valid[t, k] = False
    return relations, valid


def found(*tracks, subject=HAND, object_=CUP, invalid=()):
    relations, valid = clip(*tracks, invalid=invalid)
    k = len(tracks)
    return [
        (r.slot, r.action, r.t_before, r.t_after)
        for r in rule_transitions(relations, valid, np.full(k, subject), np.full(k, object_), WORDS)
    ]


def by_definition(relations, valid, subjects, objects):
    """Walk every slot frame by frame and remember the last telling frame."""
    out = []
    for rule in WORDS.rules:
        before, after = WORDS.relations.index(rule.before), WORDS.relations.index(rule.after)
        for k in range(valid.shape[1]):
            subject, object_ = WORDS.objects[subjects[k]], WORDS.objects[objects[k]]
            if object_ not in rule.objects or (subject != rule.subject if rule.subject else subject != object_):
                continue
            last = None
            for t in range(len(valid)):
                says = (relations[t, k, before], relations[t, k, after])
                if not valid[t, k] or says[0] == says[1]:
                    continue
                if says[1] and last is not None and last[1]:
                    out.append((k, rule.action, last[0], t))
                last = (t, bool(says[0]))
    return sorted(out)


def test_a_change_is_found_with_its_two_frames():
    relations, valid = clip("ffhh")
    assert rule_transitions(relations, valid, [HAND], [CUP], WORDS) == [
        RuleTransition(slot=0, action="pick", before="free", after="held", t_before=1, t_after=2)
    ]
    assert found("hhff") == [(0, "place", 1, 2)]
    assert found("ffff") == []
    assert found("fhhf") == [(0, "pick", 0, 1), (0, "place", 2, 3)]


def test_frames_that_say_nothing_are_passed_over():
    assert found("f.h") == [(0, "pick", 0, 2)]
    assert found("fbh") == [(0, "pick", 0, 2)]
    assert found("ffhh", invalid=[(1, 0), (2, 0)]) == [(0, "pick", 0, 3)]
    assert found("fh", invalid=[(0, 0)]) == []
    assert found(".h") == []


def test_rule_asks_for_its_subject_and_object():
    assert found("fh", object_=LAMP) == [(0, "pick", 0, 1)]
    assert found("fh", object_=DOOR) == []
    assert found("fh", subject=LAMP) == []


def test_attribute_rule_asks_for_a_self_pair():
    assert found("co", subject=DOOR, object_=DOOR) == [(0, "open", 0, 1)]
    assert found("co", subject=HAND, object_=DOOR) == []
    assert found("oc", subject=DOOR, object_=DOOR) == []


def test_rule_without_objects_takes_any():
    words = Vocabulary(WORDS.objects, WORDS.relations, WORDS.actions, rules=(Rule("pick", "free", "held", "hand", ()),))
    relations, valid = clip("fh")
    assert len(rule_transitions(relations, valid, [HAND], [DOOR], words)) == 1
    assert rule_transitions(relations, valid, [CUP], [DOOR], words) == []


def test_transitions_come_in_the_order_of_time():
    assert [r[:2] for r in found("fffh", "hfff", "ffhh")] == [(1, "place"), (2, "pick"), (0, "pick")]


def test_a_clip_without_frames_or_slots_has_none():
    for shape in ((0, 2), (3, 0)):
        none = np.zeros(shape[1], int)
        assert rule_transitions(np.zeros((*shape, 4), bool), np.ones(shape, bool), none, none, WORDS) == []


random_clip = st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(0, 10_000))


@given(random_clip)
def test_agrees_with_a_walk_through_the_frames(case):
    t, k, seed = case
    rng = np.random.default_rng(seed)
    relations, valid = rng.random((t, k, 4)) < 0.4, rng.random((t, k)) < 0.8
    subjects, objects = rng.integers(0, 4, k), rng.integers(0, 4, k)
    subjects = np.where(rng.random(k) < 0.4, HAND, np.where(rng.random(k) < 0.5, objects, subjects))
    ours = [
        (r.slot, r.action, r.t_before, r.t_after) for r in rule_transitions(relations, valid, subjects, objects, WORDS)
    ]
    assert sorted(ours) == by_definition(relations, valid, subjects, objects)
    assert [r[3] for r in ours] == sorted(r[3] for r in ours)


@given(st.text("fhb.", min_size=1, max_size=8))
def test_playing_a_clip_backwards_turns_picks_into_places(track):
    forward, backward = found(track), found(track[::-1])
    end = len(track) - 1
    mirrored = {
        (k, {"pick": "place", "place": "pick"}[a], end - after, end - before) for k, a, before, after in forward
    }
    assert set(backward) == mirrored


@given(st.text("fh", min_size=2, max_size=8), st.integers(0, 7))
def test_a_repeated_frame_adds_no_transition(track, at):
    at %= len(track)
    assert len(found(track[: at + 1] + track[at:])) == len(found(track))


def test_the_action_completed_last_wins():
    relations, valid = clip("fhhh", "ccoo")
    held = rule_transitions(relations, valid, [HAND, DOOR], [CUP, DOOR], WORDS)
    assert rule_action(held, "null") == "open"
    assert rule_action(held[:1], "null") == "pick"
    assert rule_action([], "null") == "null"


def test_of_two_completed_at_once_the_first_found_wins():
    relations, valid = clip("fh", "hf")
    assert rule_action(rule_transitions(relations, valid, [HAND] * 2, [CUP] * 2, WORDS), "null") == "pick"


def test_defining_transitions_are_those_of_the_true_action_in_words():
    relations, valid = clip("ffhh", "hhff", "ffhh")
    subjects, objects = [HAND] * 3, [CUP, CUP, LAMP]
    held = rule_transitions(relations, valid, subjects, objects, WORDS)
    slots = [("hand_1", "cup_1"), ("hand_1", "cup_2"), ("hand_2", "lamp_1")]
    assert defining_transitions(held, "pick", subjects, objects, slots, WORDS) == {
        Transition("hand", "cup", "free", "held", ("hand_1", "cup_1")),
        Transition("hand", "lamp", "free", "held", ("hand_2", "lamp_1")),
    }
    assert defining_transitions(held, "null", subjects, objects, slots, WORDS) == set()


PICK = Transition("hand", "cup", "free", "held", ("hand_1", "cup_1"))
PICK_OTHER = PICK._replace(pair=("hand_1", "cup_2"))
PLACE = Transition("hand", "cup", "held", "free", ("hand_1", "cup_1"))


def test_accuracy_by_hand():
    stated = [[PICK], [PICK_OTHER], [PLACE, PICK], [], [PLACE]]
    true = [{PICK}, {PICK}, {PICK}, {PICK}, set()]
    first = transition_accuracy(stated, true)
    assert (first.pair, first.named, first.clips, first.skipped) == (0.25, 0.5, 4, 1)
    two = transition_accuracy(stated, true, top=2)
    assert (two.pair, two.named) == (0.5, 0.75)


def test_any_of_several_true_transitions_counts():
    assert transition_accuracy([[PICK_OTHER]], [{PICK, PICK_OTHER}]).pair == 1.0


one = st.sampled_from([PICK, PICK_OTHER, PLACE])


@given(st.lists(st.tuples(st.lists(one, max_size=3), st.sets(one)), max_size=8), st.randoms())
def test_accuracy_is_bounded_ordered_and_ignores_the_order_of_clips(clips, random):
    result = transition_accuracy([s for s, _ in clips], [t for _, t in clips], top=2)
    random.shuffle(clips)
    assert str(transition_accuracy([s for s, _ in clips], [t for _, t in clips], top=2)) == str(result)
    assert result.clips + result.skipped == len(clips)
    if result.clips:
        assert 0 <= result.pair <= result.named <= 1
        truth = [t for _, t in clips]
        assert transition_accuracy([sorted(t) for t in truth], truth).pair == 1.0
    else:
        assert math.isnan(result.pair)


def test_bad_input_is_refused():
    relations, valid = clip("fh")
    with pytest.raises(ValueError, match=r"expected \(T,K,4\)"):
        rule_transitions(relations[..., :3], valid, [HAND], [CUP], WORDS)
    with pytest.raises(ValueError, match=r"\(K,\)"):
        rule_transitions(relations, valid, [HAND, HAND], [CUP], WORDS)
    broken = Vocabulary(WORDS.objects, WORDS.relations, WORDS.actions, rules=(Rule("fly", "free", "up", "hand", ()),))
    with pytest.raises(ValueError, match="fly: free -> up"):
        rule_transitions(relations, valid, [HAND], [CUP], broken)
    with pytest.raises(ValueError, match="clips stated"):
        transition_accuracy([[PICK]], [])
    with pytest.raises(ValueError, match="top 0"):
        transition_accuracy([[PICK]], [{PICK}], top=0)
