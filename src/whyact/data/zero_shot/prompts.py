"""Class names as published prompts: one sentence a class, no ensembling, no full stop."""

from __future__ import annotations

import re

TEMPLATE = "a video of a person {}"
_KINETICS = {"faceplanting": "face plant", "situp": "sit up", "barbequing": "barbeque"}


def readable(name: str, dataset: str) -> str:
    """Return a class name as words, the way the data set spells its names.

    UCF101 is split before capitals, HMDB51 and Olympic Sports at underscores, ActivityNet is lower-cased,
    Kinetics loses its parentheses. Underscores of Kinetics folder names become spaces, which the public code forgot.
    """
    if dataset == "ucf101":
        return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
    if dataset == "kinetics":
        words = re.sub(r"[()]", "", name).replace("_", " ").lower()
        return _KINETICS.get(words, words)
    if dataset == "activitynet":
        return name.lower()
    return name.replace("_", " ").lower()
