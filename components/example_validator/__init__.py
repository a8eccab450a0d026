"""Validates the statistics against the schema; data that violates it stops the pipeline."""
