"""Losses: against their formulas, and what is unknown counts nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from hpa_hier.models.losses import MAX_WEIGHT, bce, focal, frequency_weight, loss_named, weighted_bce

NAMES = ["bce", "focal", "weighted_bce"]


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


def test_frequency_weights_rise_with_rarity_and_are_capped() -> None:
    weights = frequency_weight(torch.tensor([0.9, 0.5, 0.1, 0.01, 0.0]))
    assert (weights.diff() >= 0).all()
    assert weights[0] == 1
    assert weights[-1] == MAX_WEIGHT


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_unknown_changes_neither_loss_nor_gradient(name: str, seed: int) -> None:
    logits, present, known = drawn(seed)
    loss = loss_named(name, torch.full((4,), 0.2))
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
    assert float(loss_named(name, torch.full((4,), 0.2))(logits, present, 0 * known)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_give_finite_losses(name: str) -> None:
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]])
    loss = loss_named(name, torch.full((4,), 0.2))
    assert torch.isfinite(loss(logits, torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.ones(1, 4)))
