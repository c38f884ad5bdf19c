"""The tables about the shipped model, from made-up answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from whyact.homeworld.vocabulary import VOCABULARY
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, VideoFacts
from whyact.reproduce import shipped_model as module


def answer(label: str, before: str = "", after: str = "", *, strange: bool = False) -> Prediction:
    evidence = [
        Evidence(
            kind="transition", text="", start=0, end=1, contribution=0.1, rank=1, from_state=before, to_state=after
        )
    ]
    return Prediction(
        video=VideoFacts(path="a.mp4"),
        labels=[LabelScore(label=label, score=0.9)],
        provenance=Provenance(method="laiar"),
        evidence=evidence if before else [],
        notes=["This video is outside of what the model knows: 9 of 10 frames."] if strange else [],
    )


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (answer("pick", "not_holding", "holding"), True),
        (answer("pick", "holding", "not_holding"), False),
        (answer("pick", "holding", "holding"), False),
        (answer("pick"), False),
        (answer("store", "separate", "containing"), True),
    ],
    ids=["right", "mirrored", "a state", "no reason", "another action"],
)
def test_a_reason_is_right_when_a_rule_gives_it(given: Prediction, right: bool) -> None:
    assert module._named_right(given, given.label) is right


def test_videos_are_scored_from_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each action two films: the first is taken for a pick; all else is right, half with a right reason."""
    filmed: list[tuple[str, int]] = []

    def film(path: Path, *, seed: int, action: str, size: tuple[int, int]) -> None:
        filmed.append((action, seed))

    def predict(run: Any, paths: list[str], options: dict[str, str], *, progress: bool) -> list[Prediction]:
        action = filmed[-1][0]
        rule = next(r for r in VOCABULARY.rules if r.action == action)
        return [answer("pick", "apart", "contacting", strange=True), answer(action, rule.before, rule.after)]

    monkeypatch.setattr(module, "film_fresh", film)
    monkeypatch.setattr(module, "predict_videos", predict)
    rows = {row.metric: row for row in module._video_rows(None, 2)}  # type: ignore[arg-type]
    actions = [a for a in VOCABULARY.actions if a != "null"]
    assert sorted({a for a, _ in filmed}) == sorted(actions)
    assert len({seed for _, seed in filmed}) == 2 * len(actions)  # a new person each
    right = len(actions) + 1  # "pick" itself is right twice, the first time for no good reason
    assert rows["accuracy"].mean == pytest.approx(right / (2 * len(actions)))
    assert rows["transition_accuracy"].mean == pytest.approx(len(actions) / right)
    assert rows["called unfamiliar"].mean == 0.5
    assert rows["accuracy"].n == 2 * len(actions)


def test_the_study_has_worlds_of_its_own() -> None:
    from whyact.reproduce.laiar_homeworld import WORLDS

    assert not set(module.WORLDS) & set(range(WORLDS))
