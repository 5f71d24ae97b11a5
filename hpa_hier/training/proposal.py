"""Proposal: what a data set holds, which recipe suits it, how long that takes, and what fits into a time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hpa_hier.data.images.channels import PROTEIN
from hpa_hier.data.labels.partition import Partition, divide
from hpa_hier.data.labels.scarcity import ImageCounts, describe_scarcity
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.data.pack.inspect import inspect
from hpa_hier.data.pack.matching import PackRequest, Plan, make_plan
from hpa_hier.data.pack.vector_pack import VectorRequest, read_labelled, refuse_foreign_ids
from hpa_hier.data.split.split import PARTS, Split, annotation_matrix, make_split
from hpa_hier.members.nodes import Selector
from hpa_hier.runs.roster import Roster
from hpa_hier.settings.recipe import FEW_IMAGES, MemberSettings, Recipe
from hpa_hier.settings.training import SKLEARN, TrainingSettings
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.forecast import Samples, forecast_training
from hpa_hier.training.shipped_start import start_from_shipped


@dataclass(frozen=True)
class Survey:
    """Labelled samples that are going to be packed."""

    ids: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]  # annotated nodes of each
    groups: tuple[str, ...]  # antibody or other key of each; "" where unknown
    channels: tuple[str, ...]  # or features, of vectors
    lines: tuple[str, ...]  # what was found, and what was taken for what
    seconds: float = 1.0  # that packing will take, from what was looked at


def match_leniently(request: PackRequest) -> Plan:
    """Match a folder with its label table, whatever either lacks but the protein's channel.

    Raises:
        UserError: nothing in the folder has a row in the table.
    """
    optional = tuple(channel for channel in request.channels if channel != PROTEIN)
    return make_plan(replace(request, may_be_missing=optional, on_problem="skip"))


def find_absent(plan: Plan, channels: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that no sample has, the protein's aside."""
    planes = [one.source.planes for one in plan.samples]
    return tuple(name for name in channels if name != PROTEIN and all(name not in one for one in planes))


def survey(request: PackRequest | VectorRequest, threads: int = 1) -> Survey:
    """Match samples with their label table, and look at some images.

    Raises:
        UserError: there is nothing to pack, or there are problems that the request says to stop at.
    """
    if isinstance(request, VectorRequest):
        labels = read_labels(request.labels, request.taxonomy, request.on_problem, request.ignore_columns)
        table = read_labelled(request, labels)
        vectors = set(table.ids)
        rows = [row for row, sample in enumerate(labels.ids) if sample in vectors]
        ids, groups = (tuple(column[row] for row in rows) for column in (labels.ids, labels.groups))
        if not rows:
            raise refuse_foreign_ids(request, table, labels)
        lines = (f"vectors: {len(rows):,} of {len(table.features):,} features", *table.notes, *labels.notes)
        return Survey(ids, tuple(labels.nodes[row] for row in rows), groups, table.features, lines)
    began = time.perf_counter()
    found = inspect(request, threads)
    pace = (time.perf_counter() - began) / max(1, found.looked_at)
    samples = found.plan.samples
    return Survey(
        tuple(one.source.id for one in samples),
        tuple(one.nodes for one in samples),
        tuple(one.group for one in samples),
        request.channels,
        (*found.describe(), *found.plan.image_notes, *found.plan.notes),
        pace * len(samples),
    )


def allow_missing(request: PackRequest, channels: Sequence[str]) -> PackRequest:
    """Return a request under which these channels, too, may be missing."""
    return replace(request, may_be_missing=tuple(dict.fromkeys((*request.may_be_missing, *channels))))


@dataclass(frozen=True)
class Choice:
    """A recipe, and why it suits."""

    recipe: str
    why: str


def choose_recipe(images: int | None, gpu: bool) -> Choice:
    """Choose the recipe for so many images on this machine.

    Args:
        images: how many there are; None: they are feature vectors.
        gpu: whether networks are trained on a GPU.

    >>> choose_recipe(48, gpu=True).recipe, choose_recipe(5000, gpu=False).recipe
    ('few_images', 'default')
    """
    if images is None:
        return Choice("vectors", "these are feature vectors")
    if images < FEW_IMAGES:
        return Choice("few_images", f"fewer than {FEW_IMAGES} images: folds, and the bundled networks as a start")
    return Choice("gpu", "there is a GPU") if gpu else Choice("default", "many images, and no GPU")


@dataclass(frozen=True)
class Prospect:
    """What a recipe makes of a data set."""

    split: Split
    counts: ImageCounts
    partition: Partition
    roster: Roster
    members: tuple[TrainingSettings, ...]  # of all networks, as they are trained

    @property
    def learning(self) -> int:
        """Samples that networks learn from: the training part; with folds, all outside the test part."""
        parts = ("train", "calibration") if self.split.fold_count else ("train",)
        return sum(len(self.split.part_ids(part)) for part in parts)

    @property
    def networks(self) -> int:
        """Networks that are trained, each fold's counted."""
        return sum(max(1, settings.folds or 0) for settings in self.members)


def foresee(found: Survey, taxonomy: Taxonomy, recipe: Recipe) -> Prospect:
    """Split labelled samples as the recipe will split their pack, but for images that turn out to be alike.

    Raises:
        UserError: there are too few samples to split.
    """
    split = make_split(found.ids, annotation_matrix(found.nodes), found.groups, recipe.split)
    present = targets(found.nodes, taxonomy).present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    part = np.array([PARTS.index(name) for name in split.parts])
    counts = np.array([present[part == number].sum(axis=0) for number in range(len(PARTS))])
    leaves = {leaf: (int(a), int(b), int(c)) for leaf, (a, b, c) in zip(taxonomy.leaves, counts.T, strict=True)}
    images = ImageCounts.from_parts(leaves, len(found.ids), split.fold_count)
    sides = divide({leaf: sum(of) for leaf, of in leaves.items()}, len(found.ids), recipe.partition, taxonomy)
    roster = Roster.choose(recipe, taxonomy, sides, {leaf: sum(of) for leaf, of in leaves.items()})
    chosen, partition = roster.recipe, {"majority": sides.majority, "minority": sides.minority}
    trained = [member for member in roster.members if member.name in roster.trained]
    settings = [_training_settings(member, chosen, taxonomy, partition, split) for member in trained]
    return Prospect(split, images, sides, roster, tuple(settings))


def _training_settings(
    member: MemberSettings, recipe: Recipe, taxonomy: Taxonomy, partition: dict[str, tuple[str, ...]], split: Split
) -> TrainingSettings:
    settings = recipe.member_training(member)
    if settings.folds is None:
        settings = settings.model_copy(update={"folds": split.fold_count})
    if settings.init != "pretrained" or settings.start_from:
        return settings
    nodes = Selector.from_settings(member).nodes(taxonomy, partition)
    return start_from_shipped(settings, {node: taxonomy.meaning(node) for node in nodes})


def forecast_members(found: Survey, prospect: Prospect, size: int, device: torch.device, slots: int) -> float:
    """Return the seconds that training takes at most, with so many members at the same time."""
    samples = Samples(prospect.learning, found.channels, size)
    return forecast_training(prospect.members, samples, device, slots)


def fit_into(seconds: float, limit: float, recipe: Recipe) -> tuple[str, ...]:
    """Return the changes of settings under which a training that takes `seconds` takes `limit`; () where it does.

    >>> fit_into(1200.0, 600.0, Recipe.model_validate({"training": {"epochs": 20}}))
    ('training.epochs=10',)
    """
    share = limit / seconds
    if (
        share >= 1 or recipe.training.backbone == SKLEARN
    ):  # estimators cannot be cut short; those left over are left out
        return ()
    name = "max_steps" if recipe.training.max_steps else "epochs"
    return (f"training.{name}={max(1, int(getattr(recipe.training, name) * share))}",)


def describe_survey(found: Survey, taxonomy: Taxonomy) -> Iterator[str]:
    """Say line by line what a data set holds."""
    yield from (f"  {line}" for line in found.lines)
    present = targets(found.nodes, taxonomy).present
    counts = {leaf: int(present[:, taxonomy.column[leaf]].sum()) for leaf in taxonomy.leaves}
    there = sorted((leaf for leaf in counts if counts[leaf]), key=lambda leaf: -counts[leaf])
    listed = ", ".join(f"{leaf} {counts[leaf]:,}" for leaf in there)
    yield f"  classes: {len(there)} of the {len(counts)} of '{taxonomy.name}': {listed}"
    if not any(found.groups):
        yield "  antibodies: not known; where several images share one, give the table a column `antibody`"


def describe_prospect(prospect: Prospect) -> Iterator[str]:
    """Say line by line what is going to be trained, and what the split can tell."""
    split, roster = prospect.split, prospect.roster
    yield from (f"  {line}" for line in roster.describe(split.fold_count))
    yield f"  members: {', '.join(name for name in roster.trained if name not in roster.only_compared)}"
    parts = {part: len(split.part_ids(part)) for part in PARTS}
    if split.fold_count:
        how = f"{parts['train'] + parts['calibration']:,} in {split.fold_count} folds to learn from"
    else:
        how = f"{parts['train']:,} to learn from, {parts['calibration']:,} to calibrate"
    yield f"  split: {how}, {parts['test']:,} to test"
    yield from (f"  {line}" for line in describe_scarcity(prospect.counts))
    start = next((settings.init for settings in prospect.members), "none")
    if start == "pretrained":
        yield "  start weights: the bundled networks', which learned from simulated cells"
