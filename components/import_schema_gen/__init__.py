"""Imports the curated schema into the pipeline."""
