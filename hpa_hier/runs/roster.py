"""Roster: which members a run trains and combines: those that its recipe lists, or those that its tree asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpa_hier.data.labels.partition import FEWEST, Partition
from hpa_hier.errors import UserError
from hpa_hier.settings.origins import DEFAULT
from hpa_hier.settings.recipe import TOP, MemberSettings, Recipe
from hpa_hier.settings.recipe_file import with_members
from hpa_hier.settings.training import SKLEARN
from hpa_hier.taxonomy.changes import renamed_nodes
from hpa_hier.taxonomy.load import LEAVES
from hpa_hier.taxonomy.tree import PARTITION, Taxonomy

_LEAF_MEMBERS = 3  # of `members: auto` in the ensemble: networks of one kind that differ by their seed
_FIRST = ("leaf", "leaf-s1")  # members that others start from, in turn


@dataclass(frozen=True)
class Roster:
    """The members of a run."""

    recipe: Recipe  # with the members listed, and their levels called as the tree calls them
    trained: tuple[str, ...]  # names, in the recipe's order
    ensemble: tuple[str, ...]  # () where the recipe names none, and all finished ones are combined
    baseline: tuple[str, ...]  # () where the flat baseline is left out
    left_out: Mapping[str, str]  # member of the recipe → why it is not trained
    without_member: Mapping[str, str]  # with `members: auto`: a level, group or side of the partition → why it has none

    @classmethod
    def choose(
        cls,
        recipe: Recipe,
        taxonomy: Taxonomy,
        partition: Partition | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> Roster:
        """Choose a recipe's members, before anything is trained.

        Members of a partition that there is not, and of a top level that a flat tree has not, are left out, and as many
        networks of the flat baseline, the last ones; of those too the training, unless the ensemble needs them.

        Args:
            recipe: lists the members, or says `auto`.
            taxonomy: the label tree.
            partition: majority and minority leaves, or why there are none; None: not known yet, as if there were some.
            counts: images by leaf name; None: not known yet, as if there were plenty of each.

        Raises:
            UserError: a change of the command line names a member that there is not.

        >>> roster = Roster.choose(Recipe(), Taxonomy.load("hela"), Partition((), (), 4, "82 images"), {"Golgi": 30})
        >>> roster.ensemble, roster.only_compared
        (('coarse', 'leaf', 'leaf-s1', 'leaf-s2'), ('leaf-s3',))
        """
        missing: dict[str, str] = {}
        if recipe.members is None:
            recipe, missing = _expand(recipe, taxonomy, partition, counts)
        members, unfit = _fit_to_tree(recipe, taxonomy, partition)
        recipe, settings = recipe.model_copy(update={"members": members}), recipe.ensemble
        ensemble = tuple(name for name in settings.members if name not in unfit)
        kept = max(1, len(settings.baseline) - (len(settings.members) - len(ensemble)))
        baseline = settings.baseline[:kept] if settings.use_baseline else ()
        why = "only the flat baseline needs it, and it has one network too many without the others"
        why = why if settings.use_baseline else "only the flat baseline needs it, which is left out"
        starts = {str(member.training.get("start_from")) for member in members if member.name not in settings.baseline}
        needed = {*baseline, *(ensemble or (member.name for member in members)), *starts}
        spare = dict.fromkeys((name for name in settings.baseline if name not in needed), why)
        left_out = {member.name: text for member in members if (text := (unfit | spare).get(member.name))}
        trained = tuple(member.name for member in members if member.name not in left_out)
        return cls(recipe, trained, ensemble, baseline, left_out, missing)

    @property
    def members(self) -> tuple[MemberSettings, ...]:
        """All members of the recipe, those that are left out too."""
        return self.recipe.listed

    @property
    def only_compared(self) -> tuple[str, ...]:
        """The members that are trained only for the comparison with the flat baseline."""
        return tuple(name for name in self.trained if name in self.baseline and name not in self.ensemble)

    def describe(self, folds: int = 0) -> list[str]:
        r"""Say how many networks are trained and for what, and which members there are not, and why; a line each.

        Args:
            folds: of the split, each of which has a network of its own; 0: none.

        >>> recipe = Recipe.model_validate({"members": [{"name": "rare", "partition": "minority"}]})
        >>> few = Partition((), (), 2, "48 images: a majority class would have as few as 2")
        >>> print(*Roster.choose(recipe, Taxonomy.load("hpa28"), few).describe(), sep="\n")
        0 members to train
        left out: rare; no majority and minority (48 images: a majority class would have as few as 2)
        """
        networks, few = f", {folds} networks each" if folds else "", len(self.only_compared)
        compared = (
            f"; {few} of them only to compare with a flat ensemble (--no-baseline leaves them out)" if few else ""
        )
        lines = [
            f"{len(self.trained)} {'member' if len(self.trained) == 1 else 'members'} to train{networks}{compared}"
        ]
        for word, reasons in (("left out", self.left_out), ("no member of its own", self.without_member)):
            for why in dict.fromkeys(reasons.values()):
                names = [name for name, reason in reasons.items() if reason == why]
                lines.append(f"{word}: {', '.join(names)}; {why}")
        return lines


def check_members(recipe: Recipe, taxonomy: Taxonomy) -> None:
    """Refuse members that ask for a level or a group that the tree has not.

    Raises:
        UserError: with the place where the recipe names it.
    """
    for index, member in enumerate(recipe.listed):
        try:
            if member.group is not None:
                taxonomy.group(member.group)
            elif member.level is not None and member.level not in (PARTITION, TOP):
                taxonomy.level(member.level)
        except UserError as error:
            place = recipe.origins.of("members", index, "group" if member.level is None else "level")
            where = "" if place == DEFAULT else f"{place}: "
            raise UserError(
                f"{where}member '{member.name}': {error}; correct it, or let the members follow the tree "
                "(--set members=auto)"
            ) from None


def follow_tree(recipe: Recipe, before: Taxonomy | None, now: Taxonomy) -> Recipe:
    """Return the recipe with its members' groups and levels called as the tree calls them since it was edited.

    >>> before = Taxonomy.load("hela")
    >>> now = Taxonomy.from_text(before.text.replace("  Nucleus:", "  Kern:"))
    >>> member = {"name": "group-Nucleus", "group": "Nucleus"}
    >>> follow_tree(Recipe.model_validate({"members": [member]}), before, now).listed[0].group
    'Kern'
    """
    if before is None or before.text == now.text or not recipe.members:
        return recipe
    by_depth = {depth: level for level, depth in now.depths.items()}
    followed = []
    for member in recipe.members:
        if member.group in before.nodes and member.group not in now.nodes:
            group = renamed_nodes(before, now, [member.group]).get(member.group, member.group)
            member = member.model_copy(update={"group": group})
        elif member.level in before.levels and member.level not in now.levels:
            level = by_depth.get(before.depths[member.level], member.level)
            member = member.model_copy(update={"level": level})
        followed.append(member)
    return recipe.model_copy(update={"members": tuple(followed)})


def _expand(
    recipe: Recipe, taxonomy: Taxonomy, partition: Partition | None, counts: Mapping[str, int] | None
) -> tuple[Recipe, dict[str, str]]:
    """Return the recipe with the members that the tree asks for, and why a level, a group or a side has none.

    Members that answer for less than all leaves come between the leaf members: with few labels of their own they learn
    poor features, so they start from these in turn. The flat baseline has a network for each of them, with its start.
    """
    wanted, missing = _list_special(taxonomy, partition, counts)
    networks = recipe.training.backbone != SKLEARN  # estimators start from none
    leaf, name_of = _leaf_level(taxonomy), _namer()
    for name in (*_FIRST, *(f"leaf-s{seed}" for seed in range(2, _LEAF_MEMBERS + len(wanted)))):
        name_of(name)
    special: list[MemberSettings] = []
    for place, (stem, selector) in enumerate(wanted):
        training = {"start_from": _FIRST[place % 2]} if networks else {}
        training |= {"balance": "repeat"} if stem == "minority" else {}
        special.append(MemberSettings.model_validate({"name": name_of(stem), **selector, "training": training}))

    def flat(seed: int, start: str | None) -> MemberSettings:
        name = f"leaf-s{seed}" if seed else "leaf"
        training: dict[str, object] = {"start_from": start} if start and networks else {}
        return MemberSettings(name=name, level=leaf, seed=seed, training=training)

    first = [flat(0, None), flat(1, None)]
    last = [flat(seed, _FIRST[len(special) % 2]) for seed in range(2, _LEAF_MEMBERS)]
    paired = [one for one in special if one.partition is None] + [one for one in reversed(special) if one.partition]
    peers = [flat(_LEAF_MEMBERS + place, str(one.training.get("start_from", ""))) for place, one in enumerate(paired)]
    settings = recipe.ensemble
    own = [one.name for one in (*special, *first, *last)]
    flats = [one.name for one in (*first, *last, *peers)] if special else []
    chosen: dict[str, list[str]] = {} if settings.members else {"members": own}
    if not (settings.baseline or settings.members):
        chosen["baseline"] = flats
    return with_members(recipe, [*first, *special, *last, *peers], chosen), missing


def _list_special(
    taxonomy: Taxonomy, partition: Partition | None, counts: Mapping[str, int] | None
) -> tuple[list[tuple[str, dict[str, str]]], dict[str, str]]:
    """List the members for levels, groups and sides of the partition, and why one of these has none.

    Returns:
        Of each member its name and its selector; and what has none → the reason.
    """
    wanted: list[tuple[str, dict[str, str]]] = []
    missing: dict[str, str] = {}
    seen = {taxonomy.leaves}
    for level in taxonomy.levels:
        nodes = taxonomy.level(level)
        if nodes not in seen and len(nodes) > 1:
            wanted.append((level, {"level": level}))
        elif taxonomy.depths[level] is not None:
            missing[f"level {level}"] = "it has a single node" if len(nodes) == 1 else "its nodes are another level's"
        seen.add(nodes)
    for group in _list_groups(taxonomy):
        why = _too_small(taxonomy.leaves_below(group), counts)
        if why:
            missing[f"group {group}"] = why
        else:
            wanted.append((f"group-{group}", {"group": group}))
    if partition is not None and partition.left_out:
        missing["majority and minority"] = partition.left_out
        return wanted, missing
    for side in ("majority", "minority"):
        leaves = None if partition is None else getattr(partition, side)
        if leaves is None or sum(counts is None or counts.get(leaf, 0) > 0 for leaf in leaves) > 1:
            wanted.append((side, {"partition": side}))
        else:
            missing[side] = "it has fewer than two classes with images"
    return wanted, missing


def _list_groups(taxonomy: Taxonomy) -> list[str]:
    """List the topmost groups that do not hold all leaves, which a leaf member answers for."""
    found: list[str] = []
    waiting = list(taxonomy.groups)
    while waiting:
        group = waiting.pop(0)
        if len(taxonomy.leaves_below(group)) < len(taxonomy.leaves):
            found.append(group)
        else:
            waiting[:0] = [one for one in taxonomy.children(group) if not taxonomy.is_leaf(one)]
    return list(dict.fromkeys(found))


def _too_small(leaves: Sequence[str], counts: Mapping[str, int] | None) -> str:
    """Say why a group is too small for a member of its own, which learns to tell its leaves apart; "" where it is not.

    Two leaves at least need as many images as a majority class: with fewer, chance decides what is learned.
    """
    if len(leaves) == 1:
        return "a group with one leaf has nothing to tell apart"
    many = [leaf for leaf in leaves if counts is None or counts.get(leaf, 0) >= FEWEST]
    return "" if len(many) > 1 else f"fewer than two of its classes have {FEWEST} images"


def _leaf_level(taxonomy: Taxonomy) -> str:
    """Return what the tree calls the level of its leaves."""
    return next((level for level, depth in taxonomy.depths.items() if depth is None), LEAVES)


def _namer() -> Callable[[str], str]:
    """Return what makes a name of a folder of a text, each time another one."""
    taken: set[str] = set()

    def name_of(text: str) -> str:
        stem = re.sub("[^A-Za-z0-9]", "-", text)[:56].lstrip("-") or "member"
        tries = (stem if n == 1 else f"{stem}-{n}" for n in range(1, 1 << 16))
        name = next(one for one in tries if one.casefold() not in taken)
        taken.add(name.casefold())
        return name

    return name_of


def _fit_to_tree(
    recipe: Recipe, taxonomy: Taxonomy, partition: Partition | None
) -> tuple[tuple[MemberSettings, ...], dict[str, str]]:
    """Return the members with their levels called as the tree calls them, and why some cannot be trained."""
    fitting: list[MemberSettings] = []
    unfit: dict[str, str] = {}
    for member in recipe.listed:
        if partition is not None and partition.left_out and (member.partition or member.level == PARTITION):
            unfit[member.name] = f"no majority and minority ({partition.left_out})"
        elif member.level == TOP and TOP not in taxonomy.levels:
            top = next(_several_nodes(taxonomy), None)
            member = member.model_copy(update={"level": top or TOP})
            if top is None:
                unfit[member.name] = "the tree has no level above its leaves"
        elif member.level == LEAVES and LEAVES not in taxonomy.levels:
            member = member.model_copy(update={"level": _leaf_level(taxonomy)})
        fitting.append(member)
    return tuple(fitting), unfit


def _several_nodes(taxonomy: Taxonomy) -> Iterator[str]:
    for level in taxonomy.levels:
        if len(taxonomy.level(level)) > 1 and taxonomy.level(level) != taxonomy.leaves:
            yield level
