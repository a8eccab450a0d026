"""The pipeline on Kubeflow Pipelines.

The folder above is no package, and this one has a name of its own: a package `kubeflow` would hide PyPI's.
"""
