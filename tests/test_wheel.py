"""The wheel holds what the package needs to run, and runs in an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif("WHYACT_WHEEL" not in os.environ, reason="installs gigabytes; run with: make test-wheel")
def test_the_wheel_runs_the_demo_in_an_empty_environment(tmp_path: Path) -> None:
    def run(*words: str | Path) -> str:
        bare = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run([str(w) for w in words], cwd=tmp_path, env=bare, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    wheel = built(tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(scripts / "python", "-m", "pip", "check")
    assert "Everything essential works." in run(scripts / "whyact", "doctor")
    assert "report" in run(scripts / "whyact", "demo")
    for module in ("benchmarks", "robustness", "tests"):
        with pytest.raises(AssertionError, match="No module named"):
            run(scripts / "python", "-m", module)


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="comes with the dev extra: pip install -e '.[dev]'")
    with zipfile.ZipFile(built(tmp_path)) as wheel:
        names = set(wheel.namelist())
    package = ROOT / "src" / "whyact"
    wanted = {
        f"whyact/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()
    assert {"whyact/report/templates/report.html.j2", "whyact/report/templates/style.css"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".pkl", ".pyc", ".mp4", ".ipynb"))]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"whyact"}, "neither tests nor measurement"
    assert {"fuzz", "faults", "bench"} & {Path(name).stem.partition("_")[0] for name in names} == set()


def built(folder: Path) -> Path:
    """Build the wheel into a folder and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel
