"""Label trees: read from a YAML file, checked, asked for levels, ancestors and closures, and drawn."""

from hpa_hier.taxonomy.tree import Taxonomy

__all__ = ["Taxonomy"]
