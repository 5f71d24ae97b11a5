"""Readers of the public hierarchical multi-label data sets."""
