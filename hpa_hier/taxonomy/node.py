"""One node of a taxonomy, and the graph of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Node:
    """One node as the file gives it. A node with a label and nothing below it is a leaf; others are groups."""

    name: str
    parents: tuple[str, ...]  # the node above it in the file, then those of also_under; () at the top
    depth: int  # 1 at the top of the tree, along the file's indentation
    label: str | None = None  # what the annotation file calls it; every leaf has one, open groups may
    go: str | None = None  # Gene Ontology id
    description: str = ""
    open: bool = False  # a group that may be annotated without any known leaf below it
    aliases: tuple[str, ...] = ()  # further names in label tables
    virtual: bool = False  # a further parent of leaves that is asked about but never an answer, as `has_minority`

    @property
    def home(self) -> str | None:
        """The node above it in the file; None at the top."""
        return self.parents[0] if self.depth > 1 else None


def list_children(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """Return the names of each node's children, nodes and children in the order given.

    >>> list_children([Node("A", (), 1), Node("B", ("A",), 2, "1"), Node("C", ("A",), 2, "2")])
    {'A': ('B', 'C'), 'B': (), 'C': ()}
    """
    nodes = tuple(nodes)
    children: dict[str, dict[str, None]] = {node.name: {} for node in nodes}  # each child once
    for node in nodes:
        for parent in node.parents:
            children[parent][node.name] = None
    return {name: tuple(below) for name, below in children.items()}


def build_graph(nodes: Iterable[Node]) -> nx.DiGraph[str]:
    """Return the graph of the nodes' names, with an edge from each parent to each of its children.

    Nodes, and the children of each, come in the order given.

    >>> graph = build_graph([Node("A", (), 1), Node("B", ("A",), 2, "1"), Node("C", ("A",), 2, "2")])
    >>> list(graph["A"])
    ['B', 'C']
    """
    import networkx as nx  # a tenth of a second to import, and answering needs none of it

    nodes, graph = tuple(nodes), nx.DiGraph()
    graph.add_nodes_from(node.name for node in nodes)
    graph.add_edges_from((parent, node.name) for node in nodes for parent in node.parents)
    return graph
