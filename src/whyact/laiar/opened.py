"""A loaded run that answers video files and can be asked again about each: what the studio needs of this method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whyact.ablation.protocol import Tell
from whyact.laiar.config import PredictOptions
from whyact.laiar.questions import Ablation, load_questions, save_questions
from whyact.laiar.runs import Run, load_run
from whyact.laiar.videos import null_action
from whyact.laiar.watch import Eyes, open_eyes, watch
from whyact.prediction import Prediction

OPTIONS = PredictOptions()


class Session:
    """A run in memory; its detector is loaded with the first video.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.run: Run = load_run(folder)
        self._eyes: Eyes | None = None

    def answer(self, video: Path, keep: Path, tell: Tell) -> Prediction:
        """Answer a video file, and keep the tokens of its windows."""
        self._eyes = self._eyes or open_eyes(self.run, OPTIONS)
        windows: list[Any] = []
        prediction, _ = watch(self.run, str(video), self._eyes, OPTIONS, _two_stages(tell), windows.append)
        save_questions(Ablation.of(self.run, windows, null_action(self.run.vocabulary)), keep)
        return prediction

    def questions(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` kept."""
        return load_questions(self.run, kept)


def _two_stages(tell: Tell) -> Any:
    """Name the two passes of an answer: boxes are looked for first, then the model is asked."""
    stages = ["Asking the model", "Finding and following things"]

    def told(share: float) -> None:
        tell(stages[-1], share)
        if share >= 1 and len(stages) > 1:
            stages.pop()
            tell(stages[-1], 0.0)

    tell(stages[-1], 0.0)
    return told
