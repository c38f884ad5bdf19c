"""How often the guard of a model of own clips calls a film unfamiliar: films held out, and films of other sets.

For each fold of ``laiar-ut`` the guard is fitted on the training films. The films that were held out must pass, films
of other kinds (ice hockey, hand washing, single videos) must not. Nothing is trained.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whyact.data.relations.footage import VideoFootage
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.laiar.clips import clip_from_tracks, even_times, frames_for
from whyact.laiar.config import Config
from whyact.laiar.domain import fit_box_domain, fit_domain, frame_stats
from whyact.laiar.extraction import video_tracks
from whyact.perception.perception import Perception
from whyact.reproduce.results import Row, row
from whyact.video import VIDEO_SUFFIXES

EACH = 20  # films of each other set, evenly chosen by name
SETS = ("hockey", "handwash", "videos")  # folders beside that of the films, or beside its parent


def other_films(root: Path) -> dict[str, list[Path]]:
    """Return films of other kinds that lie near the study's own, by set; empty where there are none."""
    out = {}
    for name in SETS:
        for place in (root.absolute().parent, root.absolute().parent.parent):
            films = sorted(p for p in (place / name).glob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
            if films:
                at = np.unique(np.linspace(0, len(films) - 1, min(EACH, len(films))).round().astype(int))
                out[name] = [films[i] for i in at]
                break
    return out


def guard_rows(
    data: RelationData, clips: Sequence[RelationClip], root: Path, config: Config, perception: Perception, folder: Path
) -> list[Row]:
    """Return how many films each guard calls unfamiliar, over the folds.

    Args:
        data: The study's films, with their folds.
        clips: As the models read them.
        root: The folder of the films.
        config: Of the models.
        perception: Likewise.
        folder: Where tracks and statistics are kept.
    """
    videos = root.absolute()
    own = [videos / clip.id.rpartition("/")[0] for clip in clips]
    sets = {"held-out films": own, **other_films(root)}
    watched = {name: [_watch(film, data, config, perception, folder) for film in films] for name, films in sets.items()}
    stats = {name: [one[1] for one in found] for name, found in watched.items()}
    boxes = {name: [one[0] for one in found] for name, found in watched.items()}
    found: dict[tuple[str, str], list[float]] = {}
    for train, test in data.folds.values():
        ends = [stats["held-out films"][i][[0, config.data.frames // 2]] for i in train]
        groups = [clips[i].group for i in train]
        domain = fit_domain(torch.from_numpy(np.concatenate(ends)), [group for group in groups for _ in range(2)])
        known = [replace(boxes["held-out films"][i], group=clips[i].group) for i in train]
        box_domain = fit_box_domain(known, len(data.vocabulary.objects))
        assert box_domain is not None
        for name in sets:
            which = test if name == "held-out films" else range(len(sets[name]))
            pixels = [domain.is_out_of_distribution(torch.from_numpy(stats[name][i])).mean() > 0.5 for i in which]
            alone = [bool(box_domain.unfamiliar_parts(boxes[name][i])) for i in which]
            found.setdefault((name, "with pixels"), []).append(float(np.mean(pixels)))
            found.setdefault((name, "boxes alone"), []).append(float(np.mean(alone)))
    notes = {name: f"{len(films)} films" for name, films in sets.items()}
    return [
        row("guard: called unfamiliar", name, metric, values, unit="0..1", note=notes[name] if metric[0] == "w" else "")
        for (name, metric), values in found.items()
    ]


def _watch(
    film: Path, data: RelationData, config: Config, perception: Perception, folder: Path
) -> tuple[RelationClip, NDArray[np.float32]]:
    """Return a film as a clip of detected boxes, and the statistics of its frames (T,D), as an answer reads both."""
    assert perception.encoder is not None
    tracks = video_tracks(perception, VideoFootage(film), folder)
    times = even_times(float(tracks.times[0]), float(tracks.times[-1]), config.data.frames)
    clip = clip_from_tracks(
        tracks.at(times),
        data.vocabulary,
        slots=config.data.slots,
        class_map=perception.class_map,
        id=film.name,
        video=tracks,
    )
    path = folder / "guard" / f"{film.parent.name}-{film.stem}.npy"
    if path.is_file():
        return clip, np.load(path, allow_pickle=False)
    (images,) = frames_for(film, [times])
    try:
        with torch.inference_mode():
            found: NDArray[np.float32] = frame_stats(perception.encoder.maps(np.stack(images)).values).numpy()
    except ValueError as error:
        raise UserError(film, str(error), "frames of one size") from error
    stream = io.BytesIO()
    np.save(stream, found, allow_pickle=False)
    write_atomic(path, stream.getvalue())
    return clip, found
