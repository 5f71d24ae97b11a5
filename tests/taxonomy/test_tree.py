"""What a taxonomy answers: by hand on the shipped files, by property on random trees and graphs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from ensemble_cases import random_taxonomy
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from taxonomy_texts import SMALL, graphs, tree_text, trees

import hpa_hier.taxonomy
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

ROOT = Path(__file__).resolve().parents[2]
QUICK = examples(60)


@pytest.fixture(scope="module")
def hpa28() -> Taxonomy:
    return Taxonomy.load("hierarchy/hpa28.yaml")


def test_hpa28_has_three_groups_thirteen_organelles_and_28_leaves(hpa28: Taxonomy) -> None:
    assert hpa28.groups == hpa28.level("coarse") == ("Nucleus", "Cytoplasm", "Secretory")
    assert [len(hpa28.level(level)) for level in hpa28.levels] == [3, 13, 28]
    assert len(hpa28.nodes) == 44
    assert hpa28.level("leaf") == hpa28.leaves
    assert sorted(map(hpa28.label, hpa28.leaves), key=int) == [str(n) for n in range(28)]


def test_hpa28_names_organelles_apart_from_leaves(hpa28: Taxonomy) -> None:
    organelles = hpa28.level("compartment")
    assert [name for name in organelles if not name.endswith(" (organelle)")] == ["Vesicles"]
    assert [name for name in hpa28.nodes if hpa28.node(name).open] == ["Vesicles"]
    assert all(name.removesuffix(" (organelle)") in hpa28.leaves for name in organelles if name != "Vesicles")


def test_hpa28_agrees_with_the_published_table(hpa28: Taxonomy) -> None:
    assert hpa28.ancestors("Rods & rings") == ("Cytoplasm", "Cytosol (organelle)")
    assert hpa28.group("Secretory") == (
        "Endoplasmic reticulum", "Golgi apparatus", "Peroxisomes", "Endosomes", "Lysosomes", "Lipid droplets",
        "Plasma membrane", "Cell junctions",
    )  # fmt: skip
    assert hpa28.label("Cytokinetic bridge") == "16"
    assert hpa28.node("Mitotic spindle").go == "GO:0072686"
    assert hpa28.node("Rods & rings").go is None


def test_the_organelle_cut_has_the_same_leaves_below_seven_groups(hpa28: Taxonomy) -> None:
    seven = Taxonomy.load("hierarchy/hpa28_organelle7.yaml")
    assert len(seven.groups) == 7
    assert {(n, seven.label(n), seven.node(n).go) for n in seven.leaves} == {
        (n, hpa28.label(n), hpa28.node(n).go) for n in hpa28.leaves
    }
    assert {hpa28.meaning(n) for n in hpa28.leaves} == {seven.meaning(n) for n in seven.leaves}


def test_negative_of_the_single_cell_taxonomy_is_beside_the_groups() -> None:
    single = Taxonomy.load("hierarchy/hpa19_single_cell.yaml")
    assert single.groups == ("Nucleus", "Cytoplasm", "Secretory")
    assert single.level("coarse") == (*single.groups, "Negative")
    assert "Negative" in single.level("compartment")
    assert single.parents("Negative") == ()
    assert single.find_node("17") == "Vesicles and punctate cytosolic patterns"
    assert len(single.leaves) == 19


def test_a_label_is_looked_up_exactly_and_a_name_in_any_case(hpa28: Taxonomy) -> None:
    assert hpa28.find_node("7") == "Golgi apparatus"
    assert hpa28.find_node("07") is None
    assert hpa28.find_node("golgi APPARATUS") == "Golgi apparatus"
    assert hpa28.find_node("28") is None


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(hpa28: Taxonomy) -> None:
    with pytest.raises(
        UserError,
        match="no level is called 'fine'; the levels of 'hpa28' are coarse, compartment, leaf, and all for every",
    ):
        hpa28.level("fine")
    with pytest.raises(UserError, match="no node is called 'Nucleoly'; did you mean 'Nucleoli'"):
        hpa28.ancestors("Nucleoly")
    with pytest.raises(UserError, match=r"'Nukleus' is no node of this taxonomy, .*did you mean 'Nucleus'"):
        hpa28.group("Nukleus")
    with pytest.raises(
        UserError, match=r"'Cytosol' is a leaf, and a group was asked for.*Nucleus, Cytoplasm, Secretory"
    ):
        hpa28.group("Cytosol")
    with pytest.raises(UserError, match="'Nucleus' is a group and carries no label"):
        hpa28.label("Nucleus")


def test_a_second_parent_closes_counts_and_comes_first() -> None:
    text = SMALL.replace("    Nucleoplasm: {label: 0}", "    Nucleoplasm: {label: 0, also_under: [Vesicles]}")
    taxonomy = Taxonomy.from_text(text)
    assert taxonomy.parents("Nucleoplasm") == ("Nucleus", "Vesicles")
    assert taxonomy.ancestors("Nucleoplasm") == ("Nucleus", "Secretory", "Vesicles")
    assert taxonomy.nodes.index("Nucleoplasm") > taxonomy.nodes.index("Vesicles")
    assert taxonomy.depth("Nucleoplasm") == 2  # along the indentation
    assert "Nucleoplasm" in taxonomy.group("Secretory")
    present = np.zeros((1, len(taxonomy.nodes)), bool)
    present[0, taxonomy.column["Nucleoplasm"]] = True
    assert {taxonomy.nodes[j] for j in np.flatnonzero(taxonomy.close(present)[0])} == {
        "Nucleoplasm", "Nucleus", "Vesicles", "Secretory",
    }  # fmt: skip


def test_a_tree_without_a_level_of_leaves_has_its_leaves_all_the_same() -> None:
    taxonomy = Taxonomy.from_text(SMALL.replace("levels: {coarse: 1, leaf: leaves}", "levels: {coarse: 1}"))
    assert taxonomy.level("leaves") == taxonomy.level("LEAVES") == taxonomy.leaves


def test_tables_may_use_names_labels_and_aliases_and_a_bar_where_a_label_has_a_space() -> None:
    called = Taxonomy.from_text(SMALL.replace("{label: 9}", "{label: 9, aliases: [Early endosomes]}"))
    assert called.words[-5:] == ("Endosomes", "9", "Early endosomes", "Negative", "none")
    assert called.with_virtual({"has_rare": ["Endosomes"]}).words == called.words
    assert called.label_separator == " "
    assert Taxonomy.from_text(SMALL.replace("{label: 9}", "{label: late ones}")).label_separator == "|"


def test_the_package_of_trees_has_the_tree_and_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Taxonomies'"):
        hpa_hier.taxonomy.Taxonomies  # noqa: B018


def test_the_closure_cannot_be_written_to(hpa28: Taxonomy) -> None:
    with pytest.raises(ValueError, match="read-only"):
        hpa28.closure[0, 1] = True


def _walked_ancestors(taxonomy: Taxonomy, node: str) -> set[str]:
    above: set[str] = set()
    waiting = list(taxonomy.entries[node].parents)
    while waiting:
        parent = waiting.pop()
        if parent not in above:
            above.add(parent)
            waiting += taxonomy.entries[parent].parents
    return above


@QUICK
@given(graphs())
def test_closure_ancestors_and_descendants_agree_with_a_walk(tree: dict) -> None:
    taxonomy = Taxonomy.from_text(tree_text(tree))
    for i, node in enumerate(taxonomy.nodes):
        above = _walked_ancestors(taxonomy, node)
        assert set(taxonomy.ancestors(node)) == above
        assert {taxonomy.nodes[j] for j in np.flatnonzero(taxonomy.closure[i])} == above | {node}
        assert all(node in taxonomy.descendants(parent) for parent in above)
        assert set(taxonomy.leaves_below(node)) == {
            n for n in (node, *taxonomy.descendants(node)) if taxonomy.is_leaf(n)
        }


@QUICK
@given(graphs())
def test_every_node_follows_all_its_parents_and_bottom_up_is_the_other_way(tree: dict) -> None:
    taxonomy = Taxonomy.from_text(tree_text(tree))
    for node in taxonomy.nodes:
        assert all(taxonomy.column[parent] < taxonomy.column[node] for parent in taxonomy.parents(node))
    done = {taxonomy.column[leaf] for leaf in taxonomy.leaves}
    for group, children in taxonomy.bottom_up:
        assert set(children) <= done, "a group came before a group below it"
        assert children == tuple(taxonomy.column[child] for child in taxonomy.children(taxonomy.nodes[group]))
        done.add(group)
    assert done == set(range(len(taxonomy.nodes)))


@QUICK
@given(trees())
def test_the_nodes_of_a_tree_are_in_the_order_of_the_file(tree: dict) -> None:
    taxonomy = Taxonomy.from_text(tree_text(tree))
    assert list(taxonomy.nodes) == sorted(taxonomy.nodes, key=lambda name: int(name[1:]))


@QUICK
@given(graphs(), st.integers(0, 2**32 - 1))
def test_closing_is_idempotent_monotone_and_leaves_no_child_alone(tree: dict, seed: int) -> None:
    taxonomy = Taxonomy.from_text(tree_text(tree))
    present = np.random.default_rng(seed).random((7, len(taxonomy.nodes))) < 0.3
    closed = taxonomy.close(present)
    assert closed.dtype == bool
    assert (closed >= present).all()
    assert (taxonomy.close(closed) == closed).all()
    for node in taxonomy.nodes:
        for parent in taxonomy.parents(node):
            assert (closed[:, taxonomy.column[parent]] >= closed[:, taxonomy.column[node]]).all()


@QUICK
@given(trees())
def test_every_level_of_a_tree_covers_each_leaf_once(tree: dict) -> None:
    deepest = max(node.depth for node in Taxonomy.from_text(tree_text(tree)).entries.values())
    levels = "{" + ", ".join(f"d{d}: {d}" for d in range(1, deepest + 1)) + ", leaf: leaves}"
    taxonomy = Taxonomy.from_text(tree_text(tree, levels))
    for level in taxonomy.levels:
        covered = [leaf for node in taxonomy.level(level) for leaf in taxonomy.leaves_below(node)]
        assert sorted(covered) == sorted(taxonomy.leaves)


def _reordered_and_renamed(tree: dict) -> dict:
    """Turn the order of all siblings round and give every node another name."""
    return {
        key if key in ("open", "also_under") else f"m{key[1:]}": _reordered_and_renamed(value)
        if isinstance(value, dict)
        else value.replace("n", "m")
        if key == "also_under"
        else value
        for key, value in reversed(tree.items())
    }


@QUICK
@given(graphs())
def test_meaning_does_not_depend_on_names_or_order(tree: dict) -> None:
    one = Taxonomy.from_text(tree_text(tree))
    other = Taxonomy.from_text(tree_text(_reordered_and_renamed(tree)))
    for node in one.nodes:
        assert one.meaning(node) == other.meaning(f"m{node[1:]}")


@QUICK
@given(trees())
def test_meaning_tells_nodes_with_different_leaves_apart(tree: dict) -> None:
    taxonomy = Taxonomy.from_text(tree_text(tree))
    for node in taxonomy.nodes:
        for other in taxonomy.nodes:
            if taxonomy.leaves_below(node) != taxonomy.leaves_below(other):
                assert taxonomy.meaning(node) != taxonomy.meaning(other)


def test_the_digest_of_a_file_ignores_comments_and_order_but_no_name(hpa28: Taxonomy) -> None:
    text = hpa28.text
    assert Taxonomy.from_text("# a comment\n" + text).content_digest == hpa28.content_digest
    lines = text.splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if "Nuclear speckles" in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    assert Taxonomy.from_text("".join(lines)).content_digest == hpa28.content_digest
    assert Taxonomy.from_text(text.replace("Nuclear speckles", "Speckles")).content_digest != hpa28.content_digest
    assert Taxonomy.from_text(text.replace("open: true", "open: false")).content_digest != hpa28.content_digest
    assert Taxonomy.from_text(text.replace("compartment: 2, ", "")).content_digest != hpa28.content_digest


def test_the_text_is_kept_verbatim(hpa28: Taxonomy) -> None:
    root = Path(__file__).resolve().parents[2]
    assert hpa28.text == (root / "hierarchy" / "hpa28.yaml").read_text(encoding="utf-8")


def test_the_level_all_is_every_node_and_no_level_may_take_its_name(hpa28: Taxonomy) -> None:
    assert hpa28.level("all") == hpa28.nodes
    with pytest.raises(UserError, match="a level cannot be called 'all', which means every node; rename it"):
        Taxonomy.from_text(SMALL.replace("levels: {coarse: 1", "levels: {all: 1"))


def test_a_graph_of_four_thousand_nodes_is_read_closed_and_compared_in_seconds() -> None:
    generator = np.random.default_rng(0)
    lines = ["taxonomy: big", "levels: {leaf: leaves}", "tree:"]
    for group in range(400):
        second = f", also_under: [G{int(generator.integers(0, group))}]" if group else ""
        lines += [f"  G{group}:", f"    label: g{group}", "    open: true"]
        lines += [f"    L{group}x{leaf}: {{label: l{group}x{leaf}{second if leaf < 3 else ''}}}" for leaf in range(9)]
    began = time.process_time()
    taxonomy = Taxonomy.from_text("\n".join(lines) + "\n")
    assert len(taxonomy.nodes) == 4000
    present = generator.random((1000, 4000)) < 0.001
    assert (taxonomy.close(present).sum(axis=0) >= present.sum(axis=0)).all()
    assert len({taxonomy.meaning(node) for node in taxonomy.nodes}) == 4000
    assert time.process_time() - began < 10  # seconds of this process, about 2 on an idle core


def _same(one: Taxonomy, other: Taxonomy) -> bool:
    return one.entries == other.entries and one.nodes == other.nodes and one.depths == other.depths


SMALL_AS_FLOW = (
    "{taxonomy: flow, levels: {leaf: leaves}, tree: {Nucleus: {Nucleoli: {label: 2}, Nucleoplasm: {label: '02'}}}}"
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("plain", SMALL),
        ("flow style", SMALL_AS_FLOW),
        ("an end mark", SMALL + "...\n"),
        ("a start mark", "---\n" + SMALL),
        ("virtual nodes of its own", SMALL + "virtual:\n  has_nuclear: [Nucleoli, Nucleoplasm]\n"),
        ("virtual nodes of its own, before the tree", "virtual: {has_nuclear: [Nucleoli]}\n" + SMALL),
        (
            "virtual nodes in flow style",
            SMALL_AS_FLOW.replace("{taxonomy", "{virtual: {has_nuclear: [Nucleoli]}, taxonomy"),
        ),
        ("an empty field for virtual nodes", SMALL + "virtual:\n"),
    ],
)
def test_virtual_nodes_are_added_to_any_file_and_saved_with_it(kind: str, text: str) -> None:
    before = Taxonomy.from_text(text)
    after = before.with_virtual({"has_rare": ["Nucleoli"], "has_other": ["Nucleoplasm", "Nucleoli"]})
    assert after.virtual == (*before.virtual, "has_rare", "has_other"), kind
    assert after.level("partition") == after.virtual
    assert after.group("has_other") == tuple(leaf for leaf in before.leaves if leaf in ("Nucleoplasm", "Nucleoli"))
    assert after.without_virtual.nodes == before.without_virtual.nodes
    assert [after.meaning(node) for node in before.nodes] == [before.meaning(node) for node in before.nodes]
    assert [after.level(level) for level in before.levels] == [before.level(level) for level in before.levels]
    assert _same(Taxonomy.from_text(after.text), after)


@QUICK
@given(graphs(), st.data())
def test_any_taxonomy_with_virtual_nodes_is_saved_as_it_is(tree: dict, data: st.DataObject) -> None:
    before = Taxonomy.from_text(tree_text(tree))
    chosen = st.lists(st.sampled_from(before.leaves), min_size=1, unique=True)
    after = before.with_virtual({"first": data.draw(chosen)}).with_virtual({"second": data.draw(chosen)})
    assert after.virtual == ("first", "second")
    assert after.without_virtual.entries == before.entries
    assert _same(Taxonomy.from_text(after.text), after)


def test_a_virtual_node_that_cannot_be_added_is_refused(hpa28: Taxonomy) -> None:
    with pytest.raises(
        UserError, match=r"hpa28\.yaml: a node is already called 'nucleus'; rename it, or add no virtual"
    ):
        hpa28.with_virtual({"nucleus": ["Nucleoli"]})
    with pytest.raises(UserError, match=r"hpa28\.yaml: 'Nucleus' is no leaf, so 'has_rare' cannot be above it"):
        hpa28.with_virtual({"has_rare": ["Nucleus"]})


def test_importing_the_taxonomy_imports_no_graph_library() -> None:
    code = "import sys, hpa_hier.taxonomy; print(sorted({'networkx', 'pandas', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("seed", range(12))
def test_the_orders_are_those_that_networkx_finds_in_the_graph(seed: int) -> None:
    taxonomy = random_taxonomy(np.random.default_rng(seed))
    graph, column = taxonomy.graph, taxonomy.column
    generations = [sorted(names, key=column.__getitem__) for names in nx.topological_generations(graph)]
    groups = [name for names in reversed(generations) for name in names if len(graph[name])]
    assert taxonomy.bottom_up == tuple((column[one], tuple(column[below] for below in graph[one])) for one in groups)
    for node in taxonomy.nodes:
        assert set(taxonomy.ancestors(node)) == nx.ancestors(graph, node)
        assert set(taxonomy.descendants(node)) == nx.descendants(graph, node)


def test_meanings_are_those_that_members_of_older_runs_hold(hpa28: Taxonomy) -> None:
    member = ROOT / "artifacts" / "pretrained" / "members" / "coarse" / "member.json"
    if not member.exists():
        pytest.skip("artifacts/pretrained was taken out")
    kept = json.loads(member.read_text(encoding="utf-8"))["meanings"]
    assert {node: hpa28.meaning(node) for node in kept} == kept
    assert set(kept) >= {"Nucleus", "Cytoplasm", "Secretory"}


def test_descriptions_and_go_ids_are_kept_with_their_nodes() -> None:
    tree = Taxonomy.from_text(SMALL.replace("    go: GO:0005634\n", "    go: GO:0005634\n    description: the core\n"))
    assert (tree.description, tree.node("Nucleus").description) == ("a tree to break", "the core")
    assert (tree.node("Nucleus").go, tree.node("Nucleoli").description) == ("GO:0005634", "")
