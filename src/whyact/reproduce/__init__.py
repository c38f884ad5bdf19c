"""Reproduction and benchmark studies, a file a study."""
