"""Statistics: features that tell nothing decide nothing, and values far outside of what was seen are bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.models.network import Standardise
from hpa_hier.training.batches.statistics import IDLE, feature_statistics


def one_feature(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def measured(values: np.ndarray) -> Standardise:
    return Standardise(*feature_statistics(values.__getitem__, np.arange(len(values))))


DEAD = {
    "constant": [5.0] * 40,
    "one sample alone is another": [0.0] * 39 + [1.0],
    "by next to nothing": [0.0] * 39 + [1e-9],
    "far from zero": [1e6] * 39 + [1e6 + 1],
    "missing": [np.nan] * 40,
    "missing but once": [np.nan] * 39 + [2.0],
}


@pytest.mark.parametrize("values", DEAD.values(), ids=DEAD)
@pytest.mark.parametrize("new", [0.0, 1e-6, 1.0, 1000.0, -1e30, np.nan])
def test_a_feature_without_variance_decides_nothing(values: list[float], new: float) -> None:
    standardise = measured(one_feature(values))
    assert abs(float(standardise(torch.tensor([[new]])))) < 1e-6


@given(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=30), st.floats(allow_nan=False, width=32))
def test_nothing_lies_further_out_than_the_values_seen_lie_apart(values: list[float], new: float) -> None:
    table = one_feature(values)
    found = feature_statistics(table.__getitem__, np.arange(len(table)))
    near = float(Standardise(*found)(torch.tensor([[new]])))
    seen = (table - found.mean) / found.std
    width = float(seen.max() - seen.min())
    assert seen.min() - width - 1e-2 <= near <= seen.max() + width + 1e-2


def test_values_like_those_seen_stay_what_they_are() -> None:
    values = np.random.default_rng(0).normal(3, 2, (200, 5)).astype(np.float32)
    found = feature_statistics(values.__getitem__, np.arange(200))
    new = torch.as_tensor(np.random.default_rng(1).normal(3, 2, (50, 5)).astype(np.float32))
    assert torch.equal(Standardise(*found)(new), Standardise(found.mean, found.std)(new))


def test_two_samples_that_differ_are_enough_to_learn_from() -> None:
    found = feature_statistics(one_feature([0.0] * 38 + [1.0, 1.0]).__getitem__, np.arange(40))
    assert found.std[0] < IDLE


def test_weights_of_members_without_bounds_still_load() -> None:
    network = Standardise(np.zeros(2), np.ones(2), np.full(2, -1.0), np.full(2, 1.0))
    old = {name: value for name, value in network.state_dict().items() if name in ("mean", "std")}
    loaded = Standardise(np.ones(2), np.ones(2))
    loaded.load_state_dict(old)
    assert torch.equal(loaded(torch.tensor([[9.0, -9.0]])), torch.tensor([[9.0, -9.0]]))
