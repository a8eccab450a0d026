"""The pipeline: its settings, its graph, and how it runs on one machine."""
