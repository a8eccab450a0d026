"""The report of a run as one HTML file: the decision and its reasons, the metrics, every test image."""
