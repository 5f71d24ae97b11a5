"""Partition: the majority and the minority leaves, by training count or by name."""

from __future__ import annotations

from collections.abc import Mapping

from hpa_hier.config import PartitionSettings
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy


def majority_leaves(counts: Mapping[str, int], settings: PartitionSettings, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Return the leaves that the settings name, or else those with many training images, in the taxonomy's order.

    Args:
        counts: images of the training part by leaf name; a leaf that is not listed has none.
        settings: the names, or the count from which a leaf belongs to the majority.
        taxonomy: gives the leaves.

    Raises:
        UserError: a name is no leaf.
    """
    named = {_leaf(name, taxonomy) for name in settings.majority}
    if named:
        return tuple(leaf for leaf in taxonomy.leaves if leaf in named)
    return tuple(leaf for leaf in taxonomy.leaves if counts.get(leaf, 0) >= settings.majority_min_images)


def minority_leaves(counts: Mapping[str, int], settings: PartitionSettings, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Return the leaves that are not majority leaves, in the taxonomy's order."""
    majority = set(majority_leaves(counts, settings, taxonomy))
    return tuple(leaf for leaf in taxonomy.leaves if leaf not in majority)


def _leaf(name: str, taxonomy: Taxonomy) -> str:
    node = taxonomy.node_of(name)
    if node is None or not taxonomy.is_leaf(node):
        raise UserError(
            f"partition.majority: {name!r} is no leaf of '{taxonomy.name}'; "
            "`python -m hpa_hier.taxonomy check` draws the tree"
        )
    return node
