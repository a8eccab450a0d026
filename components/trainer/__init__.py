"""Features and token IDs -> the weights of a captioning model."""
