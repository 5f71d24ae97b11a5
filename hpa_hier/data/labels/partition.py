"""Partition: the majority and the minority leaves, by their images or by name; or none, where images are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.files.shell import command
from hpa_hier.settings.recipe import PartitionSettings
from hpa_hier.taxonomy import Taxonomy

PARTITION_FILE = "partition.json"  # in a run's folder
FEWEST = 20  # images of a majority leaf; with fewer, chance decides on which side a leaf is (20 ± 4.5, Poisson)


@dataclass(frozen=True)
class Partition:
    """All leaves by name, each on one side, in the taxonomy's order; none on either where the partition is left out."""

    majority: tuple[str, ...]
    minority: tuple[str, ...]
    min_images: int  # that a majority leaf has at least; 0 where the leaves were named
    left_out: str = ""  # why there is no partition

    @classmethod
    def read(cls, path: Path) -> Partition:
        """Read what a run has kept."""
        kept = read_json(path)
        try:
            least, why = int(kept.get("min_images", 0)), str(kept.get("left_out", ""))
            majority, minority = (tuple(map(str, list(kept[side]))) for side in ("majority", "minority"))
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"{path}: is damaged ({error}); remove it, and train a member: it is made again") from None
        return cls(majority, minority, least, why)


def divide(
    counts: Mapping[str, int], images: int, settings: PartitionSettings, taxonomy: Taxonomy, *, few: bool = False
) -> Partition:
    """Divide the leaves into those that the settings name, or that have many images, and the others.

    Unless the settings say which or how many, it is left out where a majority leaf would need fewer than 20 images, or
    all leaves have as many.

    Args:
        counts: images by leaf name; a leaf that is not listed has none.
        images: in all.
        settings: the names, or the count from which a leaf belongs to the majority.
        taxonomy: gives the leaves.
        few: divide however few the images are.

    Raises:
        UserError: a name is no leaf.
    """
    named = {taxonomy.find_node(name) for name in settings.majority}
    for name in settings.majority:
        if taxonomy.find_node(name) not in taxonomy.leaves:
            raise UserError(
                f"partition.majority: {name!r} is no leaf of '{taxonomy.name}'; "
                f"`{command('taxonomy', 'check', taxonomy.source)}` prints the tree"
            )
    least = 0 if named else settings.majority_min_images or _default_min_images(counts, images, taxonomy)
    majority = named or {leaf for leaf in taxonomy.leaves if counts.get(leaf, 0) >= least}
    if not (named or settings.majority_min_images or few):
        if least < FEWEST:
            return Partition((), (), least, f"{images:,} images: a majority class would have as few as {least:,}")
        if len(majority) == len(taxonomy.leaves):
            return Partition((), (), least, f"all {len(taxonomy.leaves)} classes have {least:,} images")
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
