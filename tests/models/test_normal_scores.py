"""Normal scores: ranks of the training part, the same in a member that is loaded again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from torch import Tensor, nn

from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Network, Standardise
from hpa_hier.models.normal_scores import NormalScores, RankTable, normalise_vectors
from hpa_hier.training.batches.statistics import feature_statistics, rank_table


def fitted(rule: str, table: np.ndarray) -> Standardise:
    read, rows = table.astype(np.float32).__getitem__, np.arange(len(table))
    found = feature_statistics(read, rows)
    return normalise_vectors(rule, found.mean, found.std, rank_table(read, rows, found), found.low, found.high)


def apply(rule: str, table: np.ndarray) -> np.ndarray:
    return fitted(rule, table)(torch.as_tensor(table, dtype=torch.float32)).numpy()


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).lognormal(0, 3, (150, 4))


def test_scores_of_the_training_part_are_scipys_normal_scores_of_mid_ranks(table: np.ndarray) -> None:
    table[:60, 1] = 0.5  # a tie
    expected = norm.ppf((rankdata(table, axis=0) - 0.5) / len(table))
    expected -= expected.mean(axis=0)
    assert np.abs(apply("normal_scores", table) - expected).max() < 1e-4


def test_only_the_order_of_values_counts(table: np.ndarray) -> None:
    assert np.allclose(apply("normal_scores", table), apply("normal_scores", np.log(table)), atol=1e-5)


def test_a_feature_of_two_values_keeps_two_and_a_rare_one_stays_small() -> None:
    sparse = (np.random.default_rng(1).random((400, 3)) < (0.01, 0.3, 0.9)).astype(float)
    found, standardised = apply("normal_scores", sparse), apply("standardise", sparse)
    for column, other in zip(found.T, standardised.T, strict=True):
        assert len(np.unique(column)) == 2
        assert np.corrcoef(column, other)[0, 1] == pytest.approx(1)
    assert np.abs(found).max() < 3 < np.abs(standardised).max()


def test_many_values_are_kept_as_some_and_lines_between_them() -> None:
    table = np.random.default_rng(2).lognormal(0, 3, (5000, 1))
    expected = norm.ppf((rankdata(table[:, 0]) - 0.5) / len(table))
    found = fitted("normal_scores", table)
    assert found.rank_values.shape[1] <= 200
    scores = found(torch.as_tensor(table, dtype=torch.float32)).numpy()[:, 0]
    assert np.abs(scores - expected)[np.abs(expected) < 2].max() < 0.05


@pytest.mark.parametrize(
    "column",
    [[5.0] * 40, [0.0] * 39 + [1.0], [np.nan] * 40, [np.nan] * 39 + [2.0], [1e6] * 39 + [1e6 + 1]],
    ids=["constant", "one alone is another", "missing", "missing but once", "far from zero"],
)
@pytest.mark.parametrize("new", [0.0, 1.0, -1e30, np.nan])
def test_a_feature_that_tells_nothing_has_no_score(column: list[float], new: float) -> None:
    beside = np.column_stack([column, np.arange(40.0)])
    assert fitted("normal_scores", beside)(torch.tensor([[new, 3.0]]))[0, 0] == 0


def test_gaps_count_as_the_mean_and_are_left_out_of_the_ranks(table: np.ndarray) -> None:
    gappy = np.concatenate([table, np.full((70, 4), np.nan)])
    found = apply("normal_scores", gappy)
    assert np.allclose(found[:150], apply("normal_scores", table), atol=1e-5)
    assert not found[150:].any()


def test_beyond_what_was_seen_scores_stay(table: np.ndarray) -> None:
    normalise = fitted("normal_scores", table)
    ends = torch.as_tensor(np.stack([table.min(axis=0), table.max(axis=0)]), dtype=torch.float32)
    assert torch.equal(normalise(torch.stack([ends[0] - 1e30, ends[1] + 1e30])), normalise(ends))


def test_both_are_side_by_side(table: np.ndarray) -> None:
    both = apply("both", table)
    assert np.array_equal(both, np.hstack([apply("standardise", table), apply("normal_scores", table)]))


def network(normalise: Standardise) -> Network:
    return Network(nn.Identity(), Flat(4, np.full(2, 0.5), 0.0), normalise)


def test_ranks_travel_with_the_weights(table: np.ndarray) -> None:
    trained = network(fitted("normal_scores", table)).eval()
    loaded = network(normalise_vectors("normal_scores", np.zeros(4), np.ones(4))).eval()
    loaded.load_state_dict(trained.state_dict())
    new = torch.as_tensor(np.random.default_rng(3).lognormal(0, 3, (20, 4)), dtype=torch.float32)
    logits: Tensor = trained(new)
    assert torch.equal(loaded(new), logits)


def test_weights_without_ranks_are_of_another_setting() -> None:
    standardised = Standardise(np.zeros(4), np.ones(4)).state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key.*rank_values"):
        NormalScores(np.zeros(4), np.ones(4), RankTable.untrained(4)).load_state_dict(standardised)
