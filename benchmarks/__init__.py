"""Benchmarks: `make bench`. Each yields results; one that compares is a ratio of two measurements of the same run."""

import components  # noqa: F401  before TensorFlow, of which it chooses the kernels
