"""Pixels in time."""
