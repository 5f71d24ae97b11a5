"""Formats of the table of probabilities: one row a sample, one column a node."""
