"""Speed, as the ratio of two things measured in the same run: more than 1 means that the first is faster."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from benchmarks.compare import Regression, read_stored, regressions
from benchmarks.memory import can_measure, peak_mib, start_peak
from whyact.errors import UserError
from whyact.reproduce import results

Work = Callable[[], object]
QUICK, REPEATS = 5, 21
_ON_THIS_DAY, _STORED = "measured on this day: ", "; the other rows as they were stored"


def run_benches(
    names: Sequence[str],
    *,
    quick: bool = False,
    out: Path | None = None,
    stored: Path | None = None,
    accept: bool = False,
    update: bool = False,
    as_json: bool = False,
) -> list[Regression]:
    """Run benchmarks, print the document, and compare its ratios with the stored ones.

    A benchmark with a ratio that fell is run once more, and the better run of the two counts.

    Args:
        names: Out of :data:`BENCHES`.
        quick: Few repeats.
        out: The folder for ``bench.md`` and ``bench.json``; they are not written when a ratio fell.
        stored: The JSON file that an earlier run wrote, if it is there.
        accept: Write them all the same: what fell was meant to.
        update: Keep the stored rows of the other benchmarks, and say which were measured anew.
        as_json: Print the document as JSON.

    Returns:
        What fell too far below the stored ratio.

    Raises:
        UserError: After the others are done, when a benchmark failed.
    """
    known = read_stored(stored) if stored is not None else []
    rows: list[results.Row] = []
    worse: list[Regression] = []
    failed: list[str] = []
    for name in names:
        print(f"bench {name} ...", file=sys.stderr, flush=True)
        try:
            found = _measured(name, quick)
        except Exception:  # half an hour of the others must not be lost with it
            traceback.print_exc()
            failed.append(name)
            continue
        fell = regressions(found, known)
        if fell:
            again = _measured(name, quick)
            if len(left := regressions(again, known)) < len(fell):
                found, fell = again, left
        for row in found:
            print(f"  {row.row}: {row.metric} {row.mean:.4g} {row.unit}".rstrip(), file=sys.stderr, flush=True)
        rows += found
        worse += fell
    command = " ".join(["python -m benchmarks", *([] if list(names) == list(BENCHES) else names), *["--quick"] * quick])
    head = results.header("bench", command)
    names = [name for name in names if name not in failed]
    if (update or failed) and known:
        data = _ON_THIS_DAY + ", ".join(_of_this_day(stored, head.date, names)) + _STORED
        head = results.header("bench", "python -m benchmarks", data=data)
        rows = merged(rows, known, names)
    if out is not None and (accept or not worse):
        results.write_results("bench", head, rows, out)
    print(results.to_json(head, rows) if as_json else results.to_markdown(head, rows), end="", flush=True)
    if failed:
        raise UserError("NAME", ", ".join(failed), "benchmarks that end", "see the error above")
    return [] if accept else worse


def _of_this_day(stored: Path | None, today: str, names: Sequence[str]) -> list[str]:
    """Return the benchmarks that a document has of today: these, and those that an update earlier today named."""
    earlier: list[str] = []
    if stored is not None:
        head = results.from_json(stored.read_bytes()).header
        if head.date == today and head.data.startswith(_ON_THIS_DAY):
            earlier = head.data.removeprefix(_ON_THIS_DAY).removesuffix(_STORED).split(", ")
    return [name for name in BENCHES if name in (*earlier, *names)]


def merged(new: Sequence[results.Row], stored: Sequence[results.Row], names: Sequence[str]) -> list[results.Row]:
    """Return the stored rows with those of the benchmarks ``names`` replaced, in the order of :data:`BENCHES`."""

    def of(row: results.Row) -> str:
        return row.row if row.table == "memory" else row.table

    kept = [row for row in stored if of(row) not in names and of(row) in BENCHES]
    order = list(BENCHES)
    return sorted([*kept, *new], key=lambda row: order.index(of(row)))


def _measured(name: str, quick: bool) -> list[results.Row]:
    """Run one benchmark; its last row is the most memory that this process held meanwhile."""
    if not can_measure():
        return BENCHES[name](QUICK if quick else REPEATS)
    start_peak()
    rows = BENCHES[name](QUICK if quick else REPEATS)
    note = "resident in this process at its highest, with torch and what earlier benchmarks left loaded"
    return [*rows, results.row("memory", name, "peak", [peak_mib()], unit="MiB", note=note)]


def ratio(table: str, first: str, second: str, work: tuple[Work, Work], repeats: int, note: str = "") -> results.Row:
    """Time two pieces of work in turn and return the row with ``seconds(second) / seconds(first)``, higher is better.

    Each is run once before, unmeasured. ``sd`` is over the repeats; ``mean`` is the ratio of the medians.
    """
    for one in work:
        one()
    pairs = [(_seconds(work[0]), _seconds(work[1])) for _ in range(repeats)]
    ratios = [b / a for a, b in pairs]
    median = statistics.median(b for _, b in pairs) / statistics.median(a for a, _ in pairs)
    made = results.row(table, f"{first} / {second}", "speed_ratio", ratios, unit="x", note=note)
    made.mean = median
    return made


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside: timings on a shared machine vary less, and sides compare alike."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def training(repeats: int) -> list[results.Row]:
    """Compare a step of :func:`whyact.training.fit.fit` with one of a plain loop, on a small model."""
    import torch
    from torch import Tensor, nn

    from whyact.training.fit import fit
    from whyact.training.trainable import Optimization, StepOutput, Trainable

    class Small(Trainable):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))

        def training_step(self, batch: Tensor, step: int) -> StepOutput:
            return StepOutput(self.net(batch).square().mean(), rows=len(batch))

        def configure_optimizers(self) -> Optimization:
            return Optimization(torch.optim.AdamW(self.parameters()))

    batches = [torch.randn(32, 64) for _ in range(200)]

    def plain() -> None:
        module = Small()
        optimizer = module.configure_optimizers().optimizer
        for batch in batches:
            loss = module.net(batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()

    def through_fit() -> None:
        fit(Small(), batches, epochs=1, seed=0, device="cpu", progress=False)

    note = "a step of this model takes well under a millisecond: the worst case for fit"
    with one_thread():
        return [ratio("training", "fit", "plain-loop", (through_fit, plain), repeats, note)]


def start(repeats: int) -> list[results.Row]:
    """Compare ``whyact --help`` with a Python that does nothing, and importing a method with importing torch."""

    def run(*words: str) -> Work:
        return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    helped = (run("-m", "whyact", "--help"), run("-c", "pass"))
    model = "import whyact.laiar, whyact.laiar.task; whyact.laiar.LaIAR"  # all that an answer and a training need
    method = (run("-c", model), run("-c", "import torch"))
    return [
        ratio("start", "whyact-help", "empty-python", helped, repeats, "must be at least 0.05"),
        ratio("start", "import-laiar", "import-torch", method, repeats, "must be at least 0.77, that is 1 / 1.3"),
    ]


def _seconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _later(target: str) -> Callable[[int], list[results.Row]]:
    """Return a benchmark ``module:function`` that is imported when it runs."""
    module, _, name = target.partition(":")
    return lambda repeats: getattr(import_module(module), name)(repeats)


BENCHES: dict[str, Callable[[int], list[results.Row]]] = {
    "start": start,
    "training": training,
    "laiar-gather": _later("benchmarks.laiar:gather"),
    "action-genome": _later("benchmarks.charades:action_genome"),
    "pvlr-detection": _later("benchmarks.pvlr:detection"),
    "pvlr-proposals": _later("benchmarks.pvlr:proposals"),
    "pvlr-activation": _later("benchmarks.pvlr:activation"),
    "pvlr-evaluation": _later("benchmarks.pvlr:evaluation"),
    "own-clips": _later("benchmarks.clips:own_clips"),
    "studio": _later("benchmarks.studio:answers"),
    "studio-load": _later("benchmarks.studio:load"),
    "video-decoding": _later("benchmarks.video:decoding"),
    "video-extraction": _later("benchmarks.video:extraction"),
    "video-long": _later("benchmarks.long:long_video"),
    "scale-engine": _later("benchmarks.scale:engine"),
    "scale-store": _later("benchmarks.scale:store"),
    "scale-cost": _later("benchmarks.scale:cost"),
    "scale-predict": _later("benchmarks.scale:predict"),
    "locate-gat-epoch": _later("benchmarks.locate_gat:epoch"),
    "locate-gat-lca": _later("benchmarks.locate_gat:lca"),
    "locate-gat-scoring": _later("benchmarks.locate_gat:scoring"),
}
