"""Label trees: read from a YAML file, checked, asked for levels, ancestors and closures, and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpa_hier.taxonomy.tree import Taxonomy

__all__ = ["Taxonomy"]


def __getattr__(name: str) -> object:
    """Import the tree where it is asked for, so that `python -m hpa_hier.taxonomy --help` comes at once."""
    if name != "Taxonomy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hpa_hier.taxonomy.tree import Taxonomy

    return Taxonomy
