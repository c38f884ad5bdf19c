"""The types that every data reader returns, :class:`RelationClip` and :class:`FeatureSequence`.

Axis letters: T frames or snippets, K slots, R relation labels, D width. Boxes are xyxy pixels, float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.errors import UserError

Bool = NDArray[np.bool_]
Int = NDArray[np.int64]
IN_VIEW = "in view"  # the one relation of data that name none
MOTION = ("still", "approaching", "leaving", "moving_together", "moving")  # the last of a thing by itself
DISTANCE = ("apart", "near", "touching", "overlapping", "inside", "containing")
MEASURED = (*MOTION, *DISTANCE)  # relations that are measured from boxes; of a pair, exactly one of each group holds


@dataclass(frozen=True)
class Rule:
    """A transition that defines an action: ``subject`` goes from ``before`` to ``after`` with one of ``objects``.

    For an attribute change ``subject`` is empty and the pair is the object with itself.
    """

    action: str
    before: str
    after: str
    subject: str
    objects: tuple[str, ...]


@dataclass(frozen=True)
class RelationGroup:
    """Relation labels that answer one question (attention, place, contact); ``exclusive``: exactly one is true."""

    name: str
    relations: tuple[str, ...]
    exclusive: bool = False


@dataclass(frozen=True)
class Vocabulary:
    """The words of a data set: object classes, relation labels (attributes included), actions, rules.

    ``allowed[(subject class, object class)]`` lists the relation labels that the pair can carry;
    a self-pair (an attribute) has the key ``(c, c)``. ``groups`` divide the relations where a pair carries
    several at once; the last group names tokens in the evidence. ``multi_label``: a clip shows any number of actions.
    ``at_most`` limits how many there are of a class at once (one person, two hands). Where relations are ``measured``
    from the boxes they are the last of ``relations``, behind annotated ones if there are any. Where all of them are, or
    :data:`IN_VIEW` is the only one, ``(c, c)`` stands for two things of a class.
    """

    objects: tuple[str, ...]
    relations: tuple[str, ...]
    actions: tuple[str, ...]
    allowed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    groups: tuple[RelationGroup, ...] = ()
    multi_label: bool = False
    at_most: dict[str, int] = field(default_factory=dict)
    measured: bool = False

    @property
    def pairs_in_view(self) -> bool:
        """Return whether a pair is a token where both of its things are in view, whatever is annotated."""
        return self.only_measured or self.has_no_relations

    @property
    def only_measured(self) -> bool:
        """Return whether no relation was annotated and all are measured."""
        return self.measured and len(self.relations) == len(MEASURED)

    @property
    def annotated(self) -> int:
        """Return how many of the relations, the first ones, are not measured."""
        return len(self.relations) - len(MEASURED) * self.measured

    @property
    def has_no_relations(self) -> bool:
        """Return whether the data name no relation: a pair is a token where both of its things are in view."""
        return self.relations == (IN_VIEW,)

    @property
    def group_of(self) -> tuple[int, ...]:
        """Return the group of each relation label; without groups they are all in one."""
        found = {name: g for g, group in enumerate(self.groups) for name in group.relations}
        return tuple(found.get(name, 0) for name in self.relations)

    @property
    def naming(self) -> tuple[int, ...]:
        """Return the relation labels by which evidence names a token."""
        last = max(0, len(self.groups) - 1)
        return tuple(i for i, group in enumerate(self.group_of) if group == last)


@dataclass(frozen=True)
class RoiFeatures:
    """What an encoder saw in the boxes of each pair, the pixel terms of LaIAR's Eq. 1; zeros where a box is hidden.

    ``subject`` and ``object`` (T,K,A) are the boxes' vectors, ``union`` (T,K,C,S,S) the map of their union box.
    """

    subject: NDArray[np.floating]
    object: NDArray[np.floating]
    union: NDArray[np.floating]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (A, C, S): width of a box's vector, channels and side of a union map."""
        return self.subject.shape[-1], self.union.shape[-3], self.union.shape[-1]

    def at(self, index: NDArray[np.intp]) -> RoiFeatures:
        """Return the features at these frame positions."""
        return RoiFeatures(self.subject[index], self.object[index], self.union[index])

    def pick(self, slots: Sequence[int]) -> RoiFeatures:
        """Return the features of these slots."""
        i = np.asarray(slots, dtype=np.intp)
        return RoiFeatures(self.subject[:, i], self.object[:, i], self.union[:, i])


@dataclass(frozen=True)
class RelationClip:
    """A clip as person/object pairs over time (LaIAR's input). One token = one pair in one frame.

    Shapes: ``subject_boxes`` and ``object_boxes`` (T,K,4); ``subject_class`` and ``object_class`` (K,),
    for a slot is one track and a track does not change its class; ``relations`` (T,K,R) multi-hot or
    ``None`` when unknown; ``valid`` (T,K); ``times`` (T,) seconds; ``frames`` (T,) frame numbers in the
    source, 1-based; ``appearance`` (T,K,D) or ``None``, NaN where the encoder saw nothing; ``pixels`` what an
    encoder saw in the boxes; ``scene`` (T,D) what it saw in whole frames; ``context`` (D,) one vector of the whole clip
    from any video encoder. ``target`` is the one action of the clip, or ``targets`` are its actions where a clip may
    show any number of them.
    """

    id: str
    subject_boxes: Float32
    object_boxes: Float32
    subject_class: Int
    object_class: Int
    valid: Bool
    times: NDArray[np.float64]
    frames: Int
    slots: tuple[tuple[str, str], ...]
    image_size: tuple[int, int]
    relations: Bool | None = None
    appearance: Float32 | None = None
    target: int | None = None
    group: str = ""
    dropped_pairs: int = 0
    pixels: RoiFeatures | None = None
    context: Float32 | None = None
    targets: tuple[int, ...] | None = None
    scene: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        t, k = self.valid.shape
        shapes = {
            "subject_boxes": (self.subject_boxes.shape, (t, k, 4)),
            "object_boxes": (self.object_boxes.shape, (t, k, 4)),
            "subject_class": (self.subject_class.shape, (k,)),
            "object_class": (self.object_class.shape, (k,)),
            "times": (self.times.shape, (t,)),
            "frames": (self.frames.shape, (t,)),
        }
        if self.relations is not None:
            shapes["relations"] = (self.relations.shape, (t, k, self.relations.shape[-1]))
        if self.appearance is not None:
            shapes["appearance"] = (self.appearance.shape, (t, k, self.appearance.shape[-1]))
        if self.scene is not None:
            shapes["scene"] = (self.scene.shape, (t, self.scene.shape[-1]))
        if self.pixels is not None:
            a, c, side = self.pixels.shape
            shapes["pixels, subject"] = (self.pixels.subject.shape, (t, k, a))
            shapes["pixels, object"] = (self.pixels.object.shape, (t, k, a))
            shapes["pixels, union"] = (self.pixels.union.shape, (t, k, c, side, side))
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise UserError(f"clip {self.id}, {name}", found, f"shape {expected}")

    def at(self, index: Sequence[int] | NDArray[np.intp]) -> RelationClip:
        """Return the clip at these frame positions (0-based, repeats allowed, order kept)."""
        i = np.asarray(index, dtype=np.intp)
        return replace(
            self,
            subject_boxes=self.subject_boxes[i],
            object_boxes=self.object_boxes[i],
            valid=self.valid[i],
            times=self.times[i],
            frames=self.frames[i],
            relations=None if self.relations is None else self.relations[i],
            appearance=None if self.appearance is None else self.appearance[i],
            pixels=None if self.pixels is None else self.pixels.at(i),
            scene=None if self.scene is None else self.scene[i],
        )

    def without_relations(self) -> RelationClip:
        """Return the clip as the video model may see it: no relation labels, no target."""
        return replace(self, relations=None, target=None, targets=None)


@dataclass(frozen=True)
class FeatureSequence:
    """A video as a sequence of feature vectors (input of LoCATe-GAT and PVLR).

    ``features`` (T,D) float16/32; ``times`` (T,) seconds, the start of each frame or snippet; ``rate``
    snippets a second; ``second`` (T,D2) an optional second stream; ``target`` class indices of the video. Where nobody
    says how far apart the rows are, they count as seconds and ``timed`` is false.
    """

    id: str
    features: NDArray[np.floating]
    times: NDArray[np.float64]
    rate: float
    second: NDArray[np.floating] | None = None
    target: tuple[int, ...] = ()
    segments: tuple[tuple[float, float, int], ...] = ()
    group: str = ""
    timed: bool = True

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.times) != len(self.features):
            raise UserError(f"sequence {self.id}", self.features.shape, f"features (T,D) with {len(self.times)} times")
        if self.second is not None and len(self.second) != len(self.features):
            raise UserError(f"sequence {self.id}, second stream", self.second.shape, f"{len(self.features)} rows")


@dataclass(frozen=True)
class RelationOptions:
    """How to read relation clips: at most ``slots`` pairs a clip, and what else only some data sets offer.

    ``only`` reads just the clip of that id. ``clip_boxes`` cuts off what lies outside the image, which is refused
    otherwise (own data). ``rgb_relations`` and ``frames_dir`` are CAD-120's (relation scores
    predicted from RGB, and the user's own frames), ``contact_only`` and ``filter_small`` Action Genome's.
    """

    slots: int = 28
    only: str | None = None
    clip_boxes: bool = False
    rgb_relations: bool = False
    frames_dir: Path | None = None
    contact_only: bool = False
    filter_small: float = 0.0


@dataclass(frozen=True)
class ZeroShotOptions:
    """How pixels and class names become vectors: a CLIP by name and weights, and where else names come from.

    ``patches`` above 0 adds that many by that many patch vectors to every frame, see
    :func:`whyact.features.patches.encode_with_patches`. ``names`` takes class names through CLIP or from the word
    vectors of Label.mat, whose classes the split file counts in ``order``. ``progress`` shows a bar on a terminal.
    ``device`` is where the CLIP computes.
    """

    backbone: str = "ViT-B-16"
    weights: str = "openai"
    patches: int = 0
    names: Literal["clip", "words"] = "clip"
    order: Literal["label", "ascii"] = "label"
    progress: bool = True
    device: str = "cpu"
