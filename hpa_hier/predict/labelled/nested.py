"""Nested folds: adaptation with its strength chosen inside, and what it says of samples that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.combiner import Combiner
from hpa_hier.ensemble.decide.safe import SafeAnswers
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.fit import assign_folds
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import sample_losses
from hpa_hier.predict.labelled.retrain import MemberAnswers, Retrained, Strength, retrain
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

STRENGTHS = tuple(Strength(offset, weights) for offset in (1.0, 4.0) for weights in (0.5, 2.0, np.inf))
CAUTIOUS = Strength(4.0, np.inf)  # where samples are too few to choose
_OUTER, _INNER = 10, 5  # folds
_FEWEST = 2  # units a fold


@dataclass(frozen=True)
class Given:
    """Labelled samples as members answer for them."""

    members: tuple[MemberAnswers, ...]  # by name
    truth: Truth  # of the B samples, columns as the tree's nodes
    units: tuple[str, ...]  # B names of what must not be torn; "" is alone
    taxonomy: Taxonomy
    settings: EnsembleSettings
    trusted: Bools  # (N,) which nodes are known to be told apart, from what members were trained on
    learned: Bools  # (N,) which nodes members learned elsewhere
    answered: Bools  # (N,) which nodes the ensemble answered for
    few: int = 0  # positives of a node that members did not learn, below which it is never called
    before: Floats | None = None  # (B, N) what the ensemble says as it is; None: it is no choice
    before_present: Bools | None = None  # (B, N) what it calls present

    def rows(self, chosen: Bools) -> Given:
        """Return some of the samples; chosen is (B,)."""
        ids, units = (tuple(np.array(names)[chosen].tolist()) for names in (self.truth.ids, self.units))
        return replace(
            self,
            members=tuple(one.rows(chosen) for one in self.members),
            truth=Truth(ids, self.truth.present[chosen], self.truth.known[chosen]),
            units=units,
            before=None if self.before is None else self.before[chosen],
            before_present=None if self.before_present is None else self.before_present[chosen],
        )

    def with_reconcile(self, name: str) -> Given:
        """Return the same samples under another rule that makes probabilities coherent."""
        return replace(self, settings=self.settings.model_copy(update={"reconcile": name}))

    def targets(self, member: MemberAnswers) -> Targets:
        """Return what is known of a member's nodes, (B, n)."""
        columns = [self.taxonomy.column[node] for node in member.nodes]
        known = self.truth.known[:, columns]
        if member.given:  # it speaks of these samples only
            carried = self.taxonomy.column[member.given]
            known = known & (self.truth.present & self.truth.known)[:, [carried]]
        return Targets(self.truth.present[:, columns], known)


@dataclass(frozen=True)
class Adaptation:
    """Members moved to labelled samples, and how they are combined."""

    strength: Strength | None  # None: the ensemble stays as it is
    retrained: tuple[Retrained, ...]  # of each member; () where the ensemble stays
    combiner: Combiner | None

    def probs(self, given: Given) -> tuple[Floats, Floats]:
        """Return probabilities (B, N) of samples: after aggregation, and after reconciliation."""
        if self.combiner is None:
            assert given.before is not None
            return given.before, given.before
        return self.combiner.probs(_score(given, self.retrained))


@dataclass(frozen=True)
class Unseen:
    """What is said of samples by adaptations that have not seen them."""

    fold: NDArray[np.intp]  # (B,) which fold held a sample out
    raw: Floats  # (B, N)
    probs: Floats  # (B, N)
    ranking: Floats  # (B, N) what compares samples of different folds: logits beside those of the average sample
    present: Bools  # (B, N)
    safe: SafeAnswers
    chosen: tuple[Strength | None, ...]  # of each fold


@dataclass(frozen=True)
class Fitted:
    """An adaptation to all samples, with what it says of each out of fold."""

    adaptation: Adaptation
    decision: Decision
    unseen: Unseen | None  # None: too few samples


def adapt_nested(given: Given) -> Fitted:
    """Adapt to all samples, and say what the same steps say of each sample that they have not seen.

    Within each outer fold everything is done again without it: inner folds choose the strength by their log loss, among
    them that of leaving the ensemble as it is, and give the probabilities on which thresholds and safe answers are
    fitted.
    """
    adaptation, decision = adapt_once(given)
    given = replace(given, settings=given.settings.model_copy(update={"bootstrap": 0}))
    folds = count_folds(given, _OUTER)
    if folds < 2:
        return Fitted(adaptation, decision, None)
    fold = assign_folds(given.truth.present, given.units, folds)
    shape = given.truth.present.shape
    raw, probs, ranking, present = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape, bool)
    safe, chosen = SafeAnswers(np.full(shape[0], -1, np.intp), np.zeros(shape[0])), []
    for k in range(folds):
        out = fold == k
        one, rule = adapt_once(given.rows(~out))
        every = one.probs(given)
        raw[out], probs[out] = every[0][out], every[1][out]
        logits = logit(np.clip(every[1], 1e-9, 1 - 1e-9))
        ranking[out] = (logits - logits.mean(axis=0))[out]
        present[out], here = rule.decide(probs[out])
        safe.column[out], safe.confidence[out] = here.column, here.confidence
        chosen.append(one.strength)
    if given.before is not None and measure_loss(given, probs) >= measure_loss(given, given.before):
        return _keep(given, fold)
    return Fitted(adaptation, decision, Unseen(fold, raw, probs, ranking, present, safe, tuple(chosen)))


def _keep(given: Given, fold: NDArray[np.intp]) -> Fitted:
    """Leave probabilities as they are, and fit thresholds and safe answers alone."""
    assert given.before is not None
    probs, present = given.before, np.zeros(given.before.shape, bool)
    safe = SafeAnswers(np.full(len(probs), -1, np.intp), np.zeros(len(probs)))
    for k in np.unique(fold):
        out, rest = fold == k, given.rows(fold != k)
        present[out], here = _decide(rest, probs[~out], None).decide(probs[out])
        safe.column[out], safe.confidence[out] = here.column, here.confidence
    unseen = Unseen(fold, probs, probs, logit(np.clip(probs, 1e-9, 1 - 1e-9)), present, safe, ())
    return Fitted(Adaptation(None, (), None), _decide(given, probs, None), unseen)


def count_folds(given: Given, most: int) -> int:
    """Return how many folds the samples allow; fewer than 2: none."""
    return min(most, len(np.unique(number_units(given.units))) // _FEWEST)


def adapt_once(given: Given) -> tuple[Adaptation, Decision]:
    """Choose the strength in inner folds, or leave the ensemble as it is where that is better, and fit it on all."""
    folds = count_folds(given, _INNER)
    if folds < 2:
        adaptation = _fit(given, [CAUTIOUS])[0]
        return adaptation, _decide(given, adaptation.probs(given)[1], None)
    fold = assign_folds(given.truth.present, given.units, folds)
    strengths = STRENGTHS if any(one.features is not None for one in given.members) else _without_heads()
    quick = given if given.taxonomy.exclusive else given.with_reconcile("lift")  # it leaves leaves as they are
    losses = {one: measure_loss(given, probs) for one, probs in _hold_out(quick, fold, strengths).items()}
    best = min(losses, key=lambda one: losses[one])
    if given.before is not None and measure_loss(given, given.before) < losses[best]:
        return Adaptation(None, (), None), _decide(given, given.before, fold)
    return _fit(given, [best])[0], _decide(given, _hold_out(given, fold, [best])[best], fold)


def _hold_out(given: Given, fold: NDArray[np.intp], strengths: Sequence[Strength]) -> dict[Strength, Floats]:
    """Return the probabilities (B, N) that each strength gives samples out of fold."""
    found = {one: np.empty(given.truth.present.shape) for one in strengths}
    for k in np.unique(fold):
        held_out = given.rows(fold == k)
        for strength, one in zip(strengths, _fit(given.rows(fold != k), strengths), strict=True):
            found[strength][fold == k] = one.probs(held_out)[1]
    return found


def _without_heads() -> list[Strength]:
    return [one for one in STRENGTHS if not one.retrains]


def measure_loss(given: Given, probs: Floats) -> float:
    """Return the log loss per known leaf of a sample."""
    leaves = [given.taxonomy.column[leaf] for leaf in given.taxonomy.leaves]
    losses, entries = sample_losses(probs[:, leaves], given.truth.present[:, leaves], given.truth.known[:, leaves])
    return float(losses.sum() / max(entries.sum(), 1))


def _fit(given: Given, strengths: Sequence[Strength]) -> list[Adaptation]:
    by_member = [retrain(member, given.targets(member), strengths) for member in given.members]
    found = []
    for strength, retrained in zip(strengths, zip(*by_member, strict=True), strict=True):
        scores, truth = _score(given, retrained), given.truth
        data: FitData = fit_data(scores, truth, units=given.units)
        calibrations = {
            member.name: Platt(member.nodes, np.full(len(member.nodes), one.slope), one.offset)
            for member, one in zip(given.members, retrained, strict=True)
        }
        combiner = Combiner.fit_calibrated(data, calibrations, given.taxonomy, given.settings)
        found.append(Adaptation(strength, retrained, combiner))
    return found


def _score(given: Given, retrained: Sequence[Retrained]) -> list[Scores]:
    return [
        Scores(member.name, given.truth.ids, member.nodes, one.logits(member), member.given)
        for member, one in zip(given.members, retrained, strict=True)
    ]


def _decide(given: Given, probs: Floats, fold: NDArray[np.intp] | None) -> Decision:
    units = number_units(given.units)
    targets = given.truth.targets
    decision = Decision.fit(probs, targets, given.taxonomy, given.settings, units, fold, given.learned, given.trusted)
    limits = decision.thresholds
    rare = ~given.learned & (limits.positives < given.few)
    return replace(decision, thresholds=limits.never_call(rare)) if rare.any() else decision


def describe_before(given: Given, fold: NDArray[np.intp]) -> tuple[Floats, Bools]:
    """Return what the ensemble said of samples before, as probabilities and labels (B, N) of the tree.

    A leaf that it does not know has its frequency among the samples of the other folds, and is never called.
    """
    assert given.before is not None
    assert given.before_present is not None
    tree, known = given.taxonomy, given.answered
    probs, truth = given.before.copy(), given.truth
    for k in np.unique(fold):
        rest = fold != k
        trivial = TrivialBaseline.fit(Targets(truth.present[rest], truth.known[rest]), tree).probs
        probs[fold == k] = np.where(known, probs[fold == k], trivial)
    return lift(probs, tree.bottom_up), tree.close(given.before_present)
