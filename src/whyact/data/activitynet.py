"""ActivityNet 1.2 and 1.3 in the W-TALC packaging, with both spellings of the subsets and bytes or str names."""

from __future__ import annotations

from pathlib import Path

from whyact.data.feature_files import SNIPPET_SECONDS, FeatureFolder, open_folder
from whyact.data.untrimmed import UntrimmedSet, annotations_from_arrays, read_arrays
from whyact.errors import UserError

VERSIONS = ("1.2", "1.3")


def load(root: Path | str, version: str = "1.3") -> UntrimmedSet:
    """Read the annotations of one ActivityNet version.

    Args:
        root: The folder of the arrays, or one that holds ``ActivityNet<version>-Annotations``
            (itself possibly under ``ActivityNet<version>``).
        version: ``1.2`` (100 classes) or ``1.3`` (200 classes).

    Raises:
        UserError: On an unknown version, or missing, misaligned or broken arrays.
    """
    if version not in VERSIONS:
        raise UserError("ActivityNet version", version, f"one of {', '.join(VERSIONS)}")
    root = Path(root)
    name = f"ActivityNet{version}"
    for folder in (root, root / f"{name}-Annotations", root / name / f"{name}-Annotations"):
        if (folder / "videoname.npy").is_file():
            classes, videos = annotations_from_arrays(folder, read_arrays(folder))
            return UntrimmedSet(f"activitynet-{version}", classes, videos, "train", "validation")
    raise UserError(root, None, f"the {name} annotation arrays (videoname.npy, ...)", "point --root at their folder")


def feature_folder(root: Path | str, version: str = "1.3") -> FeatureFolder:
    """Find the published features: I3D under ``ActivityNet<version>/{train,test}``, CLIP under ``Anet_CLIP``.

    A folder in our own layout (``features/``) does as well.
    """
    root = Path(root)
    base = root / f"ActivityNet{version}"
    i3d = tuple(folder for part in ("train", "test") if (folder := base / part).is_dir())
    if not i3d:
        return open_folder(root)
    clip = root / "Anet_CLIP"
    return FeatureFolder((i3d,), (clip,) if clip.is_dir() else (), SNIPPET_SECONDS)


def prompt_name(name: str) -> str:
    """Turn a class name into the words of its prompt: lower case (specs 1.3)."""
    return name.lower()
