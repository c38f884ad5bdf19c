"""From one clip to a million: two workers against one, an index of a million clips, and what a clip costs."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.run import REPEATS
from whyact.engines.run import open_pool, run_in
from whyact.engines.work import Engine, Job
from whyact.files import sha256
from whyact.reproduce import results

FULL = REPEATS
SECONDS = 66.0  # of work for one worker, start-up excluded: the aim speaks of at least 60, and the estimate is rough
FILMS = 24  # that workers answer
CLIPS = 1_000_000
ACCESSES = 20_000
CLIP_SECONDS = 10.0
MACHINES, CORES = (1, 10, 100), 16
READER = """
import json, random, resource, sys, time
from pathlib import Path
started = time.perf_counter()
from whyact.features.store import FeatureStore
store = FeatureStore(Path(sys.argv[1]), "bench")
opened = time.perf_counter() - started
clips, accesses, chance = int(sys.argv[2]), int(sys.argv[3]), random.Random(0)
assert len(store) == clips
seconds = []
for _ in range(accesses):
    number = chance.randrange(clips)
    at = time.perf_counter()
    found = store.get(f"clip {number}")
    seconds.append(time.perf_counter() - at)
    assert found.features[0, 0] == number % 1000
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
seconds.sort()
print(json.dumps({"open": opened, "mb": peak, "mean": 1000 * sum(seconds) / len(seconds),
                  "p99": 1000 * seconds[int(0.99 * len(seconds))]}))
"""


def engine(repeats: int) -> list[results.Row]:
    """Compare two single-thread workers with one on encoding, on Ray and on local processes."""
    quick = repeats < FULL
    return [_two_against_one(name, 0.5 if quick else SECONDS) for name in ("ray", "local")]


def predict(repeats: int) -> list[results.Row]:
    """Compare two single-thread workers with one on answering video files, on Ray and on local processes."""
    from benchmarks.video import write_video

    count, seconds = (4, 1) if repeats < FULL else (FILMS, CLIP_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        films = [write_video(Path(folder) / f"{i}.mp4", int(25 * seconds), 12, seed=i) for i in range(count)]
        return [_two_answer_films(name, [str(film) for film in films]) for name in ("ray", "local")]


def _two_answer_films(name: Any, films: list[str]) -> results.Row:
    from whyact.api import load
    from whyact.prediction import to_json

    model, seconds, answers = load(device="cpu"), {}, {}
    for workers in (1, 2):
        started = time.perf_counter()
        answers[workers] = to_json(model.predict(*films, engine=Engine(name, workers)))
        seconds[workers] = time.perf_counter() - started
    same = "identical" if answers[1] == answers[2] else "DIFFERENT"
    made = results.row(
        "scale-predict", f"{name}, two workers / one worker", "speed_ratio", [seconds[1] / seconds[2]], unit="x"
    )
    made.note = (
        f"{len(films)} generated films through the bundled LaIAR, one thread a worker, start-up of the workers "
        f"included: {seconds[1]:.1f} s and {seconds[2]:.1f} s; answers {same}; the aim is 1.7, on two free cores"
    )
    return made


def store(repeats: int) -> list[results.Row]:
    """Measure memory and access of a feature store's readers: a million clips of tiny vectors, or 20,000 if quick."""
    clips = CLIPS if repeats >= FULL else CLIPS // 50
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        _fill(Path(folder), clips)
        wrote = time.perf_counter() - started
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", READER, folder, str(clips), str(min(clips, ACCESSES))],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        found: list[dict[str, float]] = [json.loads(reader.communicate()[0]) for reader in readers]
        size = (Path(folder) / "index.bin").stat().st_size / 2**20
    note = (
        f"{clips:,} clips of one row of 4 numbers, 256 a shard; two readers at once, {min(clips, ACCESSES):,} random "
        f"accesses each with bytes checked; opened in {max(one['open'] for one in found):.1f} s, index {size:.0f} MiB, "
        f"written in {wrote:.0f} s; aims: 300 MB resident, 1 ms an access"
    )
    name = f"{clips:,} clips"
    units = {"mb": ("resident_peak", "MiB"), "mean": ("access_mean", "ms"), "p99": ("access_p99", "ms")}
    return [
        results.row("scale-store", name, metric, [one[key] for one in found], unit=unit, note=note)
        for key, (metric, unit) in units.items()
    ]


def extract(folder: str, *videos: str) -> None:
    """Extract features of videos in this process, and print what each took: CPU seconds, KiB, and the peak in MiB."""
    import torch

    from benchmarks.memory import peak_mib
    from whyact.data.untrimmed.snippet_files import extract_one, load_streams

    torch.set_num_threads(1)
    target = ("clip:RN50", "random") if find_spec("open_clip") else None
    streams = load_streams(["s3d"], ["random"], target, 0.64)
    out = Path(folder) / "out"

    def size() -> float:
        return sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1024

    seconds, sizes = [], []
    for video in map(Path, videos):
        before, started = size(), time.process_time()
        outcome = extract_one(video.stem, video, out, streams)
        if outcome.state != "new":
            raise RuntimeError(f"{video}: {outcome}")
        seconds.append(time.process_time() - started)
        sizes.append(size() - before)
    print(json.dumps({"seconds": seconds, "bytes": sizes, "mb": peak_mib(), "target": target is not None}))


def cost(repeats: int) -> list[results.Row]:
    """Measure what extraction costs a clip of ten seconds, and reckon what a million cost on 1, 10 and 100 machines."""
    from benchmarks.video import write_video

    count = 1 if repeats < FULL else 6
    program = "import sys; from benchmarks.scale import extract; extract(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as folder:
        videos = [write_video(Path(folder) / f"{i}.mp4", int(25 * CLIP_SECONDS), 12, seed=i) for i in range(count)]
        made = json.loads(
            subprocess.run(
                [sys.executable, "-c", program, folder, *map(str, videos)], check=True, stdout=subprocess.PIPE
            ).stdout
        )
    mean, kib = statistics.fmean(made["seconds"]), statistics.fmean(made["bytes"])
    note = (
        f"{count} generated clips of {CLIP_SECONDS:.0f} s, 320x240, snippets of 0.64 s, one thread: S3D for the input "
        + ("and CLIP RN50 for the target, " if made["target"] else "alone (open_clip_torch is not installed), ")
        + "random weights (the cost is that of trained ones); float16"
    )
    plan = f"a million such clips, {CORES} workers a machine, at the measured processor seconds a clip; no reserve"
    rows = [
        results.row("scale-cost", "one clip", "processor_seconds", made["seconds"], unit="s", note=note),
        results.row("scale-cost", "one clip", "storage", made["bytes"], unit="KiB", note=note),
        results.row("scale-cost", "one worker", "memory", [made["mb"]], unit="MiB", note=note),
        results.row("scale-cost", "a million clips", "storage", [kib * CLIPS / 2**20], unit="GiB"),
    ]
    for machines in MACHINES:
        days = mean * CLIPS / (machines * CORES) / 86400
        name = f"a million clips, {machines} machine{'s' * (machines > 1)}"
        rows.append(results.row("scale-cost", name, "wall_clock", [days], unit="days", note=plan))
    return rows


def load_network(settings: None) -> Any:
    """Load the encoder, in a worker."""
    import torch

    from whyact.features.kinetics import load_encoder

    torch.set_num_threads(1)
    return load_encoder("s3d", "random")


def encode(network: Any, number: int) -> str:
    """Encode one snippet of noise that the number stands for; return the SHA-256 of its vector."""
    frames = np.random.default_rng(number).integers(0, 255, (16, 120, 160, 3), np.uint8)
    return sha256(network.encode(network.prepare(frames)[None]).numpy().tobytes())


def _two_against_one(name: Any, wanted: float) -> results.Row:
    seconds: dict[int, float] = {}
    outputs: dict[int, list[Any]] = {}
    items = 2
    for workers in (1, 2):
        with open_pool(Engine(name, workers), Job(load_network, encode), workers) as pool:
            run_in(pool, [0] * (2 * workers))  # starts the workers and warms them up
            if workers == 1:
                started = time.perf_counter()
                run_in(pool, [0, 0])
                items = max(4, math.ceil(2 * wanted / (time.perf_counter() - started)))
            started = time.perf_counter()
            outputs[workers] = run_in(pool, range(items))
            seconds[workers] = time.perf_counter() - started
    same = "identical" if outputs[1] == outputs[2] else "DIFFERENT"
    made = results.row(
        "scale-engine", f"{name}, two workers / one worker", "speed_ratio", [seconds[1] / seconds[2]], unit="x"
    )
    made.note = (
        f"{items} snippets through S3D, one thread a worker, start-up excluded: {seconds[1]:.1f} s and "
        f"{seconds[2]:.1f} s; outputs {same}; at least 1.7 is aimed at, on two free cores and 60 s of work"
    )
    return made


def _fill(folder: Path, clips: int) -> None:
    from whyact.features.store import FeatureStore

    times = np.zeros(1)
    with FeatureStore(folder, "bench", 256) as made:
        for number in range(clips):
            made.add(f"clip {number}", "k", np.full((1, 4), number % 1000, np.float16), times, 1.0)
