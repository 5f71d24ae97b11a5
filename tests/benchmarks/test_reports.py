"""The recipes of the three reports: each loads, opens with its command, its cost and its score, and trains."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hpa_hier.cli.train import main
from hpa_hier.settings.recipe_file import load_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "configs" / "reports").glob("*.yaml"), key=lambda path: path.stem)
TINY = (
    *("simulate.count=60", "simulate.image_size=48", "data.image_size=48", "simulate.imbalance=0.0"),
    *("training.max_steps=2", "training.batch_size=4", "training.pretrained=false", "training.freeze_epochs=0"),
    *("split.folds=0", "training.folds=0", "partition.majority_min_images=4"),
)


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reports", ROOT / "benchmarks" / "reports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reports"] = module  # where data classes look their types up
    sys.path.append(str(ROOT / "benchmarks"))  # where a script finds the one beside it
    spec.loader.exec_module(module)
    return module


reports = script()

# Each repeats what two others do together: the same network with another loss, augmentation or number of layers.
REPEATED = (
    *("two-resnet152-oversampled", "two-resnet50", "three-resnet34-bce"),
    *("one-vgg16-augmented", "one-vgg16-weighted"),
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_reports_recipe_opens_with_its_command_its_cost_and_its_score(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert f"python -m hpa_hier.train --config configs/reports/{path.name} " in head
    assert "# Cost and score here: " in head
    assert "Reported: " in head


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in REPEATED)) for path in RECIPES],
    ids=lambda path: path.stem,
)
def test_a_reports_recipe_trains_a_few_steps_on_simulated_cells(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    packs = tmp_path.parent / "packs-of-reports"  # simulated once for each set of channels
    packs.mkdir(exist_ok=True)
    (tmp_path / "packs").symlink_to(packs)
    sets = [f"artifacts='{tmp_path}'", *TINY]
    text = path.read_text(encoding="utf-8")
    if "sizes:" in text:
        sets += ["training.sizes=[48, 64]", "training.dense=[8, 8]"]
    elif "backbone: vgg16" in text:  # without its 100 million weights behind the last pooling
        sets.append("training.pooling=average")
    if "frozen: true" in text:  # as where there is no network: the backbone's weights come from a file
        weights = reports.random_weights(load_recipe(f"configs/reports/{path.name}", ()), tmp_path)
        sets.append(f"training.weights='{weights}'")
    recipe = load_recipe(f"configs/reports/{path.name}", sets)
    flags = [word for change in sets for word in ("--set", change)]
    status = main(["--config", f"configs/reports/{path.name}", "--member", recipe.members[-1].name, *flags])
    assert status == 0
    kept = tmp_path / recipe.run / "members" / recipe.members[-1].name
    with np.load(kept / "scores.npz", allow_pickle=False) as scores:
        assert np.isfinite(scores["logits"]).all()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_score_in_a_recipes_head_is_that_of_the_published_table(path: Path) -> None:
    table = (ROOT / "benchmarks" / "reports.md").read_text(encoding="utf-8").split("| system | networks |")[1]
    (row,) = (line for line in table.split("\n\n")[0].splitlines() if line.startswith(f"| {path.stem} |"))
    macro_f1, minority_f1, *_, mean_ap = (cell.strip() for cell in row.strip("|").split("|")[4:])
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert f"Macro F1 {macro_f1}, minority classes {minority_f1}, mean AP {mean_ap}" in head


def test_the_table_has_a_row_for_every_recipe() -> None:
    assert sorted(reports.ORDER) == [path.stem for path in RECIPES]
