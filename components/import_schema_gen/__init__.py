"""The curated schema, into the pipeline."""
