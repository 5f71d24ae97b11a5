"""The moving average of the weights: its formula, and that it is what is watched and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_run import train_tiny, trained_weights, untrained_weights

from hpa_hier.training.loop.averaging import follow


@pytest.mark.parametrize(("steps", "decay"), [(1, 2 / 11), (1000, 0.9)])
def test_the_average_is_its_formula_and_its_decay_rises_with_the_steps(steps: int, decay: float) -> None:
    averages = [torch.ones(2), torch.full((3,), 5.0)]
    follow(averages, [torch.full((2,), 3.0), torch.zeros(3)], steps, decay=0.9)
    torch.testing.assert_close(averages, [torch.full((2,), decay + (1 - decay) * 3.0), torch.full((3,), decay * 5.0)])


def test_counts_are_copied() -> None:
    counts = [torch.tensor(4)]
    follow(counts, [torch.tensor(7)], steps=5, decay=0.9)
    assert counts == [torch.tensor(7)]


def test_with_ema_the_average_is_kept_and_the_weights_themselves_go_their_way(tmp_path: Path) -> None:
    still = train_tiny(tmp_path / "a", epochs=1, stop_on="none")
    averaged = train_tiny(tmp_path / "b", epochs=1, stop_on="none", ema=0.5)
    one, other = trained_weights(still), trained_weights(averaged)
    assert set(one) == set(other)
    assert not torch.equal(one["head.linear.weight"], other["head.linear.weight"])
    start = untrained_weights(still)["head.linear.weight"]
    ways = [(weights["head.linear.weight"] - start).norm() for weights in (one, other)]
    assert 0.2 * ways[0] < ways[1] < ways[0]


def test_the_average_starts_at_the_untrained_weights_and_follows_every_step(tmp_path: Path) -> None:
    settings = {"schedule": "constant", "stop_on": "none", "epochs": 1}
    start = untrained_weights(train_tiny(tmp_path / "0", **settings, max_steps=1))
    after = [trained_weights(train_tiny(tmp_path / str(n), **settings, max_steps=n)) for n in (1, 2)]
    average = trained_weights(train_tiny(tmp_path / "average", **settings, max_steps=2, ema=0.99))
    for name in ("head.linear.weight", "backbone.stem.0.weight"):
        expected = torch.lerp(torch.lerp(start[name], after[0][name], 9 / 11), after[1][name], 9 / 12)
        torch.testing.assert_close(average[name], expected, rtol=1e-6, atol=1e-7)
