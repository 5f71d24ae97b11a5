"""Out of fold: no sample's answer knows its own label, and every sample has one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import draw_members, draw_truth, random_taxonomy

from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.predict.out_of_fold import answer_out_of_fold
from hpa_hier.settings.recipe import EnsembleSettings

SETTINGS = EnsembleSettings(folds=2, bootstrap=0)


def _data(seed: int = 1, size: int = 60) -> tuple[FitData, object]:
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng, graph=False)
    truth = draw_truth(rng, taxonomy, size, unknown=0.0)
    return fit_data(draw_members(rng, truth, taxonomy), truth), taxonomy


def test_a_samples_own_fold_has_no_say_in_its_answer() -> None:
    data, taxonomy = _data()
    before = answer_out_of_fold(data, None, taxonomy, SETTINGS)
    assert before.ensemble.ids == data.truth.ids
    # the same labels for two samples of one fold, exchanged: folds stay, and only the other folds may change
    alike = _find_pair(data, before.ensemble)
    i, j = alike
    present = data.truth.present.copy()
    present[[i, j]] = present[[j, i]]
    after = answer_out_of_fold(replace(data, truth=replace(data.truth, present=present)), None, taxonomy, SETTINGS)
    np.testing.assert_array_equal(after.ensemble.probs[[i, j]], before.ensemble.probs[[i, j]])
    np.testing.assert_array_equal(after.trivial.probs[[i, j]], before.trivial.probs[[i, j]])
    assert not np.array_equal(after.ensemble.probs, before.ensemble.probs)


def _find_pair(data: FitData, prediction: Prediction) -> tuple[int, int]:
    """Find two samples of one fold with different labels whose exchange leaves the folds as they are."""
    from hpa_hier.ensemble.fit import assign_folds
    from hpa_hier.predict.out_of_fold import FOLDS

    present = data.truth.present
    fold = assign_folds(present, data.units, FOLDS)
    for i in range(len(fold)):
        for j in range(i):
            if fold[i] != fold[j] or np.array_equal(present[i], present[j]):
                continue
            changed = present.copy()
            changed[[i, j]] = changed[[j, i]]
            if np.array_equal(assign_folds(changed, data.units, FOLDS), fold):
                return i, j
    pytest.fail("no such pair")


def test_the_baseline_answers_for_the_same_samples() -> None:
    data, taxonomy = _data()
    found = answer_out_of_fold(data, data, taxonomy, SETTINGS)
    assert found.baseline is not None
    assert found.baseline.ids == found.ensemble.ids
    assert found.trivial.present.shape == found.ensemble.present.shape
