"""Statistics against the schema: data that breaks it stops the pipeline."""
