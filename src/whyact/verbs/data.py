"""``whyact data``: what there is to do with a data set, each in a module of its own."""

from __future__ import annotations

from whyact.errors import choose
from whyact.verbs.lazy import listed, load

ACTIONS: dict[str, tuple[str, str]] = {
    "check": ("whyact.verbs.data_check:run", "read every file of a data set as training reads it"),
    "make": ("whyact.verbs.data_make:run", "write a generated world to try things on"),
    "convert": ("whyact.verbs.data_convert:run", "turn published files into ours"),
    "prepare": ("whyact.verbs.data_prepare:run", "extract the frames that Action Genome annotates"),
    "draw": ("whyact.verbs.data_draw:run", "draw an annotation into its frames, to see that it fits"),
    "things": ("whyact.verbs.data_things:run", "list what a detector finds in a folder of clips"),
    "verify": ("whyact.verbs.data_verify:run", "check every byte of a folder that whyact wrote"),
}


def run(argv: list[str]) -> int:
    """Do with a data set what the first word of ``argv`` says."""
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: whyact data ACTION ...\n\nCheck, make, convert, prepare, draw and verify data.\n\nactions:",
            flush=True,
        )
        print(listed(ACTIONS))
        print("\n--help after an action shows its options, among them --json.\n\nexamples:", flush=True)
        print("  whyact data check own --root my-data\n  whyact data make --help", flush=True)
        return 0 if argv else 2
    action = choose(argv[0], ACTIONS, "ACTION", "whyact data --help")
    code: int = load(ACTIONS[action][0])(argv[1:])
    return code
