"""Annotated and measured relations side by side: in the data, in an answer's evidence, on disk, on detected boxes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laiar_samples import CONFIG
from whyact.data.relations import own
from whyact.data.relations.own_file import FILE
from whyact.data.relations.own_write import from_cad120, write_own
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import IN_VIEW, MEASURED, MOTION, RelationClip
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.laiar.answers import _unbroken, annotated_changes, answer_clips
from whyact.laiar.clips import clip_from_tracks, detected_clip, measured_labels
from whyact.laiar.datasets import read_relations
from whyact.laiar.diagnostics import diagnose
from whyact.laiar.evidence import list_changes
from whyact.laiar.explain import explain
from whyact.laiar.reasons import claims_of
from whyact.laiar.runs import Run, load_run, save_run
from whyact.laiar.scoring import score_answers
from whyact.laiar.task import train_run
from whyact.perception.relations import measured_relations
from whyact.perception.tracks import Tracks
from whyact.prediction import from_json, to_json


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return annotated data of the generated world that also asks for measured relations."""
    folder = tmp_path_factory.mktemp("beside")
    write_own(folder / "own", from_cad120(write_world(folder / "world", seed=3, subjects=2, videos_per_subject=1)))
    return change(folder / "own", measured=True)


def change(root: Path, **values: object) -> Path:
    document = json.loads((root / FILE).read_text(encoding="utf-8"))
    (root / FILE).write_text(json.dumps({**document, **values}), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(root: Path) -> RelationData:
    return read_relations("own", root, CONFIG.data)


@pytest.fixture(scope="module")
def run(data: RelationData) -> Run:
    return train_run(data.fold(1)[0], data.vocabulary, CONFIG, seed=0)


def test_a_clip_has_both(root: Path, data: RelationData) -> None:
    words = data.vocabulary
    assert [name.removesuffix("_by_boxes") for name in words.relations[words.annotated :]] == list(MEASURED)
    assert max(words.naming) < words.annotated, "annotated ones name tokens"
    for plain, both in zip(own.read(root, slots=CONFIG.data.slots).clips, data.clips, strict=True):
        assert plain.relations is not None
        assert both.relations is not None
        annotated = slice(0, words.annotated)
        np.testing.assert_array_equal(both.relations[..., annotated], plain.relations[..., annotated])
        assert both.relations[..., annotated].any()
        found = measured_relations(both.subject_boxes, both.object_boxes, both.times) & both.valid[..., None]
        pairs = [k for k, (a, b) in enumerate(both.slots) if a != b]
        np.testing.assert_array_equal(both.relations[:, pairs, words.annotated :], found[:, pairs])


def test_an_answer_names_both_and_a_measured_change_is_true_of_the_boxes(run: Run, data: RelationData) -> None:
    words, first = run.vocabulary, run.vocabulary.annotated
    answers = list(answer_clips(run, data.fold(1)[1]))
    kinds = {c.after >= first for a in answers for c in a.changes}
    assert kinds == {True, False}
    for answer in answers:
        assert answer.named.max() < first, "a token has an annotated name"
        truth = measured_labels(answer.clip.at(answer.positions))
        for item, chance in zip(answer.changes, answer.chance, strict=True):
            assert (item.before >= first) == (item.after >= first)
            if item.after >= first:
                assert chance == 1.0
                assert truth[item.t_before, item.slot] == item.before
                assert truth[item.t_after, item.slot] == item.after
    rest = annotated_changes(run, answers)
    assert all(c.after < first for a in rest for c in a.changes)
    assert all(len(a.changes) == len(a.chance) == len(a.stated) for a in rest)
    assert len(claims_of(run, answers).chance) == sum(len(a.changes) for a in rest), "what is true anyway is no claim"
    found = explain(run, answers[0], source="x", data="own")
    assert any("measured from the boxes; all other relations" in note for note in found.notes)
    assert {e.to_state for e in found.evidence} <= set(words.relations)


def test_only_what_was_named_has_a_name_that_fits(run: Run, data: RelationData) -> None:
    """The tokens of a measured change carry annotated names, whose cosines say nothing of the measure."""
    first, kinds = run.vocabulary.annotated, set()
    for answer in answer_clips(run, data.fold(1)[1]):
        found = explain(run, answer, source="x", data="own")
        for item, evidence in zip(answer.changes, found.evidence, strict=False):
            kinds.add(measured := item.after >= first)
            classes = int(answer.clip.subject_class[item.slot]), int(answer.clip.object_class[item.slot])
            names = [b for a, b, c in run.bank.triples.tolist() if (a, c) == classes]
            assert (evidence.similarity is None) == measured
            assert (evidence.margin is None) == (measured or len(names) < 2), "a lead needs another name"
        assert from_json(to_json([found])) == [found]
    assert kinds == {True, False}


@pytest.fixture(scope="module")
def measured_alone(data: RelationData) -> tuple[Run, list[RelationClip]]:
    """Return a run of data without an annotated relation, and clips of it."""
    words, first = data.vocabulary, data.vocabulary.annotated
    measured = words.relations[first:]
    words = replace(words, relations=measured, allowed=dict.fromkeys(words.allowed, measured), rules=(), groups=())
    assert words.only_measured
    clips = [replace(c, relations=None if c.relations is None else c.relations[..., first:]) for c in data.clips[:8]]
    return train_run(clips, words, CONFIG, seed=0), clips


def test_where_all_is_measured_no_token_has_a_name_that_fits(measured_alone: tuple[Run, list[RelationClip]]) -> None:
    run, clips = measured_alone
    found = [explain(run, answer, source="x", data="own") for answer in answer_clips(run, clips)]
    points = [point for p in found for track in p.tracks for point in track.points]
    shown = [*points, *(e for p in found for e in p.evidence)]
    assert any(point.label for point in points)
    assert {(item.similarity, item.margin) for item in shown} == {(None, None)}


def stating(run: Run) -> Run:
    """Return a run that states nearly every change as a reason."""
    return replace(run, config=replace(run.config, evidence=replace(run.config.evidence, least=1e-9, draws=1)))


def test_the_page_says_what_confirms_a_reason(
    measured_alone: tuple[Run, list[RelationClip]], run: Run, data: RelationData
) -> None:
    for one, clips, by in ((*measured_alone, "the boxes confirm"), (run, data.clips[:8], "the annotation confirms")):
        page = diagnose(one, list(answer_clips(one, clips)))
        (figure,) = (f for f in page.figures if f.name == "precision of reasons")
        assert by in figure.text


def test_that_a_pair_is_in_view_confirms_nothing(data: RelationData) -> None:
    """True by construction: neither a figure nor a number says how often such reasons are true."""
    pairs = dict.fromkeys(data.vocabulary.allowed, (IN_VIEW,))
    words = replace(data.vocabulary, relations=(IN_VIEW,), allowed=pairs, rules=(), groups=(), measured=False)
    clips = [replace(c, relations=c.valid[..., None]) for c in data.clips[:8]]
    run = stating(train_run(clips, words, CONFIG, seed=0))
    answers = list(answer_clips(run, clips))
    scores, page = score_answers(run, answers), diagnose(run, answers)
    assert scores["reasons"] > 0
    assert "precision of reasons" not in {figure.name for figure in page.figures}
    assert any("No relation is annotated" in note for note in page.notes)
    for name in ("reason_precision", "reason_ece", "naming", "naming_macro", "naming_kept", "naming_ece"):
        assert scores[name] is None
    assert {precision for _, precision, _ in scores["reason_curve"]} == {None}
    assert scores["reason_coverage"] is not None


def test_a_run_keeps_both(run: Run, data: RelationData, tmp_path: Path) -> None:
    card = {"data": "own", "split_sha256": "0" * 64, "seed": 0, "metrics": {}, "licence": ""}
    save_run(run, tmp_path / "run", card)
    again = load_run(tmp_path / "run")
    assert again.vocabulary == run.vocabulary
    one, other = (list(answer_clips(r, data.fold(1)[1][:3])) for r in (run, again))
    assert [a.changes for a in one] == [a.changes for a in other]


def tracks_of(data: RelationData, index: int) -> Tracks:
    """Return the boxes of a clip as a detector would find them."""
    clip, words = data.clips[index], data.vocabulary
    things: dict[str, tuple[str, np.ndarray]] = {}
    classes, sides = (clip.subject_class, clip.object_class), (clip.subject_boxes, clip.object_boxes)
    for k, pair in enumerate(clip.slots):
        for name, kinds, boxes in zip(pair, classes, sides, strict=True):
            things.setdefault(name, (words.objects[kinds[k]], boxes[:, k]))
    boxes = np.stack([b for _, b in things.values()], 1)
    seen = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    return Tracks(
        names=tuple(things),
        classes=tuple(kind for kind, _ in things.values()),
        boxes=boxes,
        seen=seen,
        scores=seen.astype(np.float32),
        times=clip.times,
        frames=clip.frames,
        image_size=clip.image_size,
    )


def test_on_detected_boxes_what_is_measured_is_measured_from_them(data: RelationData) -> None:
    words, clip = data.vocabulary, data.clips[0]
    tracks = tracks_of(data, 0)
    bare = clip_from_tracks(tracks, words, slots=CONFIG.data.slots)
    assert bare.relations is not None
    assert not bare.relations[..., : words.annotated].any(), "nothing annotated is known of a new video"
    assert bare.relations[..., words.annotated :].any()
    for labelled_only in (False, True):
        made = detected_clip(clip, tracks, words, slots=CONFIG.data.slots, labelled_only=labelled_only)
        assert made.relations is not None
        assert clip.relations is not None
        for k, pair in enumerate(made.slots):
            if pair in clip.slots:
                np.testing.assert_array_equal(made.relations[:, k], clip.relations[:, clip.slots.index(pair)] & True)
        assert made.relations[..., words.annotated + len(MOTION) :].any()


def test_a_word_that_is_annotated_and_measured_has_two_names(data: RelationData) -> None:
    words = data.vocabulary
    assert {"apart", "apart_by_boxes", "near"} <= set(words.relations)
    assert len(set(words.relations)) == len(words.relations)
    assert all("containing_by_boxes" in allowed for allowed in words.allowed.values())


def test_a_measured_word_cannot_be_annotated(root: Path, tmp_path: Path) -> None:
    document = json.loads((root / FILE).read_text(encoding="utf-8"))
    document["videos"][0]["relations"][0]["relation"] = "approaching"
    (tmp_path / FILE).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match="approaching"):
        own.read(tmp_path, slots=4)


def test_what_was_lost_from_view_in_between_is_not_stated() -> None:
    named = np.full((10, 3), 2)
    named[3:5, 0] = -1  # a state with a hole
    named[5:, 1] = 3  # a change from one frame to the next
    named[2:7, 2], named[7:, 2] = -1, 3  # a change over a long hole
    found = list_changes(named, np.ones_like(named, bool))
    assert [(c.slot, c.before, c.after) for c in found] == [(0, 2, 2), (1, 2, 3), (2, 2, 3)]
    assert _unbroken(found, named).tolist() == [False, True, False]
    named[3:5, 0] = 2
    assert _unbroken(list_changes(named, np.ones_like(named, bool)), named)[0]
