"""The partition: majority and minority divide the leaves, or there is none; its virtual nodes join the file's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.data.labels.partition import FEWEST, add_partition_nodes, divide
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import PartitionSettings
from hpa_hier.taxonomy import Taxonomy

TEXT = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Nucleus: {Nucleoli: {label: 1}, Nucleoplasm: {label: 2}}\n"
TREE = Taxonomy.load("hpa28")
SIDES = {"majority": ["Nucleoplasm"], "minority": ["Nucleoli"]}


@pytest.mark.parametrize("own", ["", "virtual: {has_rare: [Nucleoli]}\n", "...\n"])
def test_they_go_with_virtual_nodes_of_the_file(own: str) -> None:
    before = Taxonomy.from_text(TEXT + own)
    after = add_partition_nodes(before, SIDES)
    assert after.level("partition") == (*before.virtual, "has_majority", "has_minority")
    assert after.ancestors("Nucleoli")[-2:] == ("has_minority", "Nucleus")
    assert Taxonomy.from_text(after.text).entries == after.entries


def test_an_empty_side_gets_no_node() -> None:
    assert add_partition_nodes(Taxonomy.from_text(TEXT), {"majority": [], "minority": ["Nucleoli"]}).virtual == (
        "has_minority",
    )


def test_a_saved_taxonomy_that_has_them_already_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved.yaml"
    path.write_text(add_partition_nodes(Taxonomy.from_text(TEXT), SIDES).text)
    with pytest.raises(UserError, match=r"saved\.yaml: a node is already called 'has_majority'; rename it, or add no"):
        add_partition_nodes(Taxonomy.load(path), SIDES)


@given(st.dictionaries(st.sampled_from(TREE.leaves), st.integers(0, 3000)), st.integers(1, 3000))
def test_majority_and_minority_divide_the_leaves(counts: dict[str, int], least: int) -> None:
    sides = divide(counts, 3000, PartitionSettings(majority_min_images=least), TREE)
    assert sides.min_images == least
    assert sorted(sides.majority + sides.minority) == sorted(TREE.leaves)
    assert all(counts[leaf] >= least for leaf in sides.majority)
    assert all(counts.get(leaf, 0) < least for leaf in sides.minority)
    assert list(sides.majority) == [leaf for leaf in TREE.leaves if leaf in sides.majority]


def test_named_majority_leaves_win_over_counts() -> None:
    sides = divide({"Golgi apparatus": 9999}, 9999, PartitionSettings(majority=("cytosol", "0")), TREE)
    assert (sides.majority, len(sides.minority), sides.min_images) == (("Nucleoplasm", "Cytosol"), 26, 0)


@given(st.lists(st.integers(0, 3000), min_size=28, max_size=28), st.integers(1, 30000))
def test_neither_side_is_empty_or_there_is_no_partition_and_it_says_why(of_leaves: list[int], images: int) -> None:
    sides = divide(dict(zip(TREE.leaves, of_leaves, strict=True)), images, PartitionSettings(), TREE)
    if sides.left_out:
        assert sides.majority == sides.minority == ()
        assert sides.min_images < FEWEST or len(set(of_leaves)) == 1
    else:
        assert sides.majority
        assert sides.minority
        assert sides.min_images >= FEWEST


def test_a_majority_leaf_has_a_twentieth_of_the_images() -> None:
    counts = dict.fromkeys(TREE.leaves, 49) | {"Cytosol": 50}
    sides = divide(counts, 1000, PartitionSettings(), TREE)
    assert (sides.majority, sides.min_images) == (("Cytosol",), 50)


def test_few_images_have_no_partition_unless_the_settings_say_where_it_is() -> None:
    counts = {"Nucleoplasm": 21, "Cytosol": 16, "Golgi apparatus": 7}
    assert (
        divide(counts, 48, PartitionSettings(), TREE).left_out == "48 images: a majority class would have as few as 2"
    )
    equal = dict.fromkeys(TREE.leaves, 30)
    assert divide(equal, 840, PartitionSettings(), TREE).left_out == "all 28 classes have 30 images"
    asked = divide(counts, 48, PartitionSettings(majority_min_images=10), TREE)
    assert (asked.majority, asked.left_out) == (("Nucleoplasm", "Cytosol"), "")
    old = divide(counts, 48, PartitionSettings(), TREE, few=True)
    assert (old.majority, old.left_out) == (("Nucleoplasm", "Cytosol", "Golgi apparatus"), "")


@pytest.mark.parametrize("name", ["Nucleus", "Cytosoll"])
def test_a_majority_name_must_be_a_leaf(name: str) -> None:
    with pytest.raises(UserError, match=f"partition.majority: '{name}' is no leaf of 'hpa28'"):
        divide({}, 0, PartitionSettings(majority=(name,)), TREE)
