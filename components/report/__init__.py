"""One HTML file about a run: the decision and why, the figures, every test picture."""
