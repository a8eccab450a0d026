"""The pipeline: its settings, its graph, and how it runs on one machine."""

import components  # noqa: F401  before TensorFlow, of which it chooses the kernels
