"""Roster: which of a recipe's members a run trains and combines; those of a partition that it has not are left out."""

from __future__ import annotations

from dataclasses import dataclass

from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.taxonomy.tree import PARTITION


@dataclass(frozen=True)
class Roster:
    """Names of members, in the recipe's order."""

    trained: tuple[str, ...]
    ensemble: tuple[str, ...]  # () where the recipe names none, and all finished ones are combined
    baseline: tuple[str, ...]
    left_out: tuple[str, ...]  # of the recipe's members
    why: str  # they are left out; "" where none is

    @classmethod
    def choose(cls, recipe: Recipe, no_partition: str) -> Roster:
        """Choose a recipe's members.

        Args:
            recipe: lists the members, and names those of the ensemble and of its flat baseline.
            no_partition: why the run has no partition; "" where it has one.

        Members of a partition that there is not are left out, and as many networks of the flat baseline, the last
        ones; of those too the training, unless the ensemble needs them.
        """
        settings = recipe.ensemble
        sided = {member.name for member in recipe.members if no_partition and _needs_partition(member)}
        ensemble = tuple(name for name in settings.members if name not in sided)
        kept = len(settings.baseline) - (len(settings.members) - len(ensemble))
        baseline = settings.baseline[: max(1, kept)]
        spare = {*settings.baseline[max(1, kept) :]} - {*ensemble}
        trained = tuple(member.name for member in recipe.members if member.name not in sided | spare)
        left_out = tuple(member.name for member in recipe.members if member.name in sided | spare)
        return cls(trained, ensemble, baseline, left_out, no_partition if left_out else "")

    def describe(self) -> str:
        """Return the line that says which members are left out, and why; "" where none is.

        >>> members = [{"name": "leaf", "level": "leaf"}, {"name": "rare", "partition": "minority"}]
        >>> print(Roster.choose(Recipe.model_validate({"members": members}), "48 images").describe())
        left out: rare; no majority and minority (48 images), set partition.majority_min_images to have them
        """
        if not self.left_out:
            return ""
        why = f"no majority and minority ({self.why}), set partition.majority_min_images to have them"
        return f"left out: {', '.join(self.left_out)}; {why}"


def _needs_partition(member: MemberSettings) -> bool:
    return member.partition is not None or member.level == PARTITION
