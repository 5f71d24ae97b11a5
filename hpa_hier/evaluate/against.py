"""Against: one run's ensemble compared with another's, paired where both answered for the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import HEADLINE, Metric, level_metrics
from hpa_hier.evaluate.estimate import HANDFUL, System, judge, plain
from hpa_hier.evaluate.measure import SystemMeasure, level_key
from hpa_hier.evaluate.results import Estimate, Verdict
from hpa_hier.files.shell import command
from hpa_hier.metrics import scores
from hpa_hier.metrics.compare import Difference
from hpa_hier.metrics.influence import Measured
from hpa_hier.runs.evaluation import Evaluation, take_samples
from hpa_hier.runs.run import CONFIG, TAXONOMY, Run
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.changes import renamed_nodes, stale_nodes

OF_NODES = ("f1", "precision", "recall", "ap")


@dataclass(frozen=True)
class Pairing:
    """Which samples two runs are compared on."""

    kind: Literal["same", "common", "apart"]  # all samples of both; those that both have; each on its own
    samples: tuple[int, int]  # of either evaluation
    common: int  # samples that both were compared on; 0 where each has its own
    words: str  # a sentence on it


@dataclass(frozen=True)
class Pair:
    """One metric of two runs."""

    name: str
    higher_is_better: bool
    digits: int  # shown after the decimal point
    ours: Estimate
    theirs: Estimate
    difference: Estimate  # ours minus theirs
    verdict: Verdict | None  # of the difference; None where that is not defined


@dataclass(frozen=True)
class NodePair:
    """One node under two runs."""

    node: str
    leaf: bool
    depth: int  # 1 at the top
    positives: tuple[int, int]
    metrics: Mapping[str, Pair]  # by the keys of OF_NODES


@dataclass(frozen=True)
class Agreement:
    """Of how many samples the most likely node of a level is right in both runs, in one, in none."""

    level: str
    both: int
    ours: int
    theirs: int
    neither: int


@dataclass(frozen=True)
class Against:
    """One run compared with another."""

    pairing: Pairing
    level: float  # of the intervals
    headline: tuple[Pair, ...]
    levels: tuple[Pair, ...]
    top: tuple[Pair, ...]  # shares of samples right, at each level from the top, then in all labels
    nodes: tuple[NodePair, ...]
    agreement: tuple[Agreement, ...]  # by level; none where each has its own samples


def compare_runs(ours: Run, theirs: Run, level: float) -> Against:
    """Compare two evaluated runs.

    Args:
        ours: whose metrics come first, and from whose the others are subtracted.
        theirs: the other.
        level: of the intervals, in (0, 1).

    Raises:
        UserError: one is not evaluated, or they were fitted under trees with other nodes.
    """
    match_trees(ours, theirs)
    return compare_evaluations(ours.evaluation, theirs.evaluation, level)


def compare_evaluations(ours: Evaluation, theirs: Evaluation, level: float) -> Against:
    """Compare what two ensembles answered, under trees of which at most the names of nodes differ."""
    one, other, pairing = pair_samples(ours, theirs)
    first, second = (System(SystemMeasure(each, each.ensemble, level=level)) for each in (one, other))
    comparing = _Comparing(first, second, pairing.kind != "apart")
    of_levels = {name: level_metrics(name) for name in one.taxonomy.levels}
    every = [*HEADLINE, *(metric for parts in of_levels.values() for metric in parts.values())]
    pairs = comparing.pair(every)
    tops = [*(level_key("top", name) for name in one.taxonomy.levels), "subset_accuracy"]
    return Against(
        pairing=pairing,
        level=level,
        headline=tuple(pairs[metric.key] for metric in HEADLINE),
        levels=tuple(pairs[metric.key] for parts in of_levels.values() for metric in parts.values()),
        top=tuple(pairs[key] for key in tops),
        nodes=comparing.pair_nodes(),
        agreement=tuple(_agree(one, other)) if pairing.kind != "apart" else (),
    )


def match_trees(ours: Run, theirs: Run) -> None:
    """Refuse runs whose trees differ in more than the names of nodes.

    Raises:
        UserError: with the commands that train the other run's networks under this one's tree.
    """
    first, second = ours.evaluation.taxonomy, theirs.evaluation.taxonomy
    of_ours, of_theirs = stale_nodes(first, second, first.nodes), stale_nodes(second, first, second.nodes)
    alone = sorted(dict.fromkeys((*of_ours, *of_theirs)), key=lambda node: node not in (*first.leaves, *second.leaves))
    if not alone:
        return
    again = theirs.folder.with_name(f"{theirs.folder.name}-again")
    tree = ours.folder / TAXONOMY if (ours.folder / TAXONOMY).is_file() else ours.ensemble_folder / TAXONOMY
    config = theirs.folder / CONFIG if (theirs.folder / CONFIG).is_file() else None
    train = command("train", all=True, config=config, run=again, taxonomy=tree)
    raise UserError(
        f"{theirs.folder}: answers under another tree ({second.name}) than {ours.folder} ({first.name}): "
        f"'{alone[0]}'{f' and {len(alone) - 1} other nodes' if len(alone) > 1 else ''} cannot be compared; train its "
        f"networks under that tree as a run of its own, fit and evaluate it, and compare with this one:",
        train,
        command("ensemble", "fit", run=again),
        command("ensemble", "evaluate", run=again),
    )


def pair_samples(ours: Evaluation, theirs: Evaluation) -> tuple[Evaluation, Evaluation, Pairing]:
    """Choose the samples to compare on, in one order, columns as the first one's tree has them."""
    here = _names_of(ours.taxonomy, theirs.taxonomy)
    both = sorted({*ours.ids} & {*theirs.ids})
    counts = (len(ours.ids), len(theirs.ids))
    apart = take_samples(theirs, theirs.ids, ours.taxonomy, here)
    one = take_samples(ours, both, ours.taxonomy, ours.taxonomy.nodes)
    other = take_samples(theirs, both, ours.taxonomy, here)
    differ = int((one.targets != other.targets).any(axis=1).sum())
    other_pack = ours.facts.pack_digest != theirs.facts.pack_digest
    unpaired = "so each is measured on its own, and only large differences show"
    if not both:
        words = f"The two share no image ({counts[0]:,} and {counts[1]:,}), {unpaired}."
        return ours, apart, Pairing("apart", counts, 0, words)
    if other_pack and differ:
        words = (
            f"{len(both):,} images are called alike but {differ:,} of them have other labels, as other images would, "
            f"{unpaired}."
        )
        return ours, apart, Pairing("apart", counts, 0, words)
    known = one.known & other.known & (one.targets == other.targets)
    one, other = (_with_known(each, known) for each in (one, other))
    relabelled = f"; {differ:,} have other labels in the two, which are left out" if differ else ""
    if len(both) == counts[0] == counts[1]:
        split = ours.facts.split_digest
        same = f" of split {split}" if split and split == theirs.facts.split_digest else ""
        words = f"Both answered for the same {len(both):,} images{same}{relabelled}; differences are paired."
        return one, other, Pairing("same", counts, len(both), words)
    words = (
        f"Compared on the {len(both):,} images that both answered for, of {counts[0]:,} and {counts[1]:,}{relabelled}; "
        "differences are paired."
    )
    return one, other, Pairing("common", counts, len(both), words)


@dataclass(frozen=True)
class _Comparing:
    """Two systems whose metrics are compared."""

    ours: System
    theirs: System
    paired: bool

    def pair(self, metrics: Sequence[Metric]) -> dict[str, Pair]:
        """Compare metrics of the whole, judged together."""
        found = {metric.key: self._compare(metric.key) for metric in metrics}
        verdicts = judge({one.key: (found[one.key], one.higher_is_better) for one in metrics}, self._level)
        return {
            one.key: Pair(
                one.name,
                one.higher_is_better,
                one.digits,
                self.ours.estimate(one.key, one.largest),
                self.theirs.estimate(one.key, one.largest),
                _bounded(found[one.key], one.largest),
                verdicts.get(one.key),
            )
            for one in metrics
        }

    def pair_nodes(self) -> tuple[NodePair, ...]:
        """Compare each node; a metric's verdicts are judged together, and not where either has a handful of samples."""
        evaluations = (self.ours.measure.evaluation, self.theirs.measure.evaluation)
        taxonomy = evaluations[0].taxonomy
        positives = [(one.targets & one.known).sum(axis=0) for one in evaluations]
        few = (np.minimum(*positives) < HANDFUL).tolist()
        estimates = [system.node_estimates() for system in (self.ours, self.theirs)]
        pairs: dict[str, list[Pair]] = {}
        for key in OF_NODES:
            found = {node: self._compare(key, j) for j, node in enumerate(taxonomy.nodes)}
            judged = judge(
                {node: (one, True) for j, (node, one) in enumerate(found.items()) if not few[j]}, self._level
            )
            unsaid: Mapping[str, Verdict] = dict.fromkeys(found, "too few to tell")
            pairs[key] = [
                Pair(
                    key,
                    True,
                    3,
                    getattr(estimates[0][j], key),
                    getattr(estimates[1][j], key),
                    _bounded(one, 1.0),
                    _of_node(one, unsaid if few[j] else judged, node),
                )
                for j, (node, one) in enumerate(found.items())
            ]
        return tuple(
            NodePair(
                node,
                taxonomy.is_leaf(node),
                taxonomy.depth(node),
                (int(positives[0][j]), int(positives[1][j])),
                {key: pairs[key][j] for key in OF_NODES},
            )
            for j, node in enumerate(taxonomy.nodes)
        )

    @property
    def _level(self) -> float:
        return self.ours.measure.level

    @property
    def _same_answers(self) -> bool:
        ours, theirs = self.ours.measure.answers, self.theirs.measure.answers
        return self.paired and np.array_equal(ours.probs, theirs.probs) and np.array_equal(ours.present, theirs.present)

    def _compare(self, key: str, column: int | None = None) -> Difference | None:
        """Compare one metric, or that of one node; None where both give the same answers."""
        if self._same_answers:
            return None
        ours, theirs = (_take(system.measure.measured[key], column) for system in (self.ours, self.theirs))
        sampling = self.ours.measure.sampling
        if self.paired:
            return Difference.between(ours, theirs, sampling)
        return Difference.apart(ours, theirs, sampling, self.theirs.measure.sampling)


def _take(one: Measured, column: int | None) -> Measured:
    return one if column is None else one.at(column)


def _of_node(one: Difference | None, verdicts: Mapping[str, Verdict], node: str) -> Verdict | None:
    if one is not None and not np.isfinite(one.value):
        return None
    return "same answers" if one is None else verdicts.get(node)


def _bounded(one: Difference | None, largest: float) -> Estimate:
    if one is None:
        return Estimate(0.0)
    low, high = np.clip(one.interval(), -largest, largest)
    return Estimate(*map(plain, (one.value, low, high)))


def _names_of(ours: Taxonomy, theirs: Taxonomy) -> list[str]:
    """Return, for each node of our tree, what the other one calls it."""
    renamed = {now: old for old, now in renamed_nodes(theirs, ours, theirs.nodes).items()}
    return [renamed.get(node, node) for node in ours.nodes]


def _with_known(evaluation: Evaluation, known: np.ndarray) -> Evaluation:
    return replace(evaluation, known=known)


def _agree(ours: Evaluation, theirs: Evaluation) -> list[Agreement]:
    found = []
    for name in ours.taxonomy.levels:
        columns = [ours.taxonomy.column[node] for node in ours.taxonomy.level(name)]
        right = [
            scores.top_is_right(each.ensemble.probs[:, columns], each.targets[:, columns], each.known[:, columns])
            for each in (ours, theirs)
        ]
        told = ~np.isnan(right[0].astype(float)) & ~np.isnan(right[1].astype(float))
        one, other = (values[told].astype(bool) for values in right)
        cells = (one & other, one & ~other, ~one & other, ~one & ~other)
        found.append(Agreement(name, *(int(cell.sum()) for cell in cells)))
    return found
