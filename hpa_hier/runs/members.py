"""The finished members of a run: their records, and whether they may still be combined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hpa_hier.data.labels.partition import virtual_node
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.runs.manifest import MANIFEST, TAXONOMY, Manifest, read_manifest
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.changes import missing_nodes, renamed_nodes, stale_nodes
from hpa_hier.taxonomy.load import LEAVES

_SHARED = ("split_digest", "pack_digest", "kind", "channels", "image_size", "intensity", "folds")


@dataclass(frozen=True)
class MemberRecord:
    """A finished member: its folder, its manifest, and the SHA-256 of that file."""

    folder: Path
    manifest: Manifest
    digest: str
    read_taxonomy: Callable[[Path], Taxonomy]

    @classmethod
    def read(cls, folder: Path, read_taxonomy: Callable[[Path], Taxonomy]) -> MemberRecord:
        """Read the record of a finished member.

        Raises:
            UserError: the member is not finished, or its member.json is damaged.
        """
        return cls(folder, read_manifest(folder), sha256(folder / MANIFEST), read_taxonomy)

    @property
    def name(self) -> str:
        """The member's name."""
        return self.folder.name

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy that the member was trained with."""
        return self.read_taxonomy(self.folder / TAXONOMY)

    def stale(self, taxonomy: Taxonomy) -> tuple[str, ...]:
        """Return the member's nodes that mean something else under `taxonomy`, or nothing."""
        return stale_nodes(self.taxonomy, taxonomy, self.manifest.nodes)

    def renamed(self, taxonomy: Taxonomy) -> dict[str, str]:
        """Return the member's nodes that have another name under `taxonomy`, old to new."""
        return dict(renamed_nodes(self.taxonomy, taxonomy, self.manifest.nodes))

    def lacking(self, taxonomy: Taxonomy) -> tuple[str, ...]:
        """Return the nodes that its level or group has under `taxonomy` and it does not answer for."""
        level, group = self.manifest.selector.get("level", ""), self.manifest.selector.get("group", "")
        group = renamed_nodes(self.taxonomy, taxonomy, (group,)).get(group, group) if group else ""
        wanted: tuple[str, ...] = ()
        if level in (*taxonomy.levels, LEAVES):
            wanted = taxonomy.level(level)
        elif group in taxonomy.nodes and not taxonomy.is_leaf(group):
            wanted = taxonomy.group(group)
        return missing_nodes(self.taxonomy, taxonomy, self.manifest.nodes, wanted)

    def given(self, taxonomy: Taxonomy) -> str:
        """Return the node that all its training images carried, as it is called now; "" where it saw all images."""
        if self.manifest.images != "own":
            return ""
        (kind, value), *_ = self.manifest.selector.items()
        node = virtual_node(value) if kind == "partition" else value
        return renamed_nodes(self.taxonomy, taxonomy, (node,)).get(node, node) if node in self.taxonomy.column else node


def check_together(records: Sequence[MemberRecord], run: Path) -> None:
    """Refuse members that were not trained on the same images, parts and kind of input.

    Raises:
        UserError: naming two members and what they differ in.
    """
    first = records[0]
    for key in _SHARED:
        for record in records:
            one, other = getattr(first.manifest, key), getattr(record.manifest, key)
            if one != other:
                raise UserError(
                    f"{run}: members '{first.name}' and '{record.name}' differ in {key} ({one}, {other}), so they "
                    "cannot be combined; leave one out of ensemble.members, or train it again with --restart"
                )
