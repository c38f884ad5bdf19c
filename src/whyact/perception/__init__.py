"""Pixels to boxes to tracks: detectors, linking over time, and the tracks file that any detector can write."""
