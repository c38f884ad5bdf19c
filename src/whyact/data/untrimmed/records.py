"""What an extraction says of every video in ``videos/NAME.json``: made of which file, by which recipe, which bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from whyact.data.untrimmed.feature_files import Recipe
from whyact.errors import UserError
from whyact.files import file_sha256, sha256, write_atomic
from whyact.prediction import VideoFacts

STREAMS = ("features", "clip")  # the folders that an extraction writes


class Extraction(msgspec.Struct):
    """The record of one video; ``key`` tells the video file, ``recipe`` is the SHA-256 of ``features.json``."""

    key: str
    snippets: int
    facts: VideoFacts
    files: dict[str, str]  # path in the folder -> SHA-256
    recipe: str

    def holds(self, out: Path, recipe: Recipe) -> bool:
        """Return whether the files are there and of this recipe: ``features.json`` may have been removed since."""
        return self.recipe == sha256(recipe_text(recipe)) and all((out / name).is_file() for name in self.files)


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """A record with the SHA-256 of its own text."""

    sha256: str
    video: msgspec.Raw


def recipe_text(recipe: Recipe) -> bytes:
    """Return what ``features.json`` says of a recipe."""
    return msgspec.json.format(msgspec.json.encode(recipe), indent=2)


def write_record(path: Path, done: Extraction) -> None:
    """Write the record of a video whose files are complete."""
    body = msgspec.json.encode(done)
    write_atomic(path, msgspec.json.encode(_Sealed(sha256(body), msgspec.Raw(body))))


def read_record(path: Path) -> Extraction | None:
    """Return a record; ``None`` where it is not there, cut short or changed: the video is to be extracted again."""
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if sha256(bytes(sealed.video)) != sealed.sha256:
            return None
        return msgspec.json.decode(sealed.video, type=Extraction)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def verify_features(root: Path) -> list[str]:
    """Return what is wrong with the files of an extracted folder, a sentence each: missing, changed, not recorded.

    Raises:
        UserError: When ``root`` holds no extracted video.
    """
    records = sorted((root / "videos").rglob("*.json"))
    if not records:
        raise UserError(root, None, "a folder that `whyact extract` wrote")
    recipe = root / "features.json"
    made = file_sha256(recipe) if recipe.is_file() else ""
    wrong: list[str] = []
    known: set[Path] = set()
    for record in records:
        done = read_record(record)
        if done is not None and done.recipe != made and not wrong:
            wrong.append(f"{recipe}: missing, or other bytes than were written; remove it and extract again")
        if done is None:
            wrong.append(f"{record}: not the record of a video that was written; remove it and extract again")
            name = record.relative_to(root / "videos").with_suffix("").as_posix()
            known |= {root / folder / f"{name}.npy" for folder in STREAMS}
            continue
        for name, digest in done.files.items():
            file = root / name
            known.add(file)
            if not file.is_file():
                wrong.append(f"{file}: missing; remove {record} and extract again")
            elif file_sha256(file) != digest:
                wrong.append(f"{file}: other bytes than were written; remove it with {record} and extract again")
    for file in sorted(file for folder in STREAMS for file in (root / folder).rglob("*.npy") if file not in known):
        wrong.append(f"{file}: no record says what made it; remove it, or extract its video again")
    return wrong
