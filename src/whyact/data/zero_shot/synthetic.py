"""A generated zero-shot world whose right answers are known in advance: no CLIP, no data set.

``appearance``: classes differ in what is seen. ``temporal``: classes 2k and 2k+1 look the same and differ only in
the direction of a change over time, so a mean over frames cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from whyact.data.types import FeatureSequence
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData

SECONDS_PER_FRAME = 0.5


@dataclass(frozen=True)
class SyntheticSpec:
    """Sizes of the generated world; the defaults are those of the protocol."""

    seen: int = 30
    unseen: int = 10
    auxiliary: int = 30
    width: int = 128
    latent: int = 10
    frames: int = 8
    groups: int = 12
    train_videos: int = 12
    held_out_videos: int = 4
    unseen_videos: int = 12


def generate(
    mode: Literal["appearance", "temporal"], seed: int, spec: SyntheticSpec | None = None
) -> tuple[ZeroShotData, ClassSplit]:
    """Generate videos (T,D), class texts (C,D) and the one split; the same seed gives the same bits.

    Class latent z_c (R,); text = 8 mt + 1.5 z_c A + tau s_c w + noise;
    frame = 8 mv + 1.5 (z_c + 0.6 noise)(0.2 A + 0.98 A') + tau s_c ramp(t) u + 0.15 noise, tau = 4 in temporal mode.
    """
    spec = spec or SyntheticSpec()
    rng = np.random.default_rng([0x10CA7E, seed])
    tau = 4.0 if mode == "temporal" else 0.0
    total, r, d = spec.seen + spec.unseen + spec.auxiliary, spec.latent, spec.width
    basis = np.linalg.qr(rng.standard_normal((d, 2 * r + 4)))[0].T
    text_side, video_side = basis[:r], 0.2 * basis[:r] + 0.98 * basis[r : 2 * r]
    mean_text, mean_video, change, said = basis[2 * r :]

    group = rng.standard_normal((spec.groups, r))
    look_of = np.arange(total) // 2 if mode == "temporal" else np.arange(total)
    z = (0.7 * group[np.arange(total) % spec.groups] + 0.7 * rng.standard_normal((total, r)))[look_of]
    sign = np.where(np.arange(total) % 2 == 0, 1.0, -1.0)
    text = 8 * mean_text + 1.5 * z @ text_side + tau * sign[:, None] * said + 0.05 * rng.standard_normal((total, d))

    ramp = np.linspace(-1.0, 1.0, spec.frames)
    videos = []
    for c in range(spec.seen + spec.unseen):
        for i in range(spec.train_videos + spec.held_out_videos if c < spec.seen else spec.unseen_videos):
            look = 8 * mean_video + 1.5 * (z[c] + 0.6 * rng.standard_normal(r)) @ video_side
            frames = look + tau * sign[c] * ramp[:, None] * change + 0.15 * rng.standard_normal((spec.frames, d))
            videos.append(
                FeatureSequence(
                    id=f"{mode}-{c:02d}-{i:02d}",
                    features=frames.astype(np.float32),
                    times=np.arange(spec.frames, dtype=np.float64) * SECONDS_PER_FRAME,
                    rate=1 / SECONDS_PER_FRAME,
                    target=(c,),
                )
            )
    # every world has its own names: a run of one must not pass for a run of another
    names = tuple(f"{mode} action {seed}.{c:02d}" for c in range(total))
    known = spec.seen + spec.unseen
    data = ZeroShotData(
        name=f"synthetic-{mode}",
        classes=names[:known],
        text=text[:known].astype(np.float32),
        videos=tuple(videos),
        semantics="generated vectors",
        auxiliary=names[known:],
        auxiliary_text=text[known:].astype(np.float32),
    )
    return data, ClassSplit(f"synthetic-{mode}-{seed}", names[: spec.seen], names[spec.seen : known])
