"""hpa_hier: where in the cell a protein is, by a hierarchical, partitioned ensemble."""

__version__ = "0.1.0"
