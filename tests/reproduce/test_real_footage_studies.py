"""The studies of measured relations and of UT-Interaction: what counts as confirmed, and what they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from whyact.cli import main
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.perception.relations import MeasureSettings
from whyact.reproduce.laiar_ut import box_statistics
from whyact.reproduce.laiar_ut_reasons import LIST, judged_rows, write_pages
from whyact.reproduce.measured_relations import _compare, _Pairs, changes
from whyact.video.write import write_video

TIMES = np.arange(60) / 10


def pairs(touch: slice, holds: slice, known: slice = slice(None)) -> _Pairs:
    """Return a hand that lies on a cup for a while, and is said to hold it for another while."""
    cup = np.tile(np.array([50.0, 50, 70, 70]), (60, 1, 1))
    hand = np.tile(np.array([200.0, 50, 220, 70]), (60, 1, 1))
    hand[touch] = [55, 52, 75, 72]
    contact = np.zeros((60, 1), bool)
    contact[holds] = True
    where = np.zeros((60, 1), bool)
    where[known] = True
    return _Pairs("hand", hand, cup, TIMES, contact, where)


@pytest.mark.parametrize(
    ("touch", "holds", "expected"),
    [
        (slice(20, 40), slice(20, 40), (2, 2, 2, 2)),
        (slice(20, 40), slice(25, 48), (2, 2, 2, 2)),
        (slice(20, 40), slice(0, 0), (0, 2, 0, 0)),
        (slice(0, 0), slice(20, 40), (0, 0, 0, 2)),
        (slice(20, 40), slice(20, 60), (1, 2, 1, 1)),
        (slice(20, 60), slice(0, 20), (0, 1, 0, 1)),  # at the same time, in the other direction
    ],
)
def test_a_change_is_confirmed_by_one_in_the_same_direction_within_a_second(
    touch: slice, holds: slice, expected: tuple[int, ...]
) -> None:
    video = pairs(touch, holds)
    if expected[3] == 0 and expected[1]:
        video = replace(video, known=np.ones((60, 1), bool))
    assert tuple(_compare([video], "touching", MeasureSettings())["hand"]) == expected


def test_what_the_annotation_says_nothing_of_does_not_count() -> None:
    assert tuple(_compare([pairs(slice(20, 40), slice(0, 0), slice(0, 5))], "touching", MeasureSettings())["hand"]) == (
        0, 0, 0, 0,
    )  # fmt: skip


def test_changes_are_between_known_frames() -> None:
    states = np.array([False, True, True, False, True])
    assert changes(states, np.array([True, True, False, False, True]), TIMES[:5]) == [(0.1, True)]
    assert changes(states, np.ones(5, bool), TIMES[:5]) == [(0.1, True), (0.3, False), (0.4, True)]


def test_statistics_of_boxes_do_not_depend_on_the_size_of_the_image() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 100, (16, 1, 2))
    boxes = np.concatenate([low, low + random.uniform(20, 60, (16, 1, 2))], -1).astype(np.float32)
    other = np.concatenate([low + 40, low + 90], -1).astype(np.float32)

    def clip(scale: float) -> RelationClip:
        return RelationClip(
            id="c",
            subject_boxes=boxes * np.float32(scale),
            object_boxes=other * np.float32(scale),
            subject_class=np.zeros(1, np.int64),
            object_class=np.zeros(1, np.int64),
            valid=np.ones((16, 1), bool),
            times=np.arange(16) / 5,
            frames=np.arange(1, 17),
            slots=(("a", "b"),),
            image_size=(640, 480),
        )

    np.testing.assert_allclose(box_statistics(clip(1.0)), box_statistics(clip(3.0)), rtol=1e-3, atol=1e-4)


def test_the_study_needs_its_films_and_its_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "laiar-ut"]) == 2
    assert "the folder with the films of UT-Interaction" in capsys.readouterr().err
    (tmp_path / "films").mkdir()
    assert main(["reproduce", "laiar-ut", "--root", str(tmp_path / "films")]) == 2
    assert "FastestDet.onnx and coco.names" in capsys.readouterr().err


def written(folder: Path, *accepted: str) -> Path:
    lines = ["number,film,answer,true,reason,start,end,accepted,by"]
    lines += [f"{i},f{i}.avi,push,punch,a – b: apart → near,1.00,1.50,{word},Ada" for i, word in enumerate(accepted, 1)]
    (folder / LIST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_what_a_person_says_of_reasons_becomes_rows(tmp_path: Path) -> None:
    assert judged_rows(tmp_path) == []
    assert judged_rows(written(tmp_path, "", "")) == [], "nobody has looked yet"
    share, *listed = judged_rows(written(tmp_path, "yes", "no", "yes", "yes"))
    assert (share.mean, share.n) == (0.75, 4)
    assert "3 of 4" in share.note
    assert "Ada" in share.note
    assert [one.mean for one in listed] == [1.0, 0.0, 1.0, 1.0]
    assert "the answer is wrong: it is punch" in listed[0].note
    with pytest.raises(UserError, match="line 2, accepted"):
        judged_rows(written(tmp_path, "yes", "perhaps"))


def test_a_filled_in_list_stays_and_another_choice_starts_a_new_one(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 10, 10.0)
    reason = {
        "film": "a.mp4", "answer": "push", "true": "push", "reason": "a – b: apart → near", "times": [0.1, 0.5],
        "boxes": [[[1.0, 1, 20, 40], [30.0, 1, 50, 40]]] * 2,
    }  # fmt: skip
    assert write_pages([reason], tmp_path, tmp_path) == [reason]
    assert (tmp_path / "reasons-1.jpg").stat().st_size > 1000
    filled = (tmp_path / LIST).read_text(encoding="utf-8").replace(",,\n", ",yes,Ada\n")
    (tmp_path / LIST).write_text(filled, encoding="utf-8")
    write_pages([reason], tmp_path, tmp_path)
    assert (tmp_path / LIST).read_text(encoding="utf-8") == filled
    assert len(judged_rows(tmp_path)) == 2
    write_pages([{**reason, "reason": "a – b: near → apart"}], tmp_path, tmp_path)
    assert judged_rows(tmp_path) == []
