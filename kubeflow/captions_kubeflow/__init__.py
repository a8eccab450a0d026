"""The pipeline on Kubeflow Pipelines.

The folder above is not a package, and this one has another name: a package `kubeflow` would shadow the one on PyPI.
"""
