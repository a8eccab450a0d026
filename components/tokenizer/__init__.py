"""Captions -> word ids, and the vocabulary: a preprocessing function for TFX Transform."""
