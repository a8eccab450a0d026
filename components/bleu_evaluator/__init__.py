"""Captions the test split, scores it, and decides whether the model may serve."""
