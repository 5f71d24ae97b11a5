"""Examples in docstrings: those of losses, augmentation, poolings and courses hold."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        *("models.losses", "models.balanced_losses", "models.augment", "models.pooling"),
        *("members.schedule", "members.macro_f1"),
    ],
)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"hpa_hier.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
