"""Tree: the label tree as a list of lists, each node with its row of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpa_hier.evaluate.estimate import HANDFUL
from hpa_hier.evaluate.figures import palette
from hpa_hier.evaluate.results import NodeRow
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Branch:
    """A node of the tree with its row of results and what is below it."""

    row: NodeRow
    step: int | None  # of the colour ramp, by recall
    few: bool  # too few samples to say anything
    anchor: str  # of the class's part in the page; "" for groups, and classes without any image or call
    also_under: tuple[str, ...]
    below: list[Branch]


def grow_tree(taxonomy: Taxonomy, rows: Mapping[str, NodeRow]) -> list[Branch]:
    """Build the branches at the top of a tree."""
    return [branch(taxonomy, node, rows) for node in taxonomy.nodes if taxonomy.node(node).home is None]


def branch(taxonomy: Taxonomy, node: str, rows: Mapping[str, NodeRow]) -> Branch:
    """Build the tree below a node; a node with several parents appears where the file has it."""
    row, home = rows[node], taxonomy.node(node).home
    below = [branch(taxonomy, child, rows) for child in taxonomy.children(node) if taxonomy.node(child).home == node]
    also_under = tuple(parent for parent in taxonomy.parents(node) if parent != home)
    step = None if row.recall.value is None else palette.ramp_step(row.recall.value)
    shown = row.leaf and row.positives + row.tp + row.fp > 0
    anchor = class_anchor(taxonomy, node) if shown else ""
    return Branch(row, step, 0 < row.positives < HANDFUL, anchor, also_under, below)


def class_anchor(taxonomy: Taxonomy, node: str) -> str:
    """Return the address of a class's part within the page."""
    return f"class-{taxonomy.column[node]}"
