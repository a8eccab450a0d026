"""Captions and pictures in a directory -> one tf.Example a picture, in splits, and what was rejected."""
