"""A few Charades videos with Action Genome annotations, written by hand, everything small enough to see."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS, squashed

CSV_HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
CLASS_LINES = ["c000 Holding a cup", "c001 Opening a box", "c002 Sitting in a chair"]


def row(id_: str, actions: str = "c000 0.00 5.00", scene: str = "Kitchen", subject: str = "P1", **other: str) -> str:
    """Return a CSV row; the script holds a comma inside quotation marks."""
    values = {"quality": "6", "relevance": "7", "verified": "Yes", "objects": "cup;box", "length": "10.5", **other}
    script = values.get("script", '"A person, with a ""cup""."')
    return ",".join(
        [
            id_,
            subject,
            scene,
            values["quality"],
            values["relevance"],
            values["verified"],
            script,
            values["objects"],
            '"Somebody stands; then sits, slowly."',
            actions,
            values["length"],
        ]
    )


def person(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] | None = None) -> dict[str, Any]:
    """Return the value of one frame in the person pickle; boxes are xyxy."""
    score = np.array(scores if scores is not None else [0.9] * len(boxes), np.float32)
    return {
        "bbox": np.array(boxes, np.float32).reshape(-1, 4),
        "bbox_score": score,
        "bbox_size": (480, 270),
        "bbox_mode": "xyxy",
        "keypoints": np.zeros((len(boxes), 17, 3), np.float32),
        "keypoints_logits": np.zeros((len(boxes), 17), np.float32),
    }


def thing(
    name: str, box: tuple[float, float, float, float] | None, *relations: str, key: str = "", set_: str = "train"
) -> dict[str, Any]:
    """Return one object of a frame; the box is x, y, width, height, and relations are sorted into their groups."""
    groups = {"attention": RELATIONS[:3], "spatial": RELATIONS[3:9], "contacting": RELATIONS[9:]}
    lists = {
        f"{group}_relationship": None if box is None else [r for r in relations if r in words]
        for group, words in groups.items()
    }
    metadata = {"tag": f"V/{name}/{key}", "set": set_}
    return {"class": name, "bbox": box, "visible": box is not None, "metadata": metadata, **lists}


CUP, BOX = "cup/glass/bottle", "box"


def annotations() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the person and the object dictionary: AAAA1 has three frames, BBBB2 two without a usable token."""
    far, near = (300.0, 20.0, 30.0, 40.0), (10.0, 20.0, 30.0, 40.0)
    held = ("looking_at", "in_front_of", "holding")
    free = ("not_looking_at", "in_front_of", "on_the_side_of", "not_contacting")
    persons = {
        "AAAA1.mp4/000030.png": person((50, 60, 150, 260), (5, 5, 20, 20), scores=(0.3, 0.8)),
        "AAAA1.mp4/000010.png": person((50, 60, 150, 260)),
        "AAAA1.mp4/000050.png": person(),
        "BBBB2.mp4/000001.png": person(),
        "BBBB2.mp4/000002.png": person((1, 1, 20, 20)),
    }
    related = {
        "AAAA1.mp4/000010.png": [thing(CUP, far, *free), thing(CUP, near, *held), thing(BOX, None)],
        "AAAA1.mp4/000030.png": [thing(CUP, near, *held), thing(BOX, (0, 0, 10, 10), *free)],
        "AAAA1.mp4/000050.png": [thing(BOX, (0, 0, 10, 10), *free)],
        "BBBB2.mp4/000001.png": [thing(CUP, near, *held)],
        "BBBB2.mp4/000002.png": [thing(CUP, None)],
    }
    return persons, related


TRAIN_ROWS = [row("AAAA1", "c002 1.00 2.00;c000 0.00 99.00;c000 3.00 4.00"), row("CCCC3", "", scene="Stairs")]
TEST_ROWS = [row("BBBB2", "c001 0.00 5.00", subject="P2")]


def write_charades(root: Path, train: list[str] | None = None, test: list[str] | None = None) -> Path:
    """Write the lists and the classes under ``root`` and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train or TRAIN_ROWS), ("test", test or TEST_ROWS)):
        (root / f"Charades_v1_{name}.csv").write_text("\n".join([CSV_HEADER, *rows]) + "\n", encoding="utf-8")
    (root / "Charades_v1_classes.txt").write_text("\r\n".join(CLASS_LINES) + "\r\n", encoding="utf-8")
    return root


def write_annotations(
    folder: Path, persons: dict[str, Any] | None = None, related: dict[str, Any] | None = None, protocol: int = 2
) -> Path:
    """Write an annotation folder and return it."""
    first, second = annotations()
    persons, related = first if persons is None else persons, second if related is None else related
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "person_bbox.pkl").write_bytes(pickle.dumps(persons, protocol))
    (folder / "object_bbox_and_relationship.pkl").write_bytes(pickle.dumps(related, protocol))
    (folder / "frame_list.txt").write_text("".join(f"{key}\n" for key in sorted(persons)))
    (folder / "object_classes.txt").write_text("".join(f"{squashed(w)}\n" for w in OBJECTS))
    (folder / "relationship_classes.txt").write_text("".join(f"{squashed(w)}\n" for w in RELATIONS))
    return folder


def write_root(root: Path) -> Path:
    """Write lists and annotations under one root and return it."""
    write_charades(root)
    write_annotations(root / "annotations")
    return root
