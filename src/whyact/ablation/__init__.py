"""Question answers: what can be taken away, what the model says then, what two models differ in. For every method."""
