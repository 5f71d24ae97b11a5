"""Fitting an ensemble on held-out scores: calibration, weights, gates, thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from hpa_hier.config import EnsembleSettings
from hpa_hier.ensemble.aggregate import WEIGHTS, combine, coverage, fill_from_children
from hpa_hier.ensemble.arrays import Bools, Floats
from hpa_hier.ensemble.calibrate import Calibration, identity, platt
from hpa_hier.ensemble.predict import Ensemble, Seat, reconcile, spread
from hpa_hier.ensemble.reconcile import Gate, fit_gamma
from hpa_hier.ensemble.scores import Scores, Truth, aligned
from hpa_hier.ensemble.thresholds import ThresholdPlan, fit_thresholds
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy


def fit(members: Sequence[Scores], truth: Truth, taxonomy: Taxonomy, settings: EnsembleSettings) -> Ensemble:
    """Fit an ensemble on samples that no member was trained on.

    Args:
        members: E members' scores of the same samples, in any order, nodes called as in `taxonomy`.
        truth: targets of at least these samples, columns as taxonomy.nodes.
        taxonomy: the label tree.
        settings: how to calibrate, aggregate, reconcile and choose thresholds.

    Returns:
        The ensemble; the order of members and of samples does not matter.

    Raises:
        UserError: a node is unknown, or no member answers for a leaf.
    """
    known_ids = sorted(members[0].ids) if members else []
    scored = aligned(members, known_ids)
    truth = truth.take(known_ids)
    _check_nodes(scored, taxonomy)
    covers = coverage(scored, taxonomy.column)
    _check_leaves(covers, taxonomy)

    calibrations = [_calibrate(scores, truth, taxonomy, settings) for scores in scored]
    weights = WEIGHTS[settings.aggregate](covers)
    logits = [spread(calibration, scores, taxonomy) for calibration, scores in zip(calibrations, scored, strict=True)]
    answered = np.asarray(covers.any(axis=0))
    raw = fill_from_children(expit(combine(logits, weights)), answered, taxonomy.bottom_up)
    gates = fit_gates(raw, truth, taxonomy) if settings.reconcile == "gate" else ()
    thresholds = fit_thresholds(
        taxonomy.nodes,
        reconcile(raw, gates, answered, taxonomy),
        (truth.present, truth.known),
        [taxonomy.column[leaf] for leaf in taxonomy.leaves],
        ThresholdPlan(
            settings.thresholds, settings.fixed_threshold, settings.small_class_positives, settings.bootstrap
        ),
    )
    seats = tuple(
        Seat(scores.name, calibration, weight)
        for scores, calibration, weight in zip(scored, calibrations, weights, strict=True)
    )
    return Ensemble(taxonomy, seats, settings.aggregate, settings.reconcile, gates, thresholds)


def fit_gates(raw: Floats, truth: Truth, taxonomy: Taxonomy) -> tuple[Gate, ...]:
    """Fit one gamma for each top group; raw is (B, N) before reconciliation."""
    gates = []
    for group in taxonomy.groups:
        leaves = tuple(taxonomy.column[leaf] for leaf in taxonomy.leaves_below(group))
        bare = Gate(taxonomy.column[group], leaves)
        gates.append(Gate(bare.group, leaves, fit_gamma(raw, truth.present, truth.known, bare)))
    return tuple(gates)


def _calibrate(scores: Scores, truth: Truth, taxonomy: Taxonomy, settings: EnsembleSettings) -> Calibration:
    if settings.calibrate == "none":
        return identity(scores.nodes)
    columns = [taxonomy.column[node] for node in scores.nodes]
    return platt(
        scores.nodes, scores.logits, truth.present[:, columns], truth.known[:, columns], settings.shrink_positives
    )


def _check_nodes(scored: Sequence[Scores], taxonomy: Taxonomy) -> None:
    for scores in scored:
        unknown = [node for node in scores.nodes if node not in taxonomy.column]
        if unknown:
            raise UserError(
                f"member '{scores.name}' answers for '{unknown[0]}', which {taxonomy.source} does not have; "
                "train it again or leave it out of ensemble.members"
            )


def _check_leaves(covers: Bools, taxonomy: Taxonomy) -> None:
    lost = [leaf for leaf in taxonomy.leaves if not covers[:, taxonomy.column[leaf]].any()]
    if lost:
        raise UserError(
            f"no member answers for the leaf '{lost[0]}'{f' and {len(lost) - 1} others' if len(lost) > 1 else ''}; "
            "train one that does (python -m hpa_hier.train --level leaf) and name it in ensemble.members"
        )
