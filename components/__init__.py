"""The steps of the pipeline, a folder each, and the files that they share."""
