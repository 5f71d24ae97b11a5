"""Partition: the majority and the minority leaves, by training count or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import PartitionSettings
from hpa_hier.taxonomy import Taxonomy

PARTITION_FILE = "partition.json"  # in a run's folder


@dataclass(frozen=True)
class Partition:
    """All leaves by name, each on one side, in the taxonomy's order."""

    majority: tuple[str, ...]
    minority: tuple[str, ...]
    min_images: int  # of the training part, that a majority leaf has at least; 0 where the leaves were named


def divide(counts: Mapping[str, int], images: int, settings: PartitionSettings, taxonomy: Taxonomy) -> Partition:
    """Divide the leaves into those that the settings name, or that have many training images, and the others.

    Args:
        counts: images of the training part by leaf name; a leaf that is not listed has none.
        images: in the training part.
        settings: the names, or the count from which a leaf belongs to the majority.
        taxonomy: gives the leaves.

    Raises:
        UserError: a name is no leaf.
    """
    named = {taxonomy.find_node(name) for name in settings.majority}
    for name in settings.majority:
        if taxonomy.find_node(name) not in taxonomy.leaves:
            raise UserError(
                f"partition.majority: {name!r} is no leaf of '{taxonomy.name}'; "
                "`python -m hpa_hier.taxonomy check` prints the tree"
            )
    least = 0 if named else settings.majority_min_images or _default_min_images(counts, images, taxonomy)
    majority = named or {leaf for leaf in taxonomy.leaves if counts.get(leaf, 0) >= least}
    rest = tuple(leaf for leaf in taxonomy.leaves if leaf not in majority)
    return Partition(tuple(leaf for leaf in taxonomy.leaves if leaf in majority), rest, least)


def add_partition_nodes(taxonomy: Taxonomy, partition: Mapping[str, Sequence[str]]) -> Taxonomy:
    """Put the virtual nodes `has_majority` and `has_minority` above the leaves of each side that has any."""
    return taxonomy.with_virtual({virtual_node(side): leaves for side, leaves in partition.items() if leaves})


def virtual_node(side: str) -> str:
    """Return the name of the virtual node above a side of the partition.

    >>> virtual_node("minority")
    'has_minority'
    """
    return f"has_{side}"


def _default_min_images(counts: Mapping[str, int], images: int, taxonomy: Taxonomy) -> int:
    """Return a twentieth of the images, moved so far that neither side is empty, unless all leaves have as many."""
    of_leaves = [counts.get(leaf, 0) for leaf in taxonomy.leaves]
    return max(1, min(max(images // 20, min(of_leaves) + 1), max(of_leaves)))
