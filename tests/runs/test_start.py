"""Starting a run without data: the pack of simulated cells is named by all that made it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_run import write_tiny

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import EnsembleSettings, MemberSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.plan import plan_training

ROOT = Path(__file__).resolve().parents[2]


def recipe(home: Path, run: str, **simulate: object) -> Recipe:
    return Recipe.model_validate(
        {
            "run": run,
            "artifacts": str(home / "artifacts"),
            "taxonomy": str(home / "mine.yaml"),
            "simulate": {"count": 12, "image_size": 32, **simulate},
        }
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text((ROOT / "hierarchy" / "hpa28.yaml").read_text())
    return tmp_path


def test_a_second_run_with_a_renamed_leaf_gets_a_pack_of_its_own(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    text = (home / "mine.yaml").read_text()
    renamed = text.replace("taxonomy: hpa28", "taxonomy: ours").replace("Nucleoli:", "Small nucleoli:")
    (home / "mine.yaml").write_text(renamed)
    second = start_run(recipe(home, "two"))
    assert first.pack.path != second.pack.path
    assert "Small nucleoli" in second.taxonomy.leaves
    assert second.targets.present.shape == (12, len(second.taxonomy.nodes))


def test_a_run_goes_on_with_the_pack_it_was_begun_with_after_a_leaf_was_renamed(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    (home / "mine.yaml").write_text((home / "mine.yaml").read_text().replace("Nucleoli:", "Small nucleoli:"))
    again = start_run(recipe(home, "one"))
    assert again.pack.path.resolve() == first.pack.path.resolve()
    assert "Small nucleoli" in again.taxonomy.leaves


def test_a_rule_of_the_ensemble_that_there_is_not_is_refused_before_anything_is_made(home: Path) -> None:
    wrong = recipe(home, "one").model_copy(update={"ensemble": EnsembleSettings(aggregate="meen")})
    with pytest.raises(UserError, match=r"^ensemble\.aggregate: there is no 'meen'; .* did you mean 'mean'"):
        start_run(wrong)
    assert not (home / "artifacts").exists()


def test_every_setting_of_the_cells_is_in_the_packs_name(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    other = start_run(recipe(home, "two", variety=0.5))
    assert first.pack.path.name.startswith("simulated-12x32-seed0-")
    assert other.pack.path.name.startswith("simulated-12x32-seed0-")
    assert first.pack.path != other.pack.path
    assert start_run(recipe(home, "three")).pack.path == first.pack.path
    with pytest.raises(UserError, match=r"run\.json: the run was begun with pack .*; add --data .*, or name another"):
        start_run(recipe(home, "one", seed=3))
    assert Taxonomy.load(first.pack.path / "taxonomy.yaml").nodes == first.taxonomy.nodes


def test_the_partition_is_by_all_images_and_a_run_begun_by_training_images_keeps_its_own(tmp_path: Path) -> None:
    few = load_recipe(str(write_tiny(tmp_path, count=160, partition={})))
    run = start_run(few)
    path, leaves = run.folder / "partition.json", list(run.taxonomy.leaves)
    present = run.targets.present[:, [run.taxonomy.column[leaf] for leaf in leaves]]
    assert read_json(path)["counts"] == dict(zip(leaves, present.sum(axis=0).tolist(), strict=True))
    assert read_json(path)["left_out"] == ""
    assert run.facts
    assert run.facts.images == 160
    assert {leaf: sum(counts) for leaf, counts in run.facts.leaf_images.items()} == read_json(path)["counts"]
    in_training = present[run.pack.find_rows(run.split.part_ids("train"))].sum(axis=0).tolist()
    path.write_text(json.dumps({"majority": [], "minority": [], "counts": {}, "min_images": 1}))  # as it was once kept
    start_run(few)
    assert read_json(path)["counts"] == dict(zip(leaves, in_training, strict=True))
    assert "left_out" not in read_json(path)


def test_few_images_have_no_partition_and_its_members_are_refused_with_the_reason(tmp_path: Path) -> None:
    few = load_recipe(str(write_tiny(tmp_path, count=30, partition={})))
    run = start_run(few)
    why = run.partition_left_out
    assert re.fullmatch(r"30 images: a majority class would have as few as \d+", why)
    assert run.partition == {"majority": (), "minority": ()}
    member = MemberSettings(name="rare", partition="minority")
    with pytest.raises(UserError, match=rf"partition: the run has none \({why}\); set partition\.majority_min_images"):
        plan_training(run, member)
    assert run.scarcity[0].startswith("30 images for 4 classes; ")
    assert run.scarcity[2].startswith("  what helps: --config few_images (bundled weights, folds, few networks); merg")
