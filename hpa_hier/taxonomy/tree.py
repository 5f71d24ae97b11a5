"""The taxonomy: an ordered set of named nodes, leaves below groups, with its levels, closure and meanings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.files.shipped import find_shipped
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.text_file import read_text
from hpa_hier.files.yaml_file import MAX_BYTES, parse_yaml, write_yaml
from hpa_hier.taxonomy.load import ALL, LEAVES, read_depths, read_fields, read_nodes
from hpa_hier.taxonomy.node import Node, build_graph, list_children

if TYPE_CHECKING:
    import networkx as nx

PARTITION = "partition"  # as a level: the virtual nodes
_BETWEEN_WORDS = re.compile(r"[\s_-]+|(?<=[^\W\d])\.(?=[^\W\d])")  # "a_b", "a-b", and R's "a.b"; not "1.5"


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A checked label tree, or a graph where nodes have several parents.

    `Taxonomy.load` and `Taxonomy.from_text` make one. Wherever an array has one column for each node, the columns are
    in the order of `nodes`.

    >>> taxonomy = Taxonomy.load("hpa28")
    >>> taxonomy.level("coarse")
    ('Nucleus', 'Cytoplasm', 'Secretory')
    >>> taxonomy.ancestors("Lysosomes")
    ('Secretory', 'Vesicles')

    Attributes:
        name: of the taxonomy.
        description: "" where there is none.
        source: the file as errors name it.
        text: the file's content, to be saved beside what was made with it; `from_text` reads it back as the same.
        depths: level → its depth, top first; None: the leaves.
        entries: name → node; every node after all of its parents.
        exclusive: each sample has exactly one leaf.
    """

    name: str
    description: str
    source: str
    text: str = field(repr=False)
    depths: Mapping[str, int | None] = field(repr=False)
    entries: Mapping[str, Node] = field(repr=False)
    exclusive: bool = False

    @classmethod
    def load(cls, path: Path | str) -> Taxonomy:
        """Read a taxonomy file, or a shipped one by its name, such as ``hpa28`` or ``hierarchy/hpa28.yaml``.

        Raises:
            UserError: with the file, the line and what to do.
        """
        found = find_shipped(str(path), "hierarchy")
        return cls.from_text(read_text(found, "YAML", MAX_BYTES), str(found))

    @classmethod
    def from_text(cls, text: str, source: str = "<text>") -> Taxonomy:
        """Read a taxonomy from YAML text, which errors call `source`.

        Raises:
            UserError: with the source, the line and what to do.
        """
        document = parse_yaml(text, source)
        fields = read_fields(document)
        nodes = read_nodes(document, fields)
        depths = read_depths(document, fields, max(node.depth for node in nodes.values()))
        description, exclusive = fields.get("description") or "", fields.get("exclusive", False)
        return cls(str(fields["taxonomy"]), description, source, text, depths, nodes, exclusive)

    def with_virtual(self, nodes: Mapping[str, Sequence[str]]) -> Taxonomy:
        """Return this taxonomy with further virtual nodes, after those it has; its `text` has them, but no comments.

        Args:
            nodes: name of a virtual node → the leaves that it is a further parent of.

        Raises:
            UserError: a name is taken, or what is listed is no leaf.

        >>> halves = Taxonomy.load("hpa28").with_virtual({"has_rare": ["Rods & rings", "Endosomes"]})
        >>> halves.level("partition"), halves.ancestors("Endosomes")
        (('has_rare',), ('has_rare', 'Secretory', 'Vesicles'))
        """
        taken = {name.casefold() for name in self.nodes}
        for name, leaves in nodes.items():
            if name.casefold() in taken:
                raise UserError(f"{self.source}: a node is already called '{name}'; rename it, or add no virtual node")
            for leaf in leaves:
                if not self.is_leaf(leaf):
                    raise UserError(f"{self.source}: '{leaf}' is no leaf, so '{name}' cannot be above it")
        fields: Any = parse_yaml(self.text, self.source).value
        fields["virtual"] = (fields.get("virtual") or {}) | {name: list(leaves) for name, leaves in nodes.items()}
        return self.from_text(write_yaml(fields), self.source)

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
        tops = (node.name for node in self.entries.values() if node.depth == 1 and not node.virtual)
        return tuple(name for name in tops if not self.is_leaf(name))

    @cached_property
    def virtual(self) -> tuple[str, ...]:
        """The nodes that are further parents of leaves and never an answer."""
        return tuple(name for name, node in self.entries.items() if node.virtual)

    @cached_property
    def without_virtual(self) -> Taxonomy:
        """The same taxonomy without its virtual nodes; its other nodes stand in the same order."""
        if not self.virtual:
            return self
        kept = [node for node in self.entries.values() if not node.virtual]
        parents = {node.name: tuple(name for name in node.parents if name not in self.virtual) for node in kept}
        return replace(self, entries={node.name: replace(node, parents=parents[node.name]) for node in kept})

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Each node's index in `nodes`."""
        return {node: index for index, node in enumerate(self.nodes)}

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """The nodes' names as a graph, with an edge from each parent to each of its children."""
        return build_graph(self.entries.values())

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
        steps: dict[str, int] = {}  # along the longest way from the top
        for name, node in self.entries.items():
            steps[name] = 1 + max((steps[parent] for parent in node.parents), default=-1)
        groups = sorted((name for name in self.nodes if self._children[name]), key=lambda name: -steps[name])
        column = self.column
        return tuple((column[group], tuple(column[child] for child in self._children[group])) for group in groups)

    def node(self, name: str) -> Node:
        """Return a node's entry; a UserError names the nearest where there is none."""
        if name not in self.entries:
            raise UserError(f"{self.source}: no node is called '{name}'{did_you_mean(name, self.nodes)}")
        return self.entries[name]

    def parents(self, node: str) -> tuple[str, ...]:
        """Return the nodes right above, in the order of `nodes`."""
        return self._in_order(self.node(node).parents)

    def children(self, node: str) -> tuple[str, ...]:
        """Return the nodes right below, in the order of `nodes`."""
        return self._children[self.node(node).name]

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Return all nodes above, in the order of `nodes`, without the node itself."""
        return self._reach(node, lambda name: self.entries[name].parents)

    def descendants(self, node: str) -> tuple[str, ...]:
        """Return all nodes below, in the order of `nodes`, without the node itself."""
        return self._reach(node, self._children.__getitem__)

    def leaves_below(self, node: str) -> tuple[str, ...]:
        """Return the leaves below a node, in the order of `nodes`; a leaf's are itself."""
        return tuple(name for name in (node, *self.descendants(node)) if self.is_leaf(name))

    def level(self, name: str) -> tuple[str, ...]:
        """Return the nodes of a level: those at its depth along the file's indentation, and the leaves higher up.

        Args:
            name: a level of the file, in any case, as all of these; ``all`` for every node. Where the file has no level
                of the name, also ``leaves``, and ``partition`` for the virtual nodes if there are any.

        Raises:
            UserError: the taxonomy has no such level; the message lists those it has.
        """
        name = self.level_name(name)
        if name == ALL:
            return self.nodes
        if name == PARTITION and self.virtual and name not in self.depths:
            return self.virtual
        if name == LEAVES and name not in self.depths:
            return self.leaves
        if name not in self.depths:
            known = f"the levels of '{self.name}' are {', '.join(self.levels)}, and {ALL} for every node"
            raise UserError(f"{self.source}: no level is called '{name}'; {known}")
        depth = self.depths[name]
        if depth is None:
            return self.leaves
        above = (node for node in self.entries.values() if node.depth <= depth and not node.virtual)
        return tuple(node.name for node in above if node.depth == depth or self.is_leaf(node.name))

    def group(self, name: str) -> tuple[str, ...]:
        """Return the leaves below a group of any depth; a UserError lists the top groups where `name` is none.

        The group may be called in any case, or by an alias; `group_name` says how the file calls it.
        """
        name = self.group_name(name)
        if name not in self.entries or self.is_leaf(name):
            found = "is a leaf" if self.find_node(name) else "is no node of this taxonomy"
            near = did_you_mean(name, [node for node in self.nodes if not self.is_leaf(node)])
            top = f"its top groups are {', '.join(self.groups) or 'none'}"
            raise UserError(f"{self.source}: '{name}' {found}, and a group was asked for; {top}{near}")
        return self.leaves_below(name)

    def level_name(self, name: str) -> str:
        """Return a level as the file spells it, whatever its case; an unknown one as it is given.

        >>> Taxonomy.load("hpa28").level_name("Coarse")
        'coarse'
        """
        same = [one for one in {*self.depths, ALL, PARTITION, LEAVES} if one.casefold() == name.casefold()]
        return same[0] if len(same) == 1 and name not in self.depths else name

    def group_name(self, name: str) -> str:
        """Return a group as the file calls it, whatever the case or alias; an unknown one as it is given.

        >>> Taxonomy.load("hpa28").group_name("nucleus")
        'Nucleus'
        """
        found = None if name in self.entries else self.find_node(name)
        return name if found is None or self.is_leaf(found) else found

    def is_leaf(self, node: str) -> bool:
        """Say whether nothing is below a node."""
        return not self._children[self.node(node).name]

    def depth(self, node: str) -> int:
        """Return 1 for a node at the top, and one more for each step down the file's indentation."""
        return self.node(node).depth

    def label(self, leaf: str) -> str:
        """Return what the annotation file calls a leaf, such as ``"16"``; a UserError where the node is a group."""
        label = self.node(leaf).label
        if label is None:
            raise UserError(f"{self.source}: '{leaf}' is a group and carries no label; ask for one of its leaves")
        return label

    def find_node(self, label_or_name: str) -> str | None:
        """Return the node of a label (exactly), a name or an alias (in any case); None where there is none.

        Where that finds nothing, blanks, dashes, dots and underscores count as the same, if one node alone is meant.

        >>> tree = Taxonomy.load("hpa28")
        >>> tree.find_node("7"), tree.find_node("golgi"), tree.find_node("nuclear_membrane"), tree.find_node("07")
        ('Golgi apparatus', 'Golgi apparatus', 'Nuclear membrane', None)
        """
        word = unicodedata.normalize("NFC", label_or_name)
        return (
            self._by_label.get(word)
            or self._by_name.get(word.casefold())
            or self._by_alias.get(word.casefold())
            or self._by_sound.get(_loosen(word))
        )

    @cached_property
    def words(self) -> tuple[str, ...]:
        """What label tables may call the nodes: names, labels and aliases."""
        return tuple(dict.fromkeys(word for node in self.entries.values() if not node.virtual for word in _words(node)))

    @cached_property
    def label_separator(self) -> str:
        """What is put between the labels of a cell: a space, or `|` where a label has spaces of its own."""
        return "|" if any(" " in (node.label or "") for node in self.entries.values()) else " "

    def close(self, present: np.ndarray) -> np.ndarray:
        """Return (B, N) bool, columns as `nodes`, with every node on that is above one that is on in `present`."""
        closed = np.array(present.T, dtype=bool, order="C")  # a node's samples side by side: 4,000 nodes in no time
        for group, children in self.bottom_up:
            closed[group] |= closed[list(children)].any(axis=0)
        return np.ascontiguousarray(closed.T)

    @cached_property
    def content_digest(self) -> str:
        """16 hex digits of what the file says: nodes, parents, labels, levels and flags; not comments or order."""
        nodes = sorted(repr((n.name, sorted(n.parents), n.label, n.open, n.depth)) for n in self.entries.values())
        levels = [f"{name}={depth}" for name, depth in self.depths.items()]
        return text_digest(*nodes, "levels", *levels, *(["exclusive"] if self.exclusive else []))

    def meaning(self, node: str) -> str:
        """Return 16 hex digits of what a member's column for this node answers: where they agree, so do the columns.

        They cover the labels of the leaves below, whether it is a leaf or a group, and the open groups among itself
        and the nodes below; not names, order, GO ids or descriptions.
        """
        below = (node, *self.descendants(node))
        opened = sorted(self._open_texts[name] for name in below if name in self._open_texts)
        kind = "leaf" if self.is_leaf(node) else "group"
        return text_digest(kind, repr(self._labels_below[node]), *opened)

    @cached_property
    def _labels_below(self) -> Mapping[str, list[str]]:
        """Of each node, the labels of the leaves below, sorted; a leaf's own."""
        return {node: sorted(map(self.label, self.leaves_below(node))) for node in self.nodes}

    @cached_property
    def _open_texts(self) -> Mapping[str, str]:
        """Of each open group, what it adds to the meaning of itself and of the nodes above."""
        opened = [node for node in self.entries.values() if node.open]
        return {node.name: f"{node.label} over {self._labels_below[node.name]}" for node in opened}

    @cached_property
    def _by_label(self) -> Mapping[str, str]:
        entries = self.entries.values()
        return {unicodedata.normalize("NFC", node.label): node.name for node in entries if node.label is not None}

    @cached_property
    def _by_name(self) -> Mapping[str, str]:
        return {unicodedata.normalize("NFC", name).casefold(): name for name in self.entries}

    @cached_property
    def _by_alias(self) -> Mapping[str, str]:
        entries = self.entries.values()
        return {unicodedata.normalize("NFC", alias).casefold(): node.name for node in entries for alias in node.aliases}

    @cached_property
    def _by_sound(self) -> Mapping[str, str]:
        """Each loosely written word that one node alone is called."""
        meant: dict[str, set[str]] = {}
        for node in self.entries.values():
            for word in _words(node):
                meant.setdefault(_loosen(word), set()).add(node.name)
        return {word: next(iter(names)) for word, names in meant.items() if len(names) == 1}

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        return list_children(self.entries.values())

    def _reach(self, node: str, step: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
        """Return all nodes that steps lead to, in the order of `nodes`, without the node itself."""
        found: set[str] = set()
        waiting = list(step(self.node(node).name))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += step(name)
        return self._in_order(found)

    def _in_order(self, nodes: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(nodes, key=self.column.__getitem__))


def _words(node: Node) -> tuple[str, ...]:
    """Return what a node may be called in a label table."""
    return (node.name, *(() if node.label is None else (node.label,)), *node.aliases)


def _loosen(word: str) -> str:
    """Return a word in small letters, with a space for what stands between its parts."""
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFC", word).casefold())
