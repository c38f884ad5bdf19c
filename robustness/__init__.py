"""Fuzzing and fault injection. They attack whyact and are no part of what is installed."""
