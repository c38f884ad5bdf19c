"""Published lists and arrays made small, for :mod:`robustness.fuzz` to damage."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustness.fuzz_inputs import Target, files_of
from whyact.data.io.pickles import dump_plain

CLASSES = ("Archery", "Hammering", "HammerThrow", "YoYo")


def thumos_arrays() -> Target:
    """Return the annotation arrays of THUMOS'14, lists inside arrays and all, and the ambiguous spans."""
    from whyact.data.untrimmed import thumos14

    sound = {
        "classlist.npy": array_file(np.array([b"A", b"B"])),
        "videoname.npy": array_file(np.array([b"v1", b"v2"])),
        "subset.npy": array_file(np.array([b"validation", b"test"])),
        "segments.npy": object_file([[[0.0, 1.5]], [[1.0, 2.0], [3.0, 4.0]]]),
        "labels.npy": object_file([["A"], ["A", "B"]]),
        "labels_all.npy": object_file([["A"], ["B", "A"]]),
        "duration.npy": array_file(np.array([[10.0], [20.0]])),
        "Ambiguous_test.txt": b"v2  1.0 2.5\nv2 3 4\n",
    }
    return Target(sound, lambda root: thumos14.load(root).sha256())


def activitynet_json() -> Target:
    """Return annotations in ActivityNet's JSON."""
    from whyact.data.untrimmed import activitynet

    found = [{"label": "A", "segment": [0.0, 1.5]}, {"label": "B", "segment": [2.0, 4.0]}]
    database = {
        "v1": {"duration": 10.0, "subset": "training", "annotations": found},
        "v2": {"duration": 5.0, "subset": "validation", "annotations": found[:1]},
    }
    data = json.dumps({"version": "1.3", "taxonomy": [], "database": database}).encode()
    return Target({"annotations.json": data}, lambda root: activitynet.read_json(root / "annotations.json"))


def split_mat() -> Target:
    """Return the MATLAB files of the zero-shot splits."""
    from scipy.io import savemat

    from whyact.data.zero_shot.split_files import read_splits

    table = {
        "VideoName": np.array([f"v_{name}_g01_c01.avi" for name in CLASSES], dtype=object)[:, None],
        "Label": np.array([1, 2, 3, 4], dtype=np.uint8)[:, None],
        "ClassName": np.array(CLASSES, dtype=object)[:, None],
        "WordVec": np.arange(12, dtype=float).reshape(4, 3) + 1,
    }
    rows = {"Train": np.array([[1, 2], [3, 4]], np.uint8), "Test": np.array([[3, 4], [1, 2]], np.uint8)}
    sound = {}
    for name, value in (("Label.mat", {"VideoLabel": {"UCF101": table}}), ("Split.mat", {"Split": {"UCF101": rows}})):
        stream = io.BytesIO()
        savemat(stream, value)
        sound[name] = stream.getvalue()
    return Target(sound, lambda root: read_splits(root, "UCF101"))


def zero_shot_lists() -> Target:
    """Return the tables of the Kinetics splits and a list of broken videos."""
    from whyact.data.zero_shot.split_files import read_corrupt, read_kinetics

    sound = {"broken.npy": array_file(np.array(["a/v_Archery_g01_c01.avi", "v_YoYo_g02_c01.avi"]))}
    for i in range(3):
        for side, label in (("val", "tiptoeing"), ("tst", "sipping cup")):
            sound[f"zsar_{side}_k600_s{i}.csv"] = f",videoname,labels\n0,{side}_000001_000011.mp4,{label}\n".encode()

    def read(root: Path) -> None:
        read_kinetics(root)
        read_corrupt(root / "broken.npy")

    return Target(sound, read)


def feature_folder() -> Target:
    """Return a folder of snippet features with labels, recipe and the list of broken videos."""
    from whyact.data.untrimmed.feature_files import open_folder, read_broken, read_features, read_labels

    sound = {
        "labels.csv": b"name,labels,subset\na,jump,train\nb,jump;run,test\n",
        "broken.csv": b"name,reason\nc,no video stream\n",
        "f/features.json": b'{"snippet_seconds": 0.64}',
        "f/features/a.npy": array_file(np.ones((3, 4), np.float32)),
    }

    def read(root: Path) -> None:
        open_folder(root / "f")
        read_features(root / "f/features/a.npy")
        read_labels(root / "labels.csv")
        read_broken(root / "broken.csv")

    return Target(sound, read)


def zip_archive() -> Target:
    """Return a CAD-120 set as a zip archive."""
    from whyact.data.relations import cad120
    from whyact.homeworld.write import write_fresh_video

    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        files = files_of(write_fresh_video(Path(folder) / "world", seed=5))
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return Target({f"{cad120.ANNOTATIONS}.zip": stream.getvalue()}, lambda root: cad120.read(root))


def array_file(array: np.ndarray) -> bytes:
    """Return the bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def object_file(rows: Sequence[Any]) -> bytes:
    """Return the bytes of a ``.npy`` file of an object array, as published annotations are."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
    return stream.getvalue() + dump_plain(array)


PUBLISHED: dict[str, Callable[[], Target]] = {
    "thumos": thumos_arrays,
    "activitynet": activitynet_json,
    "split-mat": split_mat,
    "zero-shot-lists": zero_shot_lists,
    "feature-folder": feature_folder,
    "archive": zip_archive,
}
