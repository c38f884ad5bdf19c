"""``whyact data verify``: check every byte of what whyact wrote, and name the file that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.verbs.parser import Parser, existing_folder, print_json

_EXAMPLES = ("whyact data verify my-features", "whyact data verify runs/kitchen --json")


def run(argv: list[str]) -> int:
    """Verify the folder that ``argv`` names; the exit code is 1 when anything is wrong."""
    parser = Parser(
        "data verify",
        "Check every byte of a folder that whyact wrote: features of `whyact extract`, a feature store, or a run.",
        _EXAMPLES,
        "what is wrong",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    args = parser.parse_args(argv)
    folder = existing_folder("DIR", args.folder)
    assert folder is not None
    kind, wrong = _verify(folder)
    found: dict[str, Any] = {"folder": str(folder), "kind": kind, "sound": not wrong, "wrong": wrong}
    if args.json:
        print_json(found)
    else:
        print("\n".join(wrong) or f"{folder}: {kind}, every byte as it was written")
    return 1 if wrong else 0


def _verify(folder: Path) -> tuple[str, list[str]]:
    if (folder / "card.json").is_file():
        from whyact.training.checkpoint import BEST, load_checkpoint

        wrong = []
        for run in (folder, folder / BEST):
            try:
                if run == folder or run.exists():
                    load_checkpoint(run)
            except UserError as error:
                wrong.append(str(error))
        return "run", wrong
    if (folder / "videos").is_dir():
        from whyact.data.untrimmed.records import verify_features

        return "extracted features", verify_features(folder)
    from whyact.features.store import verify_store

    return "feature store", verify_store(folder)
