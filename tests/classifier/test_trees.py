"""Trees in every form that may be given become the same taxonomy."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from hpa_hier.classifier.trees import build_tree, name_nodes, read_tree
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

EDGES = [("Nucleus", "Nucleoli"), ("Nucleus", "Bodies"), ("Cytoplasm", "Cytosol"), ("Cytoplasm", "Rods")]
SAME = [
    EDGES,
    np.array(EDGES),
    pd.DataFrame(EDGES, columns=["parent", "child"]),
    nx.DiGraph(EDGES),
    nx.DiGraph([*EDGES, ("root", "Nucleus"), ("root", "Cytoplasm")]),
    {"Nucleus": ["Nucleoli", "Bodies"], "Cytoplasm": ["Cytosol", "Rods"]},
    {"Nucleus": {"Nucleoli": None, "Bodies": {}}, "Cytoplasm": ("Cytosol", {"Rods": []})},
    Taxonomy.from_text("{taxonomy: labels, tree: {Nucleus: [Nucleoli, Bodies], Cytoplasm: [Cytosol, Rods]}}"),
]


@pytest.mark.parametrize("given", SAME, ids=lambda given: type(given).__name__)
def test_all_forms_give_one_tree(given) -> None:
    taxonomy = read_tree(given).taxonomy
    assert sorted(taxonomy.leaves) == ["Bodies", "Cytosol", "Nucleoli", "Rods"]
    assert {leaf: taxonomy.parents(leaf) for leaf in taxonomy.leaves} == {child: (above,) for above, child in EDGES}


def test_a_shipped_taxonomy_goes_by_its_name() -> None:
    assert read_tree("hpa28").taxonomy.content_digest == Taxonomy.load("hpa28").content_digest


def test_the_order_of_leaves_is_the_one_that_was_given() -> None:
    assert read_tree({"Z": None, "Group": ["Y", "X"], "A": None}).taxonomy.leaves == ("Z", "Y", "X", "A")
    assert read_tree(["b", "a"]).taxonomy.leaves == ("b", "a")


@pytest.mark.parametrize("given", [{"A": ["x", "y"], "B": ["x"]}, [("A", "x"), ("A", "y"), ("B", "x")]])
def test_a_name_below_two_nodes_has_two_parents(given) -> None:
    assert read_tree(given).taxonomy.parents("x") == ("A", "B")


def test_a_group_whose_nodes_all_have_another_home_stays_a_group() -> None:
    taxonomy = read_tree([("A", "x"), ("A", "y"), ("B", "x"), ("B", "y")]).taxonomy
    assert taxonomy.children("B") == ("x", "y")


def test_levels_are_called_as_they_are_given_where_that_can_be() -> None:
    parents = {"A": (), "x": ("A",)}
    assert build_tree(parents, levels=["kingdom", "species"]).taxonomy.levels == ("kingdom", "species")
    assert build_tree(parents, levels=["0", "1"]).taxonomy.levels == ("depth1", "leaf")


def test_a_word_that_can_be_no_name_is_found_all_the_same() -> None:
    tree = read_tree({"a/b": ["c,d", 7], "open": None})
    assert (tree.find("a/b"), tree.find("c,d"), tree.find(7), tree.find("open")) == ("a-b", "c-d", "7", "open (class)")
    assert tree.find(np.int64(7)) == tree.find(7.0) == "7"


def test_names_are_told_apart_in_any_case() -> None:
    names = name_nodes(["Cat", "cat", "CAT", "x" * 200, "x" * 201, "tab\there"])
    assert len({name.casefold() for name in names}) == 6
    assert max(map(len, names)) <= 100


def test_exclusive_is_said_where_it_can_be() -> None:
    assert read_tree(["a", "b"]).exclusive().taxonomy.exclusive
    open_group = read_tree([("A", "x"), ("A", "y"), ("B", "x"), ("B", "y")])
    assert open_group.exclusive() is open_group


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("A", "B"), ("B", "A")], "a cycle: 'B' above 'A' above 'B'"),
        ([("A", "A")], "'A' is its own parent"),
        ([("A", "B", "C")], r"\('A', 'B', 'C'\) is neither a name nor a \(parent, child\) edge"),
        ({}, "it holds no node; give a YAML file"),
        (nx.Graph([("A", "B")]), "give a networkx.DiGraph"),
        (7, "int is no tree; give a YAML file"),
        ("nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_what_is_no_tree_is_refused(given, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_tree(given)
