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
from whyact.files import sha256, write_atomic
from whyact.laiar.clips import clip_from_tracks, even_times, frames_for
from whyact.laiar.config import Config
from whyact.laiar.domain import Domain, fit_box_domain, fit_domain, frame_stats, plain_maps
from whyact.laiar.extraction import video_tracks
from whyact.perception.perception import Perception, stack_images
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
    sets = {"held-out films": [root / clip.id.rpartition("/")[0] for clip in clips], **other_films(root)}
    seen = {
        name: [_read_film(film, data, config, perception, folder) for film in films] for name, films in sets.items()
    }
    own = seen["held-out films"]
    shares: dict[tuple[str, str], list[float]] = {}
    for train, test in data.folds.values():
        groups = [clips[i].group for i in train for _ in range(2)]
        encoded = _fit([own[i][1] for i in train], groups, config.data.frames)
        plain = _fit([own[i][2] for i in train], groups, config.data.frames)
        known = [replace(own[i][0], group=clips[i].group) for i in train]
        box_domain = fit_box_domain(known, len(data.vocabulary.objects))
        assert box_domain is not None
        for name in sets:
            which = [seen[name][i] for i in (test if name == "held-out films" else range(len(sets[name])))]
            boxes = [bool(box_domain.unfamiliar_parts(clip)) for clip, _, _ in which]
            pictures = [_is_unfamiliar(plain, stats) for _, _, stats in which]
            values = {
                "with an encoder": [_is_unfamiliar(encoded, stats) for _, stats, _ in which],
                "without": [a or b for a, b in zip(boxes, pictures, strict=True)],
                "boxes alone": boxes,
            }
            for metric, answers in values.items():
                shares.setdefault((name, metric), []).append(float(np.mean(answers)))
    notes = {name: f"{len(films)} films" for name, films in sets.items()}
    return [
        row("guard: called unfamiliar", name, metric, values, unit="0..1", note=notes[name] if metric[0] == "w" else "")
        for (name, metric), values in shares.items()
    ]


def _fit(stats: Sequence[NDArray[np.float32]], groups: Sequence[str], frames: int) -> Domain:
    """Fit on two frames of each film, its first and its middle one, as a training does."""
    return fit_domain(torch.from_numpy(np.concatenate([rows[[0, frames // 2]] for rows in stats])), groups)


def _is_unfamiliar(domain: Domain, stats: NDArray[np.float32]) -> bool:
    return bool(domain.is_out_of_distribution(torch.from_numpy(stats)).mean() > 0.5)


def _read_film(
    film: Path, data: RelationData, config: Config, perception: Perception, folder: Path
) -> tuple[RelationClip, NDArray[np.float32], NDArray[np.float32]]:
    """Return a film as an answer reads it: a clip of boxes, its frames' statistics (T,D) by the encoder, and plain."""
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
    path = folder / "guard" / f"{film.parent.name}-{film.stem}-{sha256(times.tobytes())[:8]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return clip, stored["encoded"], stored["plain"]
    (images,) = frames_for(film, [times])
    frames = stack_images(images, film)
    with torch.inference_mode():
        encoded, plain = (frame_stats(m).numpy() for m in (perception.encoder.maps(frames).values, plain_maps(frames)))
    stream = io.BytesIO()
    np.savez(stream, encoded=encoded, plain=plain)
    write_atomic(path, stream.getvalue())
    return clip, encoded, plain
