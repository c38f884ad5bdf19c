"""``whyact doctor``: what works in this installation, what does not, and how to fix it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from whyact.files import SHIPPED
from whyact.verbs.parser import Parser, print_json

_EXAMPLES = ("whyact doctor", "whyact doctor --json")
_REINSTALL = "pip install --upgrade --force-reinstall whyact"
CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
GIB = 2**30
SELF_TEST_SECONDS = 2.0  # the length of the generated clip


@dataclass(frozen=True)
class Finding:
    """A result of a check: ``ok``, a ``note`` (works, but worth knowing) or ``broken``; ``advice`` says what to do."""

    name: str
    state: Literal["ok", "note", "broken"]
    found: str
    advice: str = ""


def run(argv: list[str]) -> int:
    """Run all checks, print every finding, and return 1 when something essential is broken."""
    parser = Parser(
        "doctor",
        "Check this installation, and say how to fix what does not work.\n"
        "Nothing is downloaded, sent or changed. The exit code is 1 when something essential is broken.",
        _EXAMPLES,
        "the findings",
    )
    args = parser.parse_args(argv)
    found: list[Finding] = []
    for name, check in CHECKS.items():
        new = run_check(name, check)
        found += new
        if not args.json:
            for finding in new:
                print(format_finding(finding), flush=True)
    broken = [finding for finding in found if finding.state == "broken"]
    if args.json:
        print_json({"ok": not broken, "findings": [asdict(finding) for finding in found]})
    else:
        names = ", ".join(dict.fromkeys(finding.name for finding in broken))
        print(f"\nBroken: {names}. The arrows say how to fix it." if broken else "\nEverything essential works.")
    return 1 if broken else 0


def run_check(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a check; a check that fails is a finding too."""
    try:
        return list(check())
    except Exception as error:
        return [Finding(name, "broken", f"{type(error).__name__}: {' '.join(str(error).split())}", _REINSTALL)]


def format_finding(finding: Finding) -> str:
    """Write a finding for a terminal; the arrow leads to what to do."""
    mark = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}[finding.state]
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    fill = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    lines = [fill(f"{mark}  {finding.name:<13} {finding.found}", subsequent_indent=" " * 22)]
    if finding.advice:
        lines.append(f"{'':21} -> {finding.advice}")  # on one line, so that a command can be copied
    return "\n".join(lines)


def packages() -> list[Finding]:
    """Compare Python and the required packages with what whyact needs."""
    from packaging.requirements import Requirement

    python = ".".join(map(str, sys.version_info[:3]))
    wanted = str(metadata.metadata("whyact")["Requires-Python"])
    found = [Finding("python", "ok", f"{python} (needs {wanted}), whyact {metadata.version('whyact')}")]
    good: list[str] = []
    for need in map(Requirement, metadata.requires("whyact") or ()):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        if version and need.specifier.contains(version, prereleases=True):
            good.append(f"{need.name} {version}")
        else:
            found.append(Finding("packages", "broken", f"{need.name} {version or 'missing'}", f"pip install '{need}'"))
    return [*found, Finding("packages", "ok", ", ".join(good))]


def torch_pair() -> list[Finding]:
    """Check that torch and torchvision are a matching pair: torchvision's compiled operators load and compute."""
    from packaging.requirements import Requirement

    torch_version, vision = _version("torch"), _version("torchvision")
    pair = f"torch {torch_version} with torchvision {vision}"
    advice = "install both in one command: pip install --upgrade --force-reinstall torch torchvision"
    for need in map(Requirement, metadata.requires("torchvision") or ()):
        if need.name == "torch" and not need.specifier.contains(torch_version, prereleases=True):
            return [Finding("torch pair", "broken", f"{pair}, which wants torch{need.specifier}", advice)]
    try:
        import torch
        from torchvision.ops import nms

        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    except Exception as error:  # a pair that does not match fails with RuntimeError, ImportError or OSError
        return [Finding("torch pair", "broken", f"{pair}: {' '.join(str(error).split())[:200]}", advice)]
    if kept != [0, 2]:
        return [Finding("torch pair", "broken", f"{pair}: torchvision::nms answers {kept}, not [0, 2]", advice)]
    return [Finding("torch pair", "ok", f"{pair}: torchvision::nms works")]


def device() -> list[Finding]:
    """Report what trainings and encoders run on."""
    import torch

    if torch.cuda.is_available():
        facts = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return [Finding("device", "ok", ", ".join(f"{f.name}, {f.total_memory / GIB:.0f} GiB" for f in facts))]
    if torch.backends.mps.is_available():
        return [Finding("device", "ok", "Apple GPU (mps)")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "enough to try everything; with an NVIDIA GPU in this machine, see what nvidia-smi says"
    return [Finding("device", "note", f"CPU only: {cores} cores, no GPU that torch {torch.__version__} sees", advice)]


def decoders() -> list[Finding]:
    """Check the codecs of common videos, and the encoder for drawn ones."""
    import av

    missing = [codec for codec in CODECS if codec not in av.codecs_available]
    if "h264" in missing:
        return [Finding("decoders", "broken", "no H.264", "pip install --force-reinstall --only-binary av av")]
    have = f"av {av.__version__}: {', '.join(codec for codec in CODECS if codec not in missing)}"
    found = [Finding("decoders", "ok", have)]
    if missing:
        found.append(Finding("decoders", "note", f"no {', '.join(missing)}", "convert such videos to H.264 first"))
    if "libx264" not in av.codecs_available:
        found.append(Finding("encoder", "note", "no libx264: drawn videos are MPEG-4", "a wheel of av carries it"))
    return found


def extras() -> list[Finding]:
    """List the optional extras that are installed."""
    from packaging.requirements import Requirement

    by_extra: dict[str, list[Requirement]] = {}
    for need in map(Requirement, metadata.requires("whyact") or ()):
        for extra in metadata.metadata("whyact").get_all("Provides-Extra") or ():
            marker = need.marker
            if extra != "dev" and marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                by_extra.setdefault(extra, []).append(need)
    found = []
    for extra, needs in by_extra.items():
        missing = [n.name for n in needs if not n.specifier.contains(_version(n.name) or "0", prereleases=True)]
        if missing:
            advice = f"only if you need it: pip install 'whyact[{extra}]'"
            found.append(Finding(f"extra {extra}", "note", f"without {', '.join(missing)}", advice))
        else:
            have = ", ".join(f"{n.name} {_version(n.name)}" for n in needs)
            found.append(Finding(f"extra {extra}", "ok", have))
    return found


def cache() -> list[Finding]:
    """Check the folder in which torchvision keeps downloaded weights, without creating it."""
    import torch

    folder = Path(torch.hub.get_dir())
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        step = "set TORCH_HOME to a folder that can be written"
        return [Finding("cache", "note", f"{_home(folder)} cannot be written", step)]
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
    return [Finding("cache", "ok", f"{_home(folder)}, {size / GIB:.1f} GiB of downloaded weights")]


def disk() -> list[Finding]:
    """Check the free space where runs are written (here) and where temporary files go."""
    found = []
    for name, folder in (("disk, here", Path.cwd()), ("disk, temp", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        text = f"{free / GIB:.1f} GiB free in {_home(folder)}"
        step = "free some space, or work elsewhere" if name == "disk, here" else "free some, or set TMPDIR"
        state: Any = "broken" if free < GIB / 10 else "note" if free < 2 * GIB else "ok"
        found.append(Finding(name, state, text, "" if state == "ok" else step))
    return found


def shipped() -> list[Finding]:
    """Verify every byte of the models that are bundled with the package."""
    from whyact.errors import UserError
    from whyact.training.checkpoint import load_checkpoint

    if not SHIPPED.is_dir():
        return [
            Finding(
                "shipped model",
                "note",
                "none in this installation",
                "whyact train laiar --help",
            )
        ]
    found = []
    for card in sorted(SHIPPED.rglob("card.json")):
        folder = card.parent
        name = folder.relative_to(SHIPPED).as_posix()
        try:
            checkpoint = load_checkpoint(folder)
        except UserError as error:
            found.append(Finding("shipped model", "broken", str(error), _REINSTALL))
        else:
            count = sum(tensor.numel() for tensor in checkpoint.tensors.values())
            found.append(Finding("shipped model", "ok", f"{name}: {count:,} numbers, SHA-256 as its card says"))
    return found or [Finding("shipped model", "broken", "a folder without one", _REINSTALL)]


def self_test() -> list[Finding]:
    """Write a clip of two seconds, decode it, and pool a box of every frame, as a prediction does."""
    import numpy as np
    import torch
    from torchvision.ops import roi_align

    from whyact.video.decode import decode
    from whyact.video.write import write_video

    started = time.perf_counter()
    count = int(SELF_TEST_SECONDS * 25)
    grey = np.linspace(20, 230, count).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        clip = write_video(
            Path(folder) / "clip.mp4", (np.full((96, 128, 3), value, np.uint8) for value in grey), fps=25.0
        )
        video = decode(clip, 8)
    pixels = torch.from_numpy(video.frames).permute(0, 3, 1, 2).float()
    rois = torch.tensor([[i, 16.0, 16, 112, 80] for i in range(len(pixels))])
    seen = roi_align(pixels, rois, (4, 4)).mean((1, 2, 3)).numpy()
    off = float(np.abs(seen - grey[np.floor(video.times * 25 + 0.5).astype(int)]).max())
    took = f"{time.perf_counter() - started:.1f} s"
    if len(seen) != 8 or off > 4 or video.facts.degraded:
        text = f"{len(seen)} of 8 frames, brightness off by {off:.0f} of 255 {video.facts.degraded}".strip()
        return [Finding("self-test", "broken", text, "pip install --force-reinstall av torch torchvision")]
    text = f"a clip of {SELF_TEST_SECONDS:g} s written, decoded and pooled in {took}"
    return [Finding("self-test", "ok", text)]


CHECKS: dict[str, Callable[[], Iterable[Finding]]] = {
    "packages": packages,
    "torch pair": torch_pair,
    "device": device,
    "decoders": decoders,
    "extras": extras,
    "cache": cache,
    "disk": disk,
    "shipped model": shipped,
    "self-test": self_test,
}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _home(path: Path) -> str:
    """Return a path as it can be shown to others: with ``~`` for the home folder."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)
