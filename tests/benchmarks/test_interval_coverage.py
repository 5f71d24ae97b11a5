"""Coverage: intervals hold the population's value as often as they say, where the bootstrap's percentiles did not."""

from __future__ import annotations

import interval_coverage
import numpy as np
import pytest

from hpa_hier.evaluate.measure import SystemMeasure
from hpa_hier.metrics import scores
from hpa_hier.metrics.bootstrap import interval as percentiles
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.influence import interval

DRAWS, IMAGES = 60, 400
LEAST = 51  # of 60 that 95 % intervals hold: fewer have a chance of 1 in 300


@pytest.fixture(scope="module")
def population():
    return interval_coverage.Population.draw(3, images=40_000)


def test_mean_average_precision_is_covered_and_was_not_by_percentiles(population):
    rng = np.random.default_rng(4)
    ours = theirs = 0
    for _ in range(DRAWS):
        part = population.part(IMAGES, rng)
        true = population.true_values(part, 0)["mean_ap"]
        measure = SystemMeasure(part, part.ensemble)
        low, high = interval(measure.measured["mean_ap"], measure.sampling)
        ours += low <= true <= high
        leaves = [values[:, part.leaf_columns] for values in (part.ensemble.probs, part.targets, part.known)]
        drawn = [
            scores.mean_of_defined(scores.average_precision(*leaves, weights))
            for weights in resamples(measure.sampling.unit, 60, rng)
        ]
        low, high = percentiles(np.concatenate(drawn), measure.measured["mean_ap"].value, 0.95)
        theirs += low <= true <= high
    assert ours >= LEAST > theirs
