"""Learning-rate schedules: against their formulas, at every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpa_hier.training.loop.schedule import lr_schedule, warmup_cosine


def rates(name: str, steps: int, largest: float = 1.0) -> np.ndarray:
    """Return the learning rate of each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=largest)
    schedule = lr_schedule(optimizer, name, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return np.array(found)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 17, 100, 1799])
def test_one_cycle_rises_along_a_cosine_for_a_quarter_of_the_steps_and_falls_along_another(steps: int) -> None:
    step, peak = np.arange(steps), max(1.0, steps / 4)
    rising = 1 + (0.04 - 1) * (1 + np.cos(np.pi * step / peak)) / 2
    falling = 1e-4 + (1 - 1e-4) * (1 + np.cos(np.pi * (step - peak) / max(1.0, steps - peak))) / 2
    np.testing.assert_allclose(
        rates("one_cycle", steps, 0.003), 0.003 * np.where(step < peak, rising, falling), rtol=1e-12
    )


def test_the_warm_up_rises_along_a_line_and_the_cosine_falls_to_nothing() -> None:
    rates = np.array([warmup_cosine(step, 200, 0.1) for step in range(201)])
    np.testing.assert_allclose(rates[:20], np.arange(1, 21) / 20)
    falling = (1 + np.cos(np.pi * (np.arange(20, 201) - 20) / 180)) / 2
    np.testing.assert_allclose(rates[20:], falling, atol=1e-12)
    assert warmup_cosine(0, 200, 0.0) == 1


def test_warmup_cosine_is_its_formula_at_every_step() -> None:
    assert rates("warmup_cosine", 84).tolist() == [warmup_cosine(step, 84, 0.05) for step in range(84)]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates("constant", 5, 0.01)) == {0.01}
