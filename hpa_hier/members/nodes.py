"""Selectors: what a member answers for, as the flags and recipes say it, and the nodes that it means."""

from __future__ import annotations

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
        if member.group is not None:
            return cls("group", member.group)
        return cls("partition", str(member.partition))

    def check(self, taxonomy: Taxonomy) -> None:
        """Raise the UserError of an unknown level or group, before anything is simulated or written for it."""
        if self.kind != "partition" and (self.kind, self.value) != ("level", PARTITION):
            self.nodes(taxonomy, {})

    def nodes(self, taxonomy: Taxonomy, partition: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Return the nodes that are meant, in the taxonomy's order.

        Args:
            taxonomy: the label tree.
            partition: leaves of `majority` and `minority`.

        Raises:
            UserError: unknown level or group, or a side of the partition that is empty.
        """
        if (
            (self.kind, self.value) == ("level", PARTITION)
            and not taxonomy.virtual
            and PARTITION not in taxonomy.levels
        ):
            raise UserError(f"--level {PARTITION}: the run has no such nodes; set partition.virtual_nodes: true")
        if self.kind == "level":
            return taxonomy.level(self.value)
        if self.kind == "group":
            return taxonomy.group(self.value)
        nodes = partition[self.value]
        if not nodes:
            raise UserError(
                f"partition.majority_min_images: no leaf is in the {self.value}; "
                f"the other side has all {sum(map(len, partition.values()))}. "
                "Set another threshold, or leave the member out"
            )
        return nodes


def find_member(recipe: Recipe, name: str) -> MemberSettings:
    """Return the recipe's member of that name.

    Raises:
        UserError: the recipe has none; the message lists those it has.
    """
    for member in recipe.members:
        if member.name == name:
            return member
    known = ", ".join(member.name for member in recipe.members) or "none at all"
    raise UserError(f"--member {name}: the recipe has no member of that name; it has {known}")


def select_member(recipe: Recipe, selector: Selector, seed: int) -> MemberSettings:
    """Return the recipe's member with that selector and seed, or make one with the recipe's training settings.

    >>> select_member(Recipe(members=()), Selector("group", "ER & Golgi"), seed=1).name
    'group-ER---Golgi-s1'
    """
    for member in recipe.members:
        if Selector.from_settings(member) == selector and member.seed == seed:
            return member
    stem = f"group-{selector.value}" if selector.kind == "group" else selector.value
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem)
    name = plain + (f"-s{seed}" if seed else "")
    return MemberSettings.model_validate({"name": name, selector.kind: selector.value, "seed": seed})


def train_flags(member: MemberSettings, recipe: Recipe) -> dict[str, Flag]:
    """Return the flags that train this member: its name where the recipe lists it, else its selector and seed.

    >>> train_flags(MemberSettings(name="nucleus", group="Nucleus", seed=3), Recipe(members=()))
    {'group': 'Nucleus', 'seed': 3}
    """
    if member in recipe.members or member.images == "own":
        return {"member": member.name}
    selector = Selector.from_settings(member)
    return {selector.kind: selector.value, "seed": member.seed or None}
