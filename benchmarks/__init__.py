"""Benchmarks: `make bench`. Each yields results; a figure that compares is a ratio within one run."""

import components  # noqa: F401  before TensorFlow, of which it chooses the kernels
