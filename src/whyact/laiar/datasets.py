"""The data sets of relation clips by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from whyact.data import cad120
from whyact.data.relation_data import RelationData
from whyact.errors import UserError

NAMES = ("cad120", "homeworld")
HOMEWORLD_SEED = 7


def read_relations(
    name: str, root: Path | None, *, rgb_relations: bool, slots: int, only: str | None = None
) -> RelationData:
    """Read a data set of relation clips.

    Args:
        name: ``cad120`` (any set in its layout), or ``homeworld``, which is generated when ``root`` is ``None``.
        root: The folder that holds it.
        rgb_relations: Read relation probabilities predicted from RGB too.
        slots: Most pairs of a clip.
        only: Read just this clip.

    Raises:
        UserError: For an unknown name, a missing root or damaged data.
    """
    if name not in NAMES:
        raise UserError("--data", name, f"one of {', '.join(NAMES)}")
    if name == "homeworld":
        if rgb_relations:
            raise UserError("--data.rgb_relations", "true", "false: homeworld has no pixels yet")
        if root is None:
            from whyact.homeworld.write import write_world

            with tempfile.TemporaryDirectory() as folder:
                world = Path(folder) / "world"
                write_world(world, seed=HOMEWORLD_SEED)
                return cad120.read(world, max_pairs=slots, only=only)
    if root is None:
        raise UserError("--root", None, f"the folder that holds {name}", f"whyact data check {name} --root DIR")
    return cad120.read(root, rgb_relations=rgb_relations, max_pairs=slots, only=only)
