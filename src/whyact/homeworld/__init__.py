"""A generated household world."""
