"""``whyact reproduce laiar-ut``: UT-Interaction, set 1, from pixels: 60 real films, leave one of ten sequences out."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.io.archive import sha256_text
from whyact.data.io.pickles import load_torch
from whyact.data.relations.clip_folder import data_folder
from whyact.data.relations.own_file import FILE, Fold, read_file
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.features.lite import LiteSnippets, build_network, weights_file
from whyact.files import write_atomic
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.config import PRESETS, Config
from whyact.laiar.datasets import read_relations
from whyact.laiar.extraction import extract_clips
from whyact.laiar.own_clips import STEPS, prepare_clips
from whyact.laiar.perceive import clip_settings, open_perception
from whyact.laiar.task import calibrate, train_run
from whyact.metrics.boxes import area
from whyact.reproduce.laiar_ut_guard import guard_rows
from whyact.reproduce.laiar_ut_reasons import judged_rows, stated_reasons, write_pages
from whyact.reproduce.results import Row, header, row
from whyact.reproduce.study import CPU, Study
from whyact.video.decode import decode

NAME = "laiar-ut"
RUNS = Path("runs") / NAME
CLASSES = ("handshake", "hug", "kick", "point", "punch", "push")
SEEDS, QUICK_STEPS = 1, 60
FRAMES = 16  # of a film, for the rows beside LaIAR
SIMPLE = ("majority", "box-forest", "linear-probe", "forest+probe")
PRODUCT, UNGUIDED = "boxes+pixels", "boxes+pixels-no-guidance"  # the first is what `whyact train laiar --videos` makes
PARTS = {"tokens": "boxes", "frames": "pixels alone"}  # of its models
NOTES = {
    "box-forest": "random forest on how the two most often seen people stand and move",
    "linear-probe": "logistic regression on mean and spread of EfficientNet-Lite0's view of 16 whole frames",
    "forest+probe": "the mean of both probabilities",
    PRODUCT: "what `whyact train laiar --videos` makes: cleaned FastestDet tracks, measured relations, and the term of "
    "EfficientNet-Lite0's view of whole frames, weighed on training sequences held out; all tokens are kept",
    PARTS["tokens"]: "the same models without the term of whole frames, which is fitted apart",
    PARTS["frames"]: "the same models without a token",
    UNGUIDED: "the video model alone, the frames weighed as above",
}


def run(study: Study) -> None:
    """Run the study: sequences x seeds x rows, resumable, and write its table.

    Args:
        study: ``root`` is the folder with the films, ``INDEX_SEQUENCE_CLASS.avi``; FastestDet.onnx and coco.names
            lie there, or in ``models`` beside it or beside its parent; ``quick`` means one seed, four sequences,
            short training; nothing is written.

    Raises:
        UserError: When the films or the detector are missing.
    """
    if study.root is None:
        raise UserError("--root", None, "the folder with the films of UT-Interaction, INDEX_SEQUENCE_CLASS.avi")
    numbers = list(range(1 if study.quick else study.seeds or SEEDS))
    prepared, config = _prepare(study.root, _detector(study.root), progress=study.progress)
    folds = len(read_file(prepared / FILE).folds)
    chosen = list(range(1, folds + 1))[: 4 if study.quick else folds]
    common = {
        "root": str(prepared),
        "config": msgspec.to_builtins(config),
        "steps": QUICK_STEPS if study.quick else STEPS,
    }
    cells: list[dict[str, Any]] = [{"row": r, "fold": f, "seed": 0, **common} for r in SIMPLE for f in chosen]
    cells += [{"row": r, "fold": f, "seed": s, **common} for s in numbers for r in (PRODUCT,) for f in chosen]
    _, measured = study.cells(cells, cell, RUNS)
    share = {(c["fold"], c["seed"]): r["share"] for c, r in zip(cells, measured, strict=True) if c["row"] == PRODUCT}
    more = [{"row": UNGUIDED, "fold": f, "seed": s, "share": share[f, s], **common} for s in numbers for f in chosen]
    measured += study.cells(more, cell, RUNS)[1]
    results: dict[str, list[float]] = defaultdict(list)
    reasons: list[dict[str, Any]] = []
    for params, result in zip(cells + more, measured, strict=True):
        results[params["row"]].append(float(result["accuracy"]))
        for part in (name for name in PARTS if name in result):
            results[PARTS[part]].append(float(result[part]))
        reasons += result.get("reasons", []) if params["seed"] == 0 else []
    rows: list[Row] = [
        row("main", name, "accuracy", values, unit="0..1", note=NOTES.get(name, "")) for name, values in results.items()
    ]
    films = prepared / "videos"
    data, clips = _clips(str(prepared), config)
    write_pages(reasons, films, RUNS)
    rows.append(row("reasons", "films with a stated reason", "share", [len(reasons) / (6 * len(chosen))], unit="0..1"))
    rows += judged_rows(RUNS)
    perception = open_perception(config.data, data.vocabulary)
    assert perception is not None
    if not study.quick:
        rows += guard_rows(data, clips, study.root, config, perception, RUNS / "features")
    head = header(
        NAME,
        study.command(NAME, len(numbers)),
        seeds=numbers,
        folds=chosen,
        data="UT-Interaction, set 1, segmented: 60 films; a fold tests one of ten sequences, six films; chance 0.167",
        split_sha256=sha256_text(*(data.split_sha256(fold) for fold in chosen)),
    )
    study.publish(NAME, head, rows)


def _detector(root: Path) -> Path:
    places = [root, root.parent / "models", root.absolute().parent.parent / "models"]
    for place in places:
        if (place / "FastestDet.onnx").is_file() and (place / "coco.names").is_file():
            return place / "FastestDet.onnx"
    raise UserError("--root", str(root), "FastestDet.onnx and coco.names there, or in the folder models beside it")


def _prepare(root: Path, detector: Path, *, progress: bool) -> tuple[Path, Config]:
    """Write the films as own data with a fold for each sequence, and extract what every cell needs."""
    films = sorted(root.glob("*_*_*.avi"))
    if not films:
        raise UserError("--root", str(root), "films INDEX_SEQUENCE_CLASS.avi")
    lines = ["file,label,group"]
    for film in films:
        _, sequence, label = film.stem.split("_")
        lines.append(f"{film.absolute()},{CLASSES[int(label)]},{sequence}")
    table = write_atomic(RUNS / "clips.csv", "\n".join(lines) + "\n")
    start = PRESETS["clips"]
    names = str(detector.with_name("coco.names").absolute())
    config = replace(start, data=replace(start.data, detector=str(detector.absolute()), names=names))
    run = RUNS / "run"
    made = prepare_clips(table, run, config, replace_data=True, progress=progress)
    document = read_file(made.root / FILE)
    groups = sorted({video.group for video in document.videos}, key=int)
    document.folds = [Fold([g for g in groups if g != group], [group]) for group in groups]
    write_atomic(made.root / FILE, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    config = replace(made.config, data=replace(made.config.data, features=str((RUNS / "features").absolute())))
    _clips(str(made.root), config, progress=progress)
    return data_folder(run), config


def _clips(root: str, config: Config, *, progress: bool = False) -> tuple[Any, list[RelationClip]]:
    data = read_relations("own", Path(root), config.data)
    perception = open_perception(config.data, data.vocabulary)
    assert perception is not None
    how = clip_settings(config.data, config.model.mask_size, RUNS / "features", labelled_only=True)
    return data, extract_clips(perception, data, data.clips, how, progress=progress).clips


def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train one row on all sequences but one, and return its accuracy on that one."""
    config = msgspec.convert(params["config"], Config)
    data, clips = _clips(params["root"], config)
    train, test = data.folds[params["fold"]]
    target = np.array([clip.target for clip in clips])
    if params["row"] in SIMPLE:
        scores = _simple(params["row"], Path(params["root"]), clips, target, list(train), list(test), params["fold"])
    else:
        return _laiar(params, config, data, clips, list(train), list(test))
    return {"accuracy": float((scores.argmax(1) == target[list(test)]).mean())}


def _laiar(
    params: dict[str, Any], config: Config, data: Any, clips: list[RelationClip], train: list[int], test: list[int]
) -> dict[str, Any]:
    """Train LaIAR and answer the test films; the row that users get also says what its parts and its reasons are."""
    name, seed, where = params["row"], params["seed"], params.get("device", CPU)
    if name == UNGUIDED:
        config = replace(config, loss=replace(config.loss, guidance=False))
    steps = -(-len(train) // config.optim.batch)
    config = replace(config, optim=replace(config.optim, epochs=max(1, params["steps"] // steps)))
    training, tested = [clips[i] for i in train], [clips[i] for i in test]
    target = np.array([clip.target for clip in tested])
    run = train_run(training, data.vocabulary, config, seed=seed, device=where)
    scene = run.model.scene
    if scene is not None and name != PRODUCT:
        scene.share.fill_(params["share"])
    if name != PRODUCT:
        return {"accuracy": _accuracy(list(answer_clips(run, tested, explain=False)), target)}
    if (calibration := calibrate(training, data.vocabulary, config, seed=seed, device=where)) is not None:
        calibration.give_to(run)
    answers = list(answer_clips(run, tested))
    result = {"accuracy": _accuracy(answers, target), "reasons": stated_reasons(run, answers)}
    result["confidence"] = float(np.mean([answer.probabilities.max() for answer in answers]))
    if scene is not None:
        result["share"] = float(scene.share)
        scene.share.zero_()
        result["frames"] = _accuracy(list(answer_clips(run, tested, explain=False)), target)
        run.model.scene = None
        result["tokens"] = _accuracy(list(answer_clips(run, tested, explain=False)), target)
    return result


def _accuracy(answers: list[Answer], target: NDArray[np.intp]) -> float:
    return float(np.mean([answer.predicted for answer in answers] == target))


def _simple(
    name: str,
    root: Path,
    clips: list[RelationClip],
    target: NDArray[np.intp],
    train: list[int],
    test: list[int],
    seed: int,
) -> NDArray[np.floating]:
    """Return the scores (N,C) of a row that is not LaIAR."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "majority":
        counts = np.bincount(target[train], minlength=len(CLASSES))
        return np.tile(counts / counts.sum(), (len(test), 1))
    out: list[NDArray[np.floating]] = []
    if name in ("box-forest", "forest+probe"):
        boxes = np.stack([box_statistics(clip) for clip in clips])
        forest = RandomForestClassifier(500, random_state=seed).fit(boxes[train], target[train])
        out.append(forest.predict_proba(boxes[test]))
    if name in ("linear-probe", "forest+probe"):
        x = _frame_statistics(root, clips)
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(x[train], target[train])
        out.append(probe.predict_proba(x[test]))
    return np.mean(out, axis=0)


def box_statistics(clip: RelationClip) -> NDArray[np.float64]:
    """Return how the two things of the first pair stand and move (D,): sizes, shapes, distance, overlap, over time."""
    rows: NDArray[np.float64] = np.zeros((len(clip.times), 8))
    if clip.slots:
        a, b = (x[:, 0].astype(np.float64) for x in (clip.subject_boxes, clip.object_boxes))
        there = (a[:, 2] > a[:, 0]) & (b[:, 2] > b[:, 0])
        size = (np.sqrt(area(a)) + np.sqrt(area(b))).clip(1) / 2
        side = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        shapes = [(x[:, 2] - x[:, 0]) / (x[:, 3] - x[:, 1]).clip(1) for x in (a, b)]
        rows = (
            np.stack(
                [
                    np.abs(a[:, [0, 2]].mean(1) - b[:, [0, 2]].mean(1)) / size,
                    np.abs(a[:, [1, 3]].mean(1) - b[:, [1, 3]].mean(1)) / size,
                    side[:, 0] / size,
                    np.clip(side, 0, None).prod(1) / size**2,
                    np.maximum(*shapes),
                    np.minimum(*shapes),
                    np.sqrt(area(a)) / size,
                    there,
                ],
                1,
            )
            * there[:, None]
        )
    thirds = [part.mean(0) for part in np.array_split(rows, 4)]
    moves = np.abs(np.diff(rows, axis=0))
    return np.concatenate(
        [rows.mean(0), rows.std(0), rows.max(0), rows.min(0), moves.max(0), moves.mean(0), *thirds, [len(clip.slots)]]
    )


@lru_cache(maxsize=1)
def _frame_statistics_of(files: tuple[str, ...]) -> NDArray[np.float32]:
    encoder = LiteSnippets(build_network(load_torch(weights_file())))
    out = []
    for file in files:
        frames = decode(file, FRAMES).frames
        vectors = np.concatenate([encoder.encode(encoder.prepare(frame[None])[None]).numpy() for frame in frames])
        out.append(np.concatenate([vectors.mean(0), vectors.std(0)]))
    return np.stack(out)


def _frame_statistics(root: Path, clips: list[RelationClip]) -> NDArray[np.float32]:
    """Return mean and spread (N,2D) of the encoder's view of whole frames; computed once and kept on disk."""
    path = RUNS / "frames.npy"
    if path.is_file():
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if len(found) == len(clips):
            return found
    files = tuple(str(root / "videos" / clip.id.rpartition("/")[0]) for clip in clips)
    found = _frame_statistics_of(files)
    stream = io.BytesIO()
    np.save(stream, found, allow_pickle=False)
    write_atomic(path, stream.getvalue())
    return found
