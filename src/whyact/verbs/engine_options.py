"""The options that say where to compute, the same for every verb that has them."""

from __future__ import annotations

import argparse
import os

from whyact.devices import DEVICES, check_device
from whyact.engines.work import Engine
from whyact.errors import UserError
from whyact.verbs.parser import whole_number


def add_engine(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--engine``, ``--workers`` and ``--address``; ``what`` is what is split among the workers."""
    parser.add_argument(
        "--engine",
        choices=["local", "ray"],
        help=f"split the work by {what} among single-threaded workers: processes here, or a Ray cluster "
        "(default: this process only)",
    )
    parser.add_argument("--workers", metavar="N", type=whole_number, help="how many workers (default: cores here)")
    parser.add_argument("--address", metavar="ADDRESS", default="", help="a running Ray cluster (default: a new one)")


def add_device(
    parser: argparse.ArgumentParser, default: str = "auto", note: str = "auto, the first GPU or else the CPU"
) -> None:
    """Add ``--device``; ``note`` says what the default is."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        type=lambda name: check_device(name, "--device"),
        default=default,
        help=f"{DEVICES} (default: {note})",
    )


def read_engine(args: argparse.Namespace) -> Engine | None:
    """Return the engine that a command line asks for, or ``None`` for this process only.

    Raises:
        UserError: For options that need an engine, or for no worker at all.
    """
    if args.address and args.engine != "ray":
        raise UserError("--address", args.address, "--engine ray beside it")
    if args.workers is not None and args.engine is None:
        raise UserError("--workers", args.workers, "--engine local or --engine ray beside it")
    if args.workers == 0:
        raise UserError("--workers", 0, "at least 1")
    if args.engine is None:
        return None
    return Engine(args.engine, args.workers or cores(), args.address)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
