"""``torchrun -m whyact train``: two processes, one run, and on from where it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from whyact.cli import main
from whyact.files import sha256
from whyact.training.checkpoint import load_checkpoint, tensors_sha256
from whyact.training.state import read_state

SMALL = {
    "pvlr": "--data synthetic --train.pairs 4 --train.iterations 100 --train.snippets 16",
    "locate-gat": "--data synthetic --preset synthetic --epochs 12 --gat_steps 2 --gat_hidden 8"
    " --mixer none --mix 0.4 --calibration 0.2",
    "laiar": "--data homeworld --optim.epochs 15 --data.frames 5 --data.slots 6 --model.width 16"
    " --model.layers 2 --model.heads 2",
}
MARK = 77.0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
@pytest.mark.parametrize("method", sorted(SMALL))
def test_two_processes_train_one_run_and_go_on_after_a_kill(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, root = tmp_path / "run", []
    if method == "laiar":
        from whyact.homeworld.write import write_world

        root = ["--root", str(write_world(tmp_path / "world", seed=3, subjects=2, videos_per_subject=1))]
    words = [method, *SMALL[method].split(), *root, "--out", str(out), "--json"]
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = {
        "args": [*command, "-m", "whyact", "train", *words],
        "env": {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }

    with subprocess.Popen(**started) as first:
        while not (states := list(out.rglob("training.safetensors"))) and first.poll() is None:
            time.sleep(0.01)
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        first.communicate(timeout=300)
    assert first.returncode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", *(["world"] if root else [])]
    assert [path.name for path in out.iterdir()] == ["state"]
    name = mark(states[0])

    with subprocess.Popen(**started) as second:
        printed, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors[-3000:]
    assert json.loads(printed)["data"] in words  # one process speaks
    run = load_checkpoint(out)
    assert run.card["method"] == method
    (marked,) = (tensor for key, tensor in run.tensors.items() if key.endswith(name.removeprefix("/model/model.")))
    assert float(marked.view(-1)[0]) > MARK / 2, "trained anew"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", *(["world"] if root else [])]
    assert main(["eval", str(out), *root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def mark(path: Path) -> str:
    """Write a number that no training finds into the weights of a state; return the name of the tensor."""
    from safetensors.torch import save_file

    described, tensors = read_state(path)
    name = next(name for name in sorted(tensors) if name.startswith("/model/") and name.endswith("bias"))
    for twin in [one for one in tensors.values() if torch.equal(one, tensors[name])]:  # shared weights have two names
        twin.view(-1)[0] = MARK
    text = json.dumps(described)
    save_file(tensors, path, {"training": text, "sha256": sha256(text + tensors_sha256(tensors))})
    return name
