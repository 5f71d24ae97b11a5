"""The nodes of a taxonomy file together: names and labels that differ, second parents, no cycles, parents first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import YamlDocument
from hpa_hier.taxonomy.node import Node

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Entry:
    """A node with its place in the file."""

    node: Node
    path: tuple[str, ...]  # the keys that lead to it
    children: int  # below it in the file
    also_under: tuple[str, ...] = ()

    def below(self, parents: Iterable[str]) -> Entry:
        """Return the entry with further parents."""
        return replace(self, node=replace(self.node, parents=(*self.node.parents, *parents)))


def build_graph(nodes: Iterable[Node]) -> nx.DiGraph[str]:
    """Return the graph of the nodes' names, with an edge from each parent to each of its children.

    Nodes, and the children of each, come in the order given.

    >>> graph = build_graph([Node("A", (), 1), Node("B", ("A",), 2, "1"), Node("C", ("A",), 2, "2")])
    >>> list(graph["A"])
    ['B', 'C']
    """
    import networkx as nx  # 0.2 s

    nodes, graph = tuple(nodes), nx.DiGraph()
    graph.add_nodes_from(node.name for node in nodes)
    graph.add_edges_from((parent, node.name) for node in nodes for parent in node.parents)
    return graph


def sort_parents_first(document: YamlDocument, entries: list[Entry]) -> dict[str, Node]:
    """Return the nodes in the file's order, each moved down as far as its second parents ask for.

    Raises:
        UserError: some nodes are above each other; the message names the cycle.
    """
    import networkx as nx

    nodes = {entry.node.name: entry.node for entry in entries}
    graph, place = build_graph(nodes.values()), {name: index for index, name in enumerate(nodes)}
    try:
        return {name: nodes[name] for name in nx.lexicographical_topological_sort(graph, place.__getitem__)}
    except nx.NetworkXUnfeasible:
        steps = nx.find_cycle(graph.reverse())
    paths, second = {e.node.name: e.path for e in entries}, {(e.node.name, up) for e in entries for up in e.also_under}
    named = " is under ".join(repr(name) for name in (*(name for name, _ in steps), steps[0][0]))
    first = next(name for name, parent in steps if (name, parent) in second)
    raise document.error(f"a cycle: {named}; take one of these out of 'also_under'", *paths[first], "also_under")


def check_names(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse names that differ only in case: tables may write them in any."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.node.name.casefold(), entry)
        if first is not entry:
            spelled = "" if first.node.name == entry.node.name else f" (as '{first.node.name}')"
            raise document.error(
                f"the name '{entry.node.name}' is already on line {document.line(*first.path)}{spelled}; "
                "rename one, or list its second parent in 'also_under'",
                *entry.path,
            )


def check_labels(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse a label that two nodes carry, or that is another node's name."""
    labelled: dict[str, Entry] = {}
    for entry in entries:
        if entry.node.label is None:
            continue
        first = labelled.setdefault(entry.node.label, entry)
        if first is not entry:
            line = document.line(*first.path, "label")
            raise document.error(
                f"label {entry.node.label} belongs to both '{first.node.name}' (line {line}) and "
                f"'{entry.node.name}'; give one of them another label",
                *entry.path,
                "label",
            )
    names = {entry.node.name.casefold(): entry for entry in entries}
    for label, entry in labelled.items():
        other = names.get(label.casefold(), entry)
        if other is not entry:
            raise document.error(
                f"the label {label} of '{entry.node.name}' is also the name of another node "
                f"(line {document.line(*other.path)}); change one, for a table could mean either",
                *entry.path,
                "label",
            )


def check_open(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse an open node with nothing below it, neither in the file nor by `also_under`."""
    above = {parent for entry in entries for parent in entry.node.parents}
    for entry in entries:
        if entry.node.open and entry.node.name not in above:
            raise document.error(
                f"'open' on the leaf '{entry.node.name}'; only groups can be open, so remove it or put nodes below",
                *entry.path,
                "open",
            )


def add_second_parents(document: YamlDocument, entries: list[Entry]) -> list[Entry]:
    """Return the entries with the parents that `also_under` names added after the file's own."""
    by_name = {entry.node.name: entry for entry in entries}
    for entry in entries:
        for index, parent in enumerate(entry.also_under):
            problem = _second_parent_problem(entry, parent, index, by_name)
            if problem:
                raise document.error(f"'{entry.node.name}' is also_under {problem}", *entry.path, "also_under", index)
    return [entry.below(entry.also_under) for entry in entries]


def _second_parent_problem(entry: Entry, parent: str, index: int, by_name: Mapping[str, Entry]) -> str | None:
    if parent == entry.node.name:
        return "itself; remove that"
    if parent not in by_name:
        hint = did_you_mean(parent, by_name) or "; name a group of the tree"
        return f"'{parent}', which is no node of the tree{hint}"
    if not by_name[parent].children and not by_name[parent].node.open:
        return f"'{parent}', which is a leaf; name a group"
    if parent in entry.node.parents:
        return f"'{parent}', which is already above it; remove that"
    if parent in entry.also_under[:index]:
        return f"'{parent}' twice; remove one"
    return None


def add_virtual_nodes(document: YamlDocument, entries: list[Entry], virtual: Mapping[str, list[str]]) -> list[Entry]:
    """Return the entries with virtual nodes before them, each a further parent of its leaves.

    Args:
        document: for errors.
        entries: of the tree.
        virtual: name → leaves, as the field `virtual` has them.
    """
    leaves = {entry.node.name for entry in entries if not entry.children}
    names = {entry.node.name.casefold() for entry in entries}
    for name, below in virtual.items():
        if name.casefold() in names:
            problem = f"the virtual node '{name}' has the name of a node of the tree; rename one"
            raise document.error(problem, "virtual", name)
        for index, leaf in enumerate(below):
            where = ("virtual", name, index)
            if leaf not in leaves:
                raise document.error(f"'{leaf}' is no leaf of the tree{did_you_mean(leaf, leaves)}", *where)
            if leaf in below[:index]:
                raise document.error(f"'{leaf}' is listed twice in '{name}'; remove one", *where)
    made = [Entry(Node(name, (), 1, virtual=True), ("virtual", name), len(below)) for name, below in virtual.items()]
    above = {leaf: [name for name, below in virtual.items() if leaf in below] for leaf in leaves}
    return made + [entry.below(above.get(entry.node.name, ())) for entry in entries]
