"""Worker tasks that take no time and misbehave on request: what a file begins with says what happens to it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "report"))

from sample_prediction import pick

from whyact.ablation.protocol import OnProgress
from whyact.errors import UserError
from whyact.prediction import LabelScore, to_json
from whyact.studio import worker_tasks
from whyact.studio.limits import Limits
from whyact.studio.workers import Task

GOOD = b"\x00GOOD"
BROKEN = b"\x00BROKEN"
CRASH = b"\x00CRASH"
HANG = b"\x00HANG"
GREEDY = b"\x00GREEDY"
WRONG = b"\x00WRONG"
FULL = b"\x00FULL"


def answer_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that reads videos."""

    def answer(
        on_progress: OnProgress, *, folder: str, file: str, name: str, model: str | None, demo: Any
    ) -> dict[str, Any]:
        path = Path(folder) / file
        head = b"" if demo else path.read_bytes()[:16]
        on_progress("Finding and following things", 0.5)
        if head.startswith(BROKEN):
            raise UserError(name, "no moov atom", "a video file")
        if head.startswith(CRASH):
            os._exit(11)
        if head.startswith(HANG):
            time.sleep(60)
        if head.startswith(GREEDY):
            bytearray(64 * 2**30)
        if head.startswith(WRONG):
            raise RuntimeError(f"secret {folder}")
        if head.startswith(FULL):  # what a thread that cannot start is, where address space is bounded
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        prediction = worker_tasks.with_user_name(pick(3), path, name)
        if model and Path(model).name == "contrary":
            prediction.labels = [LabelScore(label="place", score=0.7), LabelScore(label="pick", score=0.3)]
        (Path(folder) / worker_tasks.PREDICTION).write_text(to_json([prediction]), encoding="utf-8")
        (Path(folder) / worker_tasks.PREVIEW).write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(1000))
        (Path(folder) / worker_tasks.REPORT).write_text("<!doctype html><title>a report</title>", encoding="utf-8")
        return {"label": prediction.label, "score": prediction.score, "answer": "pick 0.93", "playable": True}

    return {"answer": answer}


def train_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that trains: the model is a copy of the run that ``detector`` names."""

    def train(
        on_progress: Callable[..., None],
        *,
        folder: str,
        out: str,
        clips: list[dict[str, str]],
        things: list[dict[str, Any]] | None,
        detector: str,
        **_: Any,
    ) -> dict[str, Any]:
        heads = {(Path(folder) / clip["file"]).read_bytes()[:16] for clip in clips}
        curve = {"points": [(0.25, 2.0), (0.5, 1.0)], "epoch": 2, "epochs": 4}
        Path(out).mkdir(parents=True)
        on_progress("Training", 0.5, curve)
        if any(head.startswith(CRASH) for head in heads):
            os._exit(13)
        if any(head.startswith(HANG) for head in heads):
            time.sleep(60)
        if any(head.startswith(WRONG) for head in heads):
            raise RuntimeError(f"secret {folder}")
        shutil.copytree(detector, out, dirs_exist_ok=True)
        used = "" if things is None else f" with {', '.join(thing['name'] for thing in things if thing['keep'])}"
        return {"notes": [f"taught on {len(clips)} clips{used}"]}

    def find(on_progress: Callable[..., None], *, clips: list[dict[str, str]], **_: Any) -> dict[str, Any]:
        on_progress("Finding and following things", 0.5)
        rows = [("person", True, True), ("cup", True, False), ("kite", False, False)]
        things = [
            {"kind": kind, "name": kind, "keep": keep, "acts": acts, "clips": len(clips), "score": 0.9, "pictures": []}
            for kind, keep, acts in rows
        ]
        return {"things": things, "notes": ["one is doubtful"]}

    return {"train": train, "find": find}


def ablation_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that asks again: each removal costs the answer a tenth."""

    def without(
        on_progress: OnProgress, *, folder: str, model: str | None, removals: list[dict[str, Any]]
    ) -> dict[str, Any]:
        if any(r["kind"] == "transition" and r.get("start") == 99.0 for r in removals):
            raise UserError("transition", "at 99 s", "a transition of this answer")
        if any(r.get("object") == "crash" for r in removals):
            os._exit(12)
        now = 0.9 - 0.1 * len(removals)
        scores = [{"label": "pick", "score": now, "before": 0.9}, {"label": "place", "score": 1 - now, "before": 0.1}]
        removed = {"what": "token", "count": 3 * len(removals), "of": 30}
        return {"label": "pick" if now > 0.5 else "place", "scores": scores, "removed": [removed]}

    def flip(on_progress: OnProgress, *, folder: str, model: str | None, target: str | None) -> dict[str, Any]:
        step = {"kind": "transition", "subject": "hand_1", "object": "cup_1", "start": 1.2, "end": 1.8}
        return {
            "target": target or "place",
            "removals": [step],
            "texts": ["hand_1 – cup_1: not holding → holding"],
            "score": 0.6,
            "proven": True,
            "candidates": 5,
            "asked": 6,
            "stopped": False,
        }

    return {"warm": lambda on_progress, **_: True, "without": without, "flip": flip}
