"""Settings for every test."""

from __future__ import annotations

from hypothesis import settings

# A time limit for each example would make a slow machine a failing one.
settings.register_profile("whyact", deadline=None, print_blob=True)
settings.load_profile("whyact")
