"""Roster: members that follow the tree and the images, those that a run has not, and the flat baseline's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.labels.partition import Partition, divide
from hpa_hier.errors import UserError
from hpa_hier.runs.roster import Roster, check_members
from hpa_hier.settings.recipe import PartitionSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

HPA28 = Taxonomy.load("hpa28")
FEW = Partition((), (), 2, "48 images: a majority class would have as few as 2")
DEFAULT = (  # name, level or group or side, seed, the member it starts from: what published figures were made with
    ("leaf", "leaf", 0, None),
    ("leaf-s1", "leaf", 1, None),
    ("coarse", "coarse", 0, "leaf"),
    ("compartment", "compartment", 0, "leaf-s1"),
    ("group-Nucleus", "Nucleus", 0, "leaf"),
    ("group-Cytoplasm", "Cytoplasm", 0, "leaf-s1"),
    ("group-Secretory", "Secretory", 0, "leaf"),
    ("majority", "majority", 0, "leaf-s1"),
    ("minority", "minority", 0, "leaf"),
    ("leaf-s2", "leaf", 2, "leaf-s1"),
    ("leaf-s3", "leaf", 3, "leaf"),
    ("leaf-s4", "leaf", 4, "leaf-s1"),
    ("leaf-s5", "leaf", 5, "leaf"),
    ("leaf-s6", "leaf", 6, "leaf-s1"),
    ("leaf-s7", "leaf", 7, "leaf"),
    ("leaf-s8", "leaf", 8, "leaf"),
    ("leaf-s9", "leaf", 9, "leaf-s1"),
)


def tree(text: str, levels: str = "{coarse: 1, leaf: leaves}") -> Taxonomy:
    return Taxonomy.from_text(f"taxonomy: toy\nlevels: {levels}\ntree:\n{text}")


def auto(taxonomy: Taxonomy, counts: dict[str, int] | None = None, *sets: str, no_partition: bool = True) -> Roster:
    return Roster.choose(load_recipe(None, sets), taxonomy, FEW if no_partition else None, counts)


def test_on_the_default_tree_auto_gives_the_members_that_published_figures_were_made_with() -> None:
    roster = auto(HPA28, no_partition=False)
    rows = [(one.name, one.level or one.group or one.partition, one.seed) for one in roster.members]
    assert [(*row, one.training.get("start_from")) for row, one in zip(rows, roster.members, strict=True)] == [*DEFAULT]
    assert [one.name for one in roster.members if set(one.training) - {"start_from"}] == ["minority"]
    assert roster.members[8].training == {"start_from": "leaf", "balance": "repeat"}
    names = [name for name, *_ in DEFAULT]
    assert roster.ensemble == (*names[2:9], *names[:2], "leaf-s2")
    assert roster.baseline == (*names[:2], *names[9:])
    assert roster.only_compared == tuple(names[10:])
    assert (roster.left_out, roster.without_member) == ({}, {})
    assert roster.describe() == [
        "17 members to train; 7 of them only to compare with a flat ensemble (--no-baseline leaves them out)"
    ]


def test_a_flat_tree_has_leaf_members_and_nothing_to_compare_them_with() -> None:
    roster = auto(tree("  A: {label: 0}\n  B: {label: 1}\n", "{places: leaves}"), {"A": 90, "B": 90})
    assert roster.trained == roster.ensemble == ("leaf", "leaf-s1", "leaf-s2")
    assert {one.level for one in roster.members} == {"places"}
    assert roster.baseline == ()


def test_levels_that_repeat_others_and_small_groups_have_no_member_and_the_reason_is_said() -> None:
    text = """  Cell:
    Nucleus:
      A: {label: 0}
      B: {label: 1}
    Energy:
      C: {label: 2}
    Rare:
      D: {label: 3}
      E: {label: 4}
"""
    taxonomy = tree(text, "{cell: 1, coarse: 2, fine: 3}")
    roster = auto(taxonomy, {"A": 20, "B": 20, "C": 400, "D": 400, "E": 19})
    assert roster.ensemble == ("coarse", "group-Nucleus", "leaf", "leaf-s1", "leaf-s2")
    assert {one.name: one.level for one in roster.members}["leaf"] == "leaves"
    assert roster.describe()[1:] == [
        "no member of its own: level cell; it has a single node",
        "no member of its own: level fine; its nodes are another level's",
        "no member of its own: group Energy; a group with one leaf has nothing to tell apart",
        "no member of its own: group Rare; fewer than two of its classes have 20 images",
        f"no member of its own: majority and minority; {FEW.left_out}",
    ]


def test_a_node_with_two_parents_counts_for_both_groups() -> None:
    text = """  One:
    A: {label: 0}
    B: {label: 1, also_under: [Two]}
  Two:
    C: {label: 2}
"""
    roster = auto(tree(text), dict.fromkeys("ABC", 50))
    assert roster.ensemble == ("coarse", "group-One", "group-Two", "leaf", "leaf-s1", "leaf-s2")


def test_names_of_members_are_folders_and_differ() -> None:
    text = "".join(
        f"  '{group}':\n    '{group} 1': {{label: a{n}}}\n    '{group} 2': {{label: b{n}}}\n"
        for n, group in enumerate(("ER & Golgi", "ER + Golgi", "Zellkern ä", "leaf"))
    )
    roster = auto(tree(text, "{leaf: 1, leaf-s1: leaves}"))
    assert [one.name for one in roster.members if one.level or one.group][:7] == [
        "leaf", "leaf-s1", "leaf-2", "group-ER---Golgi", "group-ER---Golgi-2", "group-Zellkern--", "group-leaf",
    ]  # fmt: skip
    assert {one.name: one.level for one in roster.members}["leaf-2"] == "leaf"


def test_changes_of_the_command_line_reach_members_that_are_not_chosen_yet() -> None:
    sets = ("members.leaf.seed=7", "members.coarse.training.epochs=3", "training.balance=none", "training.epochs=5")
    roster = auto(HPA28, None, *sets, no_partition=False)
    members = {one.name: one for one in roster.members}
    assert members["leaf"].seed == 7
    assert roster.recipe.member_training(members["coarse"]).epochs == 3
    assert roster.recipe.member_training(members["leaf"]).epochs == 5
    assert roster.recipe.member_training(members["minority"]).balance == "none"
    wrong = r"--set members\.coarce\.seed=1: 'members' has nothing called 'coarce'; did you mean 'coarse'\?"
    with pytest.raises(UserError, match=wrong):
        auto(HPA28, None, "members.coarce.seed=1")
    with pytest.raises(
        UserError, match=r"--set members\.leaf\.sed=1: unknown setting 'members\.0\.sed'; did you mean 's"
    ):
        auto(HPA28, None, "members.leaf.sed=1")


def test_an_ensemble_that_the_recipe_names_is_kept() -> None:
    roster = auto(HPA28, None, "ensemble.members=[leaf, coarse]")
    assert (roster.ensemble, roster.baseline) == (("leaf", "coarse"), ())


@settings(max_examples=40)
@given(st.lists(st.integers(0, 60), min_size=28, max_size=28))
def test_members_of_any_counts_can_be_trained(images: list[int]) -> None:
    counts = dict(zip(HPA28.leaves, images, strict=True))
    roster = Roster.choose(Recipe(), HPA28, divide(counts, sum(images), PartitionSettings(), HPA28), counts)
    check_members(roster.recipe, HPA28)
    assert len(roster.baseline) == len(roster.ensemble)
    assert {*roster.ensemble, *roster.baseline} == {*roster.trained}
    for one in roster.members:
        if one.group:
            assert sum(counts[leaf] >= 20 for leaf in HPA28.group(one.group)) > 1


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (
            "{name: a, level: compartment}",
            "x.yaml:2: member 'a': hela.yaml: no level is called 'compartment'; the levels",
        ),
        ("{name: a, group: Nucleas}", "x.yaml:2: member 'a': hela.yaml: 'Nucleas' is no node of this taxonomy, and a "),
    ],
)
def test_a_level_or_group_that_the_tree_has_not_is_refused_with_its_line(
    tmp_path: Path, member: str, message: str
) -> None:
    (tmp_path / "x.yaml").write_text(f"members:\n  - {member}\n")
    taxonomy = Taxonomy.from_text(Taxonomy.load("hela").text, "hela.yaml")
    with pytest.raises(UserError) as caught:
        check_members(load_recipe(str(tmp_path / "x.yaml")), taxonomy)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)
    assert str(caught.value).endswith("correct it, or let the members follow the tree (--set members=auto)")


def test_top_and_leaves_are_levels_of_any_tree() -> None:
    members = [{"name": "coarse", "level": "top"}, {"name": "leaf", "level": "leaves"}]
    ensemble = {"members": ["coarse", "leaf"], "baseline": ["leaf", "leaf"]}
    recipe = Recipe.model_validate({"members": members, "ensemble": ensemble})
    deep = Roster.choose(recipe, tree("  A:\n    B: {label: 0}\n  C: {label: 1}\n", "{rough: 1, places: leaves}"))
    assert [one.level for one in deep.members] == ["rough", "places"]
    flat = Roster.choose(recipe, tree("  A: {label: 0}\n  B: {label: 1}\n", "{places: leaves}"))
    assert flat.trained == flat.ensemble == ("leaf",)
    assert flat.describe() == ["1 member to train", "left out: coarse; the tree has no level above its leaves"]


def test_with_a_partition_all_members_of_the_recipe_are_there() -> None:
    recipe = load_recipe("demo")
    roster = Roster.choose(recipe, HPA28)
    assert roster.trained == tuple(member.name for member in recipe.listed)
    assert (roster.ensemble, roster.baseline) == (recipe.ensemble.members, recipe.ensemble.baseline)
    assert (roster.left_out, len(roster.describe())) == ({}, 1)


def test_without_one_the_comparison_keeps_its_balance() -> None:
    changes = ["ensemble.members=[coarse, majority, minority, leaf, leaf-s1]"]
    changes += ["ensemble.baseline=[leaf, leaf-s1, leaf-s2, leaf-s3, leaf-s4]"]
    recipe = load_recipe("demo", changes)
    roster = Roster.choose(recipe, HPA28, FEW)
    sided = {member.name for member in recipe.listed if member.partition}
    assert sided == {"majority", "minority"}
    assert roster.ensemble == ("coarse", "leaf", "leaf-s1")
    assert roster.baseline == ("leaf", "leaf-s1", "leaf-s2")
    assert set(roster.left_out) == {*sided, "leaf-s3", "leaf-s4"}
    assert set(roster.trained) == {"coarse", "group-Cytoplasm", "leaf", "leaf-s1", "leaf-s2", "leaf-s5", "leaf-s6"}
    assert roster.describe()[1] == (
        "left out: majority, minority; no majority and minority (48 images: a majority class would have as few as 2)"
    )


def test_a_member_of_the_partitions_own_level_is_left_out_too() -> None:
    roster = Roster.choose(load_recipe("configs/choices/partition.yaml"), HPA28, FEW)
    assert tuple(roster.left_out) == ("partition", "majority", "minority")
    assert roster.trained == roster.ensemble == ("leaf",)


def test_a_network_that_the_ensemble_needs_is_trained_whatever_the_baseline_does() -> None:
    changes = ["ensemble.members=[leaf-s4, majority, leaf]", "ensemble.baseline=[leaf, leaf-s1, leaf-s4]"]
    roster = Roster.choose(load_recipe("demo", changes), HPA28, FEW)
    assert roster.baseline == ("leaf", "leaf-s1")
    assert "leaf-s4" in roster.trained


def test_without_the_baseline_only_what_the_ensemble_and_its_starts_need_is_trained() -> None:
    roster = auto(HPA28, None, "ensemble.use_baseline=false", no_partition=False)
    assert roster.trained == tuple(name for name, *_ in DEFAULT[:10])
    assert (roster.baseline, roster.only_compared) == ((), ())
    assert roster.describe() == [
        "10 members to train",
        "left out: leaf-s3, leaf-s4, leaf-s5, leaf-s6, leaf-s7, leaf-s8, leaf-s9; only the flat baseline needs it, "
        "which is left out",
    ]
    started = ["ensemble.use_baseline=false", "ensemble.members=[coarse]"]
    assert {"leaf", "coarse"} <= {*auto(HPA28, None, *started).trained}


@pytest.mark.parametrize("name", ["default", "gpu", "few_images"])
@pytest.mark.parametrize("shape", ["flat", "named otherwise", "exclusive", "deep"])
def test_shipped_recipes_for_ones_own_images_fit_any_tree(name: str, shape: str) -> None:
    taxonomy = {
        "flat": tree("  A: {label: 0}\n  B: {label: 1}\n", "{places: leaves}"),
        "named otherwise": tree(
            "  A:\n    B: {label: 0}\n    C: {label: 1}\n  D: {label: 2}\n", "{rough: 1, fine: leaves}"
        ),
        "exclusive": Taxonomy.load("hela"),
        "deep": HPA28,
    }[shape]
    counts = dict.fromkeys(taxonomy.leaves, 30)
    roster = Roster.choose(load_recipe(name), taxonomy, FEW, counts)
    check_members(roster.recipe, taxonomy)
    assert "leaf" in roster.trained
    assert ("coarse" in roster.trained) == (
        shape in ("exclusive", "deep") or (shape != "flat" and name == "few_images")
    )
    assert {*roster.ensemble} <= {*roster.trained}
    assert all(taxonomy.level(one.level) for one in roster.members if one.level and one.name in roster.trained)
