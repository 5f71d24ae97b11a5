"""Losses: against their formulas, and what is unknown counts nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from hpa_hier.models.losses.balanced import class_balanced_weight, distribution_balanced, logit_adjusted
from hpa_hier.models.losses.elementwise import (
    MAX_WEIGHT,
    asymmetric,
    bce,
    class_weighted,
    focal,
    frequency_weight,
    soft_f1,
    weighted_bce,
)
from hpa_hier.models.losses.loss import Loss, LossData
from hpa_hier.models.losses.table import LOSSES

NAMES = [
    *("bce", "focal", "weighted_bce", "class_weighted", "asymmetric", "class_balanced"),
    *("distribution_balanced", "logit_adjusted", "soft_f1"),
]
POSITIVES = torch.tensor([5, 60, 300, 900])


def named(name: str, options: dict[str, float] | None = None, weights: torch.Tensor | None = None) -> Loss:
    if weights is None:
        weights = torch.tensor([4.0, 2.0, 1.0, 0.5] if name == "class_weighted" else torch.nan)
    data = LossData(POSITIVES.double() / 1000, POSITIVES, weights=weights, numbers=options or {})
    return LOSSES[name].make(data)


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(9, 4, generator=generator)
    present, known = (torch.rand(2, 9, 4, generator=generator) < 0.6).float()
    return logits, present, known


def test_bce_is_sklearns_log_loss() -> None:
    logits, present, _ = drawn(0)
    probs = torch.sigmoid(logits.double()).numpy().ravel()
    expected = log_loss(present.numpy().ravel(), probs)
    assert float(bce(logits, present, torch.ones_like(logits))) == pytest.approx(expected, rel=1e-5)


def test_focal_with_gamma_0_is_bce_and_otherwise_its_formula() -> None:
    logits, present, known = drawn(1)
    torch.testing.assert_close(focal(logits, present, known, gamma=0.0), bce(logits, present, known))
    probs = 1 / (1 + np.exp(-logits.double().numpy()))
    truth = np.where(present.numpy() > 0, probs, 1 - probs)
    expected = (-((1 - truth) ** 2) * np.log(truth))[known.numpy() > 0].mean()
    assert float(focal(logits, present, known)) == pytest.approx(expected, rel=1e-4)


def test_weighted_bce_with_weights_of_1_is_bce() -> None:
    logits, present, known = drawn(2)
    torch.testing.assert_close(weighted_bce(torch.ones(4))(logits, present, known), bce(logits, present, known))


def test_weights_by_hand_take_the_place_of_those_by_frequency_where_they_are_given() -> None:
    logits, present, known = drawn(4)
    nan = float("nan")
    by_hand = torch.tensor([nan, 7.0, nan, nan])
    weights = frequency_weight(POSITIVES / 1000)
    weights[1] = 7.0
    expected = weighted_bce(weights)(logits, present, known)
    torch.testing.assert_close(named("weighted_bce", weights=by_hand)(logits, present, known), expected)
    columns = class_weighted(torch.tensor([1.0, 7.0, 1.0, 1.0]))(logits, present, known)
    torch.testing.assert_close(named("class_weighted", weights=by_hand)(logits, present, known), columns)


def test_a_class_weighted_loss_is_the_mean_of_weight_times_entropy() -> None:
    logits, present, known = drawn(5)
    weights = torch.tensor([4.0, 2.0, 1.0, 0.5])
    entropies = torch.nn.functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
    expected = (weights * entropies)[known > 0].mean()
    torch.testing.assert_close(class_weighted(weights)(logits, present, known), expected)


@pytest.mark.parametrize("gammas", [(0, 0, 0), (1, 2, 0), (1, 4, 0.05), (0.5, 0.5, 0.2)])
def test_the_asymmetric_loss_is_its_formula(gammas: tuple[float, float, float]) -> None:
    logits, present, known = drawn(6)
    plus, minus, clip = gammas
    probs = 1 / (1 + np.exp(-logits.double().numpy()))
    shifted = np.maximum(probs - clip, 0)
    losses = np.where(
        present.numpy() > 0,
        -((1 - probs) ** plus) * np.log(probs),
        -(shifted**minus) * np.log(1 - shifted) if clip or minus else -np.log(1 - probs),
    )
    got = asymmetric(plus, minus, clip)(logits, present, known)
    assert float(got) == pytest.approx(losses[known.numpy() > 0].mean(), rel=1e-4)


def test_the_asymmetric_loss_begins_at_bce_and_goes_over_focal_as_its_author_advises() -> None:
    logits, present, known = drawn(7)
    torch.testing.assert_close(asymmetric(0, 0, 0)(logits, present, known), bce(logits, present, known))
    torch.testing.assert_close(asymmetric(2, 2, 0)(logits, present, known), focal(logits, present, known))


def test_negatives_below_the_clip_cost_nothing_and_pull_nowhere() -> None:
    logits = torch.tensor([[-4.0, -3.5]], requires_grad=True)
    loss = asymmetric(1, 4, 0.05)(logits, torch.zeros(1, 2), torch.ones(1, 2))
    loss.backward()
    assert loss.item() < 1e-12
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_class_balanced_weights_are_one_over_the_effective_number_and_bounded() -> None:
    counts = np.array([100.0, 1000, 12885])
    inverse = (1 - 0.999) / (1 - 0.999**counts)
    got = class_balanced_weight(torch.from_numpy(counts), beta=0.999).numpy()
    np.testing.assert_allclose(got, inverse / inverse.mean(), rtol=1e-6)
    bounded = class_balanced_weight(torch.tensor([11.0, 12885.0]), beta=0.9999)
    assert float(bounded[0] / bounded[1]) == pytest.approx(MAX_WEIGHT)
    np.testing.assert_allclose(class_balanced_weight(torch.tensor([11.0, 12885.0]), beta=0.0), [1, 1])


def test_the_distribution_balanced_loss_is_its_formula_entry_by_entry() -> None:
    logits, present, known = drawn(8)
    counts, shares = POSITIVES.double().numpy(), POSITIVES.double().numpy() / 1000
    alpha, beta, mu, scale, kappa = 0.2, 8.0, 0.3, 3.0, 0.1
    total, entries = 0.0, 0
    for i, j in np.argwhere(known.numpy() > 0):
        labels = np.flatnonzero((present[i] * known[i]).numpy())
        met = (1 / counts[labels]).sum()
        r = (1 / counts[j]) / met if met else np.inf
        weight = alpha + 1 / (1 + np.exp(-beta * (r - mu)))
        z = float(logits[i, j]) + kappa * np.log(shares[j] / (1 - shares[j]))
        entropy = np.log1p(np.exp(-z)) if present[i, j] else np.log1p(np.exp(scale * z)) / scale
        total, entries = total + weight * entropy, entries + 1
    loss = distribution_balanced(
        POSITIVES, torch.from_numpy(shares), alpha=alpha, beta=beta, mu=mu, scale=scale, kappa=kappa
    )
    assert float(loss(logits, present, known)) == pytest.approx(total / entries, rel=1e-4)


def test_a_common_label_beside_a_rare_one_weighs_less_than_alone() -> None:
    loss = distribution_balanced(torch.tensor([10, 1000]), torch.tensor([0.01, 0.9]), kappa=0.0)
    only_common = torch.tensor([[0.0, 1.0]])  # what is known: the common label's entry
    alone = loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), only_common)
    rare = torch.tensor([[1.0, 0.0]])
    both = 2 * loss(torch.zeros(1, 2), torch.ones(1, 2), torch.ones(1, 2)) - loss(torch.zeros(1, 2), rare, rare)
    assert float(both) < 0.3 * float(alone)


def test_the_logit_adjusted_loss_is_bce_of_shifted_logits_and_tau_0_is_bce() -> None:
    logits, present, known = drawn(9)
    shares = POSITIVES.double() / 1000
    shift = torch.log(shares / (1 - shares)).float()
    torch.testing.assert_close(
        logit_adjusted(shares, 0.7)(logits, present, known), bce(logits + 0.7 * shift, present, known)
    )
    torch.testing.assert_close(logit_adjusted(shares, 0.0)(logits, present, known), bce(logits, present, known))


def test_an_untrained_head_guesses_the_prevalence_once_and_not_twice() -> None:
    shares = POSITIVES.double() / 1000
    data = LossData(shares, POSITIVES)
    guess = torch.logit(LOSSES["logit_adjusted"].first_guess(data))
    torch.testing.assert_close(torch.sigmoid(guess + torch.logit(shares)), shares)
    assert LOSSES["bce"].first_guess(data) is shares


def test_soft_f1_of_certain_answers_is_one_less_sklearns_macro_f1() -> None:
    _, present, _ = drawn(10)
    called = (torch.rand(9, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    loss = soft_f1(smooth=0.0)((called * 2 - 1) * 1e4, present, torch.ones(9, 4))
    assert float(loss) == pytest.approx(1 - f1_score(present.numpy(), called.numpy(), average="macro"), abs=1e-6)


def test_soft_f1_pushes_calls_of_absent_nodes_down() -> None:
    logits = torch.zeros(3, 1, requires_grad=True)
    soft_f1()(logits, torch.zeros(3, 1), torch.ones(3, 1)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


@pytest.mark.parametrize(
    "name", ["bce", "weighted_bce", "class_weighted", "asymmetric", "class_balanced", "logit_adjusted"]
)
def test_of_mixed_labels_a_mean_of_entries_is_the_mix(name: str) -> None:
    logits, present, known = drawn(11)
    other = present.flip(0)
    loss = named(name)
    mixed = loss(logits, 0.3 * present + 0.7 * other, known)
    torch.testing.assert_close(mixed, 0.3 * loss(logits, present, known) + 0.7 * loss(logits, other, known))


def test_frequency_weights_rise_with_rarity_and_are_capped() -> None:
    weights = frequency_weight(torch.tensor([0.9, 0.5, 0.1, 0.01, 0.0]))
    assert (weights.diff() >= 0).all()
    assert weights[0] == 1
    assert weights[-1] == MAX_WEIGHT


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_what_is_unknown_changes_neither_loss_nor_gradient(name: str, seed: int) -> None:
    logits, present, known = drawn(seed)
    loss = named(name)
    other = torch.where(known > 0, present, 1 - present)
    for targets in (present, other):
        logits.requires_grad_()
        value = loss(logits, targets, known)
        (gradient,) = torch.autograd.grad(value, logits)
        assert (gradient[known == 0] == 0).all()
    torch.testing.assert_close(loss(logits, present, known), loss(logits, other, known), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_that_tells_nothing_costs_nothing(name: str) -> None:
    logits, present, known = drawn(3)
    assert float(named(name)(logits, present, 0 * known)) == 0


def test_focal_with_gamma_below_1_has_finite_slopes_where_an_answer_is_certain() -> None:
    logits = torch.tensor([[120.0, -120.0, 120.0]], requires_grad=True)
    focal(logits, torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[1.0, 1.0, 0.0]]), gamma=0.5).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_give_finite_losses(name: str) -> None:
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]])
    loss = named(name)
    assert torch.isfinite(loss(logits, torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.ones(1, 4)))
