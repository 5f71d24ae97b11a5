"""Explainer: the members behind an ensemble's answers, asked for heat maps and for the training samples most alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.members.scorer import Scorer
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.heat_maps import Absent, HeatMap, HeatMaps, Method, check_method, combine
from hpa_hier.predict.explanation.neighbours import Neighbour, Neighbours, TrainingSamples, say_why_not
from hpa_hier.predict.inputs import Batch, InputSpec
from hpa_hier.runs.members import MemberRecord
from hpa_hier.runs.run import Run

if TYPE_CHECKING:
    from hpa_hier.members.estimators.member import EstimatorMember
    from hpa_hier.members.score import Member

_OTHER_NODES = "answers for other nodes"
_NO_PICTURE = "answers for vectors, and there is no picture to draw on"
_NO_NETWORK = "is no network of ours, so nothing is known of what it looked at"


@dataclass(frozen=True)
class Explainer:
    """What stands behind the answers of a run's ensemble.

    Attributes:
        run: the run.
        ensemble: that answered.
        load: returns its members by name.
    """

    run: Run
    ensemble: Ensemble
    load: Callable[[], Mapping[str, Scorer]]

    def heat_maps(
        self, image: np.ndarray, node: str, method: Method = "grad_cam", members: Sequence[str] | None = None
    ) -> HeatMaps:
        """Draw where an image raised the log-odds of a node, in each member and in all together.

        A node that no member answers for is explained by the members of its leaves, as the chance that any is present.
        Of members that are scored with test-time augmentation or magnified, the plain view is explained.

        Args:
            image: (C, S, S) uint8, as members take it.
            node: of the taxonomy; also its label, an alias, or another case.
            method: grad_cam or integrated_gradients.
            members: names of those that are asked; None: all.

        Raises:
            UserError: there is no such node, method or member, or captum is not there.
        """
        node, method = self._find_node(node), check_method(method)
        names = [member.name for member in self.ensemble.members]
        for name in members or ():
            if name not in names:
                near = did_you_mean(name, names)
                raise UserError(f"no member is called '{name}'; this ensemble combines {', '.join(names)}{near}")
        targets, maps, absent = self._find_targets(node), [], []
        for name in names if members is None else [name for name in names if name in members]:
            found = self._draw(name, image, node, targets.get(name, ()), method)
            maps.append(found) if isinstance(found, HeatMap) else absent.append(found)
        weights = self._weigh([one.member for one in maps], node)
        return HeatMaps(node, method, tuple(maps), combine(maps, weights), tuple(absent))

    def neighbours(self, samples: np.ndarray, count: int = 5) -> tuple[Neighbours, ...]:
        """Find the training samples most like each of some samples, by the features of a member.

        The member is the one that answers for most leaves; of several such, the first. Where members vote by their
        nearest training images, those of the first of these are named.

        Args:
            samples: (B, C, S, S) uint8 images or (B, F) float32 vectors, as members take them.
            count: how many for each.

        Returns:
            For each sample; with a sentence instead of neighbours where the training samples are not there.
        """
        if self.voters:
            return self.votes(samples, count)[0]
        training, absent = self._training
        if training is None:
            return (Neighbours("", (), absent),) * len(samples)
        return training.find(samples, count)

    def prepare_neighbours(self) -> str:
        """Compute what `neighbours` needs and keep it beside the ensemble; return why there are none, or ""."""
        if self.voters:
            return ""
        training, absent = self._training
        if training is not None:
            _ = training.features
        return absent

    @cached_property
    def voters(self) -> tuple[MemberRecord, ...]:
        """The members that vote by their nearest training images."""
        return tuple(one for one in self.run.check_unchanged(self.ensemble) if one.manifest.votes)

    def votes(self, samples: np.ndarray, count: int) -> tuple[tuple[Neighbours, ...], ...]:
        """Return, for each member that votes, the training images that decide its answers for samples."""
        from hpa_hier.members.neighbours import find_neighbours  # imports torch
        from hpa_hier.members.score import Member

        votes = []
        for record in self.voters:
            member = self._members[record.name]
            assert isinstance(member, Member)
            found = find_neighbours(record.folder, member, samples)
            named = [tuple(Neighbour(near.id, near.annotated, near.similarity) for near in one) for one in found]
            votes.append(tuple(Neighbours(record.name, near[:count]) for near in named))
        return tuple(votes)

    @cached_property
    def _members(self) -> Mapping[str, Member | EstimatorMember | None]:
        """The members by name, without test-time augmentation; None: one that is none of ours."""
        from hpa_hier.members.features import find_member  # imports torch

        return {name: find_member(scorer) for name, scorer in self.load().items()}

    @cached_property
    def _training(self) -> tuple[TrainingSamples | None, str]:
        """The training samples; or None, and a sentence on why they are not there."""
        from hpa_hier.members.features import describe_samples  # imports torch

        own = {name: member for name, member in self._members.items() if member is not None}
        if not own:
            return None, "No member of this ensemble has features of its own."
        leaves, names = set(self.ensemble.taxonomy.leaves), self._nodes
        name = max(own, key=lambda one: len(leaves & names[one].keys()))  # the first of those with most
        digest = next(one.digest for one in self.run.check_unchanged(self.ensemble) if one.name == name)
        training = TrainingSamples(self.run, name, digest, partial(describe_samples, own[name]))
        try:
            _ = training.rows
        except UserError as error:
            return None, say_why_not(error, self.run)
        return training, ""

    @cached_property
    def _nodes(self) -> Mapping[str, Mapping[str, str]]:
        """For each member, the nodes that it answers for as they are called now, and as the member calls them."""
        scorers = self.load()
        return {
            one.name: {one.renamed.get(node, node): node for node in scorers[one.name].nodes}
            for one in self.ensemble.members
        }

    def _find_node(self, node: str) -> str:
        taxonomy = self.ensemble.taxonomy.without_virtual
        return taxonomy.node(taxonomy.find_node(node) or node).name

    def _find_targets(self, node: str) -> dict[str, tuple[str, ...]]:
        """Return for members what they call a node; where none answers for it, what they call all leaves below it."""
        found: dict[str, tuple[str, ...]] = {name: (own[node],) for name, own in self._nodes.items() if node in own}
        leaves = self.ensemble.taxonomy.leaves_below(node)
        below = {
            name: tuple(own[leaf] for leaf in leaves)
            for name, own in self._nodes.items()
            if all(leaf in own for leaf in leaves)
        }
        return found or below

    def _draw(
        self, name: str, image: np.ndarray, node: str, targets: Sequence[str], method: Method
    ) -> HeatMap | Absent:
        from hpa_hier.members.heat_map import integrate_gradients, weigh_activations  # imports torch
        from hpa_hier.members.score import Member

        if image.ndim != 3:
            return Absent(name, _NO_PICTURE)
        if not targets:
            return Absent(name, _OTHER_NODES)
        member = self._members[name]
        if not isinstance(member, Member):
            return Absent(name, _NO_NETWORK)
        raw = (weigh_activations if method == "grad_cam" else integrate_gradients)(member, image, targets)
        if raw is None:
            return Absent(name, "has no maps of places; integrated gradients do without")
        return HeatMap.from_raw(raw, node, name, method, (image.shape[1], image.shape[2]))

    def _weigh(self, names: Sequence[str], node: str) -> list[float]:
        """Return what members count for a node where the ensemble has weights, else 1."""
        weights = self.ensemble.combiner.aggregate.weights
        if weights is None:
            return [1.0] * len(names)
        rows = list(self.ensemble.combiner.calibrations)
        column = self.ensemble.taxonomy.column[node]
        return [float(weights[rows.index(name), column]) for name in names]


@dataclass(frozen=True)
class Evidence:
    """What the answers for some samples can be traced back to.

    Attributes:
        explainer: of the ensemble that answered.
        spec: what the samples are like.
        read: returns a batch that has a sample, by its id.
    """

    explainer: Explainer
    spec: InputSpec
    read: Callable[[str], Batch]

    def picture(self, sample: str) -> Picture | None:
        """Return a sample's image as members take it; None: samples are no images."""
        if self.spec.kind != "images":
            return None
        batch = self.read(sample)
        row = batch.ids.index(sample)
        return Picture(batch.values[row], self.spec.channels, batch.filled[row])

    def heat_maps(
        self, sample: str, node: str, method: Method = "grad_cam", members: Sequence[str] | None = None
    ) -> HeatMaps:
        """Draw heat maps of a sample, as `Explainer.heat_maps` does."""
        return self.explainer.heat_maps(self._values(sample)[0], node, method, members)

    def neighbours(self, sample: str, count: int = 5) -> Neighbours:
        """Find the training samples most like a sample, as `Explainer.neighbours` does."""
        return self.explainer.neighbours(self._values(sample), count)[0]

    def describe_votes(self, sample: str, count: int = 5) -> str:
        """Name the training images that each member which votes found nearest to a sample; "" where none votes."""
        if not self.explainer.voters:
            return ""
        text = ""
        for (one,) in self.explainer.votes(self._values(sample), count):
            text += f"\n\nnearest    training images, as '{one.member}' sees them"
            for near in one.found:
                text += f"\n  {near.similarity:6.3f}  {near.id}  {', '.join(near.labels)}"
        return text

    def _values(self, sample: str) -> np.ndarray:
        """Return one sample, (1, C, S, S) or (1, F)."""
        batch = self.read(sample)
        return batch.values[[batch.ids.index(sample)]]
