"""Captions and images in a directory -> one tf.Example per image, in splits, and what was rejected."""
