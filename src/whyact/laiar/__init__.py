"""LaIAR: actions from human-object relations, answered with the transition that decided (CVPR 2024)."""
