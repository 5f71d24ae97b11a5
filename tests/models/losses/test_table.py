"""The table of losses: one more row is trained with like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import write_tiny
from torch import Tensor

from hpa_hier.members.nodes import find_member
from hpa_hier.models.losses.loss import LossData, LossRule, known_mean
from hpa_hier.models.losses.table import LOSSES
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member


def test_a_new_loss_is_a_row_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Tensor] = []

    def make(data: LossData) -> object:
        def brier(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
            calls.append(logits)
            return data.numbers.get("scale", 1.0) * known_mean((torch.sigmoid(logits) - present) ** 2, known)

        return brier

    monkeypatch.setitem(LOSSES, "brier", LossRule(make))  # type: ignore[arg-type]
    recipe = load_recipe(str(write_tiny(tmp_path, training={"max_steps": 2})))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    plan = replace(plan, settings=plan.settings.model_copy(update={"loss": "brier"}))
    train_member(plan, TrainOptions(device="cpu", lines=False))
    assert (plan.folder / "member.json").exists()
    assert len(calls) == 3  # two steps, and the calibration part once
