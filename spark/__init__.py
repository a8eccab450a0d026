"""A real Spark cluster on this machine, for the Beam steps."""
