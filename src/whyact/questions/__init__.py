"""Question an answer: what can be taken away from it, and what the model says then; the same for every method."""
