"""How fast Action Genome's annotations are read, beside their bare unpickling, and from the converted form."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.run import ratio
from whyact.data.io.pickles import dump_plain, load_pickle
from whyact.data.relations import action_genome as ag
from whyact.data.relations.action_genome_words import ATTENTION, CONTACTING, OBJECTS, SPATIAL
from whyact.reproduce import results

FRAMES, PER_VIDEO = 8000, 25


def action_genome(repeats: int) -> list[results.Row]:
    """Compare reading with restricted unpickling alone (at least 1/3), and the converted form with it (at least 10)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_annotations(folder, FRAMES)
        found = ag.read_pickles(folder)
        converted = ag.write_converted(folder, found)

        def bare() -> None:
            for file in (ag.PERSONS, ag.RELATED):
                load_pickle(folder / file)

        def pickled() -> None:
            ag.read_pickles(folder)

        def safe() -> None:
            ag.read_converted(converted)

        note = f"{FRAMES:,} frames, {len(found.box):,} objects with a box"
        times = max(3, repeats // 2)
        return [
            ratio("action-genome", "read pickles", "bare unpickling", (pickled, bare), times, f"{note}; at least 0.33"),
            ratio("action-genome", "read converted", "bare unpickling", (safe, bare), times, f"{note}; at least 10"),
        ]


def write_annotations(folder: Path, frames: int, seed: int = 0) -> None:
    """Write both pickles with random boxes, at Action Genome's two objects a frame and its dead keys beside."""
    rng = np.random.default_rng(seed)
    persons, related = {}, {}
    for number in range(frames):
        key = ag.frame_key(f"V{number // PER_VIDEO:05d}", number % PER_VIDEO * 12 + 1)
        count = int(rng.integers(0, 3))
        low = rng.uniform(0, 100, (count, 2))
        persons[key] = {
            "bbox": np.concatenate([low, low + rng.uniform(20, 150, (count, 2))], 1).astype(np.float32),
            "bbox_score": rng.random(count).astype(np.float32),
            "bbox_size": (480, 270),
            "bbox_mode": "xyxy",
            "keypoints": rng.random((count, 17, 3)).astype(np.float32),
            "keypoints_logits": rng.random((count, 17)).astype(np.float32),
        }
        related[key] = [_thing(rng, key) for _ in range(int(rng.integers(1, 5)))]
    (folder / ag.PERSONS).write_bytes(dump_plain(persons))
    (folder / ag.RELATED).write_bytes(dump_plain(related))


def _thing(rng: np.random.Generator, key: str) -> dict[str, object]:
    name, there = OBJECTS[int(rng.integers(1, len(OBJECTS)))], bool(rng.random() < 0.8)
    groups = {"attention": ATTENTION, "spatial": SPATIAL, "contacting": CONTACTING}
    return {
        "class": name,
        "bbox": tuple(float(x) for x in rng.uniform(5, 100, 4)) if there else None,
        **{f"{g}_relationship": [str(rng.choice(words))] if there else None for g, words in groups.items()},
        "visible": there,
        "metadata": {"tag": f"{key}/{name}", "set": "train"},
    }
