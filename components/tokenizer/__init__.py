"""The preprocessing function of TFX Transform: captions -> token IDs, and the vocabulary."""
