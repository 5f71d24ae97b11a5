"""Logistic regressions: the largest posterior is found, also from where whole steps lead away from it."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.ensemble.logistic import LogisticProblem, NormalPrior, solve


@pytest.mark.parametrize("start", [0.0, 3.0, -8.0, 20.0])
def test_the_share_of_positives_is_found_from_anywhere(start: float) -> None:
    goals = np.array([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    problem = LogisticProblem(np.ones((2, 4, 1)), goals, np.ones_like(goals))
    none = NormalPrior(np.zeros((2, 1)), np.full(1, 1e-9))
    found = solve(problem, np.full((2, 1), start), none)
    np.testing.assert_allclose(found[:, 0], [-np.log(3), np.log(3)], atol=1e-6)
