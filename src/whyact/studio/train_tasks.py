"""What the process that trains does: the path of ``whyact train laiar --videos``, with a curve and a sample answer."""

from __future__ import annotations

import base64
import csv
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from whyact.data.io.tables import spelling
from whyact.data.relations.clip_folder import COLUMNS
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.report.private import replace_path
from whyact.sentences import explain_answer, join_parts, summarize_answer
from whyact.studio.forms import DrawnThing, Marks
from whyact.studio.limits import Limits
from whyact.studio.marks import FilmIndex, draw_marks, name_thing
from whyact.studio.worker_tasks import check_video, read_picture
from whyact.studio.workers import OnProgress, Task
from whyact.video.numbers import frame_times
from whyact.wording import find_deciding

SAMPLE = "sample.json"  # beside the data of a training: how the model answers a clip that it did not learn from
_STAGES = {
    "reading clips": "Reading the clips",
    "finding things": "Finding and following things",
    "extracting": "Measuring the things",
    "training": "Training",
}
_MEASURING = "Measuring how good it is on the clips that were kept for testing"
_SECONDS = 0.3  # between two reports
_POINTS = 400  # of the curve
_PICTURES = 3  # of each thing
_OWN = ".found"  # the ending of tracks as the detector found them, where a person's boxes were put in
FEATURES = "features"  # beside the clips: what was found in them once is not looked for again
_NO_DETECTOR = "start the studio with --detector FILE.onnx --names FILE, or --detector fasterrcnn-r50"


class SampleAnswer(msgspec.Struct):
    """A clip that was kept for testing, and what the model says of it.

    ``picture`` is a JPEG in base64, ``tested`` the number of clips that were kept for testing.
    """

    name: str
    action: str
    answer: str
    because: str
    picture: str
    tested: int


def train_tasks(limits: Limits) -> dict[str, Task]:
    """Return the tasks of the process that trains."""
    import torch  # noqa: F401  (before memory is bounded)

    def train(
        on_progress: OnProgress,
        *,
        folder: str,
        out: str,
        clips: list[dict[str, Any]],
        epochs: int | None,
        things: list[dict[str, Any]] | None,
        detector: str,
        names: str,
    ) -> dict[str, Any]:
        from whyact import api
        from whyact.progress import progress_to

        place, run = Path(folder), Path(out)
        hide = _hider(place, run, clips)
        notes: list[str] = []
        try:
            usable = _check_clips(place, clips, limits, on_progress, notes)
            table = _write_table(place, usable)
            chosen = None if things is None else _write_choice(place, things, len(usable))
            with progress_to(_Reports(run, on_progress), notes.append):
                notes += merge_drawn(place, usable, things or [], detector, names)
            config: dict[str, Any] = {"data.detector": detector, "data.names": names}
            config["data.features"] = str(place / FEATURES)
            if epochs:
                config["optim.epochs"] = epochs
            with progress_to(_Reports(run, on_progress), notes.append):
                api.train("laiar", videos=table, things=chosen, out=run, config=config, device="cpu")
            on_progress("Answering a clip that was kept for testing", 0.0)
            _write_sample(run, place, clips, notes)
        except UserError as error:
            raise _for_the_studio(error, hide) from error
        return {"notes": [hide(note) for note in notes]}

    def find(
        on_progress: OnProgress, *, folder: str, clips: list[dict[str, Any]], detector: str, names: str
    ) -> dict[str, Any]:
        from whyact.laiar.config import PRESETS
        from whyact.laiar.own_clips import find_things
        from whyact.perception.things import picture_address
        from whyact.progress import progress_to

        place = Path(folder)
        notes: list[str] = []
        hide = _hider(place, place, clips)
        preset = PRESETS["clips"]
        data = replace(preset.data, detector=detector, names=names, features=str(place / FEATURES))
        try:
            table = _write_table(place, _check_clips(place, clips, limits, on_progress, notes))
            with progress_to(_Reports(place, on_progress), notes.append):
                found, pictures, warnings = find_things(table, place, replace(preset, data=data), progress=False)
        except UserError as error:
            raise _for_the_studio(error, hide) from error
        rows = [
            {
                **{name: getattr(thing, name) for name in ("kind", "name", "keep", "acts", "clips", "score")},
                "pictures": [picture_address(image) for image in pictures.get(thing.kind, [])[:_PICTURES]],
            }
            for thing in found.things
        ]
        return {"things": rows, "notes": [hide(note) for note in (*notes, *warnings)]}

    return {"train": train, "find": find}


class _Reports:
    """Turns the bars of a training into stages of a job, and sends its curve along."""

    def __init__(self, run: Path, on_progress: OnProgress) -> None:
        self.run, self.on_progress = run, on_progress
        self.title, self.sent = "", 0.0

    def __call__(self, title: str, done: float, total: float | None) -> None:
        share, now = done / total if total else 0.0, time.monotonic()
        if title == self.title and now - self.sent < _SECONDS and share < 1:
            return
        self.title, self.sent = title, now
        if title != "training":
            self.on_progress(_STAGES.get(title, title), share)
            return
        curve = self._curve(total or 1.0)
        self.on_progress(_STAGES[title], share, curve)
        if share >= 1:
            self.on_progress(_MEASURING, 0.0, curve)

    def _curve(self, total: float) -> dict[str, Any]:
        """Return (share of the training, loss) after each epoch, and how many epochs there are."""
        from whyact.training.checkpoint import HISTORY, STATE
        from whyact.training.log import read_history

        path = self.run / STATE / HISTORY
        rows = [row for row in read_history(path) if row["stage"] == "train"] if path.is_file() else []
        points = [(float(row["step"]) / total, float(row["loss"])) for row in rows]
        epochs = round(total * rows[-1]["epoch"] / rows[-1]["step"]) if rows else 0
        return {"points": points[:: 1 + len(points) // _POINTS], "epoch": len(rows), "epochs": epochs}


def _check_clips(
    folder: Path, clips: list[dict[str, Any]], limits: Limits, on_progress: OnProgress, notes: list[str]
) -> list[dict[str, Any]]:
    """Return the clips that are videos of a length that is taken; the others are counted and named in ``notes``."""
    usable, refused = [], []
    for number, clip in enumerate(clips):
        on_progress("Checking the clips", number / len(clips))
        try:
            check_video(folder / clip["file"], limits)
            usable.append(clip)
        except UserError as error:
            refused.append(str(error))
    if refused:
        shown = "; ".join(refused[:3]) + (f"; and {len(refused) - 3} more" if len(refused) > 3 else "")
        notes.append(f"{len(refused)} of {len(clips)} clips cannot be used and are dropped: {shown}")
    return usable


def _write_table(folder: Path, clips: list[dict[str, Any]]) -> Path:
    """Write the table of the clips: a row a clip, or one for each segment that is marked in it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for clip in clips:
        if not clip.get("segments"):
            writer.writerow(clip)
            continue
        times = frame_times(folder / clip["file"]).tolist()
        for segment in clip["segments"]:  # from when its first frame comes on screen until the one after its last does
            ends = segment["end"] < len(times)
            span = {"start": times[segment["start"] - 1], "end": times[segment["end"]] if ends else ""}
            writer.writerow({**clip, "label": segment["action"], **span})
    return write_atomic(folder / "clips.csv", text.getvalue())


def merge_drawn(
    folder: Path, clips: list[dict[str, Any]], things: list[dict[str, Any]], detector: str, names: str
) -> list[str]:
    """Put the things that a person drew into the tracks that a detector finds in the clips; return what to know.

    What no detector finds on a new film, a model must not rely on: other things than the detector's are left to the
    own data of the clips.
    """
    before = {path.stem for path in folder.glob(f"{FEATURES}/*/*{_OWN}")}
    touched = [clip for clip in clips if clip.get("drawn") or clip.get("content", "")[:32] in before]
    if not touched:
        return []
    from whyact.data.relations.footage import VideoFootage
    from whyact.laiar.config import PRESETS
    from whyact.laiar.extraction import tracks_path
    from whyact.laiar.own_clips import choose_models, track_clips
    from whyact.perception.open import open_detector
    from whyact.perception.perception import Perception
    from whyact.perception.tracks_file import read_tracks, write_tracks

    preset = PRESETS["clips"]
    chosen = replace(preset, data=replace(preset.data, detector=detector, names=names))
    chosen = choose_models(chosen, [folder / clip["file"] for clip in clips])
    finder = open_detector(chosen.data.detector, names=names or None)
    word = {spelling(thing["name"]): thing["kind"] for thing in things} | {
        spelling(kind): kind for kind in finder.classes
    }
    unknown: dict[str, int] = {}
    for clip in touched:
        footage = VideoFootage(folder / clip["file"])
        path = tracks_path(Perception(finder, clean=True), footage, folder / FEATURES)
        own = detector_tracks_path(path)
        if own == path:  # looked for now, if never before
            track_clips(finder, [footage.path], folder / FEATURES, progress=True)
            shutil.copyfile(path, own := path.with_suffix(_OWN))
        tracks, drawn = read_tracks(own), []
        for thing in clip.get("drawn", ()):
            kind = thing["name"] if thing["name"] in tracks.names else name_thing(thing["name"], ())[1]
            if kind in tracks.names or spelling(kind) in word:
                name = kind if kind in tracks.names else word[spelling(kind)]
                drawn.append(DrawnThing(name=name, boxes=thing["boxes"]))
            else:
                unknown[kind] = unknown.get(kind, 0) + 1
        index = FilmIndex(frame_times(footage.path).tolist(), 0.0, *tracks.image_size, footage.key)
        write_tracks(path, draw_marks(tracks, Marks(drawn=drawn), index) if drawn else tracks)
    if not unknown:
        return []
    listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(unknown.items()))
    return [f"drawn, and not learned, because {finder.name} would not find them on a new film: {listed}"]


def detector_tracks_path(path: Path) -> Path:
    """Return where the tracks are that a detector found, if a person's boxes were put into those at ``path``."""
    own = path.with_suffix(_OWN)
    return own if own.is_file() else path


def _write_choice(folder: Path, things: list[dict[str, Any]], clips: int) -> Path:
    """Write the things that a person chose as the list that a training reads."""
    from whyact.perception.things import FILE, Thing, ThingsFile

    rows = [Thing(thing["kind"], thing["name"], thing["keep"], thing["acts"]) for thing in things]
    document = ThingsFile("whyact-things", 1, "", clips, rows)
    return write_atomic(folder / FILE, msgspec.json.encode(document))


def _write_sample(run: Path, folder: Path, clips: list[dict[str, Any]], notes: list[str]) -> None:
    """Let the new model answer a clip of the test side, for its card."""
    from whyact import api
    from whyact.data.relations.own_file import FILE, read_file
    from whyact.laiar.own_clips import data_folder

    document = read_file(data_folder(run) / FILE)
    held_out = set(document.folds[0].test) if document.folds else set()
    tested = [v for v in document.videos if v.group in held_out]
    video = next(iter(tested), None)
    clip = next((c for c in clips if video is not None and c["file"] == Path(video.file).name), None)
    if clip is None:
        return
    path = folder / clip["file"]
    try:
        (answer,) = api.load(run, device="cpu").predict(str(path))
        deciding = find_deciding(answer)
        picture = read_picture(path, None if deciding is None else deciding.end)
    except UserError as error:
        notes.append(f"no sample answer: {error}")
        return
    because = join_parts(explain_answer(answer))
    sample = SampleAnswer(
        name=clip["name"],
        action=", ".join(dict.fromkeys(one["action"] for one in clip.get("segments", ()))) or clip["label"],
        answer=summarize_answer(answer),
        because=because,
        picture=base64.b64encode(picture).decode("ascii"),
        tested=len(tested),
    )
    write_atomic(data_folder(run) / SAMPLE, msgspec.json.encode(sample))


def _hider(folder: Path, run: Path, clips: list[dict[str, Any]]) -> Callable[[str], str]:
    """Return a function that takes every path of the server out of a text: clips get the names that the user knows."""

    def hide(text: str) -> str:
        for clip in clips:
            text = replace_path(text, folder / clip["file"], clip["name"])
            text = text.replace(clip["file"], clip["name"])
        text = replace_path(text, folder, "the clips")
        return replace_path(text, run.parent, run.name)

    return hide


def _for_the_studio(error: UserError, hide: Callable[[str], str]) -> UserError:
    """Return an error of the command in words of the page: there are clips, and no options."""
    where, step = error.where, error.next_step
    if where.startswith("--data.detector"):
        where, step = "the things in the clips", _NO_DETECTOR
    elif where in ("--videos", "videos"):
        where = "the clips"
    value = hide(error.value) if isinstance(error.value, str) else error.value
    return UserError(hide(where), value, hide(error.expected), hide(step))
