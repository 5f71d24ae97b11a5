"""Classes: nodes of two trees that are the same, by GO, names and aliases, and groups by what is below them."""

from __future__ import annotations

from hpa_hier.predict.labelled.classes import match_nodes
from hpa_hier.taxonomy import Taxonomy

BASE = Taxonomy.load("hpa28")


def test_a_tree_matches_itself_node_by_node() -> None:
    assert match_nodes(BASE, BASE) == {node: node for node in BASE.nodes}


def test_go_names_and_aliases_are_found_in_any_case_and_groups_by_their_leaves() -> None:
    tree = Taxonomy.from_text(
        """taxonomy: mine
levels: {group: 1, leaf: leaves}
tree:
  Rim:
    Membrane: {label: m, go: GO:0005886}
    Contacts: {label: c, aliases: [cell JUNCTIONS]}
  Rest:
    nucleoli: {label: n}
    Cilia: {label: x}
"""
    )
    assert match_nodes(tree, BASE) == {
        "Rim": "Plasma membrane (organelle)",
        "Membrane": "Plasma membrane",
        "Contacts": "Cell junctions",
        "nucleoli": "Nucleoli",
    }
