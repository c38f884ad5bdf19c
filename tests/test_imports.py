"""What is imported before it is needed costs every user seconds: looked up in ``sys.modules``, not measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "lightning", "sklearn", "scipy", "av", "torch._dynamo", "open_clip", "ray")

AT_ONCE = [
    ["--help"],
    ["predict", "--help"],
    ["predict", "nofile.mp4"],
    ["predict", "a.mp4", "--window", "-1"],
    ["predict", "a.mp4", "--windw", "4"],
    ["predict", "a.mp4", "--model", "no-run"],
    ["predict", "a.mp4", "--device", "tpu"],
    ["predict", "a.mp4", "--draw", "why.gif"],
    ["train", "--help"],
    ["train", "laiar", "--help"],
    ["train", "pvlr", "--help"],
    ["train", "locate-gat", "--help"],
    ["train", "laiar", "--data", "cad120", "--out", "run", "--root", "missing"],
    ["train", "laiar", "--data", "cad120", "--out", "run", "--model.widht", "3"],
    ["train", "locate-gat", "--data", "synthetic", "--out", "run", "--heads", "5"],
    ["eval", "--help"],
    ["eval", "no-run"],
    ["extract", "--help"],
    ["extract", "a.mp4", "--out", "x", "--snippet-seconds", "0"],
    ["demo", "--help"],
    ["demo", "--action", "nonsense"],
    ["data", "--help"],
    ["data", "make", "--help"],
    ["data", "check", "cad120", "--root", "missing"],
    ["data", "convert", "--help"],
    ["data", "prepare", "--help"],
    ["data", "draw", "--help"],
    ["data", "verify", "missing"],
    ["report", "--help"],
    ["report", "none.json"],
    ["reproduce", "--help"],
    ["reproduce", "nonsense"],
    ["serve", "--help"],
    ["doctor", "--help"],
    ["nonsense"],
]


def imported(code: str, folder: Path) -> dict[str, list[str]]:
    """Run Python that prints JSON, in a folder of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_help_and_mistakes_are_answered_before_anything_slow_is_imported(tmp_path: Path) -> None:
    code = f"""
import contextlib, io, json, sys
from whyact.cli import main
found = {{}}
for words in {AT_ONCE!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(words)
    assert code == (0 if "--help" in words else 2), (words, code)
    slow = sorted(set({HEAVY!r}) & set(sys.modules))
    if slow:
        found[" ".join(words)] = slow
        break
print(json.dumps(found))
"""
    assert imported(code, tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_method_is_imported_without_what_only_training_needs(tmp_path: Path) -> None:
    code = f"""
import json, sys, torch
before = set(sys.modules)
import whyact.laiar, whyact.pvlr, whyact.locate_gat
whyact.laiar.LaIAR, whyact.laiar.LaIARConfig, whyact.pvlr.PVLR, whyact.locate_gat.LoCATeGAT
slow = sorted((set({HEAVY!r}) & set(sys.modules)) - before)
print(json.dumps({{"slow": slow}}))
"""
    assert imported(code, tmp_path) == {"slow": []}


def test_an_answer_needs_no_trainer_no_classical_learner_and_no_model_zoo(tmp_path: Path) -> None:
    from made_videos import write_clip

    whyact = pytest.importorskip("whyact.api")
    if not whyact.BUNDLED.is_dir():
        pytest.skip("this installation has no bundled model")
    write_clip(tmp_path / "a.mp4", 12)
    code = """
import json, sys, whyact
answer, = whyact.load(device="cpu").predict("a.mp4")
names = ("lightning", "sklearn", "torchvision", "torch._dynamo", "open_clip", "torchmetrics")
print(json.dumps({"slow": [name for name in names if name in sys.modules], "label": answer.label}))
"""
    assert imported(code, tmp_path)["slow"] == []
