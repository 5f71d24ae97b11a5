"""What a finished training leaves: in half precision, half the bytes and the scores of the rounded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import write_tiny

from hpa_hier.files.atomic import sha256
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import read_scores
from hpa_hier.runs.manifest import WEIGHTS, read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


def plan_leaf(folder: Path, *sets: str, **training: object) -> Plan:
    recipe = load_recipe(str(write_tiny(folder, training={"epochs": 1, **training})), sets)
    return plan_training(start_run(recipe), find_member(recipe, "leaf"))


@pytest.mark.parametrize("way", ["trained", "folds", "frozen"])
def test_weights_in_half_the_space_give_the_scores_that_were_kept_with_them(tmp_path: Path, way: str) -> None:
    how: dict[str, object] = {}
    if way == "frozen":
        start = plan_leaf(tmp_path / "start")
        train_member(start, QUIET)
        how = {"weights": str(start.folder / WEIGHTS), "frozen": True}
    plans = {}
    for dtype in ("float32", "float16"):
        plans[dtype] = plan_leaf(tmp_path / dtype, f"split.folds={2 * (way == 'folds')}", save_dtype=dtype, **how)
        train_member(plans[dtype], QUIET)
    full, half = (plans[dtype].folder for dtype in ("float32", "float16"))
    scores = read_scores(half / "scores.npz")
    assert 0 < np.abs(scores.logits - read_scores(full / "scores.npz").logits).max() < 0.02
    assert (half / WEIGHTS).stat().st_size < 0.6 * (full / WEIGHTS).stat().st_size
    assert read_manifest(half).files[WEIGHTS] == sha256(half / WEIGHTS)

    member = Member.load(half, "cpu")
    assert {parameter.dtype for parameter in member.network.parameters()} == {torch.float32}
    pack, test = plans["float16"].run.pack, [row for row, part in enumerate(scores.parts) if part == "test"]
    with torch.no_grad():
        answers = member.network(torch.from_numpy(pack.images(pack.find_rows([scores.ids[row] for row in test]))))
    expected = scores.logits[test]
    np.testing.assert_allclose(answers.numpy(), expected, atol=1e-5)
