"""Action Genome's annotations as flat arrays, from the two published pickles or from the converted file.

The annotation folder::

    person_bbox.pkl                      {"VIDEO.mp4/000123.png": {bbox (n,4) xyxy, bbox_score, bbox_size, bbox_mode}}
    object_bbox_and_relationship.pkl     {the same keys: [{class, bbox x y w h or None, three relation lists, ...}]}
    frame_list.txt                       the same keys, one a line
    object_classes.txt, relationship_classes.txt
    whyact-annotations.safetensors       ours: both pickles in one file that holds no code; made once, then read instead

The two pickles disagree about what a box is; here all boxes are xyxy from the start. A frame's person is the one with
the highest detector score. Objects without a box are no tokens and are not stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from whyact.data.io.pickles import load_pickle
from whyact.data.relations.action_genome_words import OBJECTS, RELATIONS
from whyact.errors import UserError
from whyact.files import write_atomic

PERSONS, RELATED = "person_bbox.pkl", "object_bbox_and_relationship.pkl"
FRAMES, OBJECT_LIST, RELATION_LIST = "frame_list.txt", "object_classes.txt", "relationship_classes.txt"
CONVERTED = "whyact-annotations.safetensors"
_VERSION = 1
_KEY = re.compile(r"([A-Za-z0-9_-]{1,64})\.mp4/([0-9]{6})\.png", re.ASCII)
_OBJECT = {name: i for i, name in enumerate(OBJECTS)}
_BIT = {name: 1 << i for i, name in enumerate(RELATIONS)}


@dataclass(frozen=True)
class Annotations:
    """V videos, F annotated frames, N visible objects; frames sorted by video and number, objects by frame.

    ``videos`` names without ``.mp4``, in the order of their first frame; ``video`` (F,) index; ``number`` (F,) 1-based
    at the native frame rate; ``person`` (F,4) xyxy pixels, zeros where none was found; ``score`` (F,); ``size`` (F,2)
    width and height; ``frame`` (N,) index of each object's frame; ``kind`` (N,) object class; ``box`` (N,4) xyxy
    pixels; ``bits`` (N,) bit r set where relation r holds; ``rate`` (V,) frames a second, 0 where nobody has looked.
    """

    videos: tuple[str, ...]
    video: NDArray[np.int32]
    number: NDArray[np.int32]
    person: NDArray[np.float32]
    score: NDArray[np.float32]
    size: NDArray[np.int32]
    frame: NDArray[np.int32]
    kind: NDArray[np.int16]
    box: NDArray[np.float32]
    bits: NDArray[np.uint32]
    rate: NDArray[np.float32]
    hidden: int = 0
    empty_boxes: int = 0

    def keys(self) -> list[str]:
        """Return the official name of each frame, ``VIDEO.mp4/000123.png``."""
        return [frame_key(self.videos[v], n) for v, n in zip(self.video, self.number, strict=True)]


def frame_key(video: str, number: int) -> str:
    """Return the official name of a frame."""
    return f"{video}.mp4/{number:06d}.png"


def parse_key(where: object, key: object) -> tuple[str, int]:
    """Return the video's name and the 1-based frame number of ``VIDEO.mp4/000123.png``.

    Raises:
        UserError: When it reads otherwise; such a name must never become a path.
    """
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    if found is None or not int(found[2]):
        raise UserError(where, key, "frames named like VIDEO.mp4/000123.png, numbered from 1")
    return found[1], int(found[2])


def read_annotations(folder: Path) -> Annotations:
    """Read the converted file where it is there and fits the pickles beside it, else the pickles.

    Raises:
        UserError: For a missing or damaged file, an unknown class or relation, or a box that is none.
    """
    path = folder / CONVERTED
    if path.is_file():
        return read_converted(path)
    return read_pickles(folder)


def read_pickles(folder: Path) -> Annotations:
    """Read the two published pickles through the restricted unpickler.

    Raises:
        UserError: For anything missing, hostile, damaged or inconsistent, naming file and frame.
    """
    persons, related = (_mapping(folder / name) for name in (PERSONS, RELATED))
    if persons.keys() != related.keys():
        odd = min(map(str, persons.keys() ^ related.keys()))
        raise UserError(folder / RELATED, odd, f"the same frames as in {PERSONS}", "take both from one release")
    named = [parse_key(folder / PERSONS, key) for key in persons]
    videos = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in named))}
    video = np.array([videos[name] for name, _ in named], np.int32)
    number = np.array([n for _, n in named], np.int32)
    order = np.lexsort((number, video))
    person, score, size = _persons(folder / PERSONS, persons)
    frame, kind, box, bits, hidden = _objects(folder / RELATED, related, persons)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    frame = place[frame]
    by_frame = np.argsort(frame, kind="stable")
    there = (box[by_frame, 2:] > box[by_frame, :2]).all(1)
    kept = by_frame[there]
    return Annotations(
        tuple(videos),
        video[order],
        number[order],
        person[order],
        score[order],
        size[order],
        frame[kept],
        kind[kept],
        box[kept],
        bits[kept],
        np.zeros(len(videos), np.float32),
        hidden,
        int((~there).sum()),
    )


def read_converted(path: Path) -> Annotations:
    """Read the converted file; refuse one whose pickles beside it have changed since.

    Raises:
        UserError: When it is missing, damaged, of another version, or older than its sources.
    """
    try:
        data = path.read_bytes()
        tensors = load_tensors(data)
        start = 8 + int.from_bytes(data[:8], "little")
        head = msgspec.json.decode(msgspec.json.decode(data[8:start])["__metadata__"]["whyact"], type=_Head)
    except OSError as error:
        raise UserError(path, error.strerror, "a readable file") from error
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise UserError(path, str(error), "annotations converted by whyact", _AGAIN) from error
    if head.version != _VERSION:
        raise UserError(path, f"version {head.version}", f"version {_VERSION}", _AGAIN)
    for name in head.videos:
        parse_key(path, f"{name}.mp4/000001.png")
    for name, length in head.sources.items():
        source = path.with_name(Path(name).name)
        if source.is_file() and source.stat().st_size != length:
            raise UserError(path, f"{name} has changed since", "annotations made from the files beside it", _AGAIN)
    arrays = _checked(path, tensors, len(head.videos))
    return Annotations(tuple(head.videos), **arrays, hidden=head.hidden, empty_boxes=head.empty_boxes)


def write_converted(folder: Path, found: Annotations) -> Path:
    """Write the converted file beside the pickles, with their size and SHA-256; return its path."""
    sources, sums = {}, {}
    for name in (PERSONS, RELATED):
        if (folder / name).is_file():
            with open(folder / name, "rb") as stream:
                sums[name] = hashlib.file_digest(stream, "sha256").hexdigest()
            sources[name] = (folder / name).stat().st_size
    head = _Head(list(found.videos), _VERSION, sources, sums, found.hidden, found.empty_boxes)
    tensors = {name: np.ascontiguousarray(getattr(found, name)) for name in _SHAPES}
    return write_atomic(
        folder / CONVERTED, save_tensors(tensors, metadata={"whyact": msgspec.json.encode(head).decode()})
    )


def read_frame_list(path: Path) -> list[str]:
    """Return the frames to extract, each once, in the order of the file.

    Raises:
        UserError: For a missing file or a line that names no frame.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(path, error.strerror, "Action Genome's frame list") from error
    except UnicodeDecodeError as error:
        raise UserError(path, str(error), "UTF-8 text") from error
    found: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            parse_key(f"{path} line {number}", line.strip())
            found[line.strip()] = None
    return list(found)


_AGAIN = "whyact data prepare action-genome --root DIR   (writes it anew)"


class _Head(msgspec.Struct):
    videos: list[str]
    version: int
    sources: dict[str, int]
    sha256: dict[str, str]
    hidden: int = 0
    empty_boxes: int = 0


# Name -> (what counts its rows, further axes, type); one table for writing and for refusing.
_SHAPES: dict[str, tuple[str, tuple[int, ...], type]] = {
    "video": ("F", (), np.int32),
    "number": ("F", (), np.int32),
    "person": ("F", (4,), np.float32),
    "score": ("F", (), np.float32),
    "size": ("F", (2,), np.int32),
    "frame": ("N", (), np.int32),
    "kind": ("N", (), np.int16),
    "box": ("N", (4,), np.float32),
    "bits": ("N", (), np.uint32),
    "rate": ("V", (), np.float32),
}


def _mapping(path: Path) -> dict[Any, Any]:
    found = load_pickle(path)
    if not isinstance(found, dict) or not found:
        raise UserError(path, type(found).__name__, "a dictionary with at least one frame")
    return found


def _persons(path: Path, persons: Mapping[str, Any]) -> tuple[NDArray[Any], ...]:
    """Return the best box, its score and the frame's size, for every frame in the order of the file."""
    boxes, scores, sizes = [], [], []
    key: object = None
    try:
        for key, value in persons.items():
            if value["bbox_mode"] != "xyxy":
                raise UserError(f"{path}: {key}, bbox_mode", value["bbox_mode"], "xyxy")
            box, score = value["bbox"], value["bbox_score"]
            if box.shape != (len(score), 4) or box.dtype.kind not in "fiu":
                raise UserError(f"{path}: {key}, bbox", box.shape, f"shape ({len(score)}, 4), one row a score")
            boxes.append(box)
            scores.append(score)
            sizes.append(value["bbox_size"])
        count = np.array([len(score) for score in scores])
        every = np.concatenate(boxes, dtype=np.float32, casting="unsafe")
        score = np.concatenate(scores, dtype=np.float32, casting="unsafe")
        key = None
        size = np.array(sizes, np.int32).reshape(-1, 2)
        if len(size) != len(persons):
            raise ValueError("bbox_size is not (width, height) everywhere")
    except UserError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: {key or 'persons'}", reason, "bbox (n,4), bbox_score (n,) and bbox_size") from error
    owner = np.repeat(np.arange(len(count)), count)
    ranked = np.lexsort((-score, owner))
    first = np.cumsum(count) - count
    has = count > 0
    best = ranked[first[has]]
    person, top = np.zeros((len(count), 4), np.float32), np.zeros(len(count), np.float32)
    person[has], top[has] = every[best], score[best]
    wrong = has & ~((person[:, 2:] > person[:, :2]).all(1) & np.isfinite(person).all(1) & np.isfinite(top))
    if wrong.any() or (size <= 0).any():
        i = int(np.flatnonzero(wrong | (size <= 0).any(1))[0])
        name = list(persons)[i]
        raise UserError(f"{path}: {name}", [*person[i].tolist(), *size[i].tolist()], "x1 < x2, y1 < y2, a size above 0")
    return person, top, size


def _objects(path: Path, related: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return frame, class, xyxy box and relation bits of every object that has a box, and how many have none."""
    frames: list[int] = []
    kinds: list[int] = []
    boxes: list[Any] = []
    bits: list[int] = []
    hidden = 0
    key: object = None
    try:
        for i, key in enumerate(order):
            for item in related[key]:
                box = item["bbox"]
                if box is None:
                    hidden += 1
                    continue
                code = 0
                for name in item["attention_relationship"] or ():
                    code |= _BIT[name]
                for name in item["spatial_relationship"] or ():
                    code |= _BIT[name]
                for name in item["contacting_relationship"] or ():
                    code |= _BIT[name]
                kinds.append(_OBJECT[item["class"]])
                bits.append(code)
                frames.append(i)
                if len(box) != 4:
                    raise UserError(f"{path}: {key}, bbox", box, "x, y, width, height")
                boxes.append(box)
        key = None
        xywh = np.array(boxes, np.float32).reshape(-1, 4)
    except UserError:
        raise
    except KeyError as error:
        expected = "the keys, classes and relations of Action Genome"
        raise UserError(f"{path}: {key}", error.args[0] if error.args else None, expected) from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: {key or 'objects'}", reason, "a list of objects with bbox and relations") from error
    wrong = ~(np.isfinite(xywh).all(1) & (xywh[:, 2:] >= 0).all(1)) if len(xywh) else np.zeros(0, bool)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise UserError(f"{path}: {list(order)[frames[i]]}", xywh[i].tolist(), "x, y, width, height, no side negative")
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    return np.array(frames, np.int32), np.array(kinds, np.int16), xyxy, np.array(bits, np.uint32), hidden


def _checked(path: Path, tensors: dict[str, NDArray[Any]], videos: int) -> dict[str, Any]:
    """Refuse arrays that do not fit together: what follows indexes with them."""
    if set(tensors) != set(_SHAPES):
        raise UserError(path, sorted(tensors), f"the arrays {', '.join(_SHAPES)}", _AGAIN)
    count = {"F": len(np.atleast_1d(tensors["video"])), "N": len(np.atleast_1d(tensors["frame"])), "V": videos}
    for name, (axis, rest, kind) in _SHAPES.items():
        if tensors[name].shape != (count[axis], *rest) or tensors[name].dtype != kind:
            reason = f"{name} {tensors[name].dtype} {tensors[name].shape}"
            raise UserError(path, reason, f"{np.dtype(kind)} {(count[axis], *rest)}", _AGAIN)
    video, frame = tensors["video"], tensors["frame"]
    ordered = np.lexsort((tensors["number"], video))
    fits = (
        (np.diff(frame) >= 0).all()
        and (ordered == np.arange(len(ordered))).all()
        and all(_within(tensors[n], 0, top) for n, top in (("video", videos), ("frame", len(video)), ("kind", 36)))
        and _within(tensors["number"], 1, 10**6)
        and _within(tensors["size"], 1, 2**30)
        and (tensors["bits"] < 1 << len(RELATIONS)).all()
        and all(np.isfinite(tensors[name]).all() for name in ("person", "score", "box", "rate"))
    )
    if not fits:
        raise UserError(path, "arrays that contradict each other", "annotations converted by whyact", _AGAIN)
    return tensors


def _within(x: NDArray[Any], low: int, high: int) -> bool:
    return not len(x) or bool(x.min() >= low and x.max() < high)
