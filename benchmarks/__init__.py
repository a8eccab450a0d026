"""Benchmarks: `make bench`. Each yields results; a figure that compares is a ratio within one run."""
