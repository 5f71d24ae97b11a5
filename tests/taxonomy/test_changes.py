"""Which trained members an edit of the taxonomy makes stale, and which it does not."""

from __future__ import annotations

from hypothesis import given, settings
from taxonomy_texts import SMALL, graphs, tree_text

from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.changes import missing_nodes, renamed_nodes, stale_nodes

TRAINED = Taxonomy.load("hierarchy/hpa28.yaml")


def edited(*changes: tuple[str, str]) -> Taxonomy:
    text = TRAINED.text
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return Taxonomy.from_text(text)


def stale_by_level(current: Taxonomy) -> dict[str, tuple[str, ...]]:
    return {level: stale_nodes(TRAINED, current, TRAINED.level(level)) for level in TRAINED.levels}


MITOCHONDRIA = """\
    Mitochondria (organelle):
      go: GO:0005739
      Mitochondria: {label: 23, go: GO:0005739, aliases: [Mitochondrion]}
"""
SECRETORY = "    description: the endomembrane system\n"


def test_nothing_is_stale_under_the_same_file() -> None:
    assert stale_by_level(edited()) == {"coarse": (), "compartment": (), "leaf": ()}


def test_comments_order_go_and_descriptions_make_nothing_stale() -> None:
    current = edited(
        ("# no Gene Ontology term", "# a comment"),
        ("go: GO:0005634\n", "go: GO:0000001\n    description: the nucleus\n"),
        ("      Nucleoplasm: {label: 0, go: GO:0005654}\n", ""),
        ("Nuclear bodies: {label: 5,", "Nucleoplasm: {label: 0}\n      Nuclear bodies: {label: 5,"),
    )
    assert set(stale_by_level(current).values()) == {()}


def test_moving_a_leaf_makes_the_coarse_member_stale() -> None:
    current = edited((MITOCHONDRIA, ""), (SECRETORY, SECRETORY + MITOCHONDRIA))
    assert current.level("coarse") == TRAINED.level("coarse")  # no coarse name changed
    assert stale_by_level(current) == {"coarse": ("Cytoplasm", "Secretory"), "compartment": (), "leaf": ()}


def test_moving_a_leaf_within_its_group_leaves_the_coarse_member_alone() -> None:
    line = (
        "      Cytokinetic bridge: {label: 16, go: GO:0045171, aliases: [Cytokinetic bridges, Intercellular bridge]}\n"
    )
    current = edited((line, ""), ("      Centrosome: {label", line + "      Centrosome: {label"))
    assert stale_by_level(current) == {
        "coarse": (),
        "compartment": ("Microtubules (organelle)", "Centrosome (organelle)"),
        "leaf": (),
    }


def test_a_second_parent_makes_the_groups_above_it_stale() -> None:
    current = edited(
        (
            "{label: 22, go: GO:0030054, aliases: [Cell junction]}",
            "{label: 22, go: GO:0030054, aliases: [Cell junction], also_under: [Cytoplasm]}",
        )
    )
    assert stale_by_level(current) == {"coarse": ("Cytoplasm",), "compartment": (), "leaf": ()}


def test_another_label_makes_the_leaf_and_all_above_it_stale() -> None:
    current = edited(("Lysosomes: {label: 10", "Lysosomes: {label: 28"))
    assert stale_by_level(current) == {"coarse": ("Secretory",), "compartment": ("Vesicles",), "leaf": ("Lysosomes",)}


def test_opening_a_group_makes_it_and_all_above_it_stale() -> None:
    current = edited(("    Cytosol (organelle):\n", "    Cytosol (organelle):\n      open: true\n"))
    assert stale_by_level(current) == {"coarse": ("Cytoplasm",), "compartment": ("Cytosol (organelle)",), "leaf": ()}


def test_a_new_leaf_makes_the_groups_above_it_stale_and_is_missing_from_the_leaves() -> None:
    current = edited(("      Lysosomes:", "      Melanosomes: {label: 28}\n      Lysosomes:"))
    assert stale_by_level(current) == {"coarse": ("Secretory",), "compartment": ("Vesicles",), "leaf": ()}
    assert missing_nodes(TRAINED, current, TRAINED.leaves, current.leaves) == ("Melanosomes",)
    assert missing_nodes(TRAINED, current, TRAINED.level("coarse"), current.level("coarse")) == ("Secretory",)


def test_a_removed_leaf_makes_its_column_stale() -> None:
    current = edited(("      Endosomes: {label: 9, go: GO:0005768, aliases: [Endosome]}\n", ""))
    assert stale_by_level(current) == {"coarse": ("Secretory",), "compartment": ("Vesicles",), "leaf": ("Endosomes",)}


def test_a_new_name_is_no_new_meaning() -> None:
    current = edited(("Rods & rings", "Cytoophidia"), ("  Secretory:", "  Endomembrane system:"))
    assert set(stale_by_level(current).values()) == {()}
    assert renamed_nodes(TRAINED, current, TRAINED.nodes) == {
        "Rods & rings": "Cytoophidia",
        "Secretory": "Endomembrane system",
    }


def test_two_leaves_that_exchange_their_labels_exchange_their_names() -> None:
    current = edited(
        ("Endosomes: {label: 9,", "Endosomes: {label: 8,"), ("Peroxisomes: {label: 8,", "Peroxisomes: {label: 9,")
    )
    assert set(stale_by_level(current).values()) == {()}
    assert renamed_nodes(TRAINED, current, TRAINED.leaves) == {"Endosomes": "Peroxisomes", "Peroxisomes": "Endosomes"}


def test_a_group_with_one_group_below_keeps_apart_from_it() -> None:
    trained = Taxonomy.from_text(SMALL)
    assert trained.meaning("Secretory") == trained.meaning("Vesicles")  # they have the same leaves
    current = Taxonomy.from_text(SMALL.replace("Secretory", "Secretion"))
    assert renamed_nodes(trained, current, trained.nodes) == {"Secretory": "Secretion"}


@settings(max_examples=100)
@given(graphs())
def test_renaming_every_node_makes_nothing_stale_and_every_old_name_finds_its_own(tree: dict) -> None:
    trained = Taxonomy.from_text(tree_text(tree))
    current = Taxonomy.from_text(tree_text(tree).replace("  n", "  m").replace("[n", "[m").replace(", n", ", m"))
    assert stale_nodes(trained, current, trained.nodes) == ()
    names = renamed_nodes(trained, current, trained.nodes)
    assert sorted(names) == sorted(trained.nodes)
    assert sorted(names.values()) == sorted(current.nodes)
    assert all(trained.meaning(old) == current.meaning(new) for old, new in names.items())


def test_a_group_around_another_takes_no_name_away_from_it() -> None:
    trained = Taxonomy.from_text(SMALL)
    around = "  Whole path:\n    Secretory:\n      Vesicles:\n        open: true\n        Lysosomes: {label: 10}\n"
    around += "        Endosomes: {label: 9}\n"
    start, end = SMALL.index("  Secretory:"), SMALL.index("  Negative:")
    current = Taxonomy.from_text(SMALL[:start] + around + SMALL[end:])
    assert current.meaning("Whole path") == current.meaning("Secretory") == trained.meaning("Vesicles")
    assert renamed_nodes(trained, current, trained.nodes) == {}
    assert stale_nodes(trained, current, trained.nodes) == ()
