"""Fit, evaluate and checkpoints: the same for all methods."""
