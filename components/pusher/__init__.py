"""A blessed model -> a version directory that TensorFlow Serving loads, whole and once."""
