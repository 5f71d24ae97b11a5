"""Trees: a taxonomy from whatever says what is below what: a file, a nested mapping, edges, a graph, or names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import networkx as nx
import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import parse_yaml, write_yaml
from hpa_hier.taxonomy.fields import NODE_FIELDS
from hpa_hier.taxonomy.tree import Taxonomy

GivenTree: TypeAlias = "Taxonomy | str | Path | Mapping[Any, Any] | Sequence[Any] | nx.DiGraph[Any]"

_SOURCE = "taxonomy"  # as errors call a tree that is from no file
_ROOTS = ("root", "hiclass::root")  # a lone top of this name is no node: every sample has it
_FORBIDDEN = str.maketrans(dict.fromkeys('/,|;"\\', "-"))  # in a node's name, which becomes a table's column
_LONGEST = 90  # characters of a name, before it is told from others
_RESERVED = (*NODE_FIELDS, "name", "children", "nodes", "leaves")  # words of taxonomy files
_FORMS = (
    "give a YAML file, a Taxonomy, a nested mapping such as {'Nucleus': ['Nucleoli']}, (parent, child) edges, a "
    "networkx.DiGraph, or the names of a flat tree"
)


@dataclass(frozen=True)
class Tree:
    """A taxonomy, and what those who gave it call its nodes where these could not keep their names."""

    taxonomy: Taxonomy
    node_of: Mapping[Any, str] = field(default_factory=dict)  # word → node

    def find(self, word: object) -> str | None:
        """Return the node that a word of Y means; None where there is none."""
        word = word.item() if isinstance(word, np.generic) else word
        if isinstance(word, Hashable) and word in self.node_of:
            return self.node_of[word]
        text = str(int(word)) if isinstance(word, float) and word.is_integer() else str(word)
        return self.node_of.get(text) or self.taxonomy.find_node(text)

    def node(self, word: object, where: str) -> str:
        """Return the node that a word of Y means; a UserError names the nearest where there is none."""
        found = self.find(word)
        if found is None:
            near = did_you_mean(str(word), self.taxonomy.nodes) or f"; it has {len(self.taxonomy.nodes)} others"
            raise UserError(f"{where}: the tree '{self.taxonomy.name}' has no node '{word}'{near}")
        return found

    def path(self, node: str) -> tuple[str, ...]:
        """Return a node with those above it, from the top down; of several parents the first."""
        steps = [node]
        while (home := self.taxonomy.node(steps[-1]).home) is not None:
            steps.append(home)
        return tuple(reversed(steps))

    def exclusive(self) -> Tree:
        """Return the same tree with exactly one leaf a sample, unless some of its groups are answers themselves."""
        taxonomy = self.taxonomy
        if taxonomy.exclusive or taxonomy.virtual or any(node.open for node in taxonomy.entries.values()):
            return self
        fields: Any = parse_yaml(taxonomy.text, taxonomy.source).value
        return Tree(Taxonomy.from_text(write_yaml({**fields, "exclusive": True}), taxonomy.source), self.node_of)


def read_tree(given: GivenTree) -> Tree:
    """Read a tree in any of its forms.

    Args:
        given: a taxonomy, its file or shipped name; a mapping of each node to those below it, which is again a mapping,
            a list, one name, or None; (parent, child) edges; a graph with such edges; or a list of names without any
            order. A name that stands below several nodes has several parents.

    Raises:
        UserError: it is none of these, empty, or has a cycle.

    >>> tree = read_tree({"Nucleus": ["Nucleoli", "Nuclear bodies"], "Cytosol": None})
    >>> tree.taxonomy.leaves, tree.taxonomy.level("depth1")
    (('Nucleoli', 'Nuclear bodies', 'Cytosol'), ('Nucleus', 'Cytosol'))
    >>> read_tree([("A", "C"), ("B", "C"), ("B", "D")]).taxonomy.parents("C")
    ('A', 'B')
    """
    if isinstance(given, Taxonomy):
        return Tree(given)
    if isinstance(given, str | Path):
        return Tree(Taxonomy.load(given))
    if isinstance(given, nx.Graph):
        if not given.is_directed():
            raise UserError(
                f"{_SOURCE}: a graph without directions does not say what is above; give a networkx.DiGraph"
            )
        return build_tree(_collect(given.nodes, given.edges))
    if isinstance(given, Mapping):
        edges = list(_walk(given, ()))
        return build_tree(_collect((child for _, child in edges), (edge for edge in edges if edge[0] is not None)))
    if isinstance(given, np.ndarray) or (hasattr(given, "to_numpy") and hasattr(given, "columns")):
        given = np.asarray(given).tolist()
    if not isinstance(given, Sequence):
        raise UserError(f"{_SOURCE}: {type(given).__name__} is no tree; {_FORMS}")
    pairs = [tuple(one) for one in given if _is_pair(one)]
    names = [one for one in given if not isinstance(one, list | tuple | set | dict)]
    if len(pairs) + len(names) < len(given):
        wrong = next(one for one in given if isinstance(one, list | tuple | set | dict) and not _is_pair(one))
        raise UserError(f"{_SOURCE}: {wrong!r} is neither a name nor a (parent, child) edge; {_FORMS}")
    return build_tree(_collect(names, pairs))


def build_tree(
    parents: Mapping[Any, Sequence[Any]],
    names: Mapping[Any, str] | None = None,
    levels: Sequence[str] = (),
) -> Tree:
    """Build a taxonomy of nodes with their parents.

    Args:
        parents: of each node, () at the top; a lone top that is called root is left out.
        names: what to call nodes; None: themselves.
        levels: names of the depths from the top; () or wrong ones: depth1, depth2 and so on.

    Raises:
        UserError: there is no node, or a cycle.
    """
    tops = [node for node, above in parents.items() if not above]
    if len(tops) == 1 and len(parents) > 1 and str(tops[0]).casefold() in _ROOTS:
        parents = {n: tuple(one for one in above if one != tops[0]) for n, above in parents.items() if n != tops[0]}
    if not parents:
        raise UserError(f"{_SOURCE}: it holds no node; {_FORMS}")
    graph = nx.DiGraph([(above, node) for node, over in parents.items() for above in over])
    if not nx.is_directed_acyclic_graph(graph):
        steps = nx.find_cycle(graph)
        raise UserError(f"{_SOURCE}: a cycle: {' above '.join(repr(one) for one, _ in [*steps, steps[0]])}")
    name = name_nodes([str((names or {}).get(node, node)) for node in parents])
    called = dict(zip(parents, name, strict=True))
    below: dict[Hashable, list[Hashable]] = {}
    for node, above in parents.items():
        if above:
            below.setdefault(above[0], []).append(node)
    groups = {one for above in parents.values() for one in above}

    def write(node: Hashable) -> dict[str, Any]:
        fields: dict[str, Any] = {} if node in groups else {"label": called[node]}
        if node in groups and node not in below:
            fields["open"] = True  # all of its nodes stand elsewhere in the file, too
        if len(parents[node]) > 1:
            fields["also_under"] = [called[one] for one in parents[node][1:]]
        return fields | {called[one]: write(one) for one in below.get(node, ())}

    tree = {called[node]: write(node) for node, above in parents.items() if not above}
    deepest = _depth(tree)
    fields: Any = {"taxonomy": "labels", "levels": _name_levels(deepest, levels), "tree": tree}
    return Tree(Taxonomy.from_text(write_yaml(fields), _SOURCE), called)


def name_nodes(words: Iterable[object]) -> list[str]:
    """Return a name for each word: itself, where it can be the name of a table's column and no other is called so.

    >>> name_nodes(["ER/Golgi", "ER-Golgi", "er-golgi", "open", 7, ""])
    ['ER-Golgi', 'ER-Golgi (2)', 'er-golgi (3)', 'open (class)', '7', 'no name']
    """
    taken: set[str] = set()
    names = []
    for word in words:
        plain = "".join(sign if sign.isprintable() else " " for sign in str(word)).translate(_FORBIDDEN).strip()
        plain = plain[:_LONGEST].strip() or "no name"
        plain = f"{plain} (class)" if plain.casefold() in _RESERVED else plain
        tries = (plain if number == 1 else f"{plain} ({number})" for number in range(1, 1 << 16))
        names.append(next(one for one in tries if one.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def _name_levels(deepest: int, given: Sequence[str]) -> dict[str, Any]:
    """Name the depths above the leaves, and the leaves."""
    above: dict[str, Any] = {f"depth{depth}": depth for depth in range(1, deepest)}
    fine = len(given) == deepest and len({*given, "all", "leaf"}) == deepest + 2
    if fine and all(name.isidentifier() and name.isascii() and not name.startswith("_") for name in given):
        above = {name: depth for depth, name in enumerate(given[:-1], start=1)}
        return above | {given[-1]: "leaves"}
    return above | {"leaf": "leaves"}


def _depth(tree: Mapping[str, Any]) -> int:
    return max(
        (1 + _depth({k: v for k, v in below.items() if isinstance(v, dict)}) for below in tree.values()), default=0
    )


def _collect(nodes: Iterable[Hashable], edges: Iterable[tuple[Hashable, ...]]) -> dict[Hashable, tuple[Hashable, ...]]:
    """Return the parents of each node, in the order in which they are first met."""
    parents: dict[Hashable, list[Hashable]] = {node: [] for node in nodes}
    for above, node in edges:
        if node == above:
            raise UserError(f"{_SOURCE}: {node!r} is its own parent; remove that edge")
        parents.setdefault(above, [])
        over = parents.setdefault(node, [])
        if above not in over:
            over.append(above)
    return {node: tuple(above) for node, above in parents.items()}


def _walk(below: object, above: tuple[Hashable, ...]) -> Iterator[tuple[Hashable | None, Hashable]]:
    """Yield (parent, child) of a nested mapping, top nodes with the parent None."""
    parent = above[-1] if above else None
    if isinstance(below, Mapping):
        for name, inner in below.items():
            yield parent, name
            yield from _walk(inner, (*above, name))
    elif isinstance(below, list | tuple | set):
        for one in below:
            yield from _walk(one, above)
    elif below is not None and below != "":
        if not isinstance(below, Hashable):
            raise UserError(f"{_SOURCE}: {below!r} below {parent!r} is no name; {_FORMS}")
        yield parent, below


def _is_pair(one: object) -> bool:
    return isinstance(one, list | tuple) and len(one) == 2 and not any(isinstance(part, list | dict) for part in one)
