"""The largest answer that a report must stay quick with: ten minutes, 34 things, 100 segments, two tokens a second."""

from __future__ import annotations

import random

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

SECONDS, RATE, THINGS, SEGMENTS, PAIRS = 600, 2, 34, 100, 60


def long_film() -> Prediction:
    """Return an answer about a film of ten minutes in windows, with all the tokens of all its pairs."""
    rng = random.Random(0)
    names = [f"{kind}_{i}" for kind in ("hand", "cup", "box", "bowl") for i in range(1, 10)][:THINGS]
    pairs = list(dict.fromkeys((names[i % 9], names[9 + i % (THINGS - 9)]) for i in range(3 * PAIRS)))[:PAIRS]
    tracks = []
    for slot, (subject, thing) in enumerate(pairs):
        label, points = "not_holding", []
        for i in range(SECONDS * RATE):
            if rng.random() < 0.1:
                label = rng.choice(("holding", "not_holding", "contacting", "near"))
            x = 300 + 200 * rng.random()
            box: Box = (x, 200.0, x + 60, 260.0)
            points.append(
                TrackPoint(
                    time=i / RATE,
                    frame=15 * i,
                    label=label,
                    similarity=rng.random(),
                    margin=0.1,
                    keep_probability=rng.random(),
                    kept=rng.random() < 0.3,
                    subject_box=box,
                    object_box=box,
                )
            )
        tracks.append(Track(slot=slot, subject=subject, object=thing, points=points))
    actions = ("drink", "eat", "open", "close", "pour", "wipe")
    segments, evidence = [], []
    for i in range(SEGMENTS):
        start = round(rng.uniform(0, SECONDS - 12), 2)
        label, end = actions[i % 6], round(start + rng.uniform(2, 10), 2)
        segments.append(Segment(start=start, end=end, label=label, score=round(rng.uniform(0.3, 1), 3)))
        slot = rng.randrange(len(pairs))
        subject, thing = pairs[slot]
        for _ in range(3):
            evidence.append(
                Evidence(
                    kind="transition",
                    text="",
                    start=start,
                    end=start + 0.5,
                    contribution=rng.uniform(-0.1, 0.6),
                    subject=subject,
                    object=thing,
                    track=slot,
                    from_state="not_holding",
                    to_state="holding",
                    similarity=0.8,
                    margin=0.1,
                    rank=len(evidence) + 1,
                    action="" if label == "drink" else label,
                )
            )
    values = [rng.random() for _ in range(SECONDS * 4)]
    return Prediction(
        id="long",
        video=VideoFacts(path="long.mp4", duration=float(SECONDS), fps=30.0, width=640, height=480),
        labels=[LabelScore(label=a, score=0.95 - 0.1 * i) for i, a in enumerate(actions)],
        provenance=Provenance(method="laiar"),
        segments=segments,
        evidence=evidence,
        tracks=tracks,
        curves=[Curve(name="attention", times=[i / 4 for i in range(len(values))], values=values)],
        tokens_valid=len(pairs) * SECONDS * RATE,
        tokens_kept=1,
    )
