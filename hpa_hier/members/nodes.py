"""Selectors: what a member answers for, as the flags and recipes say it, and the nodes that it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hpa_hier.errors import UserError
from hpa_hier.files.shell import Flag
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.tree import PARTITION

Kind = Literal["level", "group", "partition"]


@dataclass(frozen=True)
class Selector:
    """A level, the leaves below a group, or one side of the partition."""

    kind: Kind
    value: str

    @classmethod
    def from_settings(cls, member: MemberSettings) -> Selector:
        """Return a member's selector."""
        if member.level is not None:
            return cls("level", member.level)
        return cls("partition", str(member.partition)) if member.group is None else cls("group", member.group)

    def respell(self, taxonomy: Taxonomy) -> Selector:
        """Return the selector with its level or group as the taxonomy spells it, whatever the case that was typed.

        >>> Selector("group", "nucleus").respell(Taxonomy.load("hpa28"))
        Selector(kind='group', value='Nucleus')
        """
        spell = {"level": taxonomy.level_name, "group": taxonomy.group_name}.get(self.kind, str)
        return Selector(self.kind, spell(self.value))

    def check(self, taxonomy: Taxonomy) -> None:
        """Raise the UserError of an unknown level or group, before anything is simulated or written for it."""
        if self.kind != "partition" and (self.kind, self.value) != ("level", PARTITION):
            self.nodes(taxonomy, {})

    def nodes(self, taxonomy: Taxonomy, partition: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Return the nodes that are meant, in the taxonomy's order; of a partition, {"majority": leaves, …}.

        Raises:
            UserError: unknown level or group, or a side of the partition that is empty.
        """
        if self.kind == "level":
            if self.value == PARTITION and not taxonomy.virtual and PARTITION not in taxonomy.levels:
                raise UserError(f"--level {PARTITION}: the run has no such nodes; set partition.virtual_nodes: true")
            return taxonomy.level(self.value)
        if self.kind == "group":
            return taxonomy.group(self.value)
        if not partition[self.value]:
            raise UserError(
                f"partition.majority_min_images: no leaf is in the {self.value}; the other side has all "
                f"{sum(map(len, partition.values()))}. Set another threshold, or leave the member out"
            )
        return partition[self.value]


def find_member(recipe: Recipe, name: str) -> MemberSettings:
    """Return the recipe's member of that name, or raise the UserError that lists those it has."""
    members = {member.name: member for member in recipe.listed}
    if name not in members:
        known = ", ".join(members) or "none at all"
        raise UserError(f"--member {name}: the recipe has no member of that name; it has {known}")
    return members[name]


def select_member(recipe: Recipe, selector: Selector, seed: int) -> MemberSettings:
    """Return the recipe's member with that selector and seed, or make one with the recipe's training settings.

    >>> select_member(Recipe(members=()), Selector("group", "ER & Golgi"), seed=1).name
    'group-ER---Golgi-s1'
    """
    for member in recipe.listed:
        if (Selector.from_settings(member), member.seed) == (selector, seed):
            return member
    stem = f"group-{selector.value}" if selector.kind == "group" else selector.value
    name = re.sub("[^A-Za-z0-9]", "-", stem) + (f"-s{seed}" if seed else "")
    return MemberSettings.model_validate({"name": name, selector.kind: selector.value, "seed": seed})


def train_flags(member: MemberSettings, recipe: Recipe) -> dict[str, Flag]:
    """Return the flags that train this member: its name where the recipe lists it, else its selector and seed.

    >>> train_flags(MemberSettings(name="nucleus", group="Nucleus", seed=3), Recipe(members=()))
    {'group': 'Nucleus', 'seed': 3}
    """
    if member in recipe.listed or member.images == "own":
        return {"member": member.name}
    selector = Selector.from_settings(member)
    return {selector.kind: selector.value, "seed": member.seed or None}
