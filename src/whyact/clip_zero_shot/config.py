"""What plain CLIP can be asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whyact.data.io.tables import label_names, spelling
from whyact.errors import UserError
from whyact.files import check_single_input
from whyact.settings import setting

RATE = 2.0  # frames a second that a long video is looked at
NONE = "none of these"  # always among the answers


@dataclass(frozen=True)
class PredictOptions:
    """What an answer of plain CLIP can be asked with, on the command line and in Python."""

    labels: str | tuple[str, ...] | None = setting(
        None,
        "candidate actions: names with commas between them, or a text or CSV file of them",
        metavar="NAME,NAME|FILE",
    )
    clip: str = setting("ViT-B-16", "which CLIP answers, by open_clip's name (default: ViT-B-16)", metavar="NAME")
    clip_weights: str = setting(
        "openai", "its weights: a file, a tag of open_clip, or random (default: openai)", metavar="FILE|TAG"
    )
    yes: bool = setting(False, "download CLIP's weights where they are not on this machine, without asking")
    window: float | None = setting(
        None, "length of video answered at a time (default: all of a short video, 4 s of a long one)", metavar="SECONDS"
    )
    stride: float | None = setting(
        None, "from one window's start to the next (default: half a window)", metavar="SECONDS"
    )
    evidence: int = setting(5, "how many frames, and stretches of a long video, to show (default: 5)", metavar="N")

    def check(self, inputs: Sequence[str], *, named: bool = False, shared: bool = False) -> None:
        """Refuse before the work what makes no sense.

        Raises:
            UserError: For labels, windows or a number that cannot be answered with, or a missing file.
        """
        if named:
            raise UserError("--data", None, "videos: plain CLIP reads pixels, not the features of a data set")
        self.names()
        check_single_input(inputs)
        if Path(self.clip_weights).suffix and not Path(self.clip_weights).is_file():
            raise UserError("--clip-weights", self.clip_weights, "a file that exists, a tag of open_clip, or random")
        for name, value in (("--window", self.window), ("--stride", self.stride)):
            if value is not None and not 1 / RATE <= value < 1e6:
                raise UserError(name, value, f"seconds, at least {1 / RATE:g}", f"{name} 2")
        if self.stride is not None and self.window is None:
            raise UserError("--stride", self.stride, "--window SECONDS beside it", f"--window {2 * self.stride:g}")
        if self.window is not None and self.stride is not None and self.stride > self.window:
            raise UserError("--stride", self.stride, f"at most the window, {self.window:g} s")
        if self.evidence < 0:
            raise UserError("--evidence", self.evidence, "a whole number")

    def names(self) -> tuple[str, ...]:
        """Return the labels as names.

        Raises:
            UserError: When there are none, two are alike, or one is what an answer may always be.
        """
        if self.labels is None:
            raise UserError("--labels", None, "names of actions", '--labels "pouring coffee, opening a box"')
        names = label_names("--labels", self.labels)
        if taken := [name for name in names if spelling(name) == spelling(NONE)]:
            raise UserError("--labels", taken[0], "names of actions: “none of these” is always among the answers")
        return names
