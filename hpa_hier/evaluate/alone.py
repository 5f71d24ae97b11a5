"""Alone: how good each member is by itself, calibrated and cut as the ensemble is, beside the ensemble on its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.decide.thresholds import fit_thresholds
from hpa_hier.ensemble.decide.told_apart import find_told_apart, ranking_p_values
from hpa_hier.ensemble.fit import assign_folds
from hpa_hier.ensemble.rules import CALIBRATIONS, choose
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.evaluate.estimate import judge, plain
from hpa_hier.evaluate.results import AloneRow, Compared, Estimate, Results
from hpa_hier.metrics import influence, scores
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.compare import Difference
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.influence import Measured, Sampling
from hpa_hier.predict.held_out import fitted_settings, read_held_out
from hpa_hier.runs.evaluation import Evaluation
from hpa_hier.runs.run import SPLIT_FILE, Run
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_FEWEST = 10  # samples a fold, as the ensemble has it
_LOWER_IS_BETTER = frozenset({"log_loss"})


@dataclass(frozen=True)
class Held:
    """One member's held-out scores with their truth, from which it is calibrated and cut."""

    scores: Scores  # columns as `nodes`
    truth: Targets  # (B, n) columns as `nodes`
    units: tuple[str, ...]  # B names of what belongs together


@dataclass(frozen=True)
class Answered:
    """What a member alone says of samples; columns as its nodes."""

    ids: tuple[str, ...]
    probs: Floats  # (B, n)
    present: Bools  # (B, n)

    def take(self, ids: tuple[str, ...]) -> Answered:
        """Return the rows of these samples, in this order."""
        row = {sample: i for i, sample in enumerate(self.ids)}
        rows = [row[sample] for sample in ids]
        return Answered(ids, self.probs[rows], self.present[rows])


def add_members(results: Results, run: Run) -> Results:
    """Add how good each of a run's members is alone, or why that is not told."""
    scope = results.scope
    if scope.part == "new":
        return replace(results, alone_missing="members alone are measured on a run's own test part only")
    if scope.compared_with:
        return replace(results, alone_missing="an adapted ensemble keeps no scores of its members alone")
    try:
        return replace(results, alone=tuple(measure_members(run, scope.interval)))
    except UserError as error:
        return replace(results, alone_missing=str(error))


def measure_members(run: Run, level: float) -> Iterator[AloneRow]:
    """Measure each member of a run's ensemble, and of its flat baseline, on the samples of the evaluation.

    A member's logits are calibrated on the calibration part by the ensemble's rule; its thresholds are fitted by the
    ensemble's rule on probabilities out of fold; it answers for its own nodes. One that learned from a group's images
    alone is measured on those.

    Args:
        run: evaluated, with its members' scores.
        level: of the intervals, in (0, 1).

    Raises:
        UserError: a member's scores are not there, or do not belong to the ensemble.
    """
    evaluation, ensemble = run.evaluation, run.ensemble
    kept = fitted_settings(ensemble)
    settings = EnsembleSettings.model_validate(kept) if kept else run.recipe.ensemble
    names = dict.fromkeys([*evaluation.facts.members, *evaluation.facts.baseline_members])
    taxonomy, truth = evaluation.taxonomy, run.truth(ensemble.taxonomy)
    learned = _find_learned(run, ensemble.taxonomy)
    for name in names:
        fitted_on, tested = (
            read_held_out(run, [name], ensemble.taxonomy, part, kept).scores[0] for part in ("calibration", "test")
        )
        nodes = _measured_nodes(fitted_on.nodes, taxonomy)
        if not nodes:  # it answers for virtual nodes alone
            continue
        columns = [ensemble.taxonomy.column[node] for node in nodes]
        known = truth.take(fitted_on.ids)
        mask = known.known[:, columns]
        if fitted_on.given:  # it speaks of these samples only
            mask = mask & (known.present & known.known)[:, [ensemble.taxonomy.column[fitted_on.given]]]
        held = Held(
            _columns(fitted_on, nodes),
            Targets(known.present[:, columns], mask),
            tuple(run.groups[sample] for sample in fitted_on.ids),
        )
        seen = None if learned is None else np.array([learned[node] for node in nodes])
        answers = answer_alone(held, _columns(tested, nodes), taxonomy, settings, seen)
        among = None
        if fitted_on.given:  # a virtual node, which answers and evaluations do not have
            there = truth.take(evaluation.ids)
            among = (there.present & there.known)[:, ensemble.taxonomy.column[fitted_on.given]]
        row = measure_alone(evaluation, name, nodes, answers.take(evaluation.ids), level, among)
        yield replace(row, given=fitted_on.given)


def answer_alone(
    held: Held, tested: Scores, taxonomy: Taxonomy, settings: EnsembleSettings, learned: Bools | None = None
) -> Answered:
    """Answer for the samples held out, each by what was fitted on the other folds, and for those tested, by all.

    Args:
        held: what it is fitted on.
        tested: its scores of other samples, columns as those of `held`.
        taxonomy: the label tree.
        settings: the ensemble's.
        learned: (n,) which nodes had positives where the member was trained; None: unknown, and they are trusted.
    """
    rule = choose(CALIBRATIONS, settings.calibrate, "calibrate")
    logits, truth = held.scores.logits, held.truth

    def calibrate(rows: Bools, onto: Floats) -> Floats:
        targets = Targets(truth.present[rows], truth.known[rows])
        fitted = rule.fit(held.scores.nodes, logits[rows], targets, settings.shrink_positives)
        return np.asarray(expit(fitted.apply(onto)))

    every = np.ones(len(logits), bool)
    fold = _fold(held, settings)
    probs = np.empty(logits.shape)
    for k in np.unique(fold):
        rows = fold != k if fold.any() else every
        probs[fold == k] = calibrate(rows, logits[fold == k])
    present = np.zeros(logits.shape, bool)
    for k in np.unique(fold):
        rows = fold != k if fold.any() else every
        cut = _cut(held, probs, rows, fold, taxonomy, settings, learned)
        present[fold == k] = _decide(probs[fold == k], cut, taxonomy)
    test = calibrate(every, tested.logits)
    called = _decide(test, _cut(held, probs, every, fold, taxonomy, settings, learned), taxonomy)
    ids = (*held.scores.ids, *tested.ids)
    return Answered(ids, np.concatenate([probs, test]), np.concatenate([present, called]))


def measure_alone(
    evaluation: Evaluation,
    name: str,
    nodes: tuple[str, ...],
    answers: Answered,
    level: float,
    among: Bools | None = None,
) -> AloneRow:
    """Measure one member on its nodes, and the ensemble on the same nodes of the same samples.

    Args:
        evaluation: of the ensemble.
        name: of the member.
        nodes: n that it is measured on.
        answers: its own, for the samples of the evaluation in their order.
        level: of the intervals, in (0, 1).
        among: (B,) the samples that it speaks of; None: all.
    """
    columns = [evaluation.taxonomy.column[node] for node in nodes]
    targets, known = evaluation.targets[:, columns], evaluation.known[:, columns]
    if among is not None:
        known = known & among[:, None]
    sampling = Sampling(number_units(evaluation.groups), level)
    ours = evaluation.ensemble
    ranking = ours.probs if ours.ranking is None else ours.ranking
    mine = _measure(answers.probs, answers.present, answers.probs, targets, known, sampling)
    whole = _measure(ours.probs[:, columns], ours.present[:, columns], ranking[:, columns], targets, known, sampling)
    differences = {
        key: (Difference.between(whole[key], mine[key], sampling), key not in _LOWER_IS_BETTER) for key in mine
    }
    verdicts = judge(differences, level)
    rows = {
        key: Compared(_estimate(mine[key], sampling, key), _difference(one), verdicts.get(key))
        for key, (one, _) in differences.items()
    }
    ensemble = {key: _estimate(one, sampling, key) for key, one in whole.items()}
    return AloneRow(name, len(nodes), "", ensemble, rows)


def _measured_nodes(nodes: tuple[str, ...], taxonomy: Taxonomy) -> tuple[str, ...]:
    """Return the leaves that a member answers for, else its groups."""
    there = tuple(node for node in nodes if node in taxonomy.column)
    leaves = tuple(node for node in there if taxonomy.is_leaf(node))
    return leaves or there


def _columns(one: Scores, nodes: tuple[str, ...]) -> Scores:
    return replace(one, nodes=nodes, logits=one.logits[:, [one.nodes.index(node) for node in nodes]], given="")


def _find_learned(run: Run, taxonomy: Taxonomy) -> Mapping[str, bool] | None:
    if not (run.folder / SPLIT_FILE).is_file():
        return None
    seen = run.truth(taxonomy).take([*run.split.part_ids("train"), *run.split.part_ids("calibration")])
    learned: Bools = np.asarray((seen.present & seen.known).any(axis=0))
    return {node: bool(learned[column]) for node, column in taxonomy.column.items()}


def _fold(held: Held, settings: EnsembleSettings) -> NDArray[np.intp]:
    """Assign the samples held out to folds, as the ensemble does; one fold where they are too few."""
    units = len(np.unique(number_units(held.units)))
    folds = min(settings.folds, len(held.scores.ids) // _FEWEST, units)
    if folds < 2:
        return np.zeros(len(held.scores.ids), np.intp)
    return assign_folds(held.truth.present, held.units, folds)


def _cut(
    held: Held,
    probs: Floats,
    rows: Bools,
    fold: NDArray[np.intp],
    taxonomy: Taxonomy,
    settings: EnsembleSettings,
    learned: Bools | None,
) -> Floats:
    """Fit thresholds (n,) on some samples' probabilities, as the ensemble's decision does."""
    nodes, targets = held.scores.nodes, Targets(held.truth.present[rows], held.truth.known[rows])
    level = tuple(0 if taxonomy.is_leaf(node) else taxonomy.depth(node) for node in nodes)
    options = ThresholdOptions(settings.fixed_threshold, settings.small_class_positives, 0, level)
    rule = choose(THRESHOLDS, settings.thresholds, "thresholds")
    fitted = fit_thresholds(rule, nodes, probs[rows], targets, options)
    told_apart = find_told_apart(ranking_p_values(probs[rows], targets, fold[rows]))
    by_hand = {node: value for node, value in settings.hand_thresholds.items() if node in nodes}
    return fitted.raise_where_unfounded(told_apart, learned).set_by_hand(by_hand).values


def _decide(probs: Floats, cut: Floats, taxonomy: Taxonomy) -> Bools:
    """Call nodes present, (B, n); of an exclusive tree the likeliest one."""
    if not taxonomy.exclusive:
        return np.asarray(probs >= cut)
    return np.asarray(np.arange(probs.shape[1]) == probs.argmax(axis=1)[:, None])


def _measure(
    probs: Floats, present: Bools, ranking: Floats, targets: Bools, known: Bools, sampling: Sampling
) -> dict[str, Measured]:
    every = np.arange(targets.shape[1])
    losses, entries = scores.sample_losses(probs, targets, known)
    share = (targets & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    by_frequency, _ = scores.sample_losses(np.broadcast_to(share, targets.shape), targets, known)
    worst = float(by_frequency.sum() / max(1.0, float(entries.sum())))
    return {
        "macro_f1": influence.f1_by_node(present, targets, known, sampling).mean(every),
        "mean_ap": influence.average_precision_by_node(ranking, targets, known, sampling).mean(every),
        "log_loss": influence.ratio_of_sums(losses, entries, sampling, worst),
    }


def _estimate(one: Measured, sampling: Sampling, key: str) -> Estimate:
    low, high = influence.interval(one, sampling, np.inf if key in _LOWER_IS_BETTER else 1.0)
    return Estimate(*(plain(float(value)) for value in (one.value, low, high)))


def _difference(one: Difference) -> Estimate:
    return Estimate(*map(plain, (one.value, *one.interval())))
