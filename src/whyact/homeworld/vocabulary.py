"""The words of the household world: what there is in it, what may be said of it, and what counts as an action.

Relations and attributes are said of pairs of kinds; an action is a change of one of them (:class:`Rule`).
The mirror pairs pick/place, open/close and store/take_out are the same change in opposite order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whyact.data.types import Rule, Vocabulary

HAND, HEAD, CUPBOARD = "hand", "head", "cupboard"
NULL = "null"
AT_MOST = {HAND: 2, HEAD: 1}  # at once: there is one person in every film


@dataclass(frozen=True)
class Kind:
    """A kind of household thing: its usual size in room pixels and what one can do with it.

    ``width`` and ``height`` are those of the open thing where it opens; ``closed_height`` is the share
    of the height that is left when it is shut.
    """

    name: str
    width: float
    height: float
    movable: bool = False
    meal: Literal["", "drink", "eat"] = ""
    opens: bool = False
    storable: bool = False
    closed_height: float = 1.0


KINDS = (
    Kind("mug", 30, 34, movable=True, meal="drink", storable=True),
    Kind("bottle", 24, 58, movable=True, meal="drink", opens=True, storable=True, closed_height=1.08),
    Kind("sandwich", 42, 26, movable=True, meal="eat", storable=True),
    Kind("pear", 26, 32, movable=True, meal="eat", storable=True),
    Kind("book", 52, 40, movable=True),
    Kind("phone", 22, 38, movable=True),
    Kind("jar", 34, 44, movable=True, opens=True, storable=True, closed_height=1.08),
    Kind("laptop", 92, 60, opens=True, closed_height=0.3),
    Kind(CUPBOARD, 116, 148, opens=True),
)
KIND = {kind.name: kind for kind in KINDS}

# The relation that a subject kind carries when it is true of a pair, and when it is not.
RELATION = {HAND: ("holding", "not_holding"), HEAD: ("contacting", "apart"), CUPBOARD: ("containing", "separate")}
ATTRIBUTE = ("closed", "open")


def _vocabulary() -> Vocabulary:
    movable = tuple(k.name for k in KINDS if k.movable)
    drinks = tuple(k.name for k in KINDS if k.meal == "drink")
    foods = tuple(k.name for k in KINDS if k.meal == "eat")
    storable = tuple(k.name for k in KINDS if k.storable)
    openable = tuple(k.name for k in KINDS if k.opens)
    (holding, free), (contact, apart), (within, outside) = RELATION[HAND], RELATION[HEAD], RELATION[CUPBOARD]
    shut, open_ = ATTRIBUTE
    allowed: dict[tuple[str, str], tuple[str, ...]] = {(HAND, name): RELATION[HAND] for name in movable}
    allowed |= {(HEAD, name): RELATION[HEAD] for name in drinks + foods}
    allowed |= {(CUPBOARD, name): RELATION[CUPBOARD] for name in storable}
    allowed |= {(name, name): ATTRIBUTE for name in openable}
    return Vocabulary(
        objects=(HAND, HEAD, *KIND),
        relations=(*RELATION[HAND], *RELATION[HEAD], *RELATION[CUPBOARD], *ATTRIBUTE),
        actions=(NULL, "pick", "place", "drink", "eat", "open", "close", "store", "take_out"),
        allowed=allowed,
        rules=(
            Rule("pick", free, holding, HAND, movable),
            Rule("place", holding, free, HAND, movable),
            Rule("drink", apart, contact, HEAD, drinks),
            Rule("eat", apart, contact, HEAD, foods),
            Rule("store", outside, within, CUPBOARD, storable),
            Rule("take_out", within, outside, CUPBOARD, storable),
            Rule("open", shut, open_, "", openable),
            Rule("close", open_, shut, "", openable),
        ),
        at_most=AT_MOST,
    )


VOCABULARY = _vocabulary()
MIRRORS = (("pick", "place"), ("open", "close"), ("store", "take_out"))
