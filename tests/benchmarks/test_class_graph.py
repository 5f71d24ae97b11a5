"""Class attributes become taxonomies: paths and edges, several parents, roots, odd names."""

from __future__ import annotations

import numpy as np
import pytest
from examples import examples
from hmc_data.class_graph import ClassGraph
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.errors import UserError


def test_every_beginning_of_a_path_is_a_class() -> None:
    graph = ClassGraph.from_entries(["01/01/03", "02"], ["02"], "x.arff")
    assert graph.parents == {"01": (), "01/01": ("01",), "01/01/03": ("01/01",), "02": ()}
    taxonomy = graph.taxonomy("x")
    assert taxonomy.ancestors("01:01:03") == ("01", "01:01")
    assert taxonomy.leaves == ("01:01:03", "02")


def test_paths_of_two_steps_are_distinguished_from_edges_by_what_samples_are_annotated_with() -> None:
    entries = ["1/2", "2/1", "1", "2"]
    assert set(ClassGraph.from_entries(entries, ["1/2", "2"], "x.arff").parents) == {"1", "2", "1/2", "2/1"}
    with pytest.raises(UserError, match=r"x\.arff: the classes 1 → 2 → 1 form a cycle"):
        ClassGraph.from_entries(entries, ["1", "2"], "x.arff")


@pytest.mark.parametrize("root", ["root", "ROOT", "top"])
def test_the_root_of_edges_is_no_node_whatever_it_is_called(root: str) -> None:
    graph = ClassGraph.from_entries([f"{root}/a", "a/b", f"{root}/c", "c/b"], ["b"], "x.arff")
    assert graph.parents == {"a": (), "b": ("a", "c"), "c": ()}
    assert graph.find(root) is None


def test_a_group_whose_only_child_is_elsewhere_in_the_file_stays_a_group() -> None:
    taxonomy = ClassGraph.from_entries(["root/a", "root/b", "a/c", "b/c"], ["c"], "x.arff").taxonomy("x")
    assert not taxonomy.is_leaf("b")
    assert taxonomy.parents("c") == ("a", "b")
    assert taxonomy.close(np.array([[False, False, True]])).all()


def test_a_class_is_found_in_any_case_where_that_is_clear() -> None:
    graph = ClassGraph.from_entries(["4/a", "4/A", "4/b"], ["4/a"], "x.arff")
    assert graph.find("4/A") == "4/A"
    assert graph.find("4/B") == "4/b"
    assert graph.find("root/4") == "4"
    with pytest.raises(KeyError, match=r"'4/c' is not a class of the attribute"):
        graph.find("4/c")


def test_names_that_tables_cannot_hold_or_that_differ_in_case_only_are_changed() -> None:
    graph = ClassGraph.from_entries(["x y", "x_y", "X_Y", "open", "label"], ["open"], "x.arff")
    assert list(graph.names.values()) == ["x_y", "x_y~2", "X_Y~3", "open~2", "label~2"]
    assert len(graph.taxonomy("x").nodes) == 5


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["root/a", "a/a"], r"x\.arff: the class 'a' is its own parent"),
        (["root/a", "a/b", "b/c", "c/b"], r"x\.arff: the classes b → c → b form a cycle"),
        (["root"], r"x\.arff: the class attribute holds nothing below the root"),
    ],
)
def test_a_graph_that_is_none_is_refused(entries: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClassGraph.from_entries(entries, ["a"], "x.arff")


@examples(200)
@given(st.data())
def test_any_graph_becomes_the_taxonomy_with_the_same_ancestors(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    parents = [data.draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else [] for i in range(count)]
    entries = [f"{'root' if not over else f'n{one}'}/n{i}" for i, over in enumerate(parents) for one in over or [0]]
    graph = ClassGraph.from_entries(entries, [f"n{count - 1}"], "x.arff")
    taxonomy = graph.taxonomy("x")
    above: list[set[str]] = []
    for i, over in enumerate(parents):
        above.append({f"n{j}" for j in over}.union(*(above[j] for j in over)))
        assert set(taxonomy.ancestors(f"n{i}")) == above[i]
    assert set(taxonomy.nodes) == {f"n{i}" for i in range(count)}
