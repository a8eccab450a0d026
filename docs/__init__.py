"""The pages of the documentation, and the programs that write the generated ones."""
