"""The published annotation arrays of untrimmed video sets, made small: two videos, two classes."""

import numpy as np


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def write(folder, *, subsets=("validation", "test"), text=np.bytes_, labels=(["A"], ["A", "B"]), names=("v1", "v2")):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "classlist": np.array(["A", "B"]).astype(text),
        "videoname": np.array(names).astype(text),
        "subset": np.array(subsets).astype(text),
        "segments": objects([[[0.0, 1.5]], [[1.0, 2.0], [3.0, 4.0]]]),
        "labels": objects(list(labels)),
        "labels_all": objects([["A"], ["B", "A", "A"]]),
        "duration": np.array([[10.0], [20.0]]),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    (folder / "Ambiguous_test.txt").write_text("v2  1.0 2.5\nv2 3 4\n\n")
    return folder
