"""The taxonomy: an ordered set of named nodes, leaves below groups, with its levels, closure and meanings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.files.spelling import did_you_mean

ALL = "all"  # as a level: every node of the tree
PARTITION = "partition"  # as a level: the virtual nodes


@dataclass(frozen=True)
class Node:
    """One node as the file gives it. A node with a label and nothing below it is a leaf; others are groups."""

    name: str
    parents: tuple[str, ...]  # the node it stands below in the file, then those of also_under; () at the top
    depth: int  # 1 at the top of the tree, along the file's indentation
    label: str | None = None  # what the annotation file calls it; every leaf has one, open groups may
    go: str | None = None  # Gene Ontology id
    description: str = ""
    open: bool = False  # a group that may be annotated without any known leaf below it
    virtual: bool = False  # a further parent of leaves that is asked about but never an answer, as `has_minority`

    @property
    def home(self) -> str | None:
        """The node that it stands below in the file; None at the top."""
        return self.parents[0] if self.depth > 1 else None


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A checked label tree, or a graph where nodes stand below several parents.

    `Taxonomy.load` and `Taxonomy.from_text` make one. Wherever an array has one column for each node, the columns are
    in the order of `nodes`.

    >>> taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    >>> taxonomy.level("coarse")
    ('Nucleus', 'Cytoplasm', 'Secretory')
    >>> taxonomy.ancestors("Lysosomes")
    ('Secretory', 'Vesicles')
    """

    name: str
    description: str
    source: str  # the file as errors name it
    text: str = field(repr=False)  # the file's content, verbatim, to be saved beside what was made with it
    depths: Mapping[str, int | None] = field(repr=False)  # level → depth of its cut, top first; None: the leaves
    entries: Mapping[str, Node] = field(repr=False)  # name → node; every node after all of its parents

    @classmethod
    def load(cls, path: Path | str) -> Taxonomy:
        """Read a taxonomy file; a shipped one is found by its name from any folder.

        Raises:
            UserError: with the file, the line and what to do.
        """
        from hpa_hier.files.shipped import find_shipped
        from hpa_hier.files.yaml_file import read_text

        found = find_shipped(str(path))
        return cls.from_text(read_text(found), str(found))

    @classmethod
    def from_text(cls, text: str, source: str = "<text>") -> Taxonomy:
        """Read a taxonomy from YAML text.

        Args:
            text: the file's content.
            source: what errors call it.
        """
        from hpa_hier.taxonomy.load import parse_taxonomy  # load builds on this module

        return parse_taxonomy(text, source)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """All nodes in the order of the file, except that a node follows its second parents too."""
        return tuple(self.entries)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The nodes without nodes below them, in the order of `nodes`."""
        return tuple(node for node in self.nodes if self.is_leaf(node))

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels, top to bottom."""
        return tuple(self.depths)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups at the top of the tree."""
        return tuple(
            node for node in self.nodes if self.depth(node) == 1 and not self.is_leaf(node) and node not in self.virtual
        )

    @cached_property
    def virtual(self) -> tuple[str, ...]:
        """The nodes that are further parents of leaves and never an answer."""
        return tuple(name for name, node in self.entries.items() if node.virtual)

    @cached_property
    def without_virtual(self) -> Taxonomy:
        """The same taxonomy without its virtual nodes; its other nodes stand in the same order."""
        if not self.virtual:
            return self
        kept = {
            name: replace(node, parents=tuple(above for above in node.parents if above not in self.virtual))
            for name, node in self.entries.items()
            if not node.virtual
        }
        return replace(self, entries=kept)

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Each node's index in `nodes`."""
        return {node: index for index, node in enumerate(self.nodes)}

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        children: dict[str, list[str]] = {node: [] for node in self.nodes}
        for node in self.entries.values():
            for parent in node.parents:
                children[parent].append(node.name)
        return {node: tuple(below) for node, below in children.items()}

    @cached_property
    def closure(self) -> np.ndarray:
        """(N, N) bool: [i, j] is True where node j is node i or an ancestor of it; `present @ closure > 0` closes."""
        closure = np.eye(len(self.nodes), dtype=bool)
        for name, node in self.entries.items():  # parents come first, so their rows are complete
            for parent in node.parents:
                closure[self.column[name]] |= closure[self.column[parent]]
        closure.setflags(write=False)
        return closure

    @cached_property
    def bottom_up(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Each group's column with its children's columns, deepest group first: no group before a group below it."""
        longest: dict[str, int] = {}
        for name, node in self.entries.items():
            longest[name] = 1 + max((longest[parent] for parent in node.parents), default=0)
        groups = [node for node in self.nodes if self._children[node]]
        groups.sort(key=lambda node: -longest[node])
        return tuple(
            (self.column[node], tuple(self.column[child] for child in self._children[node])) for node in groups
        )

    def node(self, name: str) -> Node:
        """Return a node's entry.

        Raises:
            UserError: the taxonomy has no such node; the message names the nearest.
        """
        try:
            return self.entries[name]
        except KeyError:
            raise UserError(f"{self.source}: no node is called '{name}'{did_you_mean(name, self.nodes)}") from None

    def parents(self, node: str) -> tuple[str, ...]:
        """Return the nodes right above, in the order of `nodes`."""
        return self._in_order(self.node(node).parents)

    def children(self, node: str) -> tuple[str, ...]:
        """Return the nodes right below, in the order of `nodes`."""
        return self._children[self.node(node).name]

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Return all nodes above, in the order of `nodes`, without the node itself."""
        return self._named(self.closure[self._index(node)], without=node)

    def descendants(self, node: str) -> tuple[str, ...]:
        """Return all nodes below, in the order of `nodes`, without the node itself."""
        return self._named(self.closure[:, self._index(node)], without=node)

    def leaves_below(self, node: str) -> tuple[str, ...]:
        """Return the leaves below a node, in the order of `nodes`; a leaf's are itself."""
        return tuple(name for name in self._named(self.closure[:, self._index(node)]) if self.is_leaf(name))

    def level(self, name: str) -> tuple[str, ...]:
        """Return the nodes of a level: those at its depth, and the leaves that stand higher up; of `all`, every node.

        Depth is counted along the file's indentation; second parents do not change it.

        Raises:
            UserError: the taxonomy has no such level; the message lists those it has.
        """
        if name == ALL:
            return self.nodes
        if name == PARTITION and self.virtual and name not in self.depths:
            return self.virtual
        if name not in self.depths:
            known = ", ".join(self.levels)
            raise UserError(
                f"{self.source}: no level is called '{name}'; the levels of '{self.name}' are {known}, "
                f"and {ALL} for every node"
            )
        depth = self.depths[name]
        if depth is None:
            return self.leaves
        return tuple(
            node
            for node in self.nodes
            if node not in self.virtual
            and (self.depth(node) == depth or (self.depth(node) < depth and self.is_leaf(node)))
        )

    def group(self, name: str) -> tuple[str, ...]:
        """Return the leaves below a group, at whatever depth the group stands.

        Raises:
            UserError: the name is no node's or a leaf's; the message lists the top groups.
        """
        if name not in self.entries or self.is_leaf(name):
            found = "is a leaf" if name in self.entries else "is no node of this taxonomy"
            near = did_you_mean(name, [node for node in self.nodes if not self.is_leaf(node)])
            top = ", ".join(self.groups) or "none"
            raise UserError(
                f"{self.source}: '{name}' {found}, and a group was asked for{near}; its top groups are {top}"
            )
        return self.leaves_below(name)

    def is_leaf(self, node: str) -> bool:
        """Say whether nothing stands below a node."""
        return not self._children[self.node(node).name]

    def is_open(self, node: str) -> bool:
        """Say whether a group may be annotated without any known leaf below it."""
        return self.node(node).open

    def depth(self, node: str) -> int:
        """Return 1 for a node at the top, and one more for each step down the file's indentation."""
        return self.node(node).depth

    def label(self, leaf: str) -> str:
        """Return what the annotation file calls a leaf, such as ``"16"``.

        Raises:
            UserError: the node carries no label, because it is a group.
        """
        label = self.node(leaf).label
        if label is None:
            raise UserError(f"{self.source}: '{leaf}' is a group and carries no label; ask for one of its leaves")
        return label

    def find_node(self, label_or_name: str) -> str | None:
        """Return the node that a label (exactly) or a name (in any case) stands for; None where there is none."""
        return self._by_label.get(label_or_name) or self._by_name.get(label_or_name.casefold())

    def close(self, present: np.ndarray) -> np.ndarray:
        """Switch on every node above a node that is on.

        Args:
            present: (B, N) bool, columns as `nodes`.

        Returns:
            (B, N) bool.
        """
        closed = np.array(present.T, dtype=bool, order="C")  # a node's samples side by side: 4,000 nodes in no time
        for group, children in self.bottom_up:
            closed[group] |= closed[list(children)].any(axis=0)
        return np.ascontiguousarray(closed.T)

    @cached_property
    def content_digest(self) -> str:
        """16 hex digits of what the file says: nodes, parents, labels, open flags and levels; not comments or order."""
        nodes = sorted(repr((n.name, sorted(n.parents), n.label, n.open, n.depth)) for n in self.entries.values())
        return text_digest(*nodes, "levels", *(f"{name}={depth}" for name, depth in self.depths.items()))

    def meaning(self, node: str) -> str:
        """Return 16 hex digits of what a member's column for this node answers.

        They cover the labels of the leaves below, whether it is a leaf or a group, and the open groups among itself
        and the nodes below; not names, order, GO ids or descriptions. Two columns with the same digits may be
        exchanged for each other.
        """
        below = [name for name in (node, *self.descendants(node)) if name in self._open_texts]
        opened = sorted(self._open_texts[name] for name in below)
        kind = "leaf" if self.is_leaf(node) else "group"
        return text_digest(kind, repr(self._labels_below[node]), *opened)

    @cached_property
    def _labels_below(self) -> Mapping[str, list[str]]:
        """Of each node, the labels of the leaves below, sorted; a leaf's own."""
        labels: dict[str, list[str]] = {node: [] for node in self.nodes}
        for leaf in self.leaves:
            for above in np.flatnonzero(self.closure[self.column[leaf]]):
                labels[self.nodes[above]].append(self.label(leaf))
        return {node: sorted(below) for node, below in labels.items()}

    @cached_property
    def _open_texts(self) -> Mapping[str, str]:
        """Of each open group, what it adds to the meaning of itself and of the nodes above."""
        return {
            node.name: f"{node.label} over {self._labels_below[node.name]}"
            for node in self.entries.values()
            if node.open
        }

    @cached_property
    def _by_label(self) -> Mapping[str, str]:
        return {node.label: node.name for node in self.entries.values() if node.label is not None}

    @cached_property
    def _by_name(self) -> Mapping[str, str]:
        return {name.casefold(): name for name in self.entries}

    def _index(self, node: str) -> int:
        return self.column[self.node(node).name]

    def _in_order(self, nodes: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(nodes, key=self.column.__getitem__))

    def _named(self, mask: np.ndarray, without: str | None = None) -> tuple[str, ...]:
        return tuple(self.nodes[index] for index in np.flatnonzero(mask) if self.nodes[index] != without)
