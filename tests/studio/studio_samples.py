"""A studio with workers that answer at once, behind a test client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs whyact[web]")
pytest.importorskip("httpx", reason="needs httpx, of whyact[dev]")
import stub_tasks
from fastapi.testclient import TestClient

from whyact.homeworld.vocabulary import VOCABULARY
from whyact.studio.app import create_app
from whyact.studio.jobs import Jobs
from whyact.studio.limits import Limits
from whyact.studio.trainings import Trainings

LIMITS = Limits(
    size=100_000, seconds=60, work=20, ask=20, waiting=32, kept=6, clips=30, clip_bytes=300_000, trainings=4
)


@dataclass
class Studio:
    """A client, the jobs behind it and the folder of corrections."""

    client: TestClient
    jobs: Jobs
    corrections: Path
    trainings: Trainings

    def send(self, body: bytes = stub_tasks.GOOD, name: str = "kitchen.mp4", **options: str) -> str:
        """Send a video and wait until its job has ended; return the job's id."""
        reply = self.client.post("/api/jobs", params={"name": name, **options}, content=body)
        assert reply.status_code == 202, reply.text
        id_: str = reply.json()["id"]
        assert self.jobs.get(id_).ended.wait(30)
        return id_


@pytest.fixture(scope="session")
def stub_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose card has the household's words; its weights are never read."""
    import torch

    from whyact.training.checkpoint import save_checkpoint

    v = VOCABULARY
    words = {
        "objects": list(v.objects),
        "relations": list(v.relations),
        "actions": list(v.actions),
        "allowed": [[a, b, list(names)] for (a, b), names in v.allowed.items()],
        "rules": [[r.action, r.before, r.after, r.subject, list(r.objects)] for r in v.rules],
        "groups": [],
        "multi_label": False,
    }
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    card = {"method": "laiar", "data": "homeworld", "split_sha256": "", "licence": "Apache-2.0", "seed": 0}
    save_checkpoint(folder, {"w": torch.zeros(1)}, {}, {**card, "metrics": {}, "extra": {"words": words}})
    return folder


@pytest.fixture
def open_studio(stub_run: Path, tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Return a function that opens a studio with these options; all are closed at the end."""
    made: list[Any] = []

    def opened(limits: Limits = LIMITS, base_url: str = "http://127.0.0.1:8000", **options: Any) -> Studio:
        models = dict.fromkeys(options.pop("models", ["tiny"]), stub_run)
        jobs = Jobs(models, limits, answering=stub_tasks.answer_tasks, asking=stub_tasks.ablation_tasks)
        options.setdefault("corrections", tmp_path / "corrections")
        teach = options.pop("teach", None)
        trainings = Trainings(jobs.models, limits, folder=teach, detector=str(stub_run), tasks=stub_tasks.train_tasks)
        client = TestClient(create_app(jobs, trainings, **options), base_url=base_url)
        client.__enter__()
        made.append((client, jobs, trainings))
        return Studio(client, jobs, tmp_path / "corrections", trainings)

    yield opened
    for client, jobs, trainings in made:
        client.__exit__(None, None, None)
        assert not trainings.root.exists(), "a closed studio leaves no clip"
        assert not jobs.root.exists(), "a closed studio leaves no file"


@pytest.fixture
def studio(open_studio: Callable[..., Studio]) -> Studio:
    """An open studio."""
    return open_studio()
