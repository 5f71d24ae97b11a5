"""Precision: what rounding to half keeps, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpa_hier.errors import UserError
from hpa_hier.models.precision import round_to_half


def test_filters_and_matrices_are_rounded_and_all_else_stays() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    network[1].running_var.fill_(1e-9)  # which float16 has not
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    names = round_to_half(network)
    assert names == {"0.weight", "3.weight"}
    for name, tensor in network.state_dict().items():
        expected = before[name].half().float() if name in names else before[name]
        assert torch.equal(tensor, expected), name
        assert torch.equal(tensor, before[name]) == (name not in names), name
    assert round_to_half(network) == names  # and again changes nothing
    assert torch.equal(network[0].weight, before["0.weight"].half().float())


def test_a_weight_that_half_precision_cannot_hold_is_refused() -> None:
    network = nn.Linear(2, 2)
    network.weight.data[0, 0] = 1e6
    with pytest.raises(
        UserError, match=r"training\.save_dtype: float16 holds no more than 65504, and weight has 1e\+06"
    ):
        round_to_half(network)
