"""The annotation readers that :mod:`robustness.fuzz` attacks: a sound folder of each, and what reads it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from robustness.fuzz_inputs import Target, files_of, unpickled, write_files
from whyact.data.io.pickles import dump_plain, load_array, load_pickle


def charades_lists() -> Target:
    """Return the official lists, the classes and the mapping."""
    from whyact.data.relations import charades

    rows = [
        'AAAA1,P1,Kitchen,6,7,Yes,"A person, reads.",book;cup,"Stands; sits.",c000 0.00 5.50;c002 1.00 99.00,30.10',
        "BBBB2,P2,Stairs,,-100,No,Falls,,,,12.00",
    ]
    head = ",".join(charades.COLUMNS)
    sound = {
        charades.TRAIN: "\n".join([head, *rows]),
        charades.TEST: "\n".join([head, rows[1].replace("BBBB2", "CCCC3")]),
        charades.CLASSES: "c000 Reading a book\r\nc001 Holding a cup\r\nc002 Sitting down\r\n",
        charades.MAPPING: "c000 o001 v001\nc001 o002 v000\nc002 o000 v002\n",
    }
    return Target(
        {name: text.encode() for name, text in sound.items()}, lambda root: charades.summary(charades.read(root))
    )


def action_genome_root() -> Target:
    """Return a small generated root as Action Genome publishes it: pickles, lists, words."""
    from whyact.data.relations.action_genome_check import check_action_genome
    from whyact.data.relations.action_genome_clips import read

    def work(root: Path) -> None:
        check_action_genome(root)
        read(root, slots=4, filter_small=4.0)

    sound = _generated()
    pickles = tuple(name for name in sound if name.endswith(".pkl"))
    return Target(sound, work, (*pickles, *pickles, *(n for n in sound if n.endswith(".txt"))))


def action_genome_converted() -> Target:
    """Return the converted annotations of the same root."""
    from whyact.data.relations import action_genome as ag
    from whyact.data.relations.action_genome_clips import read

    sound = _generated()
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), sound)
        place = Path(folder) / "annotations"
        sound[f"annotations/{ag.CONVERTED}"] = ag.write_converted(place, ag.read_pickles(place)).read_bytes()
    for name in (ag.PERSONS, ag.RELATED):
        del sound[f"annotations/{name}"]
    return Target(sound, lambda root: read(root, slots=4), (f"annotations/{ag.CONVERTED}",))


def own_data() -> Target:
    """Return the JSON of one's own data, converted from a generated world."""
    from whyact.data.relations import own, own_file
    from whyact.data.relations.own_write import from_cad120, write_own
    from whyact.homeworld.write import write_fresh_video

    with tempfile.TemporaryDirectory() as folder:
        file = from_cad120(write_fresh_video(Path(folder) / "world", seed=5))
        for video in file.videos:  # short: damage should hit the structure, not one box of thousands
            video.tracks, video.frames = video.tracks[:4], (video.frames or [])[:6]
            for track in video.tracks:
                track.boxes = track.boxes[:6]
            names = {track.name for track in video.tracks}
            video.relations = [r for r in video.relations if set(r.pair) <= names and r.start <= 6]
            video.actions[0].end = 6
        data = write_own(Path(folder) / "own", file).read_bytes()
    return Target({own_file.FILE: data}, lambda root: own.read(root, slots=8))


def cad120_layout() -> Target:
    """Return a small generated set in the CAD-120 layout."""
    from whyact.data.relations import cad120
    from whyact.homeworld.write import write_fresh_video

    with tempfile.TemporaryDirectory() as folder:
        sound = files_of(write_fresh_video(Path(folder) / "world", seed=5))
    return Target(sound, lambda root: cad120.read(root))


def arrays() -> Target:
    """Return the published kinds of pickled and plain arrays."""
    import io

    plain = io.BytesIO()
    np.save(plain, np.arange(12, dtype=np.float32).reshape(3, 4))
    nested = {"a": [1, 2.5, None], "b": {"c": np.arange(3), "d": ("x", "y")}}

    def work(root: Path) -> None:
        for name, read in (("plain.npy", load_array), ("nested.pkl", load_pickle)):
            read(root / name)

    return Target({"plain.npy": plain.getvalue(), "nested.pkl": dump_plain(nested)}, work)


def tracks_file() -> Target:
    """Return boxes over time as a file of tracks."""
    from whyact.perception.tracks_file import check_against_video, read_tracks
    from whyact.prediction import VideoFacts

    def work(root: Path) -> None:
        for clip in (True, False):
            tracks = read_tracks(root / "tracks.json", clip_boxes=clip)
            if len(tracks.times):
                facts = VideoFacts(path="a.mp4", duration=0.6, fps=30.0, width=64, height=48, frames_decoded=18)
                check_against_video(root / "tracks.json", tracks, facts)

    text = (
        '{"format": "whyact-tracks", "version": 1, "image_size": [64, 48], "times": [0.0, 0.5], "frames": [1, 16], '
        '"tracks": [{"name": "mug_1", "class": "mug", "boxes": [[3.5, 2, 31, 27], null], "scores": [0.9, null]}]}'
    )
    return Target({"tracks.json": text.encode()}, work)


def labels() -> Target:
    """Return a folder of features with its list of labels, a list of class names, and predicted segments."""
    from whyact.data.io.tables import read_label_names
    from whyact.data.untrimmed.activitynet import read_predictions
    from whyact.data.untrimmed.folder import DATASET

    features = io.BytesIO()
    np.save(features, np.ones((3, 4), np.float16))
    sound = {
        "labels.csv": b'name,labels,subset\na,pour;stir,train\nd1/b,"listen (e.g., to music)",val\n',
        "classes.csv": b'label\npour\n"listen (e.g., to music)"\n',
        "classes.txt": "pour\nstir\n\u00fcben\n".encode(),
        "broken.csv": b"name,reason\nc,no frame\n",
        "found.json": b'{"results": {"a": [{"label": "pour", "score": 0.5, "segment": [0.5, 1.5]}]}}',
        "features/a.npy": features.getvalue(),
        "features/d1/b.npy": features.getvalue(),
    }

    def work(root: Path) -> None:
        for name in ("classes.csv", "classes.txt"):
            read_label_names("--labels", str(root / name))
        read_predictions(root / "found.json")
        assert DATASET.check is not None
        DATASET.check(root)

    return Target(sound, work, tuple(name for name in sound if not name.endswith(".npy")))


READERS: dict[str, Callable[[], Target]] = {
    "charades": charades_lists,
    "action-genome": action_genome_root,
    "action-genome-converted": action_genome_converted,
    "own": own_data,
    "cad120": cad120_layout,
    "arrays": arrays,
    "tracks": tracks_file,
    "labels": labels,
}


def _generated() -> dict[str, bytes]:
    from whyact.homeworld.action_genome import write_action_genome

    with tempfile.TemporaryDirectory() as folder:
        files = files_of(write_action_genome(Path(folder) / "w", seed=2, videos=24, every=12, pixels=False, dirt=False))
    for name in files:
        if name.endswith(".pkl"):  # small: damage should hit the structure, not one frame of hundreds
            files[name] = dump_plain(dict(list(unpickled(files[name]).items())[:40]))
    return files
