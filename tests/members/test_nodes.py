"""Selectors: levels and groups as flags and recipes may spell them."""

from __future__ import annotations

import pytest

from hpa_hier.errors import UserError
from hpa_hier.members.nodes import Selector, select_member
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.taxonomy import Taxonomy


def test_a_level_or_group_in_another_case_is_the_recipes_own_member() -> None:
    own = MemberSettings(name="inside", group="Nucleus")
    recipe, taxonomy = Recipe(members=(own,)), Taxonomy.load("hpa28")
    assert select_member(recipe, Selector("group", "NUCLEUS").respell(taxonomy), 0) is own
    assert Selector("level", "Leaf").respell(taxonomy) == Selector("level", "leaf")
    assert Selector("group", "secretory pathway").respell(taxonomy) == Selector("group", "Secretory")


def test_a_selector_in_another_case_selects_the_same_nodes() -> None:
    taxonomy = Taxonomy.load("hpa28")
    assert Selector("group", "nucleus").nodes(taxonomy, {}) == taxonomy.group("Nucleus")
    assert Selector("level", "COARSE").nodes(taxonomy, {}) == taxonomy.level("coarse")


def test_a_word_that_is_no_group_stays_as_it_was_typed_and_is_refused_in_it() -> None:
    taxonomy = Taxonomy.load("hpa28")
    assert Selector("group", "nuclues").respell(taxonomy) == Selector("group", "nuclues")
    with pytest.raises(UserError, match=r"'nuclues' is no node of this taxonomy, .*did you mean 'Nucleus'\?"):
        Selector("group", "nuclues").check(taxonomy)
