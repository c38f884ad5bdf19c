"""What the studio lets in, and for how long it keeps it."""

from __future__ import annotations

from dataclasses import dataclass

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of one upload and of all of them.

    Attributes:
        size: Bytes of an upload.
        seconds: Length of a video.
        work: Wall-clock seconds that one job may take; its worker is stopped then.
        ask: The same for a question about an answer.
        memory: Bytes that a worker may use beyond its models.
        waiting: Jobs in the queue; further ones are refused.
        kept: Answered jobs that stay; the oldest go first.
        keep: Seconds that an answered job stays.
        train: Wall-clock seconds that one training may take.
        clips: Clips of one training; ``clip_bytes`` bytes of them together.
        compared: Films that two models are compared over at a time.
        trainings: Trainings that are collected, waiting or running at a time; further ones are refused.
    """

    size: int = 500 * MB
    seconds: float = 600.0
    work: float = 900.0
    ask: float = 60.0
    memory: int = 4096 * MB
    waiting: int = 16
    kept: int = 20
    keep: float = 3600.0
    train: float = 6 * 3600.0
    clips: int = 500
    clip_bytes: int = 4096 * MB
    compared: int = 100
    trainings: int = 8
