"""The steps of the pipeline, a folder each, and the files that they share."""

import importlib
import os

# TensorFlow reads it once, when it is first imported, and leaves its fast kernels off on many processors (all of AMD's
# without AVX-512): there products of matrices take twice as long. Set here, it is the same in every process of a run.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# reads all code before any of it is imported, so that what runs is what is hashed; by name, since this import is part
# of no step's identity
importlib.import_module("components.shared.code_identity")
