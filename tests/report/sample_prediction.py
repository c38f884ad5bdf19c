"""Predictions made up for the tests of the report: a cup that is picked up, and the other methods' answers."""

from __future__ import annotations

import math

from whyact.prediction import (
    Box,
    Curve,
    Evidence,
    LabelScore,
    Prediction,
    Provenance,
    Segment,
    Track,
    TrackPoint,
    VideoFacts,
)

STEP = 0.3
ACTIONS = ("pick", "place", "null", "drink", "open", "close", "eat", "clean", "take_food", "microwave_food", "pour")
THINGS = ("cup_1", "bowl_1", "box_1", "book_1", "medicine-box_1", "plate_1", "bottle_1", "microwave_1", "cloth_1")


def _place(name: str, t: int) -> Box:
    """A kitchen table seen from the front; only hand_1 and cup_1 move."""
    if name in ("hand_1", "cup_1"):
        lift = max(0, t - 5) * 22.0
        x, y, size = (
            (300.0 - max(0, 5 - t) * 30, 250.0 - lift, 60.0) if name == "hand_1" else (318.0, 285.0 - lift, 44.0)
        )
        return (x, y, x + size, y + size)
    if name == "head_1":
        return (262.0, 40.0, 342.0, 140.0)
    if name == "hand_2":
        return (420.0, 260.0, 480.0, 315.0)
    i = THINGS.index(name)
    x, y = 40.0 + 68 * i, 300.0 + 40 * (i % 3)
    return (x, y, x + 62, y + 70)


def _track(slot: int, subject: str, thing: str, labels: list[str], kept: list[bool]) -> Track:
    points = [
        TrackPoint(
            time=round(t * STEP, 2),
            frame=1 + 9 * t,
            label=label,
            similarity=0.86 - 0.01 * (slot % 5),
            margin=0.12 + 0.01 * (t % 3),
            keep_probability=0.94 if keep else 0.06,
            kept=keep,
            subject_box=_place(subject, t),
            object_box=_place(thing, t),
        )
        for t, (label, keep) in enumerate(zip(labels, kept, strict=True))
    ]
    return Track(slot=slot, subject=subject, object=thing, points=points)


def pick(lanes: int = 8) -> Prediction:
    """A cup is picked up between 1.2 s and 1.5 s: 10 frames, one lane a pair, four lanes with kept tokens."""
    pairs = [("hand_1", "cup_1"), ("hand_2", "cup_1"), ("head_1", "cup_1"), ("hand_1", "box_1"), ("box_1", "box_1")]
    pairs += [(s, o) for s in ("hand_1", "hand_2", "head_1") for o in THINGS if (s, o) not in pairs]
    tracks = []
    for slot, (subject, thing) in enumerate(pairs[:lanes]):
        labels, kept = ["not_holding"] * 10, [False] * 10
        if slot == 0:
            labels, kept = ["not_holding"] * 5 + ["holding"] * 5, [t in (3, 4, 5, 6, 7) for t in range(10)]
        elif slot == 1:
            labels[6], kept[5], kept[6] = "holding", True, True
        elif slot == 2:
            labels, kept[8] = ["apart"] * 7 + ["contacting"] * 3, True
        elif slot == 4:
            labels, kept[2] = ["closed"] * 10, True
        elif subject == "head_1":
            labels = ["apart"] * 10
        tracks.append(_track(slot, subject, thing, labels, kept))
    scores = (0.93, 0.04, 0.012, 0.006, 0.004, 0.003, 0.002, 0.0012, 0.001, 0.0006, 0.0002)
    evidence = [
        _change(1, 0, "hand_1", "cup_1", ("not_holding", "holding"), (1.2, 1.5), 0.72),
        _change(2, 2, "head_1", "cup_1", ("apart", "contacting"), (1.8, 2.1), 0.06),
        _change(3, 1, "hand_2", "cup_1", ("not_holding", "holding"), (1.5, 1.8), -0.03),
    ]
    return Prediction(
        id="kitchen-07/pick-3",
        video=VideoFacts(
            path="kitchen-07.mp4", sha256="9f2c" * 16, duration=3.0, fps=30.0, width=640, height=480,
            frames_decoded=90, frames_declared=90,
        ),
        labels=[LabelScore(label=label, score=score) for label, score in zip(ACTIONS, scores, strict=True)],
        provenance=Provenance(
            method="laiar", checkpoint="runs/kitchen", checkpoint_sha256="41ab" * 16, trained_on="a made-up kitchen",
            data="made-up", split_sha256="77e0" * 16, sampler="10 even frames", seed=0,
            versions={"whyact": "0.1.0", "torch": "2.4.1"},
        ),
        evidence=evidence[: max(1, min(3, lanes))],
        tracks=tracks,
        target="pick",
        threshold=0.5,
        tokens_valid=10 * len(tracks),
        tokens_kept=sum(p.kept for track in tracks for p in track.points),
    )  # fmt: skip


def _change(
    rank: int, track: int, subject: str, thing: str, states: tuple[str, str], when: tuple[float, float], drop: float
) -> Evidence:
    before, after = states
    return Evidence(
        kind="transition",
        text=f"{subject} {thing}: {before} → {after}",
        start=when[0],
        end=when[1],
        contribution=drop,
        subject=subject,
        object=thing,
        track=track,
        from_state=before,
        to_state=after,
        similarity=0.84,
        margin=0.13,
        rank=rank,
    )


def frames() -> Prediction:
    """An answer by frames and known neighbours, unsure and wrong."""
    attention = [0.02 + 0.2 * math.exp(-(((t - 20) / 4) ** 2)) for t in range(32)]
    evidence = [
        Evidence(kind="frame", text="attention 0.22", start=t / 4, end=t / 4 + 0.25, contribution=c, rank=r)
        for r, (t, c) in enumerate([(20, 0.11), (21, 0.06), (18, 0.02), (3, -0.01)], 1)
    ]
    evidence += [
        Evidence(kind="neighbour", text="", start=0, end=8, contribution=0.0, label=name, similarity=s, rank=5 + i)
        for i, (name, s) in enumerate([("JugglingBalls", 0.71), ("SoccerPenalty", 0.64)])
    ]
    return Prediction(
        id="ball",
        video=VideoFacts(path="ball.mp4", duration=8.0, fps=25.0, width=320, height=240, frames_decoded=180,
                         frames_declared=200, degraded="20 of 200 frames could not be decoded"),
        labels=[LabelScore(label="SoccerJuggling", score=0.31), LabelScore(label="Bowling", score=0.29)],
        provenance=Provenance(method="locate_gat", trained_on="features of 51 made-up actions"),
        evidence=evidence,
        curves=[Curve(name="attention", times=[t / 4 for t in range(32)], values=attention)],
        target="Bowling",
        unsure=True,
        threshold=0.4,
        notes=["Neither name was in the training set."],
    )  # fmt: skip


def snippets(duration: float = 5400.0, count: int = 400) -> Prediction:
    """An answer with time spans in a long video: segments with uncertain ends, and bands round the curves."""
    times = [i * duration / count for i in range(count)]
    values = [0.5 + 0.45 * math.sin(i / 17) for i in range(count)]
    segments = [
        Segment(start=times[i], end=times[i + 30], label=label, score=0.9 - i / count / 2, interval=(20.0, 35.0))
        for i, label in ((15, "HighJump"), (120, "HighJump"), (130, "HighJump"), (225, "LongJump"), (330, "LongJump"))
    ]
    evidence = [
        Evidence(kind="snippet", text="", start=s.start, end=s.end, contribution=0.2 / r, label=s.label, rank=r)
        for r, s in enumerate(segments, 1)
    ]
    lower, upper = [v - 0.1 for v in values], [v + 0.1 for v in values]
    return Prediction(
        id="stadium",
        video=VideoFacts(path="stadium.mkv", duration=duration, fps=25.0),
        labels=[LabelScore(label="HighJump", score=0.88), LabelScore(label="LongJump", score=0.64)],
        provenance=Provenance(method="pvlr"),
        segments=segments,
        evidence=evidence,
        curves=[Curve(name="class_activation HighJump", times=times, values=values, lower=lower, upper=upper)],
    )


def empty() -> Prediction:
    """The least that a prediction can be."""
    return Prediction(video=VideoFacts(path=""), labels=[], provenance=Provenance(method=""))


def answered(answers: list[str], targets: list[str] | None = None) -> list[Prediction]:
    """A run: an answer a clip, each with the same evidence."""
    out = []
    for i, answer in enumerate(answers):
        p = pick(2)
        p.id, p.target = f"clip {i}", targets[i] if targets else ""
        p.labels = [LabelScore(label=answer, score=0.6), LabelScore(label="other", score=0.4)]
        out.append(p)
    return out
