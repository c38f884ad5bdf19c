"""``whyact reproduce shipped-model``: train the small models that travel with the package, and measure them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from whyact.homeworld.film_set import film_fresh
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.laiar.answers import answer_clips
from whyact.laiar.config import PRESETS, PredictOptions
from whyact.laiar.domain import fit_domain, frame_stats
from whyact.laiar.predict_videos import predict_videos
from whyact.laiar.runs import Run, load_run, save_run
from whyact.laiar.scoring import score_answers
from whyact.laiar.task import calibrate, train_run
from whyact.perception.open import OWN, DetectorEncoder
from whyact.perception.small import SmallDetector, load_detector
from whyact.prediction import Prediction
from whyact.reproduce.homeworld_clips import film_clips, fold_detector, prepare, read_clips
from whyact.reproduce.results import Row, header, row
from whyact.reproduce.study import Study

NAME = "shipped-model"
RUNS = Path("runs") / NAME
WORLDS = (21, 22)  # seeds of no other study
FOLD = 5  # its two scenes are never trained on
FRESH = 6  # videos of each action that are answered from the file
LOOKS = 400  # clips whose frames say what is familiar


def run(study: Study) -> None:
    """Train detector and LaIAR on generated films, measure both on unseen people and scenes, write the tables.

    The models are written to ``runs/shipped-model/laiar`` with the detector inside; the package ships that folder.
    A rerun takes what is there.

    Args:
        study: ``root`` is not needed; ``quick`` means measure what the package ships already; nothing is trained or
            written.
    """
    if study.quick:
        from whyact.files import SHIPPED

        folder = SHIPPED / "laiar"
        trained = load_run(folder)
    else:
        folder = RUNS / "laiar"
        trained = _train(folder, study.device)
    detector = load_detector(folder / OWN)
    rows = (
        _detector_rows(detector, folder)
        + _clip_rows(trained, detector)
        + _video_rows(trained, 1 if study.quick else FRESH)
    )
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    rows.append(row("size", "detector and LaIAR", "size", [size], unit="MB"))
    head = header(
        NAME,
        study.command(NAME),
        seeds=list(WORLDS),
        folds=[FOLD],
        data="homeworld, generated: trained on films in eight scenes, tested on other people in the two others",
    )
    study.publish(NAME, head, rows)


def _train(folder: Path, device: str) -> Run:
    """Train what is not there yet; the detector first, for LaIAR learns from its boxes."""
    if (folder / "card.json").exists():
        return load_run(folder)
    detector = fold_detector(RUNS, FOLD)
    train, test = _clips(detector)
    config = PRESETS["default"]
    config = replace(config, data=replace(config.data, boxes="detected"))
    run = train_run(train, VOCABULARY, config, seed=0, progress=True, device=device)
    calibration = calibrate(train, VOCABULARY, config, seed=0, progress=True, device=device)
    if calibration is not None:
        calibration.give_to(run)
    run.domain = fit_domain(*_looks(detector))
    scores = score_answers(run, list(answer_clips(run, test)))
    card: dict[str, Any] = {
        "data": "generated household films (homeworld)",
        "split_sha256": "",
        "licence": "Apache-2.0",
        "seed": 0,
        "metrics": {k: scores[k] for k in ("mAR", "keep_ratio", "transition_accuracy", "naming", "ece")},
        "extra": {"fold": FOLD, "trained_on": f"{len(train)} clips in eight scenes, boxes by its own detector"},
    }
    save_run(run, folder, card)
    detector.save(folder / OWN, **_detector_card(RUNS / f"detector-{FOLD}"))
    return load_run(folder)


def _detector_card(draft: Path) -> dict[str, Any]:
    from whyact.training.checkpoint import read_card

    card = read_card(draft)
    return {"data": card["data"], "seed": card["seed"], "metrics": card["metrics"], "extra": card.get("extra")}


def _clips(detector: SmallDetector) -> tuple[list[Any], list[Any]]:
    train, test = [], []
    for seed in WORLDS:
        paths = prepare(RUNS / "worlds", seed=seed, fold=FOLD, detector=detector, kinds=["detected"], rho=0.0)[
            "detected"
        ]
        train += read_clips(paths[0])
        test += read_clips(paths[1])
    return train, test


def _looks(detector: SmallDetector) -> tuple[torch.Tensor, list[str]]:
    """Return what frames of training films look like to the encoder, and their scenes."""
    encoder = DetectorEncoder(detector)
    looks, scenes = [], []
    for i, (_, frames, scene) in enumerate(film_clips(WORLDS[0], FOLD, "train", 0.0)):
        if i == LOOKS:
            break
        looks.append(frame_stats(encoder.maps(frames[[0, len(frames) // 2]]).values))
        scenes += [scene] * 2
    return torch.cat(looks), scenes


def _detector_rows(detector: SmallDetector, folder: Path) -> list[Row]:
    metrics = _detector_card(folder / OWN)["metrics"]
    return [row("detector", detector.name, name, [value], unit="0..1") for name, value in sorted(metrics.items())]


def _clip_rows(trained: Run, detector: SmallDetector) -> list[Row]:
    test = _clips(detector)[1]
    scores = score_answers(trained, list(answer_clips(trained, test)))
    note = f"{len(test)} clips of other people in unseen scenes, boxes by the shipped detector"
    shown: tuple[str, ...] = ("mAR", "keep_ratio", "transition_accuracy", "naming", "ece", "coverage", "risk")
    shown += ("reason_precision", "reason_coverage", "transition_precision", "transition_recall")
    return [row("clips", "laiar", name, [scores[name]], unit="0..1", note=note) for name in shown if scores[name]]


def _video_rows(trained: Run, each: int) -> list[Row]:
    """Answer freshly filmed .mp4 files, one action each, in any of the ten scenes."""
    right, named, outside = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, action in enumerate(a for a in VOCABULARY.actions if a != "null"):
            paths = [Path(folder) / f"{action}-{i}.mp4" for i in range(each)]
            for i, path in enumerate(paths):
                film_fresh(path, seed=90_000 + 100 * number + i, action=action, size=(640, 480))
            for answer in predict_videos(trained, [str(p) for p in paths], PredictOptions(), progress=False):
                right.append(float(answer.label == action))
                outside.append(float(any("outside of what" in note for note in answer.notes)))
                if answer.label == action:
                    named.append(float(_named_right(answer, action)))
    note = f"{len(right)} freshly filmed .mp4 files of 640 x 480, a new person each"
    return [
        row("videos", "from the file", "accuracy", right, unit="0..1", note=note),
        row("videos", "from the file", "transition_accuracy", named, unit="0..1", note="of right answers, by words"),
        row("videos", "from the file", "called unfamiliar", outside, unit="0..1", note="should be near 0"),
    ]


def _named_right(answer: Prediction, action: str) -> bool:
    """Tell whether the first stated reason is a change that a rule gives for the action."""
    first = next((e for e in answer.evidence if e.stated), None)
    if first is None:
        return False
    return any(
        rule.action == action and (first.from_state, first.to_state) == (rule.before, rule.after)
        for rule in VOCABULARY.rules
    )
