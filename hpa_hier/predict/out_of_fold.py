"""Out of fold: what ensembles fitted on other samples say of each, where a test part alone is too small to tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.fit import assign_folds
from hpa_hier.ensemble.scores.fit_data import FitData
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

FOLDS = 5  # of the ensembles that are fitted for it


@dataclass(frozen=True)
class OutOfFoldAnswers:
    """Answers of an ensemble, of its flat baseline if it has one, and always the most frequent labels."""

    ensemble: Prediction
    baseline: Prediction | None
    trivial: TrivialBaseline  # rows as the prediction's ids


def answer_out_of_fold(
    given: FitData, flat: FitData | None, taxonomy: Taxonomy, settings: EnsembleSettings
) -> OutOfFoldAnswers:
    """Answer for each sample by an ensemble that was fitted, accepted and cut on the samples of the other folds.

    Args:
        given: members' scores of samples that they have not seen, with the truth.
        flat: those of the flat baseline's members, of the same samples; None where there are none.
        taxonomy: the label tree.
        settings: of the ensemble.

    Raises:
        UserError: the samples are too few for two folds.
    """
    fold = assign_folds(given.truth.present, given.units, min(FOLDS, len(given.truth.ids)))
    plain = settings.model_copy(update={"bootstrap": 0})  # the intervals of thresholds are not shown
    ours, theirs = [], []
    for k in np.unique(fold):
        rest, here = fold != k, fold == k
        accepted = fit_accepted(given.rows(rest), flat.rows(rest) if flat else None, taxonomy, plain)
        of_flat = accepted.uses_baseline and flat is not None
        ours.append(_predict(accepted.ensemble, flat if of_flat and flat else given, here))
        if accepted.flat and flat:
            theirs.append(_predict(accepted.flat, flat, here))
    trivial = TrivialBaseline.fit_out_of_fold(given.truth.targets, fold, taxonomy)
    ids = given.truth.ids
    baseline = Prediction.join(theirs).take(ids) if theirs else None
    return OutOfFoldAnswers(Prediction.join(ours).take(ids), baseline, trivial)


def _predict(ensemble: Ensemble, data: FitData, rows: np.ndarray) -> Prediction:
    chosen = data.rows(rows)
    return ensemble.predict(chosen.members, chosen.available)
