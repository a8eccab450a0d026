"""Trained weights, backbone, vocabulary and decoding settings -> one SavedModel that turns images into captions."""
