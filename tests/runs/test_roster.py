"""Roster: members of a partition that the run has not are left out, and as many networks of the flat baseline."""

from __future__ import annotations

from hpa_hier.runs.roster import Roster
from hpa_hier.settings.recipe_file import load_recipe


def test_with_a_partition_all_members_of_the_recipe_are_there() -> None:
    recipe = load_recipe("demo")
    roster = Roster.choose(recipe, "")
    assert roster.trained == tuple(member.name for member in recipe.members)
    assert (roster.ensemble, roster.baseline) == (recipe.ensemble.members, recipe.ensemble.baseline)
    assert (roster.left_out, roster.describe()) == ((), "")


def test_without_one_the_comparison_keeps_its_balance() -> None:
    changes = ["ensemble.members=[coarse, majority, minority, leaf, leaf-s1]"]
    changes += ["ensemble.baseline=[leaf, leaf-s1, leaf-s2, leaf-s3, leaf-s4]"]
    recipe = load_recipe("demo", changes)
    roster = Roster.choose(recipe, "48 images: a majority class would have as few as 2")
    sided = {member.name for member in recipe.members if member.partition}
    assert sided == {"majority", "minority"}
    assert roster.ensemble == ("coarse", "leaf", "leaf-s1")
    assert roster.baseline == ("leaf", "leaf-s1", "leaf-s2")
    assert set(roster.left_out) == {*sided, "leaf-s3", "leaf-s4"}
    assert set(roster.trained) == {"coarse", "group-Cytoplasm", "leaf", "leaf-s1", "leaf-s2", "leaf-s5", "leaf-s6"}
    assert roster.describe() == (
        f"left out: {', '.join(roster.left_out)}; no majority and minority (48 images: a majority class would have as "
        "few as 2), set partition.majority_min_images to have them"
    )


def test_a_member_of_the_partitions_own_level_is_left_out_too() -> None:
    roster = Roster.choose(load_recipe("configs/choices/partition.yaml"), "all 4 classes have 30 images")
    assert roster.left_out == ("partition", "majority", "minority")
    assert roster.trained == roster.ensemble == ("leaf",)


def test_a_network_that_the_ensemble_needs_is_trained_whatever_the_baseline_does() -> None:
    changes = ["ensemble.members=[leaf-s4, majority, leaf]", "ensemble.baseline=[leaf, leaf-s1, leaf-s4]"]
    roster = Roster.choose(load_recipe("demo", changes), "few")
    assert roster.baseline == ("leaf", "leaf-s1")
    assert "leaf-s4" in roster.trained
