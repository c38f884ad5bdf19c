"""Small trees in the published layouts: lists with a few classes, folders with tiny videos."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import savemat

from whyact.data.zero_shot import layouts

CLIP = "whyact-tiny-video"
TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
CLASSES = ("Archery", "Hammering", "HammerThrow", "YoYo")


def add_tiny_clip(folder: Path) -> None:
    """Make open_clip know an architecture that is built in no time."""
    import open_clip

    if CLIP not in open_clip.list_models():
        path = folder / f"{CLIP}.json"
        path.write_text(json.dumps(TINY))
        open_clip.add_model_config(path)


def write_video(path: Path, frames: int = 6, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(level)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(frames):
            image = np.clip(rng.normal(level, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def trust(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a made-up split file pass as the published one."""
    monkeypatch.setattr(layouts, "splits_sha256", lambda splits: "made up for a test")
    monkeypatch.setitem(layouts.SPLITS_SHA256, name, "made up for a test")


def write_ucf(root: Path, videos_per_class: int = 3, lacking: str = "v_YoYo_g02_c01") -> Path:
    """Write a UCF101 tree of four classes; ``lacking`` is in the list and not on disk."""
    names = [f"v_{label}_g0{i}_c01.avi" for label in CLASSES for i in range(videos_per_class)]
    labels = [c + 1 for c in range(len(CLASSES)) for _ in range(videos_per_class)]
    write_mats(root / "zero-shot", "UCF101", CLASSES, names, labels)
    for level, (name, label) in enumerate(zip(names, labels, strict=True)):
        if not name.startswith(lacking):
            write_video(root / "ucf" / "UCF-101" / CLASSES[label - 1] / name, level=20 + 15 * level)
    return root


def write_mats(lists: Path, dataset: str, classes: tuple[str, ...], names: list[str], labels: list[int]) -> None:
    """Write Label.mat and Split.mat of one set of four classes; split 3 repeats split 1."""
    lists.mkdir(parents=True)
    table = {
        "VideoName": np.array(names, dtype=object)[:, None],
        "Label": np.array(labels, dtype=np.uint8)[:, None],
        "ClassName": np.array(classes, dtype=object)[:, None],
        "WordVec": np.random.default_rng(0).normal(size=(len(classes), 300)),
        "Index": np.arange(1, len(names) + 1, dtype=np.uint16)[None],
    }
    savemat(lists / "Label.mat", {"VideoLabel": {dataset: table}})
    rows = {"Train": np.array([[1, 2], [1, 3], [1, 2]], np.uint8), "Test": np.array([[3, 4], [2, 4], [3, 4]], np.uint8)}
    savemat(lists / "Split.mat", {"Split": {dataset: rows}})


def write_hmdb(root: Path) -> Path:
    """Write an HMDB51 tree with the list of TruZe beside it: two clips a class, of one film each."""
    classes = ("brush_hair", "cartwheel", "swing_baseball", "wave")
    names = [f"film{i}_{label}_u_nm_np1_ba_goo_0.avi" for label in classes for i in range(2)]
    labels = [1, 1, 2, 2, 3, 3, 4, 4]
    write_mats(root / "zero-shot", "HMDB51", classes, names, labels)
    (root / "zero-shot" / "truze_ZSL.txt").write_text(
        "##HMDB51\nTraining (2 classes): Brush Hair, Cartwheel.\nTesting (2 classes): Swing Basketball, Wave.\n"
    )
    for name, label in zip(names, labels, strict=True):
        write_video(root / "hmdb" / "hmdb51_org" / classes[label - 1] / name)
    return root


def write_olympic(root: Path) -> Path:
    """Write an Olympic Sports tree: the list says .seq, the disk holds what FFmpeg reads, the order is no alphabet."""
    classes = ("tennis_serve", "bowling", "vault", "high_jump")
    names = [f"{label[:3]}{i}_00010_00090.seq" for label in classes for i in range(2)]
    labels = [1, 1, 2, 2, 3, 3, 4, 4]
    write_mats(root / "zero-shot", "OlympicSports", classes, names, labels)
    for name, label in zip(names, labels, strict=True):
        write_video(root / "olympic_sports_video" / classes[label - 1] / name.replace(".seq", ".avi"))
    return root


def write_activitynet(root: Path) -> Path:
    """Write an ActivityNet tree: two classes in one flat folder, whose ASCII order is not the usual one."""
    lists = root / "ActivityNet_v_1_3"
    lists.mkdir(parents=True)
    videos = {"BMX": ["v_a.mp4", "v_d.mp4"], "Baking cookies": ["v_b.mp4", "v_c.mp4"]}
    np.save(lists / "anet_classwise_videos.npy", np.array(videos, dtype=object), allow_pickle=True)
    with open(lists / "anet_splits.npy", "wb") as stream:
        np.save(stream, np.array([[0]]))
        np.save(stream, np.array([[1]]))
    for name in (name for found in videos.values() for name in found):
        write_video(lists / "Anet_videos_15fps_short256" / name)
    return root


def write_kinetics(root: Path) -> Path:
    """Write a Kinetics tree: two seen classes, one to validate on and one to test on in each split."""
    lists = root / "kinetics-600" / "zsar_kinetics_600"
    lists.mkdir(parents=True)
    videos = {"tiptoeing": ["t1_000001_000011.mp4", "t2_000001_000011.mp4"], "sipping cup": ["s1_000001_000011.mp4"]}
    for i, (validate, test) in enumerate([("tiptoeing", "sipping cup"), ("sipping cup", "tiptoeing")] * 2):
        if i < 3:
            for side, label in (("val", validate), ("tst", test)):
                rows = "".join(f"{n},{video},{label}\n" for n, video in enumerate(videos[label]))
                (lists / f"zsar_{side}_k600_s{i}.csv").write_text(f",videoname,labels\n{rows}")
    for label in ("air_drumming", "situp"):
        for i in range(6):
            write_video(
                root / "kinetics-400" / "train_256" / label / f"{label[0]}{i}_000003_000013.mp4", level=40 + 20 * i
            )
    for part in ("validate", "test"):
        for label, names in videos.items():
            for name in names:
                write_video(root / "kinetics-600" / part / label / name)
    return root
