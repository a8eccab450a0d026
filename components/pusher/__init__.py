"""Pushes a blessed model into a version directory that TensorFlow Serving loads, atomically and once."""
