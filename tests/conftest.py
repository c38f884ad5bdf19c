"""Settings for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A time limit for each example would make a slow machine a failing one.
settings.register_profile("whyact", deadline=None, print_blob=True)
settings.load_profile("whyact")

RAY_WAITS = (  # seconds, and one attempt a second
    "RAY_raylet_start_wait_time_s",
    "RAY_raylet_client_num_connect_attempts",
    "RAY_GCS_SERVER_REQUEST_TIMEOUT_SECONDS",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    missing = {}
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            missing["gpu"] = "needs a CUDA device; whyact doctor says what torch sees"
    if not any(shutil.which(name) for name in BROWSERS):
        missing["browser"] = f"needs a browser: one of {', '.join(BROWSERS)}"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a headless browser of this machine; for tests with the mark of that name."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of whyact[dev]")
    program = next(path for name in BROWSERS if (path := shutil.which(name)))
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Start one local Ray cluster for all tests: it takes seconds. Commands that ask for Ray meet in it."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'whyact[ray]'")
    from whyact.engines.ray import _start
    from whyact.errors import UserError

    before = dict(os.environ)
    modules = [str(Path(__file__).parent / "engines"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(modules), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "7"}
    os.environ |= dict.fromkeys(RAY_WAITS, "600")
    for left in (2, 1, 0):
        try:
            _start(ray, 2, "")
            break
        except UserError:  # its parts wait for each other with limits of their own, too short for a busy machine
            ray.shutdown()
            if not left:
                raise
    os.environ.clear()
    os.environ.update(before)
    yield
    ray.shutdown()
