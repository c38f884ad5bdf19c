"""Pixels or words to vectors."""
