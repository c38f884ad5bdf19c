"""A hand-written annotation in the CAD-120 layout: two people, two short videos, everything small enough to see."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

Files = dict[str, str]

FIRST, SECOND = "all/Ada/tidy/0001.json", "all/Ben/cook/0002.json"
LINES = ["Ada, tidy, 0001, 1, 4, pick", "Ada, tidy, 0001, 3, 6, null", "Ben, cook, 0002, 2, 5, open"]
KNOWLEDGE = {
    "object_list": "hand\nhead\ncup\ntea-box",
    "relation_list": "held\nfree\nnear\napart",
    "attribute_list": "shut\nopen",
    "action_list": "null\npick\nplace\nopen\nclose\ndrink",
    "object_attribute_list": "hand; null\nhead; null\ncup; null\ntea-box; shut, open",
    "object_relation_list": "hand; held; free; cup, tea-box\nhead; near; apart; cup",
    "act_rel_list": "pick; free; held; hand; cup, tea-box\nplace; held; free; hand; cup, tea-box\n"
    "drink; apart; near; head; cup",
    "act_attr_list": "open; shut; open; tea-box\nclose; open; shut; tea-box",
}


def first_video() -> dict[str, Any]:
    """Return Ada's video: six frames; the cup is hidden in frame 2, the box is seen in frame 6 alone."""
    return {
        "person_id": "Ada",  # a key the reader has no use for
        "locations": [
            {"obj_id": "hand_1", "loc_list": [[10 * t, 20, 30, 40] for t in range(6)]},
            {"obj_id": "head_1", "loc_list": [[300, 0, 50, 60]] * 6},
            {"obj_id": "cup_1", "loc_list": [[0, 0, 0, 0] if t == 1 else [100, 200, 20, 30] for t in range(6)]},
            {"obj_id": "tea-box_1", "loc_list": [[600, 440, 40, 40] if t == 5 else [0, 0, 0, 0] for t in range(6)]},
        ],
        "attributes": [{"obj_id": "tea-box_1", "attr_list": ["shut"] * 6}],
        "relations": [
            {"obj_ids": ["hand_1", "tea-box_1"], "rel_list": ["free"] * 6},
            {"obj_ids": ["head_1", "cup_1"], "rel_list": ["apart", "apart", "apart", "near", "near", "apart"]},
            {"obj_ids": ["hand_1", "cup_1"], "rel_list": ["free", "free", "held", -1, "held", "held"]},
        ],
    }


def second_video() -> dict[str, Any]:
    """Return Ben's video: five frames, a box that is opened in frame 4."""
    return {
        "locations": [{"obj_id": "tea-box_1", "loc_list": [[5, 6, 7, 8]] * 5}],
        "attributes": [{"obj_id": "tea-box_1", "attr_list": ["shut", "shut", "shut", "open", "open"]}],
        "relations": [],
    }


def annotation_files() -> Files:
    """Return member -> text of the whole annotation; tests spoil one of them at a time."""
    return {
        "video_clips.txt": "\n".join(LINES) + "\n",
        "splits/trainlist01.txt": "Ben\n",
        "splits/testlist01.txt": "Ada\n",
        "splits/trainlist02.txt": "Ada\n",
        "splits/testlist02.txt": "Ben\n",
        **{f"knowledge/{name}.txt": text for name, text in KNOWLEDGE.items()},
        FIRST: json.dumps(first_video()),
        SECOND: json.dumps(second_video()),
    }


def score_files() -> Files:
    """Return member -> text of the RGB scores of all three clips: the k-th number of frame t is t/10 + k/100."""

    def rows(frames: int, width: int) -> list[list[str]]:
        return [[str(t / 10 + k / 100) for k in range(width)] for t in range(frames)]

    out: Files = {}
    for fold, subject, activity, video, start, end in (
        ("01", "Ada", "tidy", "0001", 1, 4),
        ("01", "Ada", "tidy", "0001", 3, 6),
        ("02", "Ben", "cook", "0002", 2, 5),
    ):
        stem, n = f"{fold}/{subject}/{activity}/{video}/{start}_{end}", end - start + 1
        pairs = [("hand_1", "tea-box_1"), ("head_1", "cup_1"), ("hand_1", "cup_1")] if subject == "Ada" else []
        relations = [{"obj_ids": pair, "rel_list": rows(n, 4)} for pair in pairs]
        for one in relations:
            one["rel_list"][1] = ["-1"] * 4  # type: ignore[index, call-overload]
        out[f"{stem}_rel.json"] = json.dumps(relations)
        out[f"{stem}_attr.json"] = json.dumps([{"obj_id": "tea-box_1", "attr_list": rows(n, 2)}])
    return out


def write_folder(root: Path, files: Files, name: str = "annotations") -> Path:
    """Write files under ``root/name`` and return ``root``."""
    for member, text in files.items():
        path = root / name / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def write_zip(root: Path, files: Files, name: str = "annotations", top: str = "annotations/") -> Path:
    """Write files into ``root/name.zip`` and return its path."""
    path = root / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in files.items():
            archive.writestr(f"{top}{member}", text)
    return path
